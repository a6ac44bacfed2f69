// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/site/protocol"
)

const inactive = `{"active":false}`

func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	a := w.keyed(w.issuer)
	access, refresh := tokens(t, a.login(w.site, func(c *protocol.Code) { c.Grant = "grant-grant-grant-grant-1" }))
	now := float64(w.clock.now().Unix())
	site := w.post("/oauth/introspect", siteForm(w, w.site, access))
	want(t, site, http.StatusOK, "")
	for name, value := range map[string]any{
		"active": true, "iss": w.issuer, "aud": w.site.URL, "client_id": a.id, "scope": "read write", "token_type": "Bearer",
		"iat": now, "exp": now + 3600, "grant": "grant-grant-grant-grant-1", "cnf": nil,
	} {
		if site.JSON[name] != value {
			t.Errorf("%s is %v, expected %v", name, site.JSON[name], value)
		}
	}
	client := a.introspect(access)
	if client.JSON["active"] != true || client.JSON["grant"] != nil {
		t.Errorf("to the client: %s", client.Body)
	}
	if own := a.introspect(refresh); own.JSON["active"] != true || own.JSON["exp"] != now+30*86400 {
		t.Errorf("the refresh token, to the client: %s", own.Body)
	}
	tokens(t, a.refresh(refresh))
	if own := a.introspect(refresh); own.Body != inactive {
		t.Errorf("a used refresh token: %s", own.Body)
	}
	w.clock.advance(time.Hour)
	if body := w.post("/oauth/introspect", siteForm(w, w.site, access)).Body; body != inactive {
		t.Errorf("an expired token: %s", body)
	}
}

// fault 24, and 14: whoever is not concerned learns exactly nothing.
func TestFault24IntrospectionByAnother(t *testing.T) {
	w := newWorld(t)
	a, b := w.public(), w.public()
	other := w.newSite()
	access, refresh := tokens(t, a.login(w.site))
	for name, answer := range map[string]response{
		"another site":                      w.post("/oauth/introspect", siteForm(w, other, access)),
		"the site, about the refresh token": w.post("/oauth/introspect", siteForm(w, w.site, refresh)),
		"another client":                    b.introspect(access),
		"another client, refresh token":     b.introspect(refresh),
		"the site, about nothing":           w.post("/oauth/introspect", siteForm(w, w.site, "unknown")),
		"the site, about the hash":          w.post("/oauth/introspect", siteForm(w, w.site, protocol.TokenHash(access))),
	} {
		if answer.Status != http.StatusOK || answer.Body != inactive {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
	if !w.active(w.site, access) {
		t.Error("the token is gone")
	}
}

func TestSiteAssertions(t *testing.T) {
	w := newWorld(t)
	access, _ := tokens(t, w.public().login(w.site))
	evil := w.newSite()
	now := w.clock.now().Unix()
	make := func(s *testSite, change func(*protocol.SiteAssertion)) string {
		a := protocol.SiteAssertion{Issuer: w.site.URL, Audience: w.issuer, IssuedAt: now, ExpiresAt: now + 60}
		if change != nil {
			change(&a)
		}
		token, err := protocol.SignSiteAssertion(s.key, a)
		check(t, err)
		return token
	}
	form := func(assertion string, change ...string) url.Values {
		f := url.Values{"token": {access}, "client_assertion_type": {assertionType}, "client_assertion": {assertion}}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	once := make(w.site, nil)
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
		for name, test := range map[string]struct {
			form   url.Values
			status int
			code   string
		}{
			"another site's key":      {form(make(evil, nil)), 401, "invalid_client"},
			"for another broker":      {form(make(w.site, func(a *protocol.SiteAssertion) { a.Audience = awayIssuer })), 401, "invalid_client"},
			"expired":                 {form(make(w.site, func(a *protocol.SiteAssertion) { a.IssuedAt, a.ExpiresAt = now-90, now-30 })), 401, "invalid_client"},
			"in the future":           {form(make(w.site, func(a *protocol.SiteAssertion) { a.IssuedAt, a.ExpiresAt = now+30, now+60 })), 401, "invalid_client"},
			"with a secret":           {form(make(w.site, nil), "client_secret", "x"), 400, "invalid_request"},
			"with another client_id":  {form(make(w.site, nil), "client_id", evil.URL), 401, "invalid_client"},
			"no token":                {form(make(w.site, nil), "token", ""), 400, "invalid_request"},
			"an unreachable site":     {form(make(evil, func(a *protocol.SiteAssertion) { a.Issuer = "http://127.0.0.1:1" })), 503, "temporarily_unavailable"},
			"without any credentials": {url.Values{"token": {access}}, 401, "invalid_client"},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				w.start()
				want(t, w.post(path, test.form), test.status, test.code)
			})
		}
	}
	want(t, w.post("/oauth/introspect", form(once, "client_id", w.site.URL)), http.StatusOK, "")
	want(t, w.post("/oauth/introspect", form(once)), http.StatusUnauthorized, "invalid_client")
	want(t, w.post("/oauth/token", form(make(w.site, nil), "grant_type", "client_credentials")), http.StatusUnauthorized, "invalid_client")
	if !w.active(w.site, access) {
		t.Error("a refused assertion revoked the token")
	}
}

