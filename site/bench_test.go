// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/comity-network/comity/site/protocol"
)

// BenchmarkCheck is what a site pays for each request with a Bearer token.
func BenchmarkCheck(b *testing.B) {
	for _, tokens := range []int{1, 10000} {
		b.Run(strconv.Itoa(tokens)+"tokens", func(b *testing.B) {
			f := newFederation(b, 3)
			s := newSite(b, f, nil)
			token, code := s.login("alice", f.brokers[0].register(metadata()))
			for i := 1; i < tokens; i++ {
				must(b, s.Receive(b.Context(), f.brokers[0].issued(strconv.Itoa(i), code, func(t *protocol.TokenIssued) { t.CodeJTI = "" })))
			}
			req := httptest.NewRequest(http.MethodGet, "/photos", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Check(w, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAlive is what a site pays for each use of credentials of its own.
func BenchmarkAlive(b *testing.B) {
	f := newFederation(b, 3)
	s := newSite(b, f, nil)
	app, issuer := f.brokers[0].register(metadata()), f.brokers[0].issuer
	_, err := s.Client(b.Context(), issuer, app)
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Alive(b.Context(), issuer, app, f.clock.Unix()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceive is what a site pays for each new token: signature, checks
// and a durable write.
func BenchmarkReceive(b *testing.B) {
	f := newFederation(b, 3)
	s := newSite(b, f, nil)
	_, code := s.login("alice", f.brokers[0].register(metadata()))
	events := make([]string, 0, 1000)
	n := 0
	for b.Loop() {
		if n%1000 == 0 {
			b.StopTimer()
			events = events[:0]
			for i := range 1000 {
				token := strconv.Itoa(n + i)
				events = append(events, f.brokers[0].issued(token, code, func(t *protocol.TokenIssued) { t.CodeJTI = "" }))
			}
			b.StartTimer()
		}
		if err := s.Receive(b.Context(), events[n%1000]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
