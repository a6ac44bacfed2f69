// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func TestLogin(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	answer := a.login(w.site, func(c *protocol.Code) { c.Grant = "grant-grant-grant-grant-1" })
	access, refresh := tokens(t, answer)
	if answer.text("token_type") != "Bearer" || answer.JSON["expires_in"] != 3600.0 || answer.text("scope") != "read write" {
		t.Errorf("unexpected answer %s", answer.Body)
	}
	if len(access) != 51 || len(refresh) != 51 {
		t.Errorf("tokens of %d and %d characters, expected 51", len(access), len(refresh))
	}
	issued := w.site.tokens[protocol.TokenHash(access)]
	if issued.ClientID != a.id || issued.Grant != "grant-grant-grant-grant-1" || issued.Scope != "read write" ||
		issued.ExpiresAt != w.clock.now().Unix()+3600 || issued.CodeJTI == "" {
		t.Errorf("the site was told %+v", issued)
	}
	if !w.site.accepted(access) || !w.active(w.site, access) {
		t.Error("the token is not good")
	}
}

func TestLoginWithEveryMethod(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{registry.AuthSecretBasic, registry.AuthSecretPost} {
		for _, home := range []string{w.issuer, awayIssuer} {
			a := &app{w: w, id: w.ledger.register(home, metadata(method))}
			form := codeForm(a.consent(w.site))
			if method == registry.AuthSecretPost {
				form.Set("client_id", a.id)
				form.Set("client_secret", secret)
				tokens(t, w.post("/oauth/token", form))
			} else {
				tokens(t, w.post("/oauth/token", form, basic(a.id, secret)))
			}
		}
	}
	for name, a := range map[string]*app{
		"EdDSA": w.keyed(w.issuer), "away": w.keyed(awayIssuer),
		"ES256": w.keyedWith(w.issuer, newEC(t), "ES256"),
		"PS256": w.keyedWith(w.issuer, newRSA(), "PS256"),
		"RS256": w.keyedWith(w.issuer, newRSA(), "RS256"),
	} {
		t.Run(name, func(t *testing.T) { tokens(t, a.login(w.site)) })
	}
}

// fault 4: a code that comes again after a second, and what it gave.
func TestFault04CodeReplay(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, verifier := a.consent(w.site)
	access, refresh := tokens(t, a.redeem(code, verifier))
	w.clock.advance(time.Second)
	want(t, a.redeem(code, verifier), http.StatusBadRequest, "invalid_grant")
	if w.state(oauth.TokenKey(access)) != oauth.TokenRevoked || w.active(w.site, access) {
		t.Error("the token of the first redemption lives")
	}
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	if told := w.deliver(); len(told) != 1 || w.site.accepted(access) {
		t.Errorf("the site was told %d times and accepts the token: %v", len(told), w.site.accepted(access))
	}
	if !strings.Contains(w.logged.String(), `"audit":{"event":"code-replay"`) {
		t.Error("no audit line")
	}
}

// fault 4: fifty at once get one token.
func TestFault04ConcurrentRedemption(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, verifier := a.consent(w.site)
	var wg sync.WaitGroup
	answers := make([]response, 50)
	for i := range answers {
		wg.Go(func() { answers[i] = a.redeem(code, verifier) })
	}
	wg.Wait()
	won := 0
	for _, answer := range answers {
		if answer.Status == http.StatusOK {
			won++
		} else {
			want(t, answer, http.StatusBadRequest, "invalid_grant")
		}
	}
	if won != 1 {
		t.Errorf("%d redemptions succeeded", won)
	}
}

