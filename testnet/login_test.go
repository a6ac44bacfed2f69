// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

// TestLogin is the whole login, with each method of client authentication, to
// the site directly and by way of the broker's authorization endpoint.
func TestLogin(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	for _, method := range []string{"none", "private_key_jwt", "client_secret_basic", "client_secret_post"} {
		for _, through := range []bool{false, true} {
			name := method
			if through {
				name += " through the broker"
			}
			t.Run(name, func(t *testing.T) {
				w := *w
				w.TB = t
				a := w.register("App "+strings.ReplaceAll(name, "_", " "), method)
				target := w.discover(a, s.API)
				request := a.NewRequest(target, site.ReadNotes, through)
				code := w.authorize(a, target, request)
				tokens, err := a.Redeem(w.ctx, target, request, code)
				if err != nil {
					t.Fatal(err)
				}
				if tokens.TokenType != "Bearer" || tokens.ExpiresIn != 3600 || tokens.RefreshToken == "" {
					t.Errorf("got %s, expires in %d, refresh token of %d characters",
						tokens.TokenType, tokens.ExpiresIn, len(tokens.RefreshToken))
				}
				if answer := w.call(a, target, tokens, http.StatusOK); !strings.Contains(answer.Body, a.ClientID) {
					t.Errorf("the site does not know for whom it answers: %s", answer.Body)
				}
				w.call(a, target, &app.Tokens{TokenType: "Bearer", AccessToken: tokens.AccessToken + "x"}, http.StatusUnauthorized)
			})
		}
	}
}

