// SPDX-License-Identifier: Apache-2.0

package publish_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/node/publish"
	"github.com/comity-network/comity/registry"
)

// One address that asks without end is slowed down, others are not, and time
// forgives it.
func TestFederationIsRateLimited(t *testing.T) {
	const issuer = "https://broker.example"
	key, clock := registry.GenerateSigningKey(), time.Now()
	now := func() time.Time { return clock }
	replica, err := federation.Open(t.Context(), federation.Config{Store: new(memstore.Store), Key: key, Issuer: issuer, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := publish.Handler(publish.Config{Replica: replica, Issuer: issuer, Key: key.ID(), Now: now, Log: slog.New(slog.DiscardHandler)})
	ask := func(address string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/federation/stopped", nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for range 2000 {
		if w := ask("192.0.2.1:5"); w.Code != http.StatusOK {
			t.Fatalf("an ordinary reader got %d", w.Code)
		}
	}
	if w := ask("192.0.2.1:6"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Fatalf("a flood got %d %v", w.Code, w.Header())
	}
	if w := ask("192.0.2.2:5"); w.Code != http.StatusOK {
		t.Fatalf("another address got %d", w.Code)
	}
	clock = clock.Add(time.Second)
	if w := ask("192.0.2.1:7"); w.Code != http.StatusOK {
		t.Fatalf("a second later it got %d", w.Code)
	}
}
