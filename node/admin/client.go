// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
)

// Client talks to the node that runs on a data directory.
type Client struct {
	dir  string
	http *http.Client
}

// Dial returns a client for the node on the data directory dir. It connects
// with the first call.
func Dial(dir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, SocketName))
	}
	return &Client{dir: dir, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Call performs one operation: in is sent to path, the answer is decoded into
// out.
func (c *Client) Call(ctx context.Context, path string, in, out any) error {
	res, err := c.post(ctx, path, in)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(out)
}

// Stop performs a stop and calls progress for each line of the answer.
func (c *Client) Stop(ctx context.Context, stop Stop, progress func(StopProgress)) error {
	res, err := c.post(ctx, "/app/stop", stop)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); ; {
		var p StopProgress
		if err := dec.Decode(&p); err != nil {
			if errors.Is(err, io.EOF) {
				return errors.New("the node ended before it had finished; run `comity app show` to see what is recorded")
			}
			return err
		}
		if p.Error != "" {
			return errors.New(p.Error)
		}
		progress(p)
		if p.Done {
			return nil
		}
	}
}

func (c *Client) post(ctx context.Context, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("no node is running on %s: start one with `comity run --data %s`, or name its directory with --data", c.dir, c.dir)
		}
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var answer struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxRequest)).Decode(&answer); err != nil || answer.Error == "" {
		return nil, fmt.Errorf("the node answered %s", res.Status)
	}
	return nil, errors.New(answer.Error)
}