// fault 14: the same answer in all cases, an effect in one.
func TestFault14Revocation(t *testing.T) {
	w := newWorld(t)
	a, b := w.public(), w.public()
	other := w.newSite()
	access, refresh := tokens(t, a.login(w.site))
	for name, answer := range map[string]response{
		"another client":                 b.revoke(access),
		"another client's refresh token": b.revoke(refresh),
		"another site":                   w.post("/oauth/revoke", siteForm(w, other, access)),
		"the site, the refresh token":    w.post("/oauth/revoke", siteForm(w, w.site, refresh)),
		"unknown token":                  a.revoke("unknown"),
	} {
		if answer.Status != http.StatusOK || answer.Body != "" {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
	if !w.active(w.site, access) || len(w.deliver()) != 0 {
		t.Fatal("a revocation by another had an effect")
	}
	if answer := a.revoke(access); answer.Status != http.StatusOK || answer.Body != "" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if w.active(w.site, access) {
		t.Error("the token lives")
	}
	if told := w.deliver(); len(told) != 1 || told[0].Event.TokenRevoked.Reason != "client-request" || w.site.accepted(access) {
		t.Errorf("the site was told %+v", told)
	}
	a.revoke(access)
	if told := w.deliver(); len(told) != 0 {
		t.Error("a second revocation told the site again")
	}
	tokens(t, a.refresh(refresh)) // an access token alone does not end the grant
}

func TestRevokeRefreshTokenEndsAll(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	first, refresh := tokens(t, a.login(w.site))
	second, next := tokens(t, a.refresh(refresh))
	want(t, a.revoke(next), http.StatusOK, "")
	if w.active(w.site, first) || w.active(w.site, second) {
		t.Error("an access token lives")
	}
	want(t, a.refresh(next), http.StatusBadRequest, "invalid_grant")
	if told := w.deliver(); len(told) != 2 || w.site.accepted(first) || w.site.accepted(second) {
		t.Errorf("the site was told %d times", len(told))
	}
}

func TestSiteRevokesItsToken(t *testing.T) {
	w := newWorld(t)
	access, _ := tokens(t, w.public().login(w.site))
	want(t, w.post("/oauth/revoke", siteForm(w, w.site, access)), http.StatusOK, "")
	if w.state(oauth.TokenKey(access)) != oauth.TokenRevoked {
		t.Error("the token lives")
	}
}

func TestMetadata(t *testing.T) {
	w := newWorld(t)
	doc := w.get("/.well-known/oauth-authorization-server")
	want(t, doc, http.StatusOK, "")
	for name, value := range map[string]string{
		"issuer": w.issuer, "token_endpoint": w.issuer + "/oauth/token", "authorization_endpoint": w.issuer + "/oauth/authorize",
		"introspection_endpoint": w.issuer + "/oauth/introspect", "revocation_endpoint": w.issuer + "/oauth/revoke", "jwks_uri": w.issuer + "/oauth/jwks",
	} {
		if doc.text(name) != value {
			t.Errorf("%s is %q", name, doc.text(name))
		}
	}
	// Each grant type that is named is served, and each method works: see
	// TestLoginWithEveryMethod.
	grants, _ := doc.JSON["grant_types_supported"].([]any)
	for _, grant := range grants {
		answer := w.public().send("/oauth/token", url.Values{"grant_type": {grant.(string)}})
		if answer.text("error") == "unsupported_grant_type" {
			t.Errorf("%s is named but not served", grant)
		}
	}
	if len(grants) != 3 || doc.JSON["authorization_response_iss_parameter_supported"] != true {
		t.Errorf("metadata %s", doc.Body)
	}
	keys := w.get("/oauth/jwks")
	want(t, keys, http.StatusOK, "")
	set, err := protocol.ParseJWKS([]byte(keys.Body))
	check(t, err)
	if !set[w.tokenKey.ID()].Equal(w.tokenKey.Public()) {
		t.Errorf("keys %s", keys.Body)
	}
	spoofed := w.raw("GET", "/.well-known/oauth-authorization-server", "", "", func(r *http.Request) {
		r.Host = "evil.example"
		r.Header.Set("X-Forwarded-Host", "evil.example")
	})
	if spoofed.Body != doc.Body {
		t.Error("the metadata follow the Host header")
	}
}

// An issuer with a path (RFC 8414, section 3).
func TestIssuerWithPath(t *testing.T) {
	w := newWorld(t, func(w *world, cfg *oauth.Config) { cfg.Issuer = w.issuer + "/broker" })
	doc := w.get("/.well-known/oauth-authorization-server/broker")
	if doc.text("issuer") != w.issuer+"/broker" || doc.text("jwks_uri") != w.issuer+"/broker/oauth/jwks" {
		t.Errorf("metadata %s", doc.Body)
	}
	want(t, w.get("/broker/oauth/jwks"), http.StatusOK, "")
}

func TestNewRefusesAnIncompleteConfiguration(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*oauth.Config){
		"issuer": func(c *oauth.Config) { c.Issuer = "http://example.com/" },
		"store":  func(c *oauth.Config) { c.Store = nil },
		"fresh":  func(c *oauth.Config) { c.Fresh = nil },
		"key":    func(c *oauth.Config) { c.TokenKey = nil },
		"now":    func(c *oauth.Config) { c.Now = nil },
	} {
		cfg := w.cfg
		change(&cfg)
		if _, err := oauth.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