// TestPinnedLogin is a login whose grant is pinned to the app's key at the
// site, before the broker sees anything.
func TestPinnedLogin(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("Pinned", "none")
	a.DPoP = app.NewProof()
	target, tokens := w.login(a, s.API)
	if tokens.TokenType != "DPoP" {
		t.Fatalf("token type %s", tokens.TokenType)
	}
	w.call(a, target, tokens, http.StatusOK)

	other := *a
	other.DPoP = app.NewProof()
	w.call(&other, target, tokens, http.StatusUnauthorized) // the right token with another key
	asBearer := *tokens
	asBearer.TokenType = "Bearer"
	w.call(a, target, &asBearer, http.StatusUnauthorized)

	if _, err := other.Refresh(w.ctx, target, tokens.RefreshToken); err == nil {
		t.Error("another key refreshes a pinned grant")
	}
	tokens, err := a.Refresh(w.ctx, target, tokens.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	w.call(a, target, tokens, http.StatusOK)
}

// TestPinnedCode: a code whose grant is pinned is worth nothing without the
// key, and is not used up by whoever tries.
func TestPinnedCode(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("Pinned", "none")
	a.DPoP = app.NewProof()
	target := w.discover(a, s.API)
	request := a.NewRequest(target, site.ReadNotes, false)
	code := w.authorize(a, target, request)
	thief := *a
	thief.DPoP = app.NewProof()
	if _, err := thief.Redeem(w.ctx, target, request, code); err == nil {
		t.Error("another key redeems a pinned code")
	}
	thief.DPoP = nil
	if _, err := thief.Redeem(w.ctx, target, request, code); err == nil {
		t.Error("a pinned code gives a bearer token")
	}
	tokens, err := a.Redeem(w.ctx, target, request, code)
	if err != nil {
		t.Fatal(err)
	}
	w.call(a, target, tokens, http.StatusOK)
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("Refreshing", "private_key_jwt")
	target, first := w.login(a, s.API)
	second, err := a.Refresh(w.ctx, target, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Error("a refresh gives the same token again")
	}
	w.call(a, target, second, http.StatusOK)
	if _, err := s.Pushes.Wait(w.ctx, func(p site.Push) bool {
		return p.Kind == protocol.EventTokenIssued && p.Event.TokenIssued.TokenHash == protocol.TokenHash(second.AccessToken)
	}); err != nil {
		t.Errorf("the site was not told of the refreshed token: %v", err)
	}

	// The user ends the grant at the site: the next refresh is refused there,
	// and the broker ends the family.
	browser := app.NewBrowser(nil)
	page, err := browser.Open(w.ctx, s.Resource+"/comity/grants")
	if err != nil {
		t.Fatal(err)
	}
	page, err = browser.Submit(w.ctx, page, "Log in", map[string]string{"name": "ada", "password": "lovelace"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.Body, "Refreshing") && !strings.Contains(page.Body, a.ClientID) {
		t.Errorf("the list of grants does not show the app: %s", app.Text(page.Body))
	}
	if len(page.Forms) != 1 || len(page.Forms[0].Buttons) != 1 {
		t.Fatalf("expected one grant to end: %s", app.Text(page.Body))
	}
	if page, err = browser.Submit(w.ctx, page, page.Forms[0].Buttons[0].Label, nil); err != nil || page.Status != http.StatusOK {
		t.Fatalf("end a grant: %v, %+v", err, page)
	}
	w.call(a, target, second, http.StatusUnauthorized)
	_, err = a.Refresh(w.ctx, target, second.RefreshToken)
	w.wantError(err, http.StatusBadRequest, "invalid_grant")
	_, err = a.Refresh(w.ctx, target, second.RefreshToken)
	w.wantError(err, http.StatusBadRequest, "invalid_grant")
}

// TestClientCredentials: a token without a grant is for sites that have opted
// in, and for them alone.
func TestClientCredentials(t *testing.T) {
	w := newWorld(t)
	a := w.register("Nightly", "private_key_jwt", "--grant-type", "client_credentials", "--scope", site.ReadNotes+" "+site.WriteNotes)
	closed := w.site("closed", nil)
	open := w.site("open", func(c *site.Config) {
		c.AllowClientCredentials = func(broker, clientID, scope string) bool {
			return broker == w.broker.Issuer && clientID == a.ClientID && scope == site.ReadNotes
		}
	})
	target := w.discover(a, open.API)
	tokens, err := a.ClientCredentials(w.ctx, target, site.ReadNotes)
	if err != nil {
		t.Fatal(err)
	}
	if tokens.RefreshToken != "" {
		t.Error("a refresh token without a grant")
	}
	w.call(a, target, tokens, http.StatusOK)
	_, err = a.ClientCredentials(w.ctx, target, site.WriteNotes) // opted in for reading only
	w.wantError(err, http.StatusBadRequest, "invalid_grant")
	_, err = a.ClientCredentials(w.ctx, w.discover(a, closed.API), site.ReadNotes)
	w.wantError(err, http.StatusBadRequest, "invalid_grant")
}

// introspect asks the broker about a token, as the site s.
func (w *world) introspect(s *site.Site, token string) (active bool, clientID string) {
	w.Helper()
	assertion, err := s.Assertion(w.broker.Issuer)
	if err != nil {
		w.Fatal(err)
	}
	res, err := http.PostForm(w.broker.Issuer+"/oauth/introspect", url.Values{
		"token": {token}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	})
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Active   bool   `json:"active"`
		ClientID string `json:"client_id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		w.Fatalf("introspection answered %d, %v", res.StatusCode, err)
	}
	return answer.Active, answer.ClientID
}

// TestIntrospection: a site is told about its own tokens and about no others.
func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	mine, other := w.site("mine", nil), w.site("other", nil)
	a := w.register("App", "none")
	_, tokens := w.login(a, mine.API)
	if active, client := w.introspect(mine, tokens.AccessToken); !active || client != a.ClientID {
		t.Errorf("active %v for client %q", active, client)
	}
	// fault 24
	if active, client := w.introspect(other, tokens.AccessToken); active || client != "" {
		t.Errorf("another site learns: active %v for client %q", active, client)
	}
	if active, _ := w.introspect(mine, tokens.AccessToken+"x"); active {
		t.Error("a token that was never minted is active")
	}
}

// TestTokenRevocation: the app revokes its token, and the site is told.
func TestTokenRevocation(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("App", "client_secret_basic")
	target, tokens := w.login(a, s.API)
	w.call(a, target, tokens, http.StatusOK)
	if err := a.Revoke(w.ctx, target, tokens.AccessToken); err != nil {
		t.Fatal(err)
	}
	if active, _ := w.introspect(s, tokens.AccessToken); active {
		t.Error("the broker still calls the token active")
	}
	w.until("the site refuses the revoked token", func() bool {
		answer, err := a.Call(w.ctx, target, tokens)
		return err == nil && answer.Status == http.StatusUnauthorized
	})
}

// TestCounterfeit: a token for one site opens no other. fault 24
func TestCounterfeit(t *testing.T) {
	w := newWorld(t)
	one, two := w.site("one", nil), w.site("two", nil)
	a := w.register("App", "none")
	_, tokens := w.login(a, one.API)
	w.call(a, w.discover(a, two.API), tokens, http.StatusUnauthorized)
}
