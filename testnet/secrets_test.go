// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// TestFault84Secrets makes a secret of every kind, presents each in the wrong
// places too, and searches all that was written. Every other test searches as
// well, when it ends.
func TestFault84Secrets(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	var last *app.App
	for _, method := range []string{"none", "private_key_jwt", "client_secret_basic", "client_secret_post"} {
		a := w.register("App "+strings.ReplaceAll(method, "_", " "), method)
		if method == "none" {
			a.DPoP = app.NewProof()
		}
		target, tokens := w.login(a, s.API)
		tokens, err := a.Refresh(w.ctx, target, tokens.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		w.misuse(a, target, tokens)
		last = a
	}
	w.command("app", "rotate-secret", last.ClientID)
	w.command("app", "suspend", last.ClientID, "--reason", "policy")

	want := []string{"access token", "client assertion", "client secret", "code", "code verifier", "refresh token"}
	if got := w.secrets.Kinds(); !slices.Equal(got, want) {
		t.Errorf("the apps have seen %v, expected %v", got, want)
	}
	w.searchSecrets()

	// The search does find what is there.
	found := places(w.written(), last.ClientID)
	for _, place := range []string{"the broker's output", w.broker.Database(), site.Database(w.siteConfig("notebook").Dir)} {
		if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, place) }) {
			t.Errorf("the client id is not found in %s, only in %v", place, found)
		}
	}
}

// misuse sends an app's secrets where they do not belong.
func (w *world) misuse(a *app.App, target *app.Target, tokens *app.Tokens) {
	w.Helper()
	secrets := url.Values{
		"access_token": {tokens.AccessToken}, "refresh_token": {tokens.RefreshToken},
		"token": {tokens.AccessToken}, "code": {tokens.RefreshToken}, "client_secret": {a.Secret},
		"client_id": {a.ClientID}, "grant_type": {"password"}, "password": {a.Secret},
	}
	for _, address := range []string{target.API, target.Token, target.Revocation, target.Through, target.Authorize, target.Issuer + "/federation/clients/" + tokens.AccessToken} {
		res, err := http.Get(address + "?" + secrets.Encode())
		if err != nil {
			w.Fatal(err)
		}
		res.Body.Close()
		if res, err = http.PostForm(address, secrets); err != nil {
			w.Fatal(err)
		}
		res.Body.Close()
	}
}

// TestFault04OneCodeManyTakers: of fifty at once, one gets a token.
func TestFault04OneCodeManyTakers(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("App", "none")
	target := w.discover(a, s.API)
	request := a.NewRequest(target, site.ReadNotes, false)
	code := w.authorize(a, target, request)
	results := make(chan error, 50)
	for range cap(results) {
		go func() {
			_, err := a.Redeem(w.ctx, target, request, code)
			results <- err
		}()
	}
	given := 0
	for range cap(results) {
		if err := <-results; err == nil {
			given++
		} else {
			w.wantError(err, http.StatusBadRequest, "invalid_grant")
		}
	}
	if given != 1 {
		t.Errorf("%d tokens for one code", given)
	}
	w.awaitEmptyOutbox()
	w.agree(siteDatabase{s.Resource, s.DB})
}

// TestRaceDetector lets a broker that was built with the race detector work
// under load.
func TestRaceDetector(t *testing.T) {
	old := binary
	defer func() { binary = old }()
	binary = t.TempDir() + "/comity-race"
	if err := process.Build(t.Context(), binary, true); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	s := w.site("notebook", nil)
	l := newLoad(w, s, &ledger{world: w})
	l.start()
	l.await(rounds(40))
	l.stop()
	l.checkTokens()
	w.awaitEmptyOutbox()
	w.stopInOrder()
	if strings.Contains(w.broker.Output(), "DATA RACE") {
		t.Error("the race detector has found something")
	}
}
