// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

// direct makes m release what it mints.
func direct(m oauth.Mint, when time.Time) oauth.Mint {
	m.ReleasedAt = when
	return m
}

// A mint that releases does, at once, all that Mint and Release do.
func testDirect(t *testing.T, s Opened) {
	when := at(now).Add(1500 * time.Millisecond)
	m := direct(login("c"), when)
	must(t, s.Mint(ctx, m))
	want := m.Token
	want.State = oauth.TokenReleased
	if got, err := s.Token(ctx, m.Token.Key); err != nil || got != want {
		t.Errorf("the token: %+v, %v", got, err)
	}
	if r, f, err := s.Refresh(ctx, m.Refresh.Key); err != nil || !r.Live || f != *m.Family {
		t.Errorf("the refresh token: %+v, %+v, %v", r, f, err)
	}
	if claim := cannot(t, s, login("c"), oauth.ClaimUsed); claim.Family != m.Family.ID || !claim.UsedAt.Equal(when) {
		t.Errorf("the code: %+v", claim)
	}
	next := direct(rotate(m), when)
	must(t, s.Mint(ctx, next))
	for _, again := range []oauth.Mint{rotate(m), direct(rotate(m), when)} {
		if claim := cannot(t, s, again, oauth.ClaimUsed); claim.Family != m.Family.ID || !claim.UsedAt.Equal(when) {
			t.Errorf("the old refresh token: %+v", claim)
		}
	}
	if err := s.Release(ctx, next.Token.Key, at(now)); !errors.Is(err, oauth.ErrNotPending) {
		t.Errorf("release of a released token: %v", err)
	}
	must(t, s.Void(ctx, next.Token.Key, oauth.Undo, now, message(siteA)))
	released(t, s, rotate(next)) // Void changed nothing
	if pending, err := s.Pending(ctx, now+1); err != nil || len(pending) != 0 || len(s.Queue()) != 0 {
		t.Errorf("pending %+v, %v, %d messages", pending, err, len(s.Queue()))
	}

	// A code that was tried in vain, when the site was still asked.
	must(t, s.Mint(ctx, login("d")))
	cannot(t, s, direct(login("d"), when), oauth.ClaimPending)
	tried := login("e")
	must(t, s.Mint(ctx, tried))
	must(t, s.Void(ctx, tried.Token.Key, oauth.Undo, now))
	must(t, s.Mint(ctx, direct(login("e"), when)))
	cannot(t, s, login("e"), oauth.ClaimUsed)
}

// fault 4
func testDirectOnce(t *testing.T, s Opened) {
	race(t, func() error { return s.Mint(ctx, direct(login("c"), at(now))) }, isClaim)
	m := direct(login("d"), at(now))
	must(t, s.Mint(ctx, m))
	race(t, func() error { return s.Mint(ctx, direct(rotate(m), at(now))) }, isClaim)
}

// Of a self-contained token nothing is stored but what it was minted for, and
// its end.
func testSelfContained(t *testing.T, s Opened) {
	m := login("c")
	m.Token.Family, m.Token.Grant, m.Family, m.Refresh = "", "", nil, nil
	m.ReleasedAt, m.SelfContained = at(now), true
	m.Proof = &oauth.OneTime{Key: "p", ExpiresAt: now + 60}
	must(t, s.Mint(ctx, m))
	if _, err := s.Token(ctx, m.Token.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the token: %v", err)
	}
	second := login("d")
	second.Proof = m.Proof
	if err := s.Mint(ctx, second); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("its proof again: %v", err)
	}
	cannot(t, s, login("c"), oauth.ClaimUsed)
	if holders, err := s.Holders(ctx, now); err != nil || len(holders) != 0 {
		t.Errorf("holders %v, %v", holders, err)
	}

	must(t, s.RevokeSelfContained(ctx, m.Token, now+5, "first", message(siteA)))
	must(t, s.RevokeSelfContained(ctx, m.Token, now+9, "second", message(siteA)))
	want := m.Token
	want.State, want.RevokedAt, want.Reason = oauth.TokenRevoked, now+5, "first"
	if got, err := s.Token(ctx, m.Token.Key); err != nil || got != want {
		t.Errorf("after its revocation: %+v, %v", got, err)
	}
	if n := len(s.Queue()); n != 1 {
		t.Errorf("%d messages, expected one", n)
	}
	must(t, s.Purge(ctx, m.Token.ExpiresAt))
	state(t, s, m.Token.Key)
	must(t, s.Purge(ctx, m.Token.ExpiresAt+1))
	if _, err := s.Token(ctx, m.Token.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("it is remembered after its time: %v", err)
	}
}
