// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

const callback = "http://127.0.0.1:1/callback"

// newApp registers an app with an authentication method.
func newApp(t *testing.T, at *member, method string) *app.App {
	t.Helper()
	a := &app.App{RedirectURI: callback, AuthMethod: method}
	metadata := map[string]any{
		"client_name": "App " + method, "grant_types": []string{"authorization_code", "refresh_token"},
		"redirect_uris": []string{callback}, "token_endpoint_auth_method": method,
	}
	if method == registry.AuthPrivateKeyJWT {
		public, private, err := ed25519.GenerateKey(nil)
		check(t, err)
		a.Key = app.Key{ID: registry.Thumbprint(public), Private: private}
		metadata["jwks"] = map[string]any{"keys": []any{registry.NewJWK(public)}}
	}
	data, err := json.Marshal(metadata)
	check(t, err)
	registered := at.register(string(data))
	a.ClientID, a.Secret = registered.ClientID, registered.ClientSecret
	return a
}

// newSite starts a site that delegates to brokers.
func newSite(t *testing.T, name string, brokers ...*member) *site.Site {
	t.Helper()
	cfg := site.Config{Dir: filepath.Join(t.TempDir(), name), Name: name, Federation: brokers[0].status().Federation}
	for _, b := range brokers {
		cfg.Brokers = append(cfg.Brokers, b.cfg.Issuer)
	}
	s, err := site.Start(t.Context(), cfg)
	check(t, err)
	t.Cleanup(s.Close)
	return s
}

// session is one app that is logged in at one site.
type session struct {
	t      *testing.T
	app    *app.App
	target *app.Target
	tokens *app.Tokens
}

// consent lets the user of a site let the app in, and returns the code.
func consent(t *testing.T, a *app.App, s *site.Site) (*app.Target, *app.Request, string) {
	t.Helper()
	target, err := a.Discover(t.Context(), s.API, "")
	check(t, err)
	request := a.NewRequest(target, site.ReadNotes, false)
	browser := app.NewBrowser(nil)
	browser.StopAt = callback
	page, err := browser.Open(t.Context(), request.URL)
	check(t, err)
	for press, values := range map[string]map[string]string{"Log in": {"name": "ada", "password": "lovelace"}} {
		page, err = browser.Submit(t.Context(), page, press, values)
		check(t, err)
	}
	if !page.Stopped {
		page, err = browser.Submit(t.Context(), page, "decision=allow", nil)
		check(t, err)
	}
	code, err := a.Code(request, page.URL)
	check(t, err)
	return target, request, code
}

func login(t *testing.T, a *app.App, s *site.Site, by *member) *session {
	t.Helper()
	target, request, code := consent(t, a, s)
	if target.Issuer != by.cfg.Issuer {
		t.Fatalf("the site sends the app to %s, expected %s", target.Issuer, by.cfg.Issuer)
	}
	tokens, err := a.Redeem(t.Context(), target, request, code)
	check(t, err)
	l := &session{t: t, app: a, target: target, tokens: tokens}
	if got := l.call(); got != http.StatusOK {
		t.Fatalf("the API answers %d to a fresh token", got)
	}
	return l
}

// call calls the site's API with the token.
func (l *session) call() int {
	l.t.Helper()
	answer, err := l.app.Call(context.Background(), l.target, l.tokens)
	check(l.t, err)
	return answer.Status
}

// refusedBy wants the broker to refuse the client.
func (l *session) refused(because string) {
	l.t.Helper()
	_, err := l.app.Refresh(context.Background(), l.target, l.tokens.RefreshToken)
	var oauth *app.Error
	if !errors.As(err, &oauth) || oauth.Code != "invalid_client" || !strings.Contains(oauth.Description, because) {
		l.t.Fatalf("a refresh of a stopped client ended with %v", err)
	}
}

