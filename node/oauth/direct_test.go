// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"errors"
	"fmt"
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

// untold makes the world's site one that takes no notifications, and that has
// opted in to some grant types. Call it before the broker meets the site.
func (w *world) untold(grantTypes ...string) {
	w.site.meta.EventsEndpoint = ""
	if grantTypes != nil {
		w.site.meta.DirectGrants = map[string][]string{w.issuer: grantTypes}
	}
}

// credentials asks for a token of the client's own.
func (a *app) credentials() response {
	return a.send("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "resource": {a.w.site.URL}, "scope": {"read"}})
}

// TestDirectGrants: a site that is not asked about a token without a grant gets
// one only where its metadata say so, for this broker and this grant type.
func TestDirectGrants(t *testing.T) {
	const credentials, bearer, saml = registry.GrantClientCredentials, registry.GrantJWTBearer, registry.GrantSAML2Bearer
	for name, test := range map[string]struct {
		direct      map[string][]string // by issuer; "" is this broker
		credentials bool
		bearer      bool
	}{
		"nothing":        {nil, false, false},
		"both":           {map[string][]string{"": {credentials, bearer}}, true, true},
		"one":            {map[string][]string{"": {bearer}}, false, true},
		"another one":    {map[string][]string{"": {saml, "urn:example:later"}}, false, false},
		"another broker": {map[string][]string{awayIssuer: {credentials, bearer}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, key := bearerWorld(t)
			own := w.keyed(w.issuer)
			w.untold()
			w.site.meta.AuthorizationServers = []string{w.issuer, awayIssuer}
			w.site.meta.DirectGrants = map[string][]string{}
			for issuer, grants := range test.direct {
				if issuer == "" {
					issuer = w.issuer
				}
				w.site.meta.DirectGrants[issuer] = grants
			}
			for _, asked := range []struct {
				grant   string
				answer  response
				allowed bool
			}{
				{credentials, own.credentials(), test.credentials},
				{bearer, a.bearer(w.vouch(key, nil)), test.bearer},
			} {
				if asked.allowed {
					access, refresh := tokens(t, asked.answer)
					if !w.active(w.site, access) || refresh != "" {
						t.Errorf("%s: active %v, refresh token %q", asked.grant, w.active(w.site, access), refresh)
					}
					continue
				}
				want(t, asked.answer, http.StatusBadRequest, "invalid_target")
				for _, say := range []string{"comity_direct_grants", asked.grant, w.issuer} {
					if !strings.Contains(asked.answer.text("error_description"), say) {
						t.Errorf("%s: %q does not name %s", asked.grant, asked.answer.text("error_description"), say)
					}
				}
			}
		})
	}
}

// A site that takes notifications is asked, whatever its metadata say.
func TestDirectGrantsDoNotSpeakForASite(t *testing.T) {
	w := newWorld(t)
	w.site.meta.DirectGrants = map[string][]string{w.issuer: {registry.GrantClientCredentials}}
	a := w.keyed(w.issuer)
	w.site.setMood(denies)
	want(t, a.credentials(), http.StatusBadRequest, "invalid_grant")
	w.site.setMood(accepts)
	w.site.meta.DirectGrants = nil
	w.clock.advance(11 * time.Minute)
	access, _ := tokens(t, a.credentials())
	if !w.site.accepted(access) {
		t.Error("the site was not told")
	}
}

// Metadata that cannot be right are no site at all.
func TestDirectGrantsOfAStranger(t *testing.T) {
	w := newWorld(t)
	w.untold()
	w.site.meta.DirectGrants = map[string][]string{"https://stranger.example": {registry.GrantClientCredentials}, w.issuer: {registry.GrantClientCredentials}}
	want(t, w.keyed(w.issuer).credentials(), http.StatusServiceUnavailable, "temporarily_unavailable")
}

// watched is a store that counts, and that lets something happen around a mint.
type watched struct {
	oauth.Store
	before, after func()

	mu       sync.Mutex
	mints    []oauth.Mint
	releases int
}

func (s *watched) Mint(ctx context.Context, m oauth.Mint) error {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	err := s.Store.Mint(ctx, m)
	s.mu.Lock()
	s.mints = append(s.mints, m)
	s.mu.Unlock()
	if f := s.after; f != nil {
		s.after = nil
		f()
	}
	return err
}

func (s *watched) Release(ctx context.Context, key string, now time.Time) error {
	s.mu.Lock()
	s.releases++
	s.mu.Unlock()
	return s.Store.Release(ctx, key, now)
}

// watch puts a watched store under the server.
func (w *world) watch() *watched {
	s := &watched{Store: w.db}
	w.cfg.Store = s
	w.start()
	return s
}

// TestDirectRelease: where nobody is asked, a token is released by the one
// transaction that claims its code, and all else is as it is elsewhere.
func TestDirectRelease(t *testing.T) {
	w := newWorld(t)
	w.untold()
	s := w.watch()
	a := w.public()
	code, v := a.consent(w.site)
	access, refresh := tokens(t, a.redeem(code, v))
	if len(s.mints) != 1 || s.releases != 0 || w.state(oauth.TokenKey(access)) != oauth.TokenReleased {
		t.Errorf("%d mints, %d releases, %s", len(s.mints), s.releases, w.state(oauth.TokenKey(access)))
	}
	second, next := tokens(t, a.refresh(refresh))
	if len(s.mints) != 2 || s.releases != 0 || !w.active(w.site, second) || !w.active(w.site, access) {
		t.Errorf("%d mints, %d releases after a refresh", len(s.mints), s.releases)
	}
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant") // a double click
	third, _ := tokens(t, a.refresh(next))
	w.clock.advance(3 * time.Second)
	want(t, a.refresh(next), http.StatusBadRequest, "invalid_grant")
	if w.active(w.site, third) {
		t.Error("after the reuse of a refresh token the family lives")
	}

	code, v = a.consent(w.site)
	access, _ = tokens(t, a.redeem(code, v))
	want(t, a.redeem(code, v), http.StatusBadRequest, "invalid_grant")
	if w.active(w.site, access) {
		t.Error("after a replay of its code the token lives")
	}
}

// fault 4, where nobody is asked.
func TestFault4Direct(t *testing.T) {
	w := newWorld(t)
	w.untold()
	a := w.public()
	code, v := a.consent(w.site)
	won := make(chan response, 50)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if answer := a.redeem(code, v); answer.Status == http.StatusOK {
				won <- answer
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d redemptions succeeded", len(won))
	}
	if w.active(w.site, (<-won).text("access_token")) {
		t.Error("replays did not end what the code gave")
	}
}

// fault 30: a stop that arrives between the check of the client and the answer
// leaves no token handed out, and none that lives when the client does again.
func TestFault30StopWhileDirect(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, action := range []registry.Action{registry.Suspend, registry.Revoke} {
			for _, grant := range []string{"code", "refresh", "client_credentials"} {
				t.Run(fmt.Sprintf("%s, %s, after the commit %v", grant, action, after), func(t *testing.T) {
					w := newWorld(t)
					w.untold(registry.GrantClientCredentials)
					s := w.watch()
					a := w.keyed(w.issuer)
					code, v := a.consent(w.site)
					use := func() response { return a.redeem(code, v) }
					switch grant {
					case "refresh":
						_, refresh := tokens(t, a.redeem(code, v))
						use = func() response { return a.refresh(refresh) }
					case "client_credentials":
						use = a.credentials
					}
					stop := func() { w.stopped(a, action, 0) }
					if after {
						s.after = stop
					} else {
						s.before = stop
					}
					answer := use()
					m := s.mints[len(s.mints)-1]
					if !after && action == registry.Revoke && grant == "refresh" { // its family ended before it was claimed
						want(t, answer, http.StatusBadRequest, "invalid_grant")
						if _, err := w.db.Token(context.Background(), m.Token.Key); !errors.Is(err, registry.ErrNotFound) {
							t.Errorf("a token was minted: %v", err)
						}
						return
					}
					want(t, answer, http.StatusUnauthorized, "invalid_client")
					if got := w.state(m.Token.Key); got != oauth.TokenRevoked {
						t.Errorf("the token that was not handed out is %s", got)
					}
					if m.Refresh != nil {
						if _, f, err := w.db.Refresh(context.Background(), m.Refresh.Key); err != nil || f.RevokedAt == 0 {
							t.Errorf("its family lives: %v", err)
						}
					}
				})
			}
		}
	}
}

