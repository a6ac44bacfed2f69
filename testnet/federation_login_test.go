// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/site"
)

// TestFederationLogin: what a client of A may do at B, with each method of
// authentication, and at C when its site goes there.
func TestFederationLogin(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	everybody := func(s *site.Config) {
		s.AllowClientCredentials = func(string, string, string) bool { return true }
	}
	atA, atB := c.site("at-a", everybody), c.at(1).site("at-b", everybody)
	for _, method := range []string{"none", "private_key_jwt", "client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			c := c.in(t)
			s := c.methodAway(method, atB)
			a, tokens := s.app, s.tokens
			secret := strings.HasPrefix(method, "client_secret")
			// A broker away from home that has seen the secret can do no more with it.
			away := func(what string, err error) {
				t.Helper()
				if secret {
					refused := c.wantError(err, http.StatusBadRequest, "unauthorized_client")
					wantText(t, refused.Description, "away from its home broker", "private_key_jwt")
				} else if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			active, err := a.Introspect(c.ctx, s.target, tokens.AccessToken)
			if away("introspection", err); active == secret {
				t.Errorf("introspection: active %v", active)
			}
			if method != "none" {
				_, err := a.ClientCredentials(c.ctx, s.target, site.ReadNotes)
				away("client_credentials", err)
				if _, err := a.ClientCredentials(c.ctx, c.discover(a, atA.API), site.ReadNotes); err != nil {
					t.Errorf("client_credentials at home: %v", err)
				}
			}
			away("revocation", a.Revoke(c.ctx, s.target, tokens.AccessToken))
			if secret {
				c.call(a, s.target, tokens, http.StatusOK) // nothing was revoked
			} else {
				c.refuses(a, s.target, tokens)
			}
		})
	}
	t.Run("the site puts C in front of B", func(t *testing.T) {
		c := c.in(t)
		moving := c.at(1).site("moving", func(s *site.Config) { s.Brokers = []string{c.all[1].Issuer, c.all[2].Issuer} })
		a := c.register("Following", "private_key_jwt")
		old := c.loginBy(1, a, moving)
		moving.Close()
		moving = c.at(2).site("moving", func(s *site.Config) {
			s.Brokers = []string{c.all[2].Issuer, c.all[1].Issuer}
			s.Listen = strings.TrimPrefix(old.target.Resource, "http://")
		})
		c.loginBy(2, a, moving)
		c.call(old.app, old.target, old.tokens, http.StatusOK)
	})
}

// methodAway logs a client of A with that method in at a site of B, and uses
// its refresh token. Only the right credentials and the right PKCE verifier
// open the code.
func (c *cluster) methodAway(method string, s *site.Site) session {
	c.Helper()
	var more []string
	if method != "none" {
		more = []string{"--scope", site.ReadNotes}
		for _, grant := range []string{"authorization_code", "refresh_token", "client_credentials"} {
			more = append(more, "--grant-type", grant)
		}
	}
	a := c.register("App "+method, method, more...)
	c.known(1, a)
	target := c.discover(a, s.API)
	if target.Issuer != c.all[1].Issuer {
		c.Fatalf("the site sends the app to %s", target.Issuer)
	}
	request := a.NewRequest(target, site.ReadNotes, false)
	code := c.authorize(a, target, request)
	thief := *a
	thief.AuthMethod = map[string]string{"none": "client_secret_post"}[method]
	thief.Secret = strings.Repeat("A", 43)
	if method == "client_secret_basic" || method == "client_secret_post" {
		thief.AuthMethod = method
	}
	_, err := thief.Redeem(c.ctx, target, request, code)
	c.wantError(err, http.StatusUnauthorized, "invalid_client")
	other := *request
	other.Verifier = strings.Repeat("A", 43)
	_, err = a.Redeem(c.ctx, target, &other, code)
	c.wantError(err, http.StatusBadRequest, "invalid_grant")
	other.Verifier = ""
	_, err = a.Redeem(c.ctx, target, &other, code)
	if e := oauthError(err); e == nil || e.Status != http.StatusBadRequest {
		c.Fatalf("without a verifier: %v", err)
	}
	tokens, err := a.Redeem(c.ctx, target, request, code)
	if err != nil {
		c.Fatal(err)
	}
	c.call(a, target, tokens, http.StatusOK)
	if tokens, err = a.Refresh(c.ctx, target, tokens.RefreshToken); err != nil {
		c.Fatal(err)
	}
	c.call(a, target, tokens, http.StatusOK)
	return session{a, target, tokens}
}
