// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// A client library that we did not write logs in and refreshes.
func TestIndependentClient(t *testing.T) {
	for name, style := range map[string]oauth2.AuthStyle{
		"none": oauth2.AuthStyleInParams, "basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams, "detected": oauth2.AuthStyleAutoDetect,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			method := map[string]string{
				"none": registry.AuthNone, "basic": registry.AuthSecretBasic, "post": registry.AuthSecretPost, "detected": registry.AuthSecretPost,
			}[name]
			cfg := &oauth2.Config{
				ClientID: w.ledger.register(w.issuer, metadata(method)), RedirectURL: redirectURI, Scopes: []string{"read"},
				Endpoint: oauth2.Endpoint{AuthURL: w.issuer + "/oauth/authorize", TokenURL: w.issuer + "/oauth/token", AuthStyle: style},
			}
			if method != registry.AuthNone {
				cfg.ClientSecret = secret
			}
			verifier := oauth2.GenerateVerifier()
			start := cfg.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", w.site.URL))
			code := w.site.consent(t, start)

			ctx := context.Background()
			token, err := cfg.Exchange(ctx, code, oauth2.VerifierOption(verifier))
			check(t, err)
			if !w.site.accepted(token.AccessToken) || token.TokenType != "Bearer" || !token.Valid() {
				t.Errorf("token %+v", token)
			}
			expired := *token
			expired.Expiry = time.Now().Add(-time.Minute)
			next, err := cfg.TokenSource(ctx, &expired).Token()
			check(t, err)
			if next.AccessToken == token.AccessToken || next.RefreshToken == token.RefreshToken || !w.site.accepted(next.AccessToken) {
				t.Errorf("refreshed token %+v", next)
			}
		})
	}
}

// consent is the browser and the user: it follows the link to the broker and
// on to the site, and returns the code that the site sends back.
func (s *testSite) consent(t *testing.T, link string) (code string) {
	t.Helper()
	resp, err := noRedirects.Get(link)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the broker answered %s", resp.Status)
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	check(t, err)
	request, err := protocol.ParseRequest(to.Query().Get("request"))
	check(t, err)
	check(t, request.Verify(s.brokerKeys, s.meta.Resource, s.clock.now()))
	code, err = protocol.SignCode(s.key, protocol.Code{
		Issuer: request.Resource, Audience: request.Issuer, ClientID: request.ClientID, RedirectURI: request.RedirectURI,
		Challenge: request.Challenge, Scope: request.Scope, JKT: request.DPoPJKT, Grant: registry.NewID(), IssuedAt: s.clock.now().Unix(),
	})
	check(t, err)
	return code
}
