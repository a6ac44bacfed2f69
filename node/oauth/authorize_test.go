// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"crypto/ed25519"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func (a *app) authorizeQuery(s *testSite, change ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {a.id}, "redirect_uri": {redirectURI}, "state": {"st&=ate"},
		"scope": {"read"}, "code_challenge": {challenge(newVerifier())}, "code_challenge_method": {"S256"}, "resource": {s.URL},
	}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == "" {
			q.Del(change[i])
		} else {
			q.Set(change[i], change[i+1])
		}
	}
	return q
}

func TestAuthorizeHandsOver(t *testing.T) {
	w := newWorld(t)
	a := w.public().withDPoP()
	q := a.authorizeQuery(w.site, "dpop_jkt", a.jkt(), "nonce", "n")
	answer := w.get("/oauth/authorize?" + q.Encode())
	if answer.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	to, err := url.Parse(answer.Header.Get("Location"))
	check(t, err)
	got := to.Query()
	if !strings.HasPrefix(to.String(), w.site.meta.AuthorizationEndpoint+"&") || got.Get("client_id") != a.id || got.Get("lang") != "en" || len(got) != 3 {
		t.Errorf("Location %s", to)
	}
	request, err := protocol.ParseRequest(got.Get("request"))
	check(t, err)
	keys := map[string]ed25519.PublicKey{w.tokenKey.ID(): w.tokenKey.Public()}
	check(t, request.Verify(keys, w.site.URL, w.clock.now()))
	if request.Issuer != w.issuer || request.ClientID != a.id || request.RedirectURI != redirectURI || request.State != "st&=ate" ||
		request.Scope != "read" || request.Challenge != q.Get("code_challenge") || request.DPoPJKT != a.jkt() || request.Nonce != "n" ||
		request.ExpiresAt != w.clock.now().Unix()+60 {
		t.Errorf("request object %+v", request.RequestObject)
	}
}

// An origin is the same resource with a slash as its path, which URL libraries
// write; any other slash is not.
func TestResourceWithEmptyPath(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	for added, known := range map[string]bool{"": true, "/": true, "//": false, "/a/": false} {
		answer := w.get("/oauth/authorize?" + a.authorizeQuery(w.site, "resource", w.site.URL+added).Encode())
		handed := strings.HasPrefix(answer.Header.Get("Location"), w.site.meta.AuthorizationEndpoint+"&")
		if answer.Status != http.StatusSeeOther || handed != known {
			t.Errorf("%q: %d to %s", added, answer.Status, answer.Header.Get("Location"))
		}
	}
}

// Until client and redirect URI are verified there is a page, and no redirect.
func TestAuthorizeErrorPages(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	stopped := w.public()
	w.ledger.revoke(stopped.id, registry.Revoke, 0)
	for name, test := range map[string]struct {
		change []string
		status int
		shows  string
	}{
		"unknown client":             {[]string{"client_id", "nobody"}, 400, "no app"},
		"no client":                  {[]string{"client_id", ""}, 400, "client_id"},
		"stopped client":             {[]string{"client_id", stopped.id}, 403, "revoked"},
		"no redirect_uri":            {[]string{"redirect_uri", ""}, 400, "redirect_uri"},
		"another redirect_uri":       {[]string{"redirect_uri", "https://evil.example/cb"}, 400, "redirect_uri"},
		"redirect_uri with a slash":  {[]string{"redirect_uri", redirectURI + "/"}, 400, "redirect_uri"},
		"redirect_uri in upper case": {[]string{"redirect_uri", "https://APP.example/cb"}, 400, "redirect_uri"},
		"script":                     {[]string{"client_id", "<script>alert(1)</script>"}, 400, "no app"},
		"no resource":                {[]string{"resource", ""}, 400, "log in at the site"},
		"state of 8 KiB":             {[]string{"state", strings.Repeat("s", 8<<10)}, 414, "8192"},
		"NUL":                        {[]string{"state", "\x00"}, 400, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			page := w.get("/oauth/authorize?" + a.authorizeQuery(w.site, test.change...).Encode())
			if page.Status != test.status || page.Header.Get("Location") != "" || !strings.Contains(page.Body, test.shows) {
				t.Errorf("%d, Location %q, %s", page.Status, page.Header.Get("Location"), page.Body)
			}
			if strings.Contains(page.Body, "<script") || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
				t.Errorf("not a safe page: %s", page.Body)
			}
			for name, value := range map[string]string{
				"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
				"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			} {
				if !strings.Contains(page.Header.Get(name), value) {
					t.Errorf("%s is %q", name, page.Header.Get(name))
				}
			}
		})
	}
	w.stale = registryStale("views of 0 of 2 members, 1 needed")
	page := w.get("/oauth/authorize?" + a.authorizeQuery(w.site).Encode())
	if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.Body, "views of 0 of 2") {
		t.Errorf("stale: %d %s", page.Status, page.Body)
	}
	if page := w.raw("PUT", "/oauth/authorize", formType, a.authorizeQuery(w.site).Encode()); page.Status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", page.Status)
	}
}

