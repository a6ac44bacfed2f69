// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

func testRevokeToken(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	must(t, s.RevokeToken(ctx, m.Token.Key, now+5, "first", message(siteA)))
	must(t, s.RevokeToken(ctx, m.Token.Key, now+9, "second", message(siteA)))
	must(t, s.RevokeFamily(ctx, m.Family.ID, now+9, "third", about))
	token, err := s.Token(ctx, m.Token.Key)
	must(t, err)
	if token.State != oauth.TokenRevoked || token.RevokedAt != now+5 || token.Reason != "first" {
		t.Errorf("%+v, expected what the first revocation said", token)
	}
	if n := len(s.Queue()); n != 1 {
		t.Errorf("%d messages, expected one", n)
	}
}

func testRevokeFamily(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	next := released(t, s, rotate(m))
	old := released(t, s, func() oauth.Mint { r := rotate(next); r.Token.ExpiresAt = now + 1; return r }())
	other := released(t, s, login("d"))
	must(t, s.RevokeFamily(ctx, m.Family.ID, now+5, "reuse", about))
	must(t, s.RevokeFamily(ctx, m.Family.ID, now+9, "again", about))
	must(t, s.RevokeFamily(ctx, "", now, "nothing", about))
	for hash, want := range map[string]oauth.TokenState{
		m.Token.Key: oauth.TokenRevoked, next.Token.Key: oauth.TokenRevoked,
		old.Token.Key: oauth.TokenReleased, other.Token.Key: oauth.TokenReleased,
	} {
		if got := state(t, s, hash); got != want {
			t.Errorf("%s is %s, expected %s", hash, got, want)
		}
	}
	if n := len(s.Queue()); n != 2 {
		t.Errorf("%d messages, expected one for each unexpired token", n)
	}
	if _, f, err := s.Refresh(ctx, old.Refresh.Key); err != nil || f.RevokedAt != now+5 || f.Reason != "reuse" {
		t.Errorf("family %+v, %v", f, err)
	}
	cannot(t, s, rotate(old), oauth.ClaimSpent)
}

// A token that is being issued when its family ends is never released.
func testRevokeFamilyPending(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	next := rotate(m)
	must(t, s.Mint(ctx, next))
	must(t, s.RevokeFamily(ctx, m.Family.ID, now, "reuse", about))
	if err := s.Release(ctx, next.Token.Key, at(now)); !errors.Is(err, oauth.ErrNotPending) {
		t.Errorf("release: %v", err)
	}
}

// bySite collects the sites of the messages in the outbox.
func bySite(s Opened) map[string]int {
	sites := map[string]int{}
	for _, m := range s.Queue() {
		sites[m.Site]++
	}
	return sites
}

// crowd makes tokens of one client: an old one at siteA, a new and a pending
// one at siteB, and one of another client.
func crowd(t *testing.T, s Opened) (old, young, pending, foreign oauth.Mint) {
	t.Helper()
	old, young, pending, foreign = login("c"), login("d"), login("e"), login("f")
	old.Token.IssuedAt, old.Family.CreatedAt = now-100, now-100
	young.Token.Site, young.Family.Site = siteB, siteB
	pending.Token.Site, pending.Family.Site = siteB, siteB
	foreign.Token.ClientID, foreign.Family.ClientID = "client-b", "client-b"
	foreign.Token.Home, foreign.Token.Site = "https://other.example", "https://c.example"
	released(t, s, old)
	released(t, s, young)
	must(t, s.Mint(ctx, pending))
	released(t, s, foreign)
	return old, young, pending, foreign
}

func testStopClient(t *testing.T, s Opened) {
	old, young, pending, foreign := crowd(t, s)
	n, err := s.StopClient(ctx, oauth.Stop{ClientID: client, At: now}, message)
	must(t, err)
	if got := bySite(s); n != 2 || len(got) != 2 || got[siteA] != 1 || got[siteB] != 1 {
		t.Errorf("%d sites told, %v", n, got)
	}
	if state(t, s, old.Token.Key) != oauth.TokenReleased {
		t.Error("a stop without cutoff killed a token")
	}
	_, err = s.StopClient(ctx, oauth.Stop{ClientID: client, Cutoff: now - 1, At: now, Reason: "stop"}, nil)
	must(t, err)
	for hash, want := range map[string]oauth.TokenState{
		old.Token.Key: oauth.TokenRevoked, young.Token.Key: oauth.TokenReleased,
		pending.Token.Key: oauth.TokenPending, foreign.Token.Key: oauth.TokenReleased,
	} {
		if got := state(t, s, hash); got != want {
			t.Errorf("after the cutoff %s is %s, expected %s", hash, got, want)
		}
	}
	cannot(t, s, rotate(old), oauth.ClaimSpent)
	released(t, s, rotate(young))
	n, err = s.StopClient(ctx, oauth.Stop{ClientID: client, Cutoff: now + 1<<40, At: now, Reason: "revoked"}, message)
	must(t, err)
	if got := bySite(s); n != 1 || got[siteA] != 1 || got[siteB] != 2 {
		t.Errorf("%d sites told, %v", n, got)
	}
	if state(t, s, young.Token.Key) != oauth.TokenRevoked || state(t, s, foreign.Token.Key) != oauth.TokenReleased {
		t.Error("not exactly the client's tokens ended")
	}
	if err := s.Release(ctx, pending.Token.Key, at(now)); !errors.Is(err, oauth.ErrNotPending) {
		t.Errorf("release of a stopped client's token: %v", err)
	}
	if n, err = s.StopClient(ctx, oauth.Stop{ClientID: client, Cutoff: now + 1<<40, At: now}, message); n != 0 || err != nil {
		t.Errorf("a second stop tells %d sites, %v", n, err)
	}
}

