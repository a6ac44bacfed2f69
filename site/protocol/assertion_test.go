// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func assertion() protocol.SiteAssertion {
	return protocol.SiteAssertion{
		Issuer: resource, Subject: resource, Audience: issuer, ID: id32, IssuedAt: start, ExpiresAt: start + 60,
	}
}

func TestSiteAssertion(t *testing.T) {
	k := key("site")
	token, err := protocol.SignSiteAssertion(k, protocol.SiteAssertion{Issuer: resource, Audience: issuer, IssuedAt: start})
	wantError(t, err)
	a, err := protocol.ParseSiteAssertion(token)
	wantError(t, err)
	if a.Subject != resource || a.ExpiresAt != start+60 || len(a.ID) != 22 {
		t.Errorf("got %+v", a.SiteAssertion)
	}
	at := func(s int64) time.Time { return opening.Add(time.Duration(s) * time.Second) }
	wantError(t, a.Verify(keysOf(k), issuer, at(0)))
	wantError(t, a.Verify(keysOf(k), issuer, at(70)))
	wantError(t, a.Verify(keysOf(k), issuer, at(71)), protocol.ErrExpired)
	wantError(t, a.Verify(keysOf(k), issuer, at(-11)), protocol.ErrClock)
	wantError(t, a.Verify(keysOf(k), issuer+"/oauth/token", at(0)), protocol.ErrAudience)
	wantError(t, a.Verify(keysOf(key("other")), issuer, at(0)), protocol.ErrUnknownKey)
}

func TestSiteAssertionForm(t *testing.T) {
	k := key("site")
	for _, tt := range []struct {
		name, member string
		value        any
	}{
		{"aud array", "aud", []string{issuer}},
		{"sub differs", "sub", "https://shop.example"},
		{"no jti", "jti", ""},
		{"exp 61 s", "exp", start + 61},
		{"exp one day", "exp", start + 86400},
		{"no iat", "iat", 0},
		{"iss with a slash", "iss", resource + "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := members(t, assertion())
			m[tt.member] = tt.value
			_, err := protocol.ParseSiteAssertion(sign(t, k, protocol.TypeAssertion, m))
			wantError(t, err, registry.ErrForm)
		})
	}
	for typ, ok := range map[string]bool{
		protocol.TypeAssertion: true, "JWT": true, "jwt": false, protocol.TypeCode: false, protocol.TypeEvent: false,
	} {
		_, err := protocol.ParseSiteAssertion(sign(t, k, typ, assertion()))
		if (err == nil) != ok {
			t.Errorf("typ %q: error is %v", typ, err)
		}
	}
}

func request() protocol.RequestObject {
	return protocol.RequestObject{
		Issuer: issuer, Audience: resource, ClientID: clientID, RedirectURI: "https://app.example/cb",
		ResponseType: "code", Scope: "read", State: "a b&c", Challenge: challenge, Method: "S256",
		Resource: resource, DPoPJKT: digest, Nonce: "n", IssuedAt: start, ExpiresAt: start + 60, ID: id32,
	}
}

func TestRequest(t *testing.T) {
	k := key("broker")
	token, err := protocol.SignRequest(k, request())
	wantError(t, err)
	r, err := protocol.ParseRequest(token)
	wantError(t, err)
	if r.RequestObject != request() {
		t.Errorf("got %+v", r.RequestObject)
	}
	wantError(t, r.Verify(keysOf(k), resource, opening))
	wantError(t, r.Verify(keysOf(k), "https://shop.example", opening), protocol.ErrAudience)
	wantError(t, r.Verify(keysOf(key("other")), resource, opening), protocol.ErrUnknownKey)
	wantError(t, r.Verify(keysOf(k), resource, opening.Add(61*time.Second)), protocol.ErrExpired)

	bare := request()
	bare.ResponseType, bare.Resource, bare.ExpiresAt, bare.ID = "", "", 0, ""
	_, err = protocol.SignRequest(k, bare)
	wantError(t, err)
	for name, alter := range map[string]func(*protocol.RequestObject){
		"token":            func(r *protocol.RequestObject) { r.ResponseType = "token" },
		"plain":            func(r *protocol.RequestObject) { r.Method = "plain" },
		"no challenge":     func(r *protocol.RequestObject) { r.Challenge = "" },
		"another resource": func(r *protocol.RequestObject) { r.Resource = "https://shop.example" },
		"state of 8 KiB":   func(r *protocol.RequestObject) { r.State = strings.Repeat("s", 8<<10) },
		"state with NUL":   func(r *protocol.RequestObject) { r.State = "\x00" },
		"jkt":              func(r *protocol.RequestObject) { r.DPoPJKT = "x" },
		"no audience":      func(r *protocol.RequestObject) { r.Audience = "" },
	} {
		r := request()
		alter(&r)
		if _, err := protocol.SignRequest(k, r); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}
