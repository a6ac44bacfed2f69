// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/saml"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// redemption is something that works once, in the hands of one client.
type redemption struct {
	life   time.Duration // after which it is refused; 0: it says so itself, by another clock
	redeem func(a *app) response
}

// flows begin each of the ways to a token that did not come from a site's code:
// what they return is for client a, a token for the world's site.
var flows = map[string]func(w *world, a *app, key ed25519.PrivateKey) redemption{
	"code of the broker": func(w *world, a *app, _ ed25519.PrivateKey) redemption {
		verifier := newVerifier()
		code := a.allow(w.browser(), "ada", verifier, "resource", w.site.URL, "scope", "read").Get("code")
		return redemption{time.Minute, func(a *app) response { return a.redeem(code, verifier) }}
	},
	"one-time token": func(w *world, a *app, _ ed25519.PrivateKey) redemption {
		token := a.allow(w.browser(), "ada", newVerifier(), withoutPKCE("one_time_token", "resource", w.site.URL, "scope", "read")...).Get("one_time_token")
		return redemption{2 * time.Minute, func(a *app) response {
			return a.send("/oauth/token", url.Values{"grant_type": {registry.GrantOneTimeToken}, "one_time_token": {token}})
		}}
	},
	"device code": func(w *world, a *app, _ ed25519.PrivateKey) redemption {
		began := a.ask("resource", w.site.URL, "scope", "read")
		b := w.browser()
		b.press(b.logIn(b.press(b.open(began.text("verification_uri_complete")), "Go on"), "ada"), "Allow")
		return redemption{10 * time.Minute, func(a *app) response { return a.poll(began.text("device_code")) }}
	},
	"JWT assertion": func(w *world, a *app, key ed25519.PrivateKey) redemption {
		assertion := w.vouch(key, nil)
		return redemption{10*time.Minute + 10*time.Second, func(a *app) response { return a.bearer(assertion) }}
	},
	"SAML assertion": func(w *world, a *app, _ ed25519.PrivateKey) redemption {
		return redemption{0, func(a *app) response {
			return a.send("/oauth/token", url.Values{
				"grant_type": {registry.GrantSAML2Bearer}, "assertion": {"PHg-"}, "resource": {w.site.URL}, "scope": {"read"},
			})
		}}
	},
}

// flowWorld is a broker that serves all of them, with two clients.
func flowWorld(t *testing.T) (w *world, a, other *app, key ed25519.PrivateKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: pub(key), KeyID: "i1"})
	check(t, err)
	w, _ = newPeopled(t, func(w *world, cfg *oauth.Config) {
		cfg.JWTIssuers = []oauth.JWTIssuer{{Issuer: idpIssuer, Keys: &registry.JWKSet{Keys: []json.RawMessage{jwk}}}}
		cfg.SAML = &says{assertion: &saml.Assertion{Issuer: "https://idp.example", ID: "_1", Subject: "ada", ExpiresAt: w.clock.now().Add(time.Hour)}}
	})
	w.site.meta.AuthorizationEndpoint = ""
	all := func(m *registry.ClientMetadata) {
		m.GrantTypes = append(slices.Clone(allGrants), registry.GrantOneTimeToken, registry.GrantDeviceCode, registry.GrantJWTBearer, registry.GrantSAML2Bearer)
	}
	return w, w.keyed(w.issuer, all), w.keyed(w.issuer, all), key
}

// TestEveryFlow performs again, for each of these flows, what a code of a site
// must survive.
func TestEveryFlow(t *testing.T) {
	for name, begin := range flows {
		t.Run(name, func(t *testing.T) {
			ofOneClient := name != "JWT assertion" && name != "SAML assertion" // which say who, and not by whom
			t.Run("fault 4, fifty at once", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				won := make(chan response, 50)
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() {
						if answer := r.redeem(a); answer.Status == http.StatusOK {
							won <- answer
						}
					})
				}
				all.Wait()
				if len(won) != 1 {
					t.Fatalf("%d redemptions succeeded", len(won))
				}
				w.clock.advance(5 * time.Second)
				want(t, r.redeem(a), http.StatusBadRequest, "invalid_grant")
				// Where something lasts that a thief could have, a replay ends it.
				if access := (<-won).text("access_token"); ofOneClient && w.active(w.site, access) {
					t.Error("after a replay the token lives")
				}
			})
			t.Run("fault 5, another client", func(t *testing.T) {
				w, a, other, key := flowWorld(t)
				r := begin(w, a, key)
				if ofOneClient {
					want(t, r.redeem(other), http.StatusBadRequest, "invalid_grant")
					w.clock.advance(5 * time.Second)
				}
				tokens(t, r.redeem(a))
			})
			t.Run("fault 6, too late", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				if r.life == 0 {
					return // package saml judges the time, and has the test
				}
				w.clock.advance(r.life)
				if answer := r.redeem(a); answer.Status != http.StatusBadRequest || answer.text("error") != "invalid_grant" && answer.text("error") != "expired_token" {
					t.Errorf("%d %s", answer.Status, answer.Body)
				}
			})
			t.Run("fault 37, the site fails", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				w.site.setMood(fails)
				want(t, r.redeem(a), http.StatusServiceUnavailable, "temporarily_unavailable")
				w.site.setMood(accepts)
				w.clock.advance(5 * time.Second)
				access, _ := tokens(t, r.redeem(a))
				w.deliver()
				if !w.active(w.site, access) || !w.site.accepted(access) {
					t.Error("the token of the second try is not good")
				}
				if live := w.site.live(); len(live) != 1 || live[0] != protocol.TokenHash(access) {
					t.Errorf("the site has %d live tokens", len(live))
				}
			})
			t.Run("fault 38, the broker dies", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				w.site.setDuring(func() { w.restartInTheMiddle() })
				answer := r.redeem(a)
				w.site.setDuring(nil)
				if answer.Status == http.StatusOK {
					t.Fatal("a token was handed out that the next process had made void")
				}
				w.deliver()
				if live := w.site.live(); len(live) != 0 {
					t.Errorf("the site has %d live tokens of nobody", len(live))
				}
			})
			t.Run("the site refuses", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				w.site.setMood(denies)
				want(t, r.redeem(a), http.StatusBadRequest, "invalid_grant")
				w.site.setMood(accepts)
				w.clock.advance(5 * time.Second)
				want(t, r.redeem(a), http.StatusBadRequest, "invalid_grant")
			})
			t.Run("fault 30, the client is stopped", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				w.stopped(a, registry.Revoke, 0)
				want(t, r.redeem(a), http.StatusUnauthorized, "invalid_client")
			})
			t.Run("stale", func(t *testing.T) {
				w, a, _, key := flowWorld(t)
				r := begin(w, a, key)
				w.stale = registry.ErrStale
				want(t, r.redeem(a), http.StatusServiceUnavailable, "temporarily_unavailable")
				w.stale = nil
				w.clock.advance(5 * time.Second)
				tokens(t, r.redeem(a))
			})
		})
	}
}

// restartInTheMiddle does what the next process does at its start, on the store
// of this one.
func (w *world) restartInTheMiddle() {
	next, err := oauth.New(w.cfg)
	if err == nil {
		err = next.Recover(context.Background())
	}
	if err != nil {
		w.t.Error(err)
	}
}
