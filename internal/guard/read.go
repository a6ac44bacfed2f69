// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// ReadLimited reads all of r, which may have at most max bytes. The error is
// ErrTooLong when it has more.
func ReadLimited(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLong, max)
	}
	return data, nil
}

// Fetch gets a JSON document of at most max bytes. Any answer but 200 is an
// error. It returns the header too, for those who judge the clock of the
// other side.
func Fetch(ctx context.Context, c *http.Client, url string, max int64) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent)
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.Header, fmt.Errorf("get %s: answer is %s, expected 200", url, resp.Status)
	}
	data, err := ReadLimited(resp.Body, max)
	if err != nil {
		return nil, resp.Header, fmt.Errorf("get %s: %w", url, err)
	}
	return data, resp.Header, nil
}