func testEnableClient(t *testing.T, s Opened) {
	old, young, _, _ := crowd(t, s)
	for range 2 {
		_, err := s.EnableClient(ctx, oauth.Stop{ClientID: client, Cutoff: now - 1, At: now, Reason: "stop"}, nil)
		must(t, err)
	}
	n, err := s.EnableClient(ctx, oauth.Stop{ClientID: client, At: now}, message)
	must(t, err)
	// siteA knows the client too, though all that it has is dead now.
	if got := bySite(s); n != 2 || got[siteA] != 1 || got[siteB] != 1 {
		t.Errorf("%d sites told, %v", n, got)
	}
	if state(t, s, old.Token.Key) != oauth.TokenRevoked || state(t, s, young.Token.Key) != oauth.TokenReleased {
		t.Error("the cutoff was not applied")
	}
}

func testStopBroker(t *testing.T, s Opened) {
	old, young, _, foreign := crowd(t, s)
	must(t, s.StopBroker(ctx, home, now, "expelled"))
	if state(t, s, old.Token.Key) != oauth.TokenRevoked || state(t, s, young.Token.Key) != oauth.TokenRevoked ||
		state(t, s, foreign.Token.Key) != oauth.TokenReleased {
		t.Error("not exactly the broker's clients lost their tokens")
	}
	cannot(t, s, rotate(young), oauth.ClaimSpent)
	must(t, s.StopBroker(ctx, "", now, "expelled"))
	if state(t, s, foreign.Token.Key) != oauth.TokenRevoked {
		t.Error("a token is left")
	}
}

// A token that was looked up while it was alive is dead for the next look, in
// whatever way it ended.
func testDeadAtOnce(t *testing.T, s Opened) {
	for name, end := range map[string]func(m oauth.Mint) error{
		"token":  func(m oauth.Mint) error { return s.RevokeToken(ctx, m.Token.Key, now, "test") },
		"family": func(m oauth.Mint) error { return s.RevokeFamily(ctx, m.Family.ID, now, "test", about) },
		"refresh refused": func(m oauth.Mint) error {
			next := rotate(m)
			must(t, s.Mint(ctx, next))
			return s.Void(ctx, next.Token.Key, oauth.Refused, now)
		},
		"client": func(m oauth.Mint) error {
			_, err := s.StopClient(ctx, oauth.Stop{ClientID: client, Cutoff: now, At: now, Reason: "test"}, nil)
			return err
		},
		"client enabled": func(m oauth.Mint) error {
			_, err := s.EnableClient(ctx, oauth.Stop{ClientID: client, Cutoff: now, At: now, Reason: "test"}, nil)
			return err
		},
		"broker": func(m oauth.Mint) error { return s.StopBroker(ctx, home, now, "test") },
	} {
		m := released(t, s, login(name))
		for range 2 {
			if got := state(t, s, m.Token.Key); got != oauth.TokenReleased {
				t.Errorf("%s: a new token is %s", name, got)
			}
		}
		must(t, end(m))
		if got := state(t, s, m.Token.Key); got != oauth.TokenRevoked {
			t.Errorf("%s: the token is %s afterwards", name, got)
		}
	}
	m := released(t, s, login("purged"))
	state(t, s, m.Token.Key)
	must(t, s.Purge(ctx, m.Token.ExpiresAt+1))
	if _, err := s.Token(ctx, m.Token.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a purged token: %v", err)
	}
}

// Whoever looks on while tokens end sees each of them alive, and then dead for
// good; once the revocation has returned nobody sees it alive.
func testNeverAliveAgain(t *testing.T, s Opened) {
	for range 10 {
		m := released(t, s, login(registry.NewID()))
		var dead atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for last := oauth.TokenReleased; ; {
					known := dead.Load()
					token, err := s.Token(ctx, m.Token.Key)
					switch {
					case err != nil:
						t.Error(err)
					case known && token.State != oauth.TokenRevoked:
						t.Error("alive after its revocation")
					case last == oauth.TokenRevoked && token.State != last:
						t.Error("alive again")
					}
					if last = token.State; known || t.Failed() {
						return
					}
				}
			})
		}
		must(t, s.RevokeToken(ctx, m.Token.Key, now, "test"))
		dead.Store(true)
		wg.Wait()
	}
}
