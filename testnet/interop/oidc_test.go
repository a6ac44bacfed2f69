// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TestOpenIDConnect: coreos/go-oidc finds the broker, verifies the ID token by
// the broker's keys, nonce and at_hash, and asks who the person is.
func TestOpenIDConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPerson()
	provider, err := oidc.NewProvider(w.ctx, w.issuer)
	w.check(err)
	subjects := map[string]bool{}
	for _, alg := range []string{"RS256", "EdDSA"} {
		c := w.register(metadata{"token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": alg})
		config := &oauth2.Config{
			ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: callback, Endpoint: provider.Endpoint(),
			Scopes: []string{oidc.ScopeOpenID, "profile"},
		}
		verifier := oauth2.GenerateVerifier()
		link := config.AuthCodeURL("s", oidc.Nonce("a nonce"), oauth2.S256ChallengeOption(verifier))
		token, err := config.Exchange(w.ctx, w.code(w.visit(link), "s"), oauth2.VerifierOption(verifier))
		w.check(err)

		raw, _ := token.Extra("id_token").(string)
		id, err := provider.Verifier(&oidc.Config{ClientID: c.ID, SupportedSigningAlgs: []string{alg}}).Verify(w.ctx, raw)
		w.check(err)
		w.check(id.VerifyAccessToken(token.AccessToken))
		if id.Nonce != "a nonce" || id.AccessTokenHash == "" || time.Until(id.Expiry) <= 0 {
			t.Errorf("%s: the ID token says %+v", alg, id)
		}
		if err := id.VerifyAccessToken("another"); err == nil {
			t.Errorf("%s: at_hash fits any token", alg)
		}
		other := &oidc.Config{ClientID: "another client", SupportedSigningAlgs: []string{alg}}
		if _, err := provider.Verifier(other).Verify(w.ctx, raw); err == nil {
			t.Errorf("%s: the ID token is for every client", alg)
		}

		info, err := provider.UserInfo(w.ctx, oauth2.StaticTokenSource(token))
		w.check(err)
		var claims struct {
			Name string `json:"name"`
		}
		w.check(info.Claims(&claims))
		if info.Subject != id.Subject || claims.Name != "Ada Example" || strings.Contains(id.Subject, person) {
			t.Errorf("%s: userinfo says %q of %q, the ID token is about %q", alg, claims.Name, info.Subject, id.Subject)
		}
		subjects[id.Subject] = true
	}
	if len(subjects) != 2 {
		t.Error("two apps know the person by one name")
	}
}