// A client of A works at B and C, alive or dead A; a stop of any member is a
// stop at all of them and at their sites; and whoever is cut off mints nothing.
func TestAnyBrokerWillDo(t *testing.T) {
	const maxAge = 4
	all := found(t, 3, maxAge)
	a, b, c := all[0], all[1], all[2]
	atB, atC := newSite(t, "at-b", b), newSite(t, "at-c", c, b)
	apps := map[string]*app.App{}
	for _, method := range []string{registry.AuthNone, registry.AuthSecretBasic, registry.AuthSecretPost, registry.AuthPrivateKeyJWT} {
		apps[method] = newApp(t, a, method)
		l := login(t, apps[method], atB, b)
		tokens, err := l.app.Refresh(t.Context(), l.target, l.tokens.RefreshToken)
		check(t, err)
		if l.tokens = tokens; l.call() != http.StatusOK {
			t.Fatalf("%s: the refreshed token is refused", method)
		}
	}

	// The home revokes: tokens of all brokers are dead at all sites.
	victim := apps[registry.AuthNone]
	sessions := []*session{login(t, victim, atB, b), login(t, victim, atC, c)}
	var last admin.StopProgress
	check(t, a.node.StopApp(t.Context(), admin.Stop{ClientID: victim.ClientID, Action: registry.Revoke, Reason: "malicious"},
		func(p admin.StopProgress) { last = p }))
	if !last.Done || len(last.Acknowledged) != 3 {
		t.Fatalf("%+v", last)
	}
	for _, s := range sessions {
		s.refused("malicious")
		until(t, "the site refuses the token", func() bool { return s.call() == http.StatusUnauthorized })
	}

	// So does another member, for a time.
	suspended := apps[registry.AuthSecretBasic]
	sessions = []*session{login(t, suspended, atB, b), login(t, suspended, atC, c)}
	check(t, c.node.StopApp(t.Context(), admin.Stop{ClientID: suspended.ClientID, Action: registry.Suspend, Reason: "compromised", Cutoff: -1},
		func(p admin.StopProgress) { last = p }))
	if shown, err := a.app(suspended.ClientID); err != nil || shown.State != "suspended" || shown.Until == 0 {
		t.Fatalf("the home shows %+v, %v", shown, err)
	}
	for _, s := range sessions {
		s.refused("compromised")
		until(t, "the site refuses the token", func() bool { return s.call() == http.StatusUnauthorized })
	}

	// A is dead for longer than max_age.
	a.stop()
	until(t, "nothing was heard of A for max_age", func() bool {
		age := b.status().Members[0].ViewAge
		return age != nil && *age > maxAge
	})
	keyed := apps[registry.AuthPrivateKeyJWT]
	login(t, keyed, atB, b)
	login(t, keyed, atC, c)

	// B is cut off from all others.
	target, request, code := consent(t, keyed, atB)
	c.stop()
	until(t, "B is stale", func() bool { return !b.status().Fresh })
	_, err := keyed.Redeem(t.Context(), target, request, code)
	var oauth *app.Error
	if !errors.As(err, &oauth) || oauth.Status != http.StatusServiceUnavailable || oauth.Code != "temporarily_unavailable" ||
		!strings.Contains(oauth.Description, "of 3 members, 2 needed") {
		t.Fatalf("a broker that is cut off: %v", err)
	}

	// C comes back to a stop that it slept through.
	a.start()
	until(t, "A and B are fresh", func() bool { return a.status().Fresh && b.status().Fresh })
	posted := apps[registry.AuthSecretPost]
	check(t, a.node.StopApp(t.Context(), admin.Stop{ClientID: posted.ClientID, Action: registry.Revoke, Reason: "policy"},
		func(p admin.StopProgress) { last = p }))
	if last.Online != 2 || len(last.Acknowledged) != 2 {
		t.Fatalf("%+v", last)
	}
	c.start()
	until(t, "C is fresh", func() bool {
		shown, err := c.app(posted.ClientID) // before the question whether it is fresh
		check(t, err)
		fresh := c.status().Fresh
		if fresh && shown.State != "revoked" {
			if shown, err = c.app(posted.ClientID); err != nil || shown.State != "revoked" {
				t.Fatalf("C is fresh, and shows %+v, %v", shown, err)
			}
		}
		return fresh
	})
}
