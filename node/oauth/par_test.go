// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// push hands in an authorization request.
func (a *app) push(q url.Values) response {
	a.w.t.Helper()
	if a.key != nil {
		q.Del("client_id") // the assertion names the client
	}
	if a.dpop == nil {
		return a.send("/oauth/par", q)
	}
	proof := a.proof(map[string]any{"htu": a.w.issuer + "/oauth/par"})
	return a.w.post("/oauth/par", q, proof)
}

// authorizePushed opens the authorization endpoint with a pushed request.
func (a *app) authorizePushed(uri string, more ...string) response {
	q := url.Values{"client_id": {a.id}, "request_uri": {uri}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return a.w.get("/oauth/authorize?" + q.Encode())
}

// TestPushedAlways: a client that has registered so pushes all its requests.
func TestPushedAlways(t *testing.T) {
	w := newWorld(t)
	a := w.public(func(m *registry.ClientMetadata) {
		m.Extra = map[string]json.RawMessage{"require_pushed_authorization_requests": json.RawMessage("true")}
	})
	bare := w.get("/oauth/authorize?" + a.authorizeQuery(w.site).Encode())
	if bare.Status != http.StatusBadRequest || bare.Header.Get("Location") != "" || !strings.Contains(bare.Body, "RFC 9126") {
		t.Errorf("not pushed: %d %s", bare.Status, bare.Body)
	}
	pushed := a.authorizePushed(a.push(a.authorizeQuery(w.site)).text("request_uri"))
	if pushed.Status != http.StatusSeeOther {
		t.Errorf("pushed: %d %s", pushed.Status, pushed.Body)
	}
}

// TestPushed: a pushed request is the request, whatever else the query says
// (RFC 9126), and works once.
func TestPushed(t *testing.T) {
	w := newWorld(t)
	a := w.keyed(w.issuer)
	answer := a.push(a.authorizeQuery(w.site))
	uri := answer.text("request_uri")
	if answer.Status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") ||
		answer.JSON["expires_in"] != 60.0 || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	to := a.authorizePushed(uri, "scope", "write", "redirect_uri", "https://evil.example/cb", "state", "x", "nonce", "x").Header.Get("Location")
	u, err := url.Parse(to)
	check(t, err)
	request, err := protocol.ParseRequest(u.Query().Get("request"))
	check(t, err)
	if request.ClientID != a.id || request.Scope != "read" || request.RedirectURI != redirectURI || request.State != "st&=ate" || request.Nonce != "" {
		t.Errorf("request object %+v", request.RequestObject)
	}
	if again := a.authorizePushed(uri); again.Status != http.StatusBadRequest || !strings.Contains(again.Body, "used before") {
		t.Errorf("a second time: %d %s", again.Status, again.Body)
	}
}

func TestPushedIsBound(t *testing.T) {
	w := newWorld(t)
	a, other := w.public(), w.public()
	uri := a.push(a.authorizeQuery(w.site)).text("request_uri")
	if page := other.authorizePushed(uri); page.Status != http.StatusBadRequest || page.Header.Get("Location") != "" {
		t.Errorf("another client: %d %s", page.Status, page.Body)
	}
	if answer := a.authorizePushed(uri); answer.Status != http.StatusSeeOther {
		t.Errorf("its own, which the other has not used up: %d %s", answer.Status, answer.Body)
	}
	uri = a.push(a.authorizeQuery(w.site)).text("request_uri")
	w.clock.advance(time.Minute)
	if page := a.authorizePushed(uri); page.Status != http.StatusBadRequest {
		t.Errorf("after a minute: %d %s", page.Status, page.Body)
	}
}

// TestPushedPinned: the proof's key is the one that the site pins the grant to.
func TestPushedPinned(t *testing.T) {
	w := newWorld(t)
	a := w.public().withDPoP()
	uri := a.push(a.authorizeQuery(w.site)).text("request_uri")
	u, err := url.Parse(a.authorizePushed(uri).Header.Get("Location"))
	check(t, err)
	request, err := protocol.ParseRequest(u.Query().Get("request"))
	check(t, err)
	if request.DPoPJKT != a.jkt() {
		t.Errorf("pinned to %q, the key is %q", request.DPoPJKT, a.jkt())
	}
	if answer := a.push(a.authorizeQuery(w.site, "dpop_jkt", strings.Repeat("A", 43))); answer.text("error") != "invalid_dpop_proof" {
		t.Errorf("another key: %d %s", answer.Status, answer.Body)
	}
	token := a.w.post("/oauth/par", a.authorizeQuery(w.site), a.proof(nil))
	if token.text("error") != "invalid_dpop_proof" {
		t.Errorf("a proof for the token endpoint: %d %s", token.Status, token.Body)
	}
	once := a.proof(map[string]any{"htu": w.issuer + "/oauth/par", "jti": "once"})
	if first := a.w.post("/oauth/par", a.authorizeQuery(w.site), once); first.Status != http.StatusCreated {
		t.Errorf("%d %s", first.Status, first.Body)
	}
	if again := a.w.post("/oauth/par", a.authorizeQuery(w.site), once); again.text("error") != "invalid_dpop_proof" {
		t.Errorf("a proof that was used: %d %s", again.Status, again.Body)
	}
}

// TestPushedRefusals: what would fail in the browser fails here.
func TestPushedRefusals(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	stopped := w.public()
	w.ledger.revoke(stopped.id, registry.Revoke, 0)
	for name, test := range map[string]struct {
		change []string
		status int
		code   string
	}{
		"request_uri":          {[]string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}, 400, "invalid_request"},
		"unknown client":       {[]string{"client_id", "nobody"}, 401, "invalid_client"},
		"stopped client":       {[]string{"client_id", stopped.id}, 401, "invalid_client"},
		"another redirect_uri": {[]string{"redirect_uri", "https://evil.example/cb"}, 400, "invalid_request"},
		"no redirect_uri":      {[]string{"redirect_uri", ""}, 400, "invalid_request"},
		"token":                {[]string{"response_type", "token"}, 400, "unsupported_response_type"},
		"no challenge":         {[]string{"code_challenge", ""}, 400, "invalid_request"},
		"plain":                {[]string{"code_challenge_method", "plain"}, 400, "invalid_request"},
		"malformed scope":      {[]string{"scope", "read  read"}, 400, "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := a.push(a.authorizeQuery(w.site, test.change...))
			if answer.Status != test.status || answer.text("error") != test.code {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
	confidential := w.keyed(w.issuer)
	q := a.authorizeQuery(w.site, "client_id", confidential.id)
	if answer := w.post("/oauth/par", q); answer.text("error") != "invalid_client" {
		t.Errorf("without its key: %d %s", answer.Status, answer.Body)
	}
	w.stale = registryStale("views of 0 of 2 members, 1 needed")
	if answer := a.push(a.authorizeQuery(w.site)); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("stale: %d %s", answer.Status, answer.Body)
	}
}
