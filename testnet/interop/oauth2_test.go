// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/comity-network/comity/testnet/site"
)

func (w *world) endpoint(style oauth2.AuthStyle) oauth2.Endpoint {
	return oauth2.Endpoint{
		AuthURL: w.issuer + "/oauth/authorize", TokenURL: w.issuer + "/oauth/token",
		DeviceAuthURL: w.issuer + "/oauth/device_authorization", AuthStyle: style,
	}
}

// TestOAuth2AtSite: golang.org/x/oauth2 logs in at a site, by way of the broker,
// and refreshes; then the token is introspected and revoked.
func TestOAuth2AtSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.site(nil)
	for method, style := range map[string]oauth2.AuthStyle{
		"none": oauth2.AuthStyleInParams, "client_secret_basic": oauth2.AuthStyleInHeader, "client_secret_post": oauth2.AuthStyleAutoDetect,
	} {
		t.Run(method, func(t *testing.T) {
			w := *w
			w.TB = t
			c := w.register(metadata{"token_endpoint_auth_method": method})
			config := &oauth2.Config{
				ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: callback, Scopes: []string{site.ReadNotes}, Endpoint: w.endpoint(style),
			}
			verifier := oauth2.GenerateVerifier()
			link := config.AuthCodeURL("a state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", s.Resource))
			token, err := config.Exchange(w.ctx, w.code(w.visit(link), "a state"), oauth2.VerifierOption(verifier))
			w.check(err)
			w.call(s, "Bearer "+token.AccessToken, http.StatusOK)

			expired := *token
			expired.Expiry = time.Now().Add(-time.Minute)
			next, err := config.TokenSource(w.ctx, &expired).Token()
			w.check(err)
			if next.AccessToken == token.AccessToken || next.RefreshToken == token.RefreshToken {
				t.Errorf("refreshed to the same tokens")
			}
			w.call(s, "Bearer "+next.AccessToken, http.StatusOK)

			if method == "client_secret_post" { // world.post uses Basic
				return
			}
			form := url.Values{"token": {next.AccessToken}}
			if _, answer := w.post("/oauth/introspect", c, form); answer["active"] != true || answer["aud"] != s.Resource {
				t.Errorf("introspection says %v", answer)
			}
			if status, answer := w.post("/oauth/revoke", c, form); status != http.StatusOK {
				t.Errorf("revocation answers %d %v", status, answer)
			}
			if _, answer := w.post("/oauth/introspect", c, form); answer["active"] != false {
				t.Errorf("after the revocation introspection says %v", answer)
			}
			w.refusedSoon(s, next.AccessToken)
		})
	}
}

// refusedSoon wants the site to hear of a revocation.
func (w *world) refusedSoon(s *site.Site, token string) {
	w.Helper()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, s.API, nil)
		w.check(err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		w.check(err)
		res.Body.Close()
		if res.StatusCode == http.StatusUnauthorized {
			return
		}
		select {
		case <-every.C:
		case <-w.ctx.Done():
			w.Fatal("the site still takes the token")
		}
	}
}

// TestOAuth2ClientCredentials: an app acts for itself.
func TestOAuth2ClientCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.site(func(c *site.Config) {
		c.AllowClientCredentials = func(string, string, string) bool { return true }
	})
	c := w.register(metadata{
		"token_endpoint_auth_method": "client_secret_basic", "redirect_uris": nil, "grant_types": []string{"client_credentials"},
	})
	config := &clientcredentials.Config{
		ClientID: c.ID, ClientSecret: c.Secret, TokenURL: w.issuer + "/oauth/token", Scopes: []string{site.ReadNotes},
		EndpointParams: url.Values{"resource": {s.Resource}},
	}
	res, err := config.Client(w.ctx).Get(s.API)
	w.check(err)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the site answers %s", res.Status)
	}
	config.ClientSecret = "wrong"
	_, err = config.Token(w.ctx)
	if failure, ok := err.(*oauth2.RetrieveError); !ok || failure.ErrorCode != "invalid_client" {
		t.Errorf("with a wrong secret: %v", err)
	}
}

// TestOAuth2Device: a device shows a code, polls while the person decides, and
// gets its token.
func TestOAuth2Device(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPerson()
	c := w.register(metadata{
		"redirect_uris": nil, "grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code", "refresh_token"},
	})
	config := &oauth2.Config{ClientID: c.ID, Scopes: []string{"openid", "profile"}, Endpoint: w.endpoint(oauth2.AuthStyleInParams)}
	device, err := config.DeviceAuth(w.ctx)
	w.check(err)
	if device.VerificationURIComplete == "" || device.Interval != 5 {
		t.Errorf("the device gets %+v", device)
	}
	w.visit(device.VerificationURIComplete)
	token, err := config.DeviceAccessToken(w.ctx, device)
	w.check(err)
	if token.Extra("id_token") == nil || token.RefreshToken == "" {
		t.Errorf("the device's token comes without an ID token or a refresh token")
	}
}