// fault 5: whose code it is.
func TestFault05ForeignCode(t *testing.T) {
	w := newWorld(t)
	a, b := w.public(), w.public()
	evil := w.newSite()
	stranger := newSite(t, w.clock, w.ledger.federation(), "https://other.example")
	otherFederation := newSite(t, w.clock, a.id, w.issuer)
	for name, code := range map[string]func(verifier string) string{
		"of another client":  func(v string) string { return w.site.code(w.issuer, b.id, v, nil) },
		"for another broker": func(v string) string { return w.site.code(awayIssuer, a.id, v, nil) },
		"another site's key": func(v string) string {
			return evil.code(w.issuer, a.id, v, func(c *protocol.Code) { c.Issuer = w.site.meta.Resource })
		},
		"of a site that delegates elsewhere": func(v string) string { return stranger.code(w.issuer, a.id, v, nil) },
		"of a site of another federation":    func(v string) string { return otherFederation.code(w.issuer, a.id, v, nil) },
		"altered": func(v string) string {
			code := w.site.code(w.issuer, a.id, v, nil)
			return code[:len(code)-4] + "AAAA"
		},
		"for another redirect": func(v string) string {
			return w.site.code(w.issuer, a.id, v, func(c *protocol.Code) { c.RedirectURI += "2" })
		},
		"not a code": func(string) string { return "abc" },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier()
			want(t, a.redeem(code(v), v), http.StatusBadRequest, "invalid_grant")
		})
	}
	if len(w.site.events) != 0 || len(evil.events) != 0 {
		t.Error("a site was told of a token")
	}
}

// fault 5: a redirect URI that the registration lost, or never had, is judged
// again at use.
func TestFault05RedirectOfTheRegistration(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, v := a.consent(w.site, func(c *protocol.Code) { c.RedirectURI = "https://evil.example/cb" })
	form := codeForm(code, v)
	form.Set("redirect_uri", "https://evil.example/cb")
	want(t, a.send("/oauth/token", form), http.StatusBadRequest, "invalid_grant")
}

// fault 6.
func TestFault06ExpiredCode(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, v := a.consent(w.site)
	w.clock.advance(61 * time.Second)
	want(t, a.redeem(code, v), http.StatusBadRequest, "invalid_grant")
	code, v = a.consent(w.site)
	w.clock.advance(59 * time.Second)
	tokens(t, a.redeem(code, v))
}

// fault 7: PKCE.
func TestFault07PKCE(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	for name, verifier := range map[string]string{
		"missing":           "",
		"another":           newVerifier(),
		"of 42 characters":  strings.Repeat("a", 42),
		"of 129 characters": strings.Repeat("a", 129),
		"with a space":      strings.Repeat("a", 42) + " ",
	} {
		t.Run(name, func(t *testing.T) {
			// The code is for this very verifier, unless it is another's.
			good := verifier
			if name == "another" || name == "missing" {
				good = newVerifier()
			}
			code := w.site.code(w.issuer, a.id, good, nil)
			want(t, a.redeem(code, verifier), http.StatusBadRequest, "invalid_grant")
		})
	}
	t.Run("the challenge as verifier (plain)", func(t *testing.T) {
		v := newVerifier()
		want(t, a.redeem(w.site.code(w.issuer, a.id, v, nil), challenge(v)), http.StatusBadRequest, "invalid_grant")
	})
	for _, n := range []int{43, 128} {
		v := strings.Repeat("a", n)
		tokens(t, a.redeem(w.site.code(w.issuer, a.id, v, nil), v))
	}
	t.Run("a code without challenge", func(t *testing.T) { // downgrade
		v := newVerifier()
		code := w.site.key.Sign(protocol.TypeCode, []byte(`{"iss":"`+w.site.URL+`","aud":"`+w.issuer+`","client_id":"`+a.id+
			`","redirect_uri":"`+redirectURI+`","scope":"","grant":"`+registry.NewID()+`","jti":"`+registry.NewID()+`"}`))
		want(t, a.redeem(code, v), http.StatusBadRequest, "invalid_grant")
	})
}