// fault 38, where nobody is asked: there is one step, and it happened or not.
func TestFault38CrashDirect(t *testing.T) {
	for _, grant := range []string{"code", "refresh", "client_credentials"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, effect %v", grant, after), func(t *testing.T) {
				w := newWorld(t)
				w.untold(registry.GrantClientCredentials)
				a := w.keyed(w.issuer)
				code, v := a.consent(w.site)
				use := func() response { return a.redeem(code, v) }
				switch grant {
				case "refresh":
					_, refresh := tokens(t, a.redeem(code, v))
					use = func() response { return a.refresh(refresh) }
				case "client_credentials":
					use = a.credentials
				}
				healthy := w.cfg
				w.cfg.Store = &mortal{Store: w.cfg.Store, sender: w.cfg.Sender, at: "mint", after: after}
				w.start()
				if answer := use(); answer.Status < 500 || answer.text("access_token") != "" {
					t.Fatalf("the dying process answered %d %s", answer.Status, answer.Body)
				}
				w.cfg = healthy
				w.start()
				w.clock.advance(3 * time.Second)
				pending, err := w.db.Pending(context.Background(), w.clock.now().Unix()+1)
				check(t, err)
				if len(pending) != 0 {
					t.Errorf("%d tokens are pending", len(pending))
				}
				if answer := use(); after && grant != "client_credentials" {
					want(t, answer, http.StatusBadRequest, "invalid_grant") // the app never got it: a replay
				} else {
					tokens(t, answer)
				}
			})
		}
	}
}

