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

func oneTime(m *registry.ClientMetadata) { m.GrantTypes = []string{registry.GrantOneTimeToken} }

func implicit(m *registry.ClientMetadata) { m.GrantTypes = []string{registry.GrantImplicit} }

func uses(how string) func(*registry.ClientMetadata) {
	return func(m *registry.ClientMetadata) {
		m.Extra = map[string]json.RawMessage{"comity_access_token_uses": json.RawMessage(`"` + how + `"`)}
	}
}

// withoutPKCE are the parameters of a client that cannot do better.
func withoutPKCE(responseType string, more ...string) []string {
	return append([]string{"response_type", responseType, "code_challenge", "", "code_challenge_method", "", "nonce", ""}, more...)
}

// TestOneTimeToken: what comes with the redirect is exchanged once, by POST at
// the token endpoint, or by GET or POST at an endpoint of its own.
func TestOneTimeToken(t *testing.T) {
	for name, exchange := range map[string]func(a *app, token string) response{
		"token endpoint": func(a *app, token string) response {
			return a.send("/oauth/token", url.Values{"grant_type": {registry.GrantOneTimeToken}, "one_time_token": {token}})
		},
		"POST": func(a *app, token string) response {
			return a.send("/oauth/one_time_token", url.Values{"one_time_token": {token}})
		},
		"GET": func(a *app, token string) response {
			return a.w.get("/oauth/one_time_token?" + url.Values{"one_time_token": {token}, "client_id": {a.id}}.Encode())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newPeopled(t)
			a := w.public(oneTime)
			back := a.allow(w.browser(), "ada", newVerifier(), withoutPKCE("one_time_token")...)
			if back.Get("expires_in") != "120" || back.Get("access_token") != "" || back.Get("code") != "" {
				t.Fatalf("%v", back)
			}
			other := w.public(oneTime, func(m *registry.ClientMetadata) { m.Name = "Other" })
			want(t, exchange(other, back.Get("one_time_token")), http.StatusBadRequest, "invalid_grant")
			answer := exchange(a, back.Get("one_time_token"))
			access, refresh := tokens(t, answer)
			if refresh != "" {
				t.Error("with a refresh token")
			}
			want(t, w.userinfo(access), http.StatusOK, "")
			if origin := answer.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
				t.Errorf("scripts of a page cannot read the answer: %q", origin)
			}
			// The second use shows that it was stolen: what it gave is dead.
			want(t, exchange(a, back.Get("one_time_token")), http.StatusBadRequest, "invalid_grant")
			want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token")
		})
	}
}

func TestOneTimeTokenRefuses(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(oneTime, func(m *registry.ClientMetadata) {
		m.GrantTypes = []string{registry.GrantOneTimeToken, registry.GrantAuthorizationCode}
	})
	b := w.browser()
	get := func(token string, more ...string) response {
		q := url.Values{"one_time_token": {token}, "client_id": {a.id}}
		for i := 0; i < len(more); i += 2 {
			q.Set(more[i], more[i+1])
		}
		return w.get("/oauth/one_time_token?" + q.Encode())
	}
	token := a.allow(b, "ada", newVerifier(), withoutPKCE("one_time_token")...).Get("one_time_token")
	verifier := newVerifier()
	want(t, a.redeem(token, verifier), http.StatusBadRequest, "invalid_grant") // it is no code
	code := a.allow(b, "ada", verifier).Get("code")
	want(t, get(code), http.StatusBadRequest, "invalid_grant") // and a code is no such token
	want(t, get(""), http.StatusBadRequest, "invalid_request")
	want(t, get(token, "client_secret", "s"), http.StatusBadRequest, "invalid_request")
	w.clock.advance(2 * time.Minute)
	want(t, get(token), http.StatusBadRequest, "invalid_grant")
	// With a challenge the verifier counts, as for a code.
	pinned := a.allow(b, "ada", verifier, "response_type", "one_time_token").Get("one_time_token")
	want(t, get(pinned), http.StatusBadRequest, "invalid_grant")
	want(t, get(pinned, "code_verifier", verifier), http.StatusOK, "")
	put, err := http.NewRequest(http.MethodPut, w.issuer+"/oauth/one_time_token", nil)
	check(t, err)
	if answer := w.do(put); answer.Status != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d", answer.Status)
	}
	if back := w.answer(b.open(w.public().here(verifier, withoutPKCE("one_time_token")...))); back.Get("error") != "unauthorized_client" {
		t.Errorf("a client that is not registered for it: %v", back)
	}
}

