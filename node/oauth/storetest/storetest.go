// SPDX-License-Identifier: Apache-2.0

// Package storetest checks that a store keeps the promises of oauth.Store.
// Every engine runs it:
//
//	func TestTokens(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Opened { … })
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// Opened is an empty store, with two views that the interface does not have.
type Opened struct {
	oauth.Store
	// Queue returns what is in the outbox.
	Queue func() []notify.Message
	// Dump returns every value of every table as text.
	Dump func() string
}

// Run runs the suite. open is called for each test.
func Run(t *testing.T, open func(t *testing.T) Opened) {
	for name, test := range map[string]func(*testing.T, Opened){
		"Release":              testRelease,
		"Direct":               testDirect,
		"DirectOnce":           testDirectOnce,
		"SelfContained":        testSelfContained,
		"CodeOnce":             testCodeOnce,
		"RefreshOnce":          testRefreshOnce,
		"ClaimOnce":            testClaimOnce,
		"PushedOnce":           testPushedOnce,
		"IssuedCode":           testIssuedCode,
		"Device":               testDevice,
		"UseOnce":              testUseOnce,
		"UseWindow":            testUseWindow,
		"RevokeGrant":          testRevokeGrant,
		"UndoWithoutCode":      testUndoWithoutCode,
		"ProofOnce":            testProofOnce,
		"UndoCode":             testUndoCode,
		"UndoRefresh":          testUndoRefresh,
		"RefusedCode":          testRefusedCode,
		"RefusedRefresh":       testRefusedRefresh,
		"VoidOnlyPending":      testVoidOnlyPending,
		"RevokeToken":          testRevokeToken,
		"RevokeFamily":         testRevokeFamily,
		"RevokeFamilyPending":  testRevokeFamilyPending,
		"StopClient":           testStopClient,
		"EnableClient":         testEnableClient,
		"StopBroker":           testStopBroker,
		"Pending":              testPending,
		"Purge":                testPurge,
		"NothingOfAFailedMint": testNothingOfAFailedMint,
		"DeadAtOnce":           testDeadAtOnce,
		"NeverAliveAgain":      testNeverAliveAgain,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const (
	now    = int64(1_800_000_000)
	client = "client-a"
	home   = "https://home.example"
	siteA  = "https://a.example"
	siteB  = "https://b.example"
)

var ctx = context.Background()

func at(s int64) time.Time { return time.Unix(s, 0) }

// key is that of a token that expires then.
func key(expiresAt int64, hash string) string { return fmt.Sprintf("%012x.%s", 1000*expiresAt, hash) }

// login is the mint of a redemption of the given code.
func login(code string) oauth.Mint {
	n := registry.NewID()
	return oauth.Mint{
		Token: oauth.Token{
			Key: key(now+3600, "token-"+n), Type: "Bearer", ClientID: client, Home: home, Site: siteA, Scope: "read",
			Family: "family-" + n, Grant: "grant", IssuedAt: now, ExpiresAt: now + 3600,
		},
		Code: &oauth.OneTime{Key: code, ExpiresAt: now + 70},
		Family: &oauth.Family{
			ID: "family-" + n, ClientID: client, Home: home, Site: siteA, Grant: "grant", Scope: "read",
			CreatedAt: now, ExpiresAt: now + 86400,
		},
		Refresh: &oauth.Refresh{Key: key(now+7200, "refresh-"+n), Family: "family-" + n, IssuedAt: now, ExpiresAt: now + 7200},
	}
}

// rotate is the mint of a refresh that uses what m gave.
func rotate(m oauth.Mint) oauth.Mint {
	n := registry.NewID()
	next := oauth.Mint{Token: m.Token, Rotate: m.Refresh.Key}
	next.Token.Key = key(now+3600, "token-"+n)
	refresh := *m.Refresh
	refresh.Key = key(now+7200, "refresh-"+n)
	next.Refresh = &refresh
	return next
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// released mints and releases.
func released(t *testing.T, s oauth.Store, m oauth.Mint) oauth.Mint {
	t.Helper()
	must(t, s.Mint(ctx, m))
	must(t, s.Release(ctx, m.Token.Key, at(now)))
	return m
}

func state(t *testing.T, s oauth.Store, hash string) oauth.TokenState {
	t.Helper()
	token, err := s.Token(ctx, hash)
	must(t, err)
	return token.State
}

// cannot asserts that a mint fails since its claim is in this state.
func cannot(t *testing.T, s oauth.Store, m oauth.Mint, want oauth.ClaimState) *oauth.ClaimError {
	t.Helper()
	var claim *oauth.ClaimError
	if err := s.Mint(ctx, m); !errors.As(err, &claim) {
		t.Fatalf("mint: %v, expected a ClaimError", err)
	}
	if claim.State != want {
		t.Fatalf("the claim is %s, expected %s", claim.State, want)
	}
	return claim
}

func message(site string) notify.Message {
	return notify.Message{Site: site, ExpiresAt: now + 3600, Event: protocol.Event{
		Issuer: home, Audience: site, ID: registry.NewID(),
		TokenRevoked: &protocol.TokenRevoked{TokenHash: protocol.TokenHash("x"), ExpiresAt: now + 3600, Reason: "test"},
	}}
}

func about(t oauth.Token) notify.Message { return message(t.Site) }

func testRelease(t *testing.T, s Opened) {
	m := login("c")
	must(t, s.Mint(ctx, m))
	if state(t, s, m.Token.Key) != oauth.TokenPending {
		t.Error("a minted token is not pending")
	}
	r, f, err := s.Refresh(ctx, m.Refresh.Key)
	must(t, err)
	if r.Live || f != *m.Family {
		t.Errorf("before the release: refresh %+v, family %+v", r, f)
	}
	cannot(t, s, rotate(m), oauth.ClaimPending)
	must(t, s.Release(ctx, m.Token.Key, at(now)))
	want := m.Token
	want.State = oauth.TokenReleased
	if got, err := s.Token(ctx, m.Token.Key); err != nil || got != want {
		t.Errorf("after the release: %+v, %v", got, err)
	}
	if r, _, err := s.Refresh(ctx, m.Refresh.Key); err != nil || !r.Live {
		t.Errorf("after the release: refresh %+v, %v", r, err)
	}
	for _, other := range []oauth.Mint{m, login("unknown")} {
		if err := s.Release(ctx, other.Token.Key, at(now)); !errors.Is(err, oauth.ErrNotPending) {
			t.Errorf("release of %s: %v", other.Token.Key, err)
		}
	}
	cannot(t, s, login("c"), oauth.ClaimUsed)
	if _, err := s.Token(ctx, "unknown"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("unknown token: %v", err)
	}
	if _, _, err := s.Refresh(ctx, "unknown"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("unknown refresh token: %v", err)
	}
}

// race calls f at once from fifty goroutines and counts successes. Every
// failure must be one that expected accepts.
func race(t *testing.T, f func() error, expected func(error) bool) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 50 {
		wg.Go(func() {
			err := f()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !expected(err) {
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 50 succeeded, expected one", won)
	}
}

func isClaim(err error) bool { return errors.As(err, new(*oauth.ClaimError)) }

// fault 4
func testCodeOnce(t *testing.T, s Opened) {
	race(t, func() error {
		m := login("c")
		if err := s.Mint(ctx, m); err != nil {
			return err
		}
		return s.Release(ctx, m.Token.Key, at(now))
	}, isClaim)
	claim := cannot(t, s, login("c"), oauth.ClaimUsed)
	if claim.Family == "" || !claim.UsedAt.Equal(at(now)) {
		t.Errorf("%+v does not say what the code gave", claim)
	}
}

func testRefreshOnce(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	race(t, func() error {
		next := rotate(m)
		if err := s.Mint(ctx, next); err != nil {
			return err
		}
		return s.Release(ctx, next.Token.Key, at(now).Add(1500*time.Millisecond))
	}, isClaim)
	claim := cannot(t, s, rotate(m), oauth.ClaimUsed)
	if claim.Family != m.Family.ID || !claim.UsedAt.Equal(at(now).Add(1500*time.Millisecond)) {
		t.Errorf("%+v", claim)
	}
	expired := login("d")
	expired.Refresh.ExpiresAt = now
	released(t, s, expired)
	cannot(t, s, rotate(expired), oauth.ClaimSpent)
	ended := login("e")
	ended.Family.ExpiresAt = now
	released(t, s, ended)
	cannot(t, s, rotate(ended), oauth.ClaimSpent)
	unknown := rotate(m)
	unknown.Rotate = "unknown"
	cannot(t, s, unknown, oauth.ClaimSpent)
}

func testPushedOnce(t *testing.T, s Opened) {
	p := oauth.Pushed{Hash: "p", ClientID: "c", Parameters: map[string]string{"state": "a&b"}, ExpiresAt: now + 60}
	must(t, s.Push(ctx, p))
	for name, get := range map[string]func() (oauth.Pushed, error){
		"another client": func() (oauth.Pushed, error) { return s.Pushed(ctx, "p", "d", now) },
		"another name":   func() (oauth.Pushed, error) { return s.Pushed(ctx, "q", "c", now) },
		"expired":        func() (oauth.Pushed, error) { return s.Pushed(ctx, "p", "c", now+60) },
	} {
		if _, err := get(); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	race(t, func() error {
		got, err := s.Pushed(ctx, "p", "c", now)
		if err == nil && (got.Parameters["state"] != "a&b" || got.ExpiresAt != p.ExpiresAt || got.ClientID != "c") {
			t.Errorf("got %+v", got)
		}
		return err
	}, func(err error) bool { return errors.Is(err, registry.ErrNotFound) })
}

func testClaimOnce(t *testing.T, s Opened) {
	race(t, func() error { return s.Claim(ctx, oauth.OneTime{Key: "j", ExpiresAt: now}) },
		func(err error) bool { return errors.Is(err, oauth.ErrSeen) })
	must(t, s.Claim(ctx, oauth.OneTime{Key: "k", ExpiresAt: now}))
}

func testProofOnce(t *testing.T, s Opened) {
	first, second := login("c"), login("d")
	first.Proof = &oauth.OneTime{Key: "p", ExpiresAt: now}
	second.Proof = first.Proof
	must(t, s.Mint(ctx, first))
	if err := s.Mint(ctx, second); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("a proof again: %v", err)
	}
	second.Proof = nil
	must(t, s.Mint(ctx, second)) // the code was not used up
}

func testUndoCode(t *testing.T, s Opened) {
	for try := range oauth.MaxTries {
		m := login("c")
		must(t, s.Mint(ctx, m))
		cannot(t, s, login("c"), oauth.ClaimPending)
		must(t, s.Void(ctx, m.Token.Key, oauth.Undo, now, message(siteA)))
		if state(t, s, m.Token.Key) != oauth.TokenVoid {
			t.Error("the token is not void")
		}
		if err := s.Release(ctx, m.Token.Key, at(now)); !errors.Is(err, oauth.ErrNotPending) {
			t.Errorf("release of a void token: %v", err)
		}
		if _, _, err := s.Refresh(ctx, m.Refresh.Key); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("the refresh token of a void token: %v", err)
		}
		if n := len(s.Queue()); n != try+1 {
			t.Errorf("%d messages after %d tries", n, try+1)
		}
	}
	cannot(t, s, login("c"), oauth.ClaimSpent)
}

func testUndoRefresh(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	for range oauth.MaxTries + 2 { // without a bound
		next := rotate(m)
		must(t, s.Mint(ctx, next))
		cannot(t, s, rotate(m), oauth.ClaimPending)
		must(t, s.Void(ctx, next.Token.Key, oauth.Undo, now, message(siteA)))
		if _, _, err := s.Refresh(ctx, next.Refresh.Key); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("the refresh token of a void token: %v", err)
		}
	}
	released(t, s, rotate(m))
	if state(t, s, m.Token.Key) != oauth.TokenReleased {
		t.Error("the first token does not live on")
	}
}

func testRefusedCode(t *testing.T, s Opened) {
	m := login("c")
	must(t, s.Mint(ctx, m))
	must(t, s.Void(ctx, m.Token.Key, oauth.Refused, now))
	cannot(t, s, login("c"), oauth.ClaimSpent)
	if len(s.Queue()) != 0 {
		t.Error("a message was queued")
	}
}

func testRefusedRefresh(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	other := released(t, s, login("d"))
	next := rotate(m)
	must(t, s.Mint(ctx, next))
	must(t, s.Void(ctx, next.Token.Key, oauth.Refused, now))
	cannot(t, s, rotate(m), oauth.ClaimSpent)
	if _, f, err := s.Refresh(ctx, m.Refresh.Key); err != nil || f.RevokedAt != now {
		t.Errorf("the family: %+v, %v", f, err)
	}
	if state(t, s, m.Token.Key) != oauth.TokenRevoked || state(t, s, other.Token.Key) != oauth.TokenReleased {
		t.Error("not exactly the family's tokens ended")
	}
}

func testVoidOnlyPending(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	must(t, s.Void(ctx, m.Token.Key, oauth.Undo, now, message(siteA)))
	must(t, s.Void(ctx, "unknown", oauth.Undo, now, message(siteA)))
	if state(t, s, m.Token.Key) != oauth.TokenReleased || len(s.Queue()) != 0 {
		t.Error("a released token became void")
	}
	cannot(t, s, login("c"), oauth.ClaimUsed)
}

func testPending(t *testing.T, s Opened) {
	_, _, pending, _ := crowd(t, s)
	list, err := s.Pending(ctx, now+1)
	must(t, err)
	if len(list) != 1 || list[0].Key != pending.Token.Key || list[0].Site != siteB {
		t.Errorf("pending: %+v", list)
	}
	if list, err = s.Pending(ctx, now); err != nil || len(list) != 0 {
		t.Errorf("pending since before its time: %+v, %v", list, err)
	}
	holders, err := s.Holders(ctx, now)
	must(t, err)
	if fmt.Sprint(holders) != "[client-a client-b]" {
		t.Errorf("holders %v", holders)
	}
	if holders, err = s.Holders(ctx, now+86400); err != nil || len(holders) != 0 {
		t.Errorf("holders after a day %v, %v", holders, err)
	}
}

func testPurge(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	next := released(t, s, rotate(m))
	left := login("d")
	must(t, s.Mint(ctx, left))
	must(t, s.Claim(ctx, oauth.OneTime{Key: "j", ExpiresAt: now + 10}))

	must(t, s.Purge(ctx, now+5))
	if err := s.Claim(ctx, oauth.OneTime{Key: "j", ExpiresAt: now + 10}); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("an identifier was forgotten early: %v", err)
	}
	cannot(t, s, login("c"), oauth.ClaimUsed)

	must(t, s.Purge(ctx, now+4000)) // codes and access tokens are over
	if _, err := s.Token(ctx, m.Token.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("an expired token: %v", err)
	}
	if state(t, s, left.Token.Key) != oauth.TokenPending {
		t.Error("a pending token is gone, and its site was never told")
	}
	cannot(t, s, rotate(m), oauth.ClaimUsed) // reuse is still seen
	late := rotate(next)
	late.Token.IssuedAt = now + 4000
	must(t, s.Mint(ctx, late)) // and the family lives

	must(t, s.Purge(ctx, now+7200))
	if _, _, err := s.Refresh(ctx, next.Refresh.Key); err != nil {
		t.Errorf("a refresh token was forgotten early: %v", err)
	}
	must(t, s.Purge(ctx, now+7201))
	if _, _, err := s.Refresh(ctx, next.Refresh.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("an expired refresh token of a living family: %v", err)
	}

	must(t, s.Void(ctx, late.Token.Key, oauth.Undo, now))
	must(t, s.Void(ctx, left.Token.Key, oauth.Undo, now))
	must(t, s.Purge(ctx, now+100_000))
	if dump := s.Dump(); strings.Contains(dump, "token-") || strings.Contains(dump, "family-") {
		t.Errorf("something is left: %s", dump)
	}
}

// What a mint that failed wrote before it failed is gone.
func testNothingOfAFailedMint(t *testing.T, s Opened) {
	m := released(t, s, login("c"))
	bad := rotate(m)
	bad.Token.Key = m.Token.Key // exists
	if err := s.Mint(ctx, bad); err == nil {
		t.Fatal("a token was minted twice")
	}
	released(t, s, rotate(m))
	wrong := rotate(released(t, s, login("d")))
	wrong.Token.Family = m.Family.ID
	if err := s.Mint(ctx, wrong); err == nil {
		t.Fatal("a refresh token was used for another family")
	}
}
