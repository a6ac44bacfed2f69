// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// TestLogin is the three-party login, seen from the site.
func TestLogin(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())

	b := newBrowser(s, "")
	start := b.get(s.request(client, nil))
	back := start.location().Query().Get("return_to")
	if start.StatusCode != http.StatusSeeOther || start.location().Path != "/login" || !strings.HasPrefix(back, "/comity/authorize?") {
		t.Fatalf("without login: %d %s", start.StatusCode, start.location())
	}
	b = newBrowser(s, "alice")
	page := b.get(s.url(back))
	for _, text := range []string{"Test App", "app.example", "See your photos", "127.0.0.1", "Photos"} {
		if !strings.Contains(page.body, text) {
			t.Errorf("consent page does not show %q", text)
		}
	}
	form := page.form()
	form.Set("decision", "allow")
	done := b.post(s.url("/comity/authorize"), form)
	answer := done.location().Query()
	if done.StatusCode != http.StatusSeeOther || !strings.HasPrefix(done.location().String(), callback+"?") {
		t.Fatalf("after consent: %d %s", done.StatusCode, done.location())
	}
	if answer.Get("state") != "s t" || answer.Get("iss") != f.brokers[0].issuer {
		t.Errorf("answer %v", answer)
	}
	code, err := protocol.ParseCode(answer.Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	if err := code.Verify(map[string]ed25519.PublicKey{s.config.Key.ID(): s.config.Key.Public()}, f.clock.Now()); err != nil {
		t.Error(err)
	}
	want := protocol.Code{
		Issuer: s.config.Resource, Audience: f.brokers[0].issuer, ClientID: client, RedirectURI: callback,
		Challenge: challengeOf(verifier), Method: "S256", Scope: "read", IssuedAt: f.clock.Unix(), ExpiresAt: f.clock.Unix() + 60,
		Grant: code.Grant, ID: code.ID,
	}
	if code.Code != want || strings.Contains(code.Grant, "alice") {
		t.Errorf("code %+v\nwant %+v", code.Code, want)
	}

	token := registry.NewID()
	s.wantStatus(token, http.StatusUnauthorized)
	if got := post(t, s.url("/comity/events"), f.brokers[0].issued(token, code, nil)); got != "202" {
		t.Fatalf("token-issued: %s", got)
	}
	var access site.Access
	if err := json.Unmarshal([]byte(s.call("/photos", token).body), &access); err != nil {
		t.Fatal(err)
	}
	if access.UserID != "alice" || access.Grant != code.Grant || access.ClientID != client || access.Scope != "read" ||
		access.ExpiresAt != f.clock.Unix()+3600 {
		t.Errorf("access %+v", access)
	}
	if got := s.call("/upload", token); got.StatusCode != http.StatusForbidden ||
		!strings.Contains(got.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) ||
		!strings.Contains(got.Header.Get("WWW-Authenticate"), `scope="write"`) {
		t.Errorf("without scope: %d %s", got.StatusCode, got.Header.Get("WWW-Authenticate"))
	}
}

// TestSayNo: a refusal goes to the app, and makes no grant.
func TestSayNo(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	b := newBrowser(s, "alice")
	form := b.get(s.request(f.brokers[0].register(metadata()), nil)).form()
	form.Set("decision", "deny")
	got := b.post(s.url("/comity/authorize"), form).location().Query()
	if got.Get("error") != "access_denied" || got.Get("state") != "s t" || got.Get("iss") != f.brokers[0].issuer || got.Has("code") {
		t.Errorf("answer %v", got)
	}
}

// TestMetadata: what brokers read.
func TestMetadata(t *testing.T) {
	f := newFederation(t, 1)
	for _, path := range []string{"", "/api"} {
		s := newSite(t, f, func(c *site.Config) { c.Resource += path })
		got := newBrowser(s, "").get(s.url("/.well-known/oauth-protected-resource" + path))
		m, err := protocol.ParseSiteMetadata([]byte(got.body), s.config.Resource)
		if err != nil {
			t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
		}
		if m.Federation != f.id() || !m.Delegates(f.brokers[0].issuer) || strings.Join(m.ScopesSupported, " ") != "read write" {
			t.Errorf("metadata %+v", m)
		}
		keys, err := protocol.ParseJWKS([]byte(newBrowser(s, "").get(m.JWKSURI).body))
		if err != nil || keys[s.config.Key.ID()] == nil {
			t.Errorf("jwks %v, %v", keys, err)
		}
	}
}