// TestAuthorizePosted: a request that is posted becomes a link to the same.
func TestAuthorizePosted(t *testing.T) {
	w := newWorld(t)
	q := w.public().authorizeQuery(w.site)
	posted := w.raw("POST", "/oauth/authorize", formType, q.Encode())
	if want := w.issuer + "/oauth/authorize?" + q.Encode(); posted.Status != http.StatusSeeOther || posted.Header.Get("Location") != want {
		t.Errorf("%d to %s, expected %s", posted.Status, posted.Header.Get("Location"), want)
	}
	for name, body := range map[string]string{"twice": q.Encode() + "&state=b", "no text": "state=%ff"} {
		if page := w.raw("POST", "/oauth/authorize", formType, body); page.Status != http.StatusBadRequest || page.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %s", name, page.Status, page.Header.Get("Location"))
		}
	}
}

// After that, errors go to the client.
func TestAuthorizeErrorRedirects(t *testing.T) {
	w := newWorld(t)
	a := w.public(func(m *registry.ClientMetadata) { m.Scope = "read" })
	stranger := newSite(t, w.clock, w.ledger.federation(), "https://other.example")
	for name, test := range map[string]struct {
		change []string
		code   string
	}{
		// fault 8
		"token":             {[]string{"response_type", "token"}, "unsupported_response_type"},
		"code id_token":     {[]string{"response_type", "code id_token"}, "unsupported_response_type"},
		"no response_type":  {[]string{"response_type", ""}, "invalid_request"},
		"fragment":          {[]string{"response_mode", "fragment"}, "invalid_request"},
		"no challenge":      {[]string{"code_challenge", ""}, "invalid_request"},
		"no method":         {[]string{"code_challenge_method", ""}, "invalid_request"},
		"plain":             {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"short challenge":   {[]string{"code_challenge", "abc"}, "invalid_request"},
		"jkt":               {[]string{"dpop_jkt", "abc"}, "invalid_request"},
		"scope":             {[]string{"scope", "write"}, "invalid_scope"},
		"malformed scope":   {[]string{"scope", "read  read"}, "invalid_scope"},
		"request":           {[]string{"request", "a.b.c"}, "request_not_supported"},
		"request_uri":       {[]string{"request_uri", "https://evil.example"}, "request_uri_not_supported"},
		"not a resource":    {[]string{"resource", "javascript:alert(1)"}, "invalid_target"},
		"of another broker": {[]string{"resource", stranger.URL}, "invalid_target"},
		"unreachable":       {[]string{"resource", "http://127.0.0.1:1"}, "temporarily_unavailable"},
		"state of 3 KiB":    {[]string{"state", strings.Repeat("s", 3<<10)}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			q := a.authorizeQuery(w.site, test.change...)
			answer := w.get("/oauth/authorize?" + q.Encode())
			to, err := url.Parse(answer.Header.Get("Location"))
			check(t, err)
			got := to.Query()
			if answer.Status != http.StatusSeeOther || !strings.HasPrefix(to.String(), redirectURI+"?") ||
				got.Get("error") != test.code || got.Get("iss") != w.issuer || got.Get("state") != q.Get("state") {
				t.Errorf("%d %s", answer.Status, to)
			}
		})
	}
}
