// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// person is the mint of a token in the name of somebody with an account here.
func person(grant string) oauth.Mint {
	m := login(registry.NewID())
	m.Token.Grant, m.Token.Subject = grant, "somebody"
	m.Family.Grant, m.Family.Subject = grant, "somebody"
	return m
}

func notFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error %v, expected ErrNotFound", err)
	}
}

func testIssuedCode(t *testing.T, s Opened) {
	c := oauth.IssuedCode{
		Hash: "code", Ask: oauth.Ask{ClientID: client, RedirectURI: "https://app.example/cb", Scope: "read", MaxAge: -1},
		Answer: oauth.Answer{User: "u", Grant: "g", AuthTime: now}, ExpiresAt: now + 60,
	}
	must(t, s.AddCode(ctx, c))
	for range 2 { // looking does not use it up
		got, err := s.Code(ctx, "code")
		must(t, err)
		if got != c {
			t.Errorf("got %+v, expected %+v", got, c)
		}
	}
	_, err := s.Code(ctx, "other")
	notFound(t, err)
	must(t, s.Purge(ctx, now+61))
	_, err = s.Code(ctx, "code")
	notFound(t, err)
}

func testDevice(t *testing.T, s Opened) {
	d := oauth.Device{Hash: "device", UserCode: "BCDFGHJK", Ask: oauth.Ask{ClientID: client, Device: "device"}, ExpiresAt: now + 600}
	must(t, s.AddDevice(ctx, d))
	taken := d
	taken.Hash = "other"
	if err := s.AddDevice(ctx, taken); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a user code is given twice: %v", err)
	}
	for name, get := range map[string]func() (oauth.Device, error){
		"by user code": func() (oauth.Device, error) { return s.DeviceByCode(ctx, "BCDFGHJK", now+599) },
		"by hash":      func() (oauth.Device, error) { return s.Device(ctx, "device") },
	} {
		if got, err := get(); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	_, err := s.DeviceByCode(ctx, "BCDFGHJK", now+600)
	notFound(t, err)
	notFound(t, s.AnswerDevice(ctx, "device", oauth.Answer{}, now+600))
	yes, no := oauth.Answer{User: "u", Grant: "g", AuthTime: now}, oauth.Answer{Error: "access_denied"}
	race(t, func() error { return s.AnswerDevice(ctx, "device", yes, now) }, func(err error) bool { return errors.Is(err, registry.ErrNotFound) })
	notFound(t, s.AnswerDevice(ctx, "device", no, now))
	_, err = s.DeviceByCode(ctx, "BCDFGHJK", now)
	notFound(t, err)
	got, err := s.Device(ctx, "device")
	must(t, err)
	if got.Answer == nil || *got.Answer != yes {
		t.Errorf("answer %+v", got.Answer)
	}
	must(t, s.Purge(ctx, now+601))
	_, err = s.Device(ctx, "device")
	notFound(t, err)
}

func testUseOnce(t *testing.T, s Opened) {
	m := login("code")
	m.Token.Uses = protocol.UseOnce
	must(t, s.Mint(ctx, m))
	if err := s.Use(ctx, m.Token.Key, now); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("a pending token is used: %v", err)
	}
	must(t, s.Release(ctx, m.Token.Key, at(now)))
	if got, err := s.Token(ctx, m.Token.Key); err != nil || got.Uses != protocol.UseOnce {
		t.Errorf("%+v, %v", got, err)
	}
	race(t, func() error { return s.Use(ctx, m.Token.Key, now) }, func(err error) bool { return errors.Is(err, oauth.ErrSeen) })
}

func testUseWindow(t *testing.T, s Opened) {
	m := login("code")
	m.Token.Uses = protocol.UseWindow
	released(t, s, m)
	for _, second := range []int64{0, 1, 29} {
		must(t, s.Use(ctx, m.Token.Key, now+second))
	}
	if err := s.Use(ctx, m.Token.Key, now+30); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("used after 30 s: %v", err)
	}
	dead := login("other")
	dead.Token.Uses = protocol.UseWindow
	released(t, s, dead)
	must(t, s.Use(ctx, dead.Token.Key, now))
	must(t, s.RevokeToken(ctx, dead.Token.Key, now, "r"))
	if err := s.Use(ctx, dead.Token.Key, now+1); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("a revoked token is used: %v", err)
	}
}

// testRevokeGrant: everything of the grant, pending too, and of no other; nor of
// a site's grant of the same name.
func testRevokeGrant(t *testing.T, s Opened) {
	mine, other := released(t, s, person("grant")), released(t, s, person("other"))
	pending := person("grant")
	must(t, s.Mint(ctx, pending))
	site := released(t, s, login("site"))
	must(t, s.RevokeGrant(ctx, "grant", now+1, "grant-ended", about))
	for hash, want := range map[string]oauth.TokenState{
		mine.Token.Key: oauth.TokenRevoked, pending.Token.Key: oauth.TokenRevoked,
		other.Token.Key: oauth.TokenReleased, site.Token.Key: oauth.TokenReleased,
	} {
		if got := state(t, s, hash); got != want {
			t.Errorf("a token is %s, expected %s", got, want)
		}
	}
	for hash, dead := range map[string]bool{mine.Refresh.Key: true, other.Refresh.Key: false, site.Refresh.Key: false} {
		if _, f, err := s.Refresh(ctx, hash); err != nil || (f.RevokedAt != 0) != dead {
			t.Errorf("family %+v, %v", f, err)
		}
	}
	if n := len(s.Queue()); n != 2 {
		t.Errorf("%d events, expected one for each of two tokens", n)
	}
	must(t, s.RevokeGrant(ctx, "grant", now+2, "again", about))
	if n := len(s.Queue()); n != 2 {
		t.Errorf("%d events after a second time", n)
	}
	if err := s.Release(ctx, pending.Token.Key, at(now)); !errors.Is(err, oauth.ErrNotPending) {
		t.Errorf("a revoked token is released: %v", err)
	}
}

// testUndoWithoutCode: nothing is left of a family that a password began.
func testUndoWithoutCode(t *testing.T, s Opened) {
	m := person("grant")
	m.Code = nil
	must(t, s.Mint(ctx, m))
	must(t, s.Void(ctx, m.Token.Key, oauth.Undo, now))
	if _, _, err := s.Refresh(ctx, m.Refresh.Key); err == nil {
		t.Error("the refresh token is there")
	}
	holders, err := s.Holders(ctx, now)
	must(t, err)
	if len(holders) != 0 {
		t.Errorf("a family is left of %v", holders)
	}
}
