// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/comity-network/comity/testnet/app"
)

// TestOpenIDRequests: what an authorization request may also say, or leave out,
// without harm. Each row is a whole login, with an ID token that
// coreos/go-oidc has verified.
func TestOpenIDRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPerson()
	provider, err := oidc.NewProvider(w.ctx, w.issuer)
	w.check(err)
	c := w.register(metadata{"token_endpoint_auth_method": "client_secret_post"})
	for _, test := range []struct {
		name         string
		state, nonce string
		more         url.Values
	}{
		{name: "no state", nonce: "n"},
		{name: "no nonce", state: "s"},
		{name: "nonce of 64 characters", state: "s", nonce: strings.Repeat("n", 64)},
		{name: "nonce of 384 characters", state: "s", nonce: strings.Repeat("n", 384)},
		{name: "state of 1000 characters", state: strings.Repeat("s", 1000), nonce: "n"},
		{name: "another order of scopes", state: "s", nonce: "n", more: url.Values{"scope": {"profile openid"}}},
		{name: "hints and wishes", state: "s", nonce: "n", more: url.Values{
			"display": {"page"}, "ui_locales": {"se"}, "claims_locales": {"se"}, "acr_values": {"1 2"}, "login_hint": {person},
			"id_token_hint": {"unused"}, "extra": {"foobar"}, "claims": {`{"userinfo":{"name":{"essential":true}}}`},
		}},
		{name: "display popup", state: "s", nonce: "n", more: url.Values{"display": {"popup"}}},
		{name: "max_age", state: "s", nonce: "n", more: url.Values{"max_age": {"10000"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := *w
			w.TB = t
			verifier := oauth2.GenerateVerifier()
			config := &oauth2.Config{
				ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: callback, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "profile"},
			}
			options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
			if test.nonce != "" {
				options = append(options, oidc.Nonce(test.nonce))
			}
			for name := range test.more {
				options = append(options, oauth2.SetAuthURLParam(name, test.more.Get(name)))
			}
			back := w.visit(config.AuthCodeURL(test.state, options...))
			if test.state == "" && strings.Contains(back, "state=") {
				t.Errorf("the app gets a state that it did not send: %s", back)
			}
			token, err := config.Exchange(w.ctx, w.code(back, test.state), oauth2.VerifierOption(verifier))
			w.check(err)
			raw, _ := token.Extra("id_token").(string)
			id, err := provider.Verifier(&oidc.Config{ClientID: c.ID}).Verify(w.ctx, raw)
			w.check(err)
			if id.Nonce != test.nonce {
				t.Errorf("nonce %q, expected %q", id.Nonce, test.nonce)
			}
			w.userinfo(t, provider.UserInfoEndpoint(), "bEARER "+token.AccessToken)
		})
	}
}

// userinfo posts to the userinfo endpoint; the scheme may be in any case.
func (w *world) userinfo(t *testing.T, endpoint, authorization string) {
	t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, endpoint, nil)
	w.check(err)
	req.Header.Set("Authorization", authorization)
	res, err := http.DefaultClient.Do(req)
	w.check(err)
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "Ada Example") {
		t.Errorf("userinfo answers %s %s %v", res.Status, body, err)
	}
}

// TestOpenIDPost: an app's page posts the authorization request; somebody who
// is logged in is not asked to log in again.
func TestOpenIDPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPerson()
	c := w.register(nil)
	request := url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {callback}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	var form strings.Builder
	for name := range request {
		form.WriteString(`<input name="` + name + `" value="` + request.Get(name) + `">`)
	}
	body := `<form method="post" action="` + w.issuer + `/oauth/authorize">` + form.String() + `<button>Log in with Example Org</button></form>`
	browser := app.NewBrowser(nil)
	browser.StopAt = callback
	page := app.ParsePage("https://app.example/", body)
	press := func(button string, values map[string]string) {
		t.Helper()
		var err error
		page, err = browser.Submit(w.ctx, page, button, values)
		w.check(err)
	}
	press("Log in with Example Org", nil)
	press("Log in", map[string]string{"name": person, "password": password})
	press("answer=allow", nil)
	w.code(page.URL, "s")
	page = app.ParsePage("https://app.example/", body)
	press("Log in with Example Org", nil)
	press("answer=allow", nil)
	w.code(page.URL, "s")
}
