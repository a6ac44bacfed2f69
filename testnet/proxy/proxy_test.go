// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comity-network/comity/testnet/proxy"
)

func TestProxy(t *testing.T) {
	defer goleak.VerifyNone(t)
	var asked atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(w, r.Body)
	}))
	defer target.Close()
	p, err := proxy.New(strings.TrimPrefix(target.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	post := func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Address(), strings.NewReader("hello"))
		if err != nil {
			return "", err
		}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	passes := func() {
		t.Helper()
		if got, err := post(t.Context()); err != nil || got != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	passes()

	p.Set(proxy.Cut)
	if got, err := post(t.Context()); err == nil {
		t.Fatalf("answer through a cut proxy: %q", got)
	}
	if n := asked.Load(); n != 1 {
		t.Fatalf("the target saw %d requests, expected 1", n)
	}
	p.Set(proxy.Pass)
	passes()

	for mode, arrived := range map[proxy.Mode]int64{proxy.Silent: 0, proxy.LoseAnswer: 1} {
		before := asked.Load()
		lost := make(chan struct{})
		if p.Set(mode); mode == proxy.LoseAnswer {
			p.LoseAnswers(func() { close(lost) })
		} else {
			time.AfterFunc(50*time.Millisecond, func() { close(lost) })
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-lost; cancel() }()
		if got, err := post(ctx); err == nil {
			t.Errorf("mode %d: answer %q", mode, got)
		}
		cancel()
		if n := asked.Load() - before; n != arrived {
			t.Errorf("mode %d: %d requests arrived, expected %d", mode, n, arrived)
		}
	}
	p.Set(proxy.Pass)
	client.CloseIdleConnections()
	passes()
}