// jwtWorld has a site that takes JWTs and no notifications.
func jwtWorld(t *testing.T) *world {
	w := newWorld(t)
	w.untold(registry.GrantClientCredentials)
	w.site.meta.AccessTokenFormat = protocol.FormatJWT
	return w
}

// kept reports whether the broker has stored the token.
func (w *world) kept(access string) bool {
	w.t.Helper()
	_, err := w.db.Token(context.Background(), oauth.TokenKey(access))
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

// TestSelfContained: a JWT that no grant stands behind, at a site that nobody
// tells anything, is not stored, and is judged like any other.
func TestSelfContained(t *testing.T) {
	w := jwtWorld(t)
	s := w.watch()
	a, other := w.keyed(w.issuer).withDPoP(), w.keyed(w.issuer)
	access, _ := tokens(t, a.credentials())
	if w.kept(access) || len(s.mints) != 1 { // the mint claims the proof
		t.Errorf("stored: %v, %d mints", w.kept(access), len(s.mints))
	}
	plain, _ := tokens(t, other.credentials())
	if w.kept(plain) || len(s.mints) != 1 {
		t.Errorf("stored: %v, %d mints", w.kept(plain), len(s.mints))
	}
	now := float64(w.clock.now().Unix())
	bySite := w.post("/oauth/introspect", siteForm(w, w.site, access))
	for name, value := range map[string]any{
		"active": true, "iss": w.issuer, "aud": w.site.URL, "client_id": a.id, "scope": "read", "token_type": "DPoP",
		"iat": now, "exp": now + 120, "sub": nil, "grant": nil,
	} {
		if bySite.JSON[name] != value {
			t.Errorf("%s is %v, expected %v", name, bySite.JSON[name], value)
		}
	}
	if cnf, _ := bySite.JSON["cnf"].(map[string]any); cnf["jkt"] != a.jkt() {
		t.Errorf("cnf %v", bySite.JSON["cnf"])
	}
	if other.introspect(plain).JSON["active"] != true || other.introspect(access).Body != inactive || w.active(w.newSite(), access) {
		t.Error("not exactly its client and its site hear of the token")
	}

	w.stopped(other, registry.Suspend, 0)
	if w.active(w.site, plain) {
		t.Error("the token of a suspended client is active")
	}
	w.clock.advance(time.Second)
	w.reinstated(other, w.clock.now().Unix()-1)
	if w.active(w.site, plain) {
		t.Error("a token of before the cutoff is active")
	}
	w.clock.advance(119 * time.Second)
	if w.active(w.site, access) {
		t.Error("an expired token is active")
	}
}

// What the broker has stored is stored though it is a JWT.
func TestNotSelfContained(t *testing.T) {
	w := jwtWorld(t)
	access, _ := tokens(t, w.public().login(w.site))
	if !w.kept(access) || strings.Contains(fmt.Sprint(w.readAccess(access)), "self_contained") {
		t.Error("a token that a grant could end is not stored")
	}
	once := w.keyed(w.issuer, uses("once"))
	want(t, once.credentials(), http.StatusBadRequest, "invalid_target")
}

// A person can end what was given here without a family, too.
func TestImplicitIsStored(t *testing.T) {
	w, _ := newPeopled(t)
	w.untold()
	w.site.meta.AuthorizationEndpoint, w.site.meta.AccessTokenFormat = "", protocol.FormatJWT
	a := w.public(implicit)
	access := a.allow(w.browser(), "ada", newVerifier(), withoutPKCE("token", "resource", w.site.URL, "scope", "read")...).Get("access_token")
	if !w.kept(access) || !w.active(w.site, access) {
		t.Error("the token is not stored, or not active")
	}
}

// Nothing but a token that was signed as self-contained is one.
func TestSelfContainedForged(t *testing.T) {
	w := jwtWorld(t)
	a := w.keyed(w.issuer)
	now := w.clock.now().Unix()
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{
			"iss": w.issuer, "sub": a.id, "aud": w.site.URL, "client_id": a.id, "scope": "read",
			"iat": now, "exp": now + 100, "jti": registry.NewID(), "comity_self_contained": true,
		}
		for name, v := range change {
			c[name] = v
		}
		return c
	}
	stranger := registry.GenerateSigningKey()
	good := w.signAccess(w.tokenKey, "at+jwt", claims(nil))
	if !w.active(w.site, good) {
		t.Fatal("the test proves nothing")
	}
	for name, token := range map[string]string{
		"another key":      w.signAccess(stranger, "at+jwt", claims(nil)),
		"another use":      w.signAccess(w.tokenKey, "secevent+jwt", claims(nil)),
		"stored and lost":  w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"comity_self_contained": nil})),
		"another issuer":   w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"iss": awayIssuer})),
		"another site":     w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"aud": "https://other.example"})),
		"several sites":    w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"aud": []string{w.site.URL}})),
		"no such client":   w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"client_id": "x", "sub": "x"})),
		"expired":          w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"exp": now})),
		"without exp":      w.signAccess(w.tokenKey, "at+jwt", claims(map[string]any{"exp": nil})),
		"other characters": good[:len(good)-3] + "AAA",
		"line break":       good + "\n",
		"cut":              good[:strings.LastIndexByte(good, '.')+1],
	} {
		if w.active(w.site, token) {
			t.Errorf("%s: active", name)
		}
	}
}