// Whoever is not the client with the verifier cannot use a code up.
func TestWrongRedemptionConsumesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := w.public(), w.public()
	code, v := a.consent(w.site)
	want(t, b.redeem(code, v), http.StatusBadRequest, "invalid_grant")
	want(t, a.redeem(code, newVerifier()), http.StatusBadRequest, "invalid_grant")
	form := codeForm(code, v)
	form.Set("redirect_uri", redirectURI+"/")
	want(t, a.send("/oauth/token", form), http.StatusBadRequest, "invalid_grant")
	form = codeForm(code, v)
	form.Set("resource", "https://other.example")
	want(t, a.send("/oauth/token", form), http.StatusBadRequest, "invalid_target")
	access, _ := tokens(t, a.redeem(code, v))
	// Nor revoke what it gave.
	want(t, b.redeem(code, v), http.StatusBadRequest, "invalid_grant")
	want(t, a.redeem(code, newVerifier()), http.StatusBadRequest, "invalid_grant")
	if !w.active(w.site, access) {
		t.Error("a wrong redemption revoked the token")
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t)
	form := func(change ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}, "resource": {w.site.URL}, "scope": {"read"}}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	keyed, away := w.keyed(w.issuer), w.keyed(awayIssuer)
	access, refresh := tokens(t, keyed.send("/oauth/token", form()))
	if issued := w.site.tokens[protocol.TokenHash(access)]; refresh != "" || issued.Grant != "" || issued.CodeJTI != "" {
		t.Errorf("refresh %q, the site was told %+v", refresh, issued)
	}
	tokens(t, away.send("/oauth/token", form()))

	want(t, keyed.send("/oauth/token", form("resource", "")), http.StatusBadRequest, "invalid_request")
	want(t, keyed.send("/oauth/token", form("resource", "ftp://x")), http.StatusBadRequest, "invalid_target")
	want(t, keyed.send("/oauth/token", form("scope", "admin")), http.StatusBadRequest, "invalid_scope")
	want(t, w.public().send("/oauth/token", form()), http.StatusBadRequest, "unauthorized_client")

	secretAway := w.ledger.register(awayIssuer, metadata(registry.AuthSecretBasic))
	want(t, w.post("/oauth/token", form(), basic(secretAway, secret)), http.StatusBadRequest, "unauthorized_client")
	secretHome := w.ledger.register(w.issuer, metadata(registry.AuthSecretBasic))
	tokens(t, w.post("/oauth/token", form(), basic(secretHome, secret)))

	w.site.setMood(denies) // has not opted in
	want(t, keyed.send("/oauth/token", form()), http.StatusBadRequest, "invalid_grant")
}

// A site without an events endpoint is not told, and asks by introspection.
func TestSiteWithoutEvents(t *testing.T) {
	w := newWorld(t)
	s := w.newSite()
	s.meta.EventsEndpoint = ""
	access, refresh := tokens(t, w.public().login(s))
	if !w.active(s, access) {
		t.Error("the token is not good")
	}
	if refresh == "" {
		t.Error("no refresh token")
	}
	a := w.keyed(w.issuer)
	want(t, a.send("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "resource": {s.URL}, "scope": {"read"}}),
		http.StatusBadRequest, "invalid_target")
}

func TestScopeOfTheRegistration(t *testing.T) {
	w := newWorld(t)
	a := w.public(func(m *registry.ClientMetadata) { m.Scope = "read" })
	want(t, a.login(w.site), http.StatusBadRequest, "invalid_scope")
	tokens(t, a.login(w.site, func(c *protocol.Code) { c.Scope = "read" }))
}

func TestStaleBrokerMintsNothing(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	access, refresh := tokens(t, a.login(w.site))
	code, v := a.consent(w.site)
	w.stale = registryStale("views of 2 of 5 members, 3 needed")
	for _, answer := range []response{a.redeem(code, v), a.refresh(refresh)} {
		want(t, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
		if answer.Header.Get("Retry-After") == "" || !strings.Contains(answer.text("error_description"), "views of 2 of 5 members, 3 needed") {
			t.Errorf("answer %s, Retry-After %q", answer.Body, answer.Header.Get("Retry-After"))
		}
	}
	if !w.active(w.site, access) {
		t.Error("introspection does not go on")
	}
	want(t, a.revoke(access), http.StatusOK, "")
	if w.active(w.site, access) {
		t.Error("revocation does not go on")
	}
	w.stale = nil
	tokens(t, a.redeem(code, v))
	pending, err := w.db.Pending(context.Background(), w.clock.now().Unix()+100)
	check(t, err)
	if len(pending) != 0 {
		t.Errorf("%d pending tokens", len(pending))
	}
}

type registryStale string

func (e registryStale) Error() string { return string(e) }
func (e registryStale) Unwrap() error { return registry.ErrStale }
