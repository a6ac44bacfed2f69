// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const (
	here  = "https://here.example"
	there = "https://there.example"
)

// One of fifty gets the nonce, and after a restart nobody does.
func TestNonce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comity.db")
	s := openStore(t, path)
	var fresh atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if ok, err := s.Nonce(t.Context(), "n", 1000); err != nil {
				t.Error(err)
			} else if ok {
				fresh.Add(1)
			}
		})
	}
	all.Wait()
	if fresh.Load() != 1 {
		t.Errorf("the nonce was fresh %d times", fresh.Load())
	}
	s.Close()
	s = openStore(t, path)
	if ok, err := s.Nonce(t.Context(), "n", 1000); ok || err != nil {
		t.Errorf("after a restart it is %v, %v", ok, err)
	}
	if ok, err := s.Nonce(t.Context(), "m", 1000); !ok || err != nil {
		t.Errorf("another one is %v, %v", ok, err)
	}
}

func TestConnections(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "comity.db"))
	first := brokered.Connection{ClientID: "a", Site: "https://blog.example/wp-json/", Name: "Blog", Through: here, FirstAt: 10, LastAt: 10}
	save(t, s, first, brokered.Connection{ClientID: "b", Site: first.Site, FirstAt: 1, LastAt: 1})
	again := first
	again.Name, again.Through, again.Resource, again.FirstAt, again.LastAt = "My Blog", there, "https://blog.example", 20, 20
	save(t, s, again, brokered.Connection{ClientID: "a", Site: "https://another.example/", FirstAt: 30, LastAt: 30})
	got, err := s.Connections(t.Context(), "a")
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	again.FirstAt = 10 // that stays
	if got[1] != again || got[0].Site != "https://another.example/" {
		t.Errorf("%+v", got)
	}
	if none, err := s.Connections(t.Context(), "c"); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}

func save(t *testing.T, s *store.Store, all ...brokered.Connection) {
	t.Helper()
	for _, c := range all {
		if err := s.SaveConnection(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// A site that takes notifications is told once of each stop, and when that is
// over; what another broker connected is that broker's business.
func TestConnectedSitesAreTold(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "comity.db"))
	save(t, s,
		brokered.Connection{ClientID: "a", Site: "https://told.example/", Through: here, Resource: "https://told.example"},
		brokered.Connection{ClientID: "a", Site: "https://old.example/", Through: here},
		brokered.Connection{ClientID: "a", Site: "https://other.example/", Through: there, Resource: "https://other.example"},
		brokered.Connection{ClientID: "b", Site: "https://b.example/", Through: here, Resource: "https://b.example"},
	)
	message := func(site string) notify.Message {
		return notify.Message{Site: site, ExpiresAt: 2_000_000_000, Event: protocol.Event{
			Issuer: here, Audience: site, ID: registry.NewID(),
			TokenRevoked: &protocol.TokenRevoked{TokenHash: protocol.TokenHash("x"), ExpiresAt: 2_000_000_000, Reason: "test"},
		}}
	}
	step := func(name string, act func(context.Context, oauth.Stop, func(string) notify.Message) (int, error), stop oauth.Stop, want int) {
		t.Helper()
		stop.ClientID, stop.Broker, stop.At = "a", here, 100
		if n, err := act(t.Context(), stop, message); err != nil || n != want {
			t.Errorf("%s: %d sites, %v; want %d", name, n, err, want)
		}
	}
	suspended, revoked := oauth.Stop{Reason: "client-stopped"}, oauth.Stop{Reason: "client-revoked", Cutoff: 1 << 40}
	step("not stopped before", s.EnableClient, oauth.Stop{}, 0)
	step("suspended", s.StopClient, suspended, 1)
	step("suspended, as after a restart", s.StopClient, suspended, 0)
	step("reinstated", s.EnableClient, oauth.Stop{}, 1)
	step("reinstated, as after a restart", s.EnableClient, oauth.Stop{}, 0)
	step("suspended again", s.StopClient, suspended, 1)
	step("revoked", s.StopClient, revoked, 1)
	step("revoked, as after a restart", s.StopClient, revoked, 0)
	save(t, s, brokered.Connection{ClientID: "a", Site: "https://told.example/", Through: here, Resource: "https://told.example"})
	step("connected while that was on its way", s.StopClient, revoked, 1)
	for _, m := range queued(t, s) {
		if m.Site != "https://told.example" {
			t.Errorf("%s is told", m.Site)
		}
	}
	if holders, err := s.Holders(t.Context(), 1<<40); err != nil || !slices.Equal(holders, []string{"a", "b"}) {
		t.Errorf("looked after at the next start: %v, %v", holders, err)
	}
}

func TestOAuth1Secret(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "comity.db"))
	if has, err := s.HasOAuth1Secrets(t.Context()); has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	if _, err := s.OAuth1Secret(t.Context(), "a"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, sealed := range []string{"one", "two"} {
		if err := s.SetOAuth1Secret(t.Context(), "a", sealed, 1); err != nil {
			t.Fatal(err)
		}
		if got, err := s.OAuth1Secret(t.Context(), "a"); got != sealed || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if has, err := s.HasOAuth1Secrets(t.Context()); !has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
}