// TestImplicit: only for clients that registered it; the site is told before
// the browser has the token, and each is in the audit log.
func TestImplicit(t *testing.T) {
	w, _ := newPeopled(t)
	w.site.meta.AuthorizationEndpoint = ""
	a := w.public(implicit)
	back := a.allow(w.browser(), "ada", newVerifier(), withoutPKCE("token", "resource", w.site.URL, "scope", "read")...)
	access := back.Get("access_token")
	if back.Get("token_type") != "Bearer" || back.Get("expires_in") != "3600" || back.Get("scope") != "read" || back.Has("refresh_token") {
		t.Fatalf("%v", back)
	}
	if told := w.site.tokens[protocol.TokenHash(access)]; told.Subject == "" {
		t.Errorf("the site was told %+v", told)
	}
	if !w.active(w.site, access) {
		t.Error("the token is not active")
	}
	if !strings.Contains(w.logged.String(), `"event":"implicit"`) {
		t.Error("the audit log does not know of it")
	}
	if strings.Contains(w.logged.String(), access) {
		t.Error("the log has the token")
	}
	// A site that refuses: the app is told nothing but a page is shown.
	w.site.mood = refuses
	b := w.browser()
	page := b.logIn(b.open(a.here(newVerifier(), withoutPKCE("token", "resource", w.site.URL, "scope", "read")...)), "grace")
	showsPage(t, b.press(page, "Allow"), http.StatusBadRequest, "")
	dpop := w.public(implicit, func(m *registry.ClientMetadata) { m.DPoPBound = true })
	if back := w.answer(b.open(dpop.here(newVerifier(), withoutPKCE("token")...))); back.Get("error") != "unauthorized_client" {
		t.Errorf("a client of bound tokens alone: %v", back)
	}
}

// TestFragmentAtASite: a site whose users log in there gives codes, and nothing
// else.
func TestFragmentAtASite(t *testing.T) {
	w, _ := newPeopled(t)
	for responseType, grant := range map[string]func(*registry.ClientMetadata){"token": implicit, "one_time_token": oneTime} {
		a := w.public(grant)
		back := w.answer(w.browser().open(a.here(newVerifier(), withoutPKCE(responseType, "resource", w.site.URL, "scope", "read")...)))
		if back.Get("error") != "unsupported_response_type" {
			t.Errorf("%s: %v", responseType, back)
		}
	}
}

// TestLimitedUses: a token that is good for one use, or for 30 s from its first:
// the site is told so, and where it asks the broker, the broker enforces it.
func TestLimitedUses(t *testing.T) {
	for how, rule := range map[string]func(t *testing.T, w *world, good func() bool){
		"once": func(t *testing.T, w *world, good func() bool) {
			if !good() || good() {
				t.Error("it is not good exactly once")
			}
		},
		"30s": func(t *testing.T, w *world, good func() bool) {
			if !good() {
				t.Error("not good at first")
			}
			w.clock.advance(29 * time.Second)
			if !good() {
				t.Error("not good after 29 s")
			}
			w.clock.advance(time.Second)
			if good() {
				t.Error("good after 30 s")
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			w, _ := newPeopled(t)
			w.site.meta.LimitsUses = true
			a := w.public(uses(how))
			access, _ := tokens(t, a.login(w.site))
			if told := w.site.tokens[protocol.TokenHash(access)]; told.Uses != how {
				t.Errorf("the site was told %+v", told)
			}
			if a.introspect(access).JSON["active"] != true { // asking is no use of it
				t.Error("the client sees no active token")
			}
			rule(t, w, func() bool { return w.active(w.site, access) })
			verifier := newVerifier()
			mine, _ := tokens(t, a.redeem(a.allow(w.browser(), "ada", verifier).Get("code"), verifier))
			rule(t, w, func() bool { return w.userinfo(mine).Status == http.StatusOK })
		})
	}
}

// TestNobodyLimitsUses: a site that would not enforce it gets no such token.
func TestNobodyLimitsUses(t *testing.T) {
	w := newWorld(t)
	want(t, w.public(uses("once")).login(w.site), http.StatusBadRequest, "invalid_target")
	if len(w.site.tokens) != 0 {
		t.Error("the site was told of a token")
	}
	asking := w.newSite()
	asking.meta.EventsEndpoint = ""
	access, _ := tokens(t, w.public(uses("once")).login(asking))
	if !w.active(asking, access) || w.active(asking, access) {
		t.Error("the broker does not enforce it for a site that asks")
	}
	want(t, w.public(uses("twice")).login(w.site), http.StatusBadRequest, "unauthorized_client")
}
