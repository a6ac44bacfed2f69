// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// Bounds of what a broker may answer.
const (
	maxStatusBytes = 256 << 10 // views and checkpoints of a handful
	maxClientBytes = 512 << 10 // two registrations, 32 records, a proof
	maxDeltaBytes  = registry.MaxStopListBytes
)

// answer is the body of a broker's answer 200.
type answer struct {
	body []byte
	json bool
}

// get asks the broker issuer for one of its /federation resources.
// registry.ErrNotFound on 404.
func (f *Federation) get(ctx context.Context, issuer, path string, limit int64) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+path, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := f.HTTP.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return answer{}, fmt.Errorf("%s: %w", path, registry.ErrNotFound)
	default:
		return answer{}, fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return answer{}, err
	}
	if int64(len(body)) > limit {
		return answer{}, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	kind := resp.Header.Get("Content-Type")
	return answer{body, strings.HasPrefix(kind, "application/json")}, nil
}

// getJSON is get with the answer decoded into v.
func (f *Federation) getJSON(ctx context.Context, issuer, path string, limit int64, v any) error {
	a, err := f.get(ctx, issuer, path, limit)
	if err != nil {
		return err
	}
	if !a.json {
		return fmt.Errorf("%s: %w", path, errors.New("not application/json"))
	}
	if err := strictjson.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
