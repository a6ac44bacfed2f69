// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/saml"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const idpIssuer = "https://login.example"

// bearerWorld is a broker that trusts one issuer of JWTs, and a client of it.
func bearerWorld(t *testing.T) (*world, *app, ed25519.PrivateKey) {
	_, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: pub(key), KeyID: "i1"})
	check(t, err)
	w := newWorld(t, func(_ *world, cfg *oauth.Config) {
		cfg.JWTIssuers = []oauth.JWTIssuer{{Issuer: idpIssuer, Keys: &registry.JWKSet{Keys: []json.RawMessage{jwk}}}}
	})
	return w, w.keyed(w.issuer, forJWT), key
}

func forJWT(m *registry.ClientMetadata) { m.GrantTypes = []string{registry.GrantJWTBearer} }

// vouch makes a JWT about ada; change alters its claims.
func (w *world) vouch(key ed25519.PrivateKey, change map[string]any) string {
	now := w.clock.now().Unix()
	claims := map[string]any{
		"iss": idpIssuer, "sub": "ada", "aud": w.issuer, "iat": now, "exp": now + 600, "jti": registry.NewID(),
	}
	maps.Copy(claims, change)
	return sign(w.t, jose.EdDSA, key, claims, map[string]any{"kid": "i1"})
}

func (a *app) bearer(assertion string, more ...string) response {
	form := url.Values{"grant_type": {registry.GrantJWTBearer}, "assertion": {assertion}, "resource": {a.w.site.URL}, "scope": {"read"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return a.send("/oauth/token", form)
}

// TestJWTBearer: an issuer that the operator trusts says who somebody is (RFC
// 7523, section 2.1).
func TestJWTBearer(t *testing.T) {
	w, a, key := bearerWorld(t)
	assertion := w.vouch(key, nil)
	access, refresh := tokens(t, a.bearer(assertion))
	if refresh != "" {
		t.Error("with a refresh token")
	}
	told := w.site.tokens[protocol.TokenHash(access)]
	if told.Subject == "" || told.Subject == "ada" || told.Grant != "" || told.Scope != "read" {
		t.Errorf("the site was told %+v", told)
	}
	want(t, a.bearer(assertion), http.StatusBadRequest, "invalid_grant") // it works once
	again, _ := tokens(t, a.bearer(w.vouch(key, nil)))
	if w.site.tokens[protocol.TokenHash(again)].Subject != told.Subject {
		t.Error("one person has two names at one site")
	}
	other, _ := tokens(t, a.bearer(w.vouch(key, map[string]any{"sub": "grace"})))
	if w.site.tokens[protocol.TokenHash(other)].Subject == told.Subject {
		t.Error("two people have one name at a site")
	}
}

func TestJWTBearerRefuses(t *testing.T) {
	w, a, key := bearerWorld(t)
	_, stranger, err := ed25519.GenerateKey(nil)
	check(t, err)
	now := w.clock.now().Unix()
	for name, change := range map[string]map[string]any{
		"another issuer":     {"iss": "https://other.example"},
		"token endpoint aud": {"aud": w.issuer + "/oauth/token"},
		"list of aud":        {"aud": []string{w.issuer}},
		"no aud":             {"aud": nil},
		"no sub":             {"sub": nil},
		"long sub":           {"sub": strings.Repeat("s", 2000)},
		"no jti":             {"jti": nil},
		"no exp":             {"exp": nil},
		"expired":            {"exp": now - 11},
		"far exp":            {"exp": now + 3700},
		"of the future":      {"iat": now + 60},
		"not yet":            {"nbf": now + 60},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, a.bearer(w.vouch(key, change)), http.StatusBadRequest, "invalid_grant")
		})
	}
	want(t, a.bearer(w.vouch(stranger, nil)), http.StatusBadRequest, "invalid_grant")
	want(t, a.bearer("no JWT"), http.StatusBadRequest, "invalid_grant")
	want(t, a.bearer(""), http.StatusBadRequest, "invalid_request")
	want(t, a.bearer(w.vouch(key, nil), "scope", "everything"), http.StatusBadRequest, "invalid_scope")
	want(t, w.public(forJWT).bearer(w.vouch(key, nil)), http.StatusBadRequest, "unauthorized_client")
	want(t, w.keyed(w.issuer).bearer(w.vouch(key, nil)), http.StatusBadRequest, "unauthorized_client")
	if len(w.site.tokens) != 0 {
		t.Error("the site was told of a token")
	}
	// The assertion of a refused request is not used up.
	assertion := w.vouch(key, nil)
	want(t, a.bearer(assertion, "resource", "https://127.0.0.1:1/x#"), http.StatusBadRequest, "invalid_target")
	tokens(t, a.bearer(assertion))
}

// TestBearerUndone: while the site does not answer, the assertion may be tried
// again.
func TestBearerUndone(t *testing.T) {
	w, a, key := bearerWorld(t)
	assertion := w.vouch(key, nil)
	w.site.mood = fails
	want(t, a.bearer(assertion), http.StatusServiceUnavailable, "temporarily_unavailable")
	w.site.mood = accepts
	tokens(t, a.bearer(assertion))
	w.site.mood = denies
	want(t, a.bearer(w.vouch(key, nil)), http.StatusBadRequest, "invalid_grant")
}

// says is an identity provider's word on any assertion.
type says struct {
	assertion *saml.Assertion
	err       error
	asked     atomic.Pointer[saml.Expect]
}

func (s *says) Verify(_ []byte, e saml.Expect) (*saml.Assertion, error) {
	s.asked.Store(&e)
	return s.assertion, s.err
}

// TestSAMLBearer: what package saml has verified is a grant, once. Its own tests
// and those of testnet have assertions that xmlsec1 signed.
func TestSAMLBearer(t *testing.T) {
	verifier := &says{}
	w := newWorld(t, func(_ *world, cfg *oauth.Config) { cfg.SAML = verifier })
	a := w.keyed(w.issuer, func(m *registry.ClientMetadata) { m.GrantTypes = []string{registry.GrantSAML2Bearer} })
	present := func(id, subject string) response {
		verifier.assertion = &saml.Assertion{Issuer: "https://idp.example", ID: id, Subject: subject, ExpiresAt: w.clock.now().Add(time.Minute)}
		return a.send("/oauth/token", url.Values{
			"grant_type": {registry.GrantSAML2Bearer}, "assertion": {"PHg-"}, "resource": {w.site.URL}, "scope": {"read"},
		})
	}
	access, _ := tokens(t, present("_1", "ada"))
	if e := verifier.asked.Load(); e.Recipient != w.issuer+"/oauth/token" || len(e.Audience) != 2 || e.Audience[0] != w.issuer || !e.Now.Equal(w.clock.now()) {
		t.Errorf("asked to verify for %+v", e)
	}
	want(t, present("_1", "ada"), http.StatusBadRequest, "invalid_grant")
	again, _ := tokens(t, present("_2", "ada"))
	other, _ := tokens(t, present("_3", "grace"))
	subject := func(token string) string { return w.site.tokens[protocol.TokenHash(token)].Subject }
	if subject(access) == "" || subject(access) != subject(again) || subject(access) == subject(other) {
		t.Errorf("subjects %q %q %q", subject(access), subject(again), subject(other))
	}
	verifier.err = errors.Join(saml.ErrRefused)
	want(t, present("_4", "ada"), http.StatusBadRequest, "invalid_grant")
	verifier.err = errors.New("broken")
	want(t, present("_5", "ada"), http.StatusInternalServerError, "server_error")
}
