// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/registry"
)

// flood sends connects at the same time, each of client(i) to server(i), to
// sites that do not answer, and returns how many were refused at once.
func flood(t *testing.T, n int, client func(i int) string, server func(i int) string) (refused int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index = `{"authentication":{"broker":"https://blog.example/connect"}}`
		s.post = func(r *http.Request, _ url.Values) (int, string) { <-r.Context().Done(); return 202, "" }
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range n {
			id := client(i)
			s.world.register(id, s.issuer)
			s.change(func() { s.secrets[id] = secret })
			r := s.signed(t.Context(), id, secret, url.Values{"server_url": {server(i)}})
			all.Go(func() {
				began := time.Now()
				a := s.serve(r)
				if a.status == http.StatusTooManyRequests {
					a.want(t, http.StatusTooManyRequests, "comity.too_many")
					if time.Since(began) != 0 || a.header.Get("Retry-After") != "5" {
						t.Errorf("after %v, Retry-After %q", time.Since(began), a.header.Get("Retry-After"))
					}
					mu.Lock()
					refused++
					mu.Unlock()
					return
				}
				a.want(t, http.StatusConflict, "ba.timed_out")
			})
		}
		all.Wait()
		synctest.Wait()
		if !s.Idle() {
			t.Error("something is left behind")
		}
		s.post = s.confirms
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	})
	return refused
}

func TestBounds(t *testing.T) {
	one := func(int) string { return client }
	each := func(i int) string { return registry.CID([]byte{byte(i), byte(i >> 8)}) }
	same := func(int) string { return stageSite }
	for name, test := range map[string]struct{ sent, refused int }{
		"one client at one site":     {7, 3}, // one has its turn, three wait
		"many clients at one site":   {15, 5},
		"one client at many sites":   {12, 4},
		"many clients at many sites": {140, 12},
	} {
		t.Run(name, func(t *testing.T) {
			id, server := one, same
			switch name {
			case "many clients at one site":
				id = each
			case "one client at many sites":
				server = elsewhere
			case "many clients at many sites":
				id, server = each, elsewhere
			}
			if refused := flood(t, test.sent, id, server); refused != test.refused {
				t.Errorf("%d of %d were refused, expected %d", refused, test.sent, test.refused)
			}
		})
	}
}

// elsewhere is another site for each i.
func elsewhere(i int) string { return fmt.Sprintf("https://s%d.example/", i) }

// A client that waits behind others goes away, and its place is free.
func TestWaitingClientGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		s.post = func(r *http.Request, f url.Values) (int, string) { <-release; return s.confirms(r, f) }
		var all sync.WaitGroup
		all.Go(func() { s.stageConnect(t.Context()).want(t, http.StatusOK, "") })
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		for range 3 {
			all.Go(func() { s.stageConnect(ctx) })
		}
		synctest.Wait()
		s.stageConnect(t.Context()).want(t, http.StatusTooManyRequests, "comity.too_many")
		leave()
		synctest.Wait()
		all.Go(func() { s.stageConnect(t.Context()).want(t, http.StatusOK, "") })
		synctest.Wait()
		close(release)
		all.Wait()
		if n := s.requests["POST https://blog.example/connect"]; n != 2 {
			t.Errorf("the site was asked %d times, expected 2", n)
		}
	})
}
