// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func withPassword(m *registry.ClientMetadata) {
	m.GrantTypes = []string{registry.GrantPassword, registry.GrantRefreshToken}
}

func optedIn(_ *world, cfg *oauth.Config) { cfg.PasswordGrant = true }

func (a *app) logIn(name, word string, more ...string) response {
	form := url.Values{"grant_type": {"password"}, "username": {name}, "password": {word}, "scope": {"openid"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return a.send("/oauth/token", form)
}

// TestPasswordGrant: on where operator and client have opted in, and audited.
func TestPasswordGrant(t *testing.T) {
	w, _ := newPeopled(t, optedIn)
	a := w.public(withPassword)
	access, refresh := tokens(t, a.logIn("ada", password))
	want(t, w.userinfo(access), http.StatusOK, "")
	tokens(t, a.refresh(refresh))
	if log := w.logged.String(); !strings.Contains(log, `"event":"password-grant"`) || strings.Contains(log, password) {
		t.Error("the audit log does not know of it, or has the password")
	}
	b := w.browser()
	showsPage(t, b.logIn(b.open("/login"), "ada"), http.StatusOK, "End access of App")
	site, _ := tokens(t, a.logIn("ada", password, "resource", w.site.URL, "scope", "read"))
	if told := w.site.tokens[protocol.TokenHash(site)]; told.Subject == "" || told.Scope != "read" {
		t.Errorf("the site was told %+v", told)
	}
	want(t, w.public().logIn("ada", password), http.StatusBadRequest, "unauthorized_client")
	want(t, a.logIn("ada", ""), http.StatusBadRequest, "invalid_request")
	want(t, a.logIn("ada", password, "scope", "all"), http.StatusBadRequest, "invalid_scope")
	if one, two := a.logIn("ada", "wrong"), a.logIn("nobody", "wrong"); one.Body != two.Body || one.Status != two.Status {
		t.Errorf("%s for a wrong password, %s for an unknown name", one.Body, two.Body)
	}
	for range 20 {
		a.logIn("ada", "wrong")
	}
	want(t, a.logIn("ada", password), http.StatusTooManyRequests, "temporarily_unavailable")
}

// TestPasswordGrantIsOff: without the operator there is none.
func TestPasswordGrantIsOff(t *testing.T) {
	w, _ := newPeopled(t)
	want(t, w.public(withPassword).logIn("ada", password), http.StatusBadRequest, "unsupported_grant_type")
	if strings.Contains(w.get("/.well-known/oauth-authorization-server").Body, `"password"`) {
		t.Error("the metadata promise it")
	}
}