// A revocation of a self-contained token is stored, and seen at once.
func TestSelfContainedRevoked(t *testing.T) {
	for _, by := range []string{"client", "site"} {
		t.Run(by, func(t *testing.T) {
			w := jwtWorld(t)
			a, other := w.keyed(w.issuer), w.keyed(w.issuer)
			access, _ := tokens(t, a.credentials())
			kept, _ := tokens(t, a.credentials())
			revoke := func() response { return a.revoke(access) }
			if by == "site" {
				revoke = func() response { return w.post("/oauth/revoke", siteForm(w, w.site, access)) }
			}
			want(t, other.revoke(access), http.StatusOK, "")
			want(t, w.post("/oauth/revoke", siteForm(w, w.newSite(), access)), http.StatusOK, "")
			if !w.active(w.site, access) || w.kept(access) {
				t.Fatal("somebody else has revoked the token")
			}
			for range 2 {
				want(t, revoke(), http.StatusOK, "")
				if w.active(w.site, access) || a.introspect(access).Body != inactive {
					t.Error("a revoked token is active")
				}
			}
			queue, err := w.db.Queued(context.Background(), w.site.URL, 10)
			check(t, err)
			if len(queue) != 1 || queue[0].Event.TokenRevoked == nil {
				t.Errorf("for sites that poll there are %d messages", len(queue))
			}
			w.start()
			if w.active(w.site, access) || !w.active(w.site, kept) {
				t.Error("after a restart not exactly the revoked token is dead")
			}
			w.clock.advance(2 * time.Minute)
			check(t, w.db.Purge(context.Background(), w.clock.now().Unix()+1))
			if w.kept(access) || w.active(w.site, access) {
				t.Error("an expired token is remembered, or alive")
			}
			want(t, revoke(), http.StatusOK, "")
			if w.kept(access) {
				t.Error("an expired token was stored")
			}
		})
	}
}

// An assertion works once, whatever is made of it.
func TestSelfContainedAssertionOnce(t *testing.T) {
	w, a, key := bearerWorld(t)
	w.untold(registry.GrantJWTBearer)
	w.site.meta.AccessTokenFormat = protocol.FormatJWT
	told := w.newSite()
	assertion := w.vouch(key, nil)
	access, _ := tokens(t, a.bearer(assertion))
	if w.kept(access) {
		t.Error("the token is stored")
	}
	sub := w.post("/oauth/introspect", siteForm(w, w.site, access)).text("sub")
	if claims := w.readAccess(access); sub == "" || sub == "ada" || claims["sub"] != sub {
		t.Errorf("sub %q at introspection, %v in the token", sub, claims["sub"])
	}
	want(t, a.bearer(assertion), http.StatusBadRequest, "invalid_grant")
	want(t, a.bearer(assertion, "resource", told.URL), http.StatusBadRequest, "invalid_grant")
	again := w.vouch(key, nil)
	tokens(t, a.bearer(again, "resource", told.URL))
	want(t, a.bearer(again), http.StatusBadRequest, "invalid_grant")
}

// signAccess signs claims with a key of a broker.
func (w *world) signAccess(k registry.SigningKey, typ string, claims map[string]any) string {
	w.t.Helper()
	return sign(w.t, "EdDSA", k.Private(), claims, map[string]any{"kid": k.ID(), "typ": typ})
}
