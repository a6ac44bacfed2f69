// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// wantPage fails unless the answer is an error page that sends nobody anywhere.
func wantPage(t *testing.T, a answer, status int) {
	t.Helper()
	if a.StatusCode != status || a.Header.Get("Location") != "" || a.Header.Get("Refresh") != "" ||
		!strings.Contains(a.body, `role="alert"`) {
		t.Errorf("answer %d, Location %q, want a page with status %d", a.StatusCode, a.Header.Get("Location"), status)
	}
}

// TestFault01RedirectURI: whatever is not exactly the registered address ends
// on a page of the site.
func TestFault01RedirectURI(t *testing.T) { // fault 1
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	native := metadata()
	native.ApplicationType, native.RedirectURIs = "native", []string{"http://127.0.0.1/cb"}
	nativeClient := f.brokers[0].register(native)
	b := newBrowser(s, "alice")
	for i, uri := range []string{
		"", "https://app.example", "https://app.example/", "https://app.example/callbac", "https://app.example/callback/",
		"https://app.example/callback2", "https://app.example/callback?", "https://app.example/callback?x=1",
		"https://app.example/callback#", "https://app.example/callback#x", "https://app.example/Callback",
		"https://APP.example/callback", "HTTPS://app.example/callback", "http://app.example/callback",
		"https://app.example:443/callback", "https://app.example:8443/callback", "https://app.example./callback",
		"https://app.example//callback", "https://app.example/./callback", "https://app.example/x/../callback",
		"https://app.example/callback/../callback", "https://app.example/%63allback", "https://app.example/callback%2e",
		"https://app.example/callback/%2e%2e/", "https://app.example/callback%00", "https://app.example/callback%20",
		" https://app.example/callback", "https://app.example/callback ", "https://app.example/call\tback",
		"https://user@app.example/callback", "https://user:pw@app.example/callback", "https://app.example@evil.example/callback",
		"https://evil.example/callback", "https://evil.example\\@app.example/callback", "https://app.example\\.evil.example/callback",
		"https://app.example.evil.example/callback", "https://evilapp.example/callback", "https://xn--pp-eka.example/callback",
		"https://аpp.example/callback", "//app.example/callback", "/callback", "callback", "javascript:alert(1)",
		"data:text/html,x", "https:app.example/callback", "https:///app.example/callback", "https://app.example/callback\r\nX: y",
		"https://app.example/callback;x", "https://app.example/callback,https://evil.example/",
		"http://127.0.0.1/callback", "http://localhost/callback", "urn:ietf:wg:oauth:2.0:oob",
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			wantPage(t, b.get(s.request(client, func(q url.Values) { q.Set("redirect_uri", uri) })), http.StatusBadRequest)
		})
	}
	// An error that would go to the app does not go to a false address either.
	wantPage(t, b.get(s.request(client, func(q url.Values) {
		q.Set("redirect_uri", "https://evil.example/")
		q.Set("response_type", "token")
	})), http.StatusBadRequest)
	for uri, status := range map[string]int{ // fault 2, seen from the site
		"http://127.0.0.1:49152/cb": http.StatusOK, "http://127.0.0.1/cb": http.StatusOK,
		"http://127.0.0.2:49152/cb": http.StatusBadRequest, "http://localhost:49152/cb": http.StatusBadRequest,
		"https://127.0.0.1:49152/cb": http.StatusBadRequest, "http://127.0.0.1:49152/cb2": http.StatusBadRequest,
		"http://[::1]:49152/cb": http.StatusBadRequest,
	} {
		got := b.get(s.request(nativeClient, func(q url.Values) { q.Set("redirect_uri", uri) }))
		if got.StatusCode != status {
			t.Errorf("native client, %s: %d, want %d", uri, got.StatusCode, status)
		}
	}
}

// TestFault07Challenge: no PKCE, no login; the app is told why.
func TestFault07Challenge(t *testing.T) { // fault 7, the request's half
	wantRedirectError(t, "invalid_request", map[string]func(url.Values){
		"no challenge":        func(q url.Values) { q.Del("code_challenge") },
		"no challenge at all": func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
		"no method":           func(q url.Values) { q.Del("code_challenge_method") },
		"plain":               func(q url.Values) { q.Set("code_challenge_method", "plain") },
		"s256":                func(q url.Values) { q.Set("code_challenge_method", "s256") },
		"42 characters":       func(q url.Values) { q.Set("code_challenge", challengeOf(verifier)[:42]) },
		"44 characters":       func(q url.Values) { q.Set("code_challenge", challengeOf(verifier)+"A") },
		"129 characters":      func(q url.Values) { q.Set("code_challenge", strings.Repeat("A", 129)) },
		"padded":              func(q url.Values) { q.Set("code_challenge", challengeOf(verifier)[:42]+"=") },
		"not canonical":       func(q url.Values) { q.Set("code_challenge", strings.Repeat("A", 42)+"B") },
		"other alphabet":      func(q url.Values) { q.Set("code_challenge", strings.Repeat("+", 43)) },
		"dpop_jkt too short":  func(q url.Values) { q.Set("dpop_jkt", "abc") },
		"form_post":           func(q url.Values) { q.Set("response_mode", "form_post") },
	})
	wantRedirectError(t, "unsupported_response_type", map[string]func(url.Values){
		"token":        func(q url.Values) { q.Set("response_type", "token") },
		"code and id":  func(q url.Values) { q.Set("response_type", "code id_token") },
		"none at all":  func(q url.Values) { q.Del("response_type") },
		"in uppercase": func(q url.Values) { q.Set("response_type", "CODE") },
	})
	wantRedirectError(t, "invalid_target", map[string]func(url.Values){
		"no resource":    func(q url.Values) { q.Del("resource") },
		"another site":   func(q url.Values) { q.Set("resource", "https://photos.example") },
		"with a slash":   func(q url.Values) { q.Set("resource", q.Get("resource")+"/") },
		"with a subpath": func(q url.Values) { q.Set("resource", q.Get("resource")+"/x") },
	})
}

// TestFault17Scope: unknown or malformed scopes never come to the user.
func TestFault17Scope(t *testing.T) { // fault 17
	many := make([]string, 10000)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	wantRedirectError(t, "invalid_scope", map[string]func(url.Values){
		"unknown":          func(q url.Values) { q.Set("scope", "read admin") },
		"twice":            func(q url.Values) { q.Set("scope", "read read") },
		"none":             func(q url.Values) { q.Del("scope") },
		"two spaces":       func(q url.Values) { q.Set("scope", "read  write") },
		"tab":              func(q url.Values) { q.Set("scope", "read\twrite") },
		"quote":            func(q url.Values) { q.Set("scope", `read "`) },
		"other case":       func(q url.Values) { q.Set("scope", "Read") },
		"a thousand words": func(q url.Values) { q.Set("scope", strings.Join(many[:1000], " ")) },
	})
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	wantPage(t, newBrowser(s, "alice").get(s.request(client, func(q url.Values) { q.Set("scope", strings.Join(many, " ")) })),
		http.StatusBadRequest)
	narrow := metadata()
	narrow.Scope = "read"
	client = f.brokers[0].register(narrow)
	got := newBrowser(s, "alice").get(s.request(client, func(q url.Values) { q.Set("scope", "read write") }))
	if got.location().Query().Get("error") != "invalid_scope" {
		t.Errorf("wider than registered: %d %s", got.StatusCode, got.location())
	}
}

// wantRedirectError checks that each change of a good request goes back to the
// app with this error, with state and iss, and without a code.
func wantRedirectError(t *testing.T, code string, changes map[string]func(url.Values)) {
	t.Helper()
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	b := newBrowser(s, "alice")
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			got := b.get(s.request(client, change))
			q := got.location().Query()
			if got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got.location().String(), callback+"?") ||
				q.Get("error") != code || q.Get("state") != "s t" || q.Get("iss") != f.brokers[0].issuer || q.Has("code") {
				t.Errorf("answer %d %s, want error %s", got.StatusCode, got.location(), code)
			}
		})
	}
}

// TestFault03Parameters: each parameter once.
func TestFault03Parameters(t *testing.T) { // fault 3, at the site
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	b := newBrowser(s, "alice")
	for _, name := range []string{"redirect_uri", "client_id", "state", "scope", "code_challenge", "resource", "issuer", "x"} {
		first := s.request(client, func(q url.Values) { q.Set(name, "a") })
		wantPage(t, b.get(first+"&"+name+"=a"), http.StatusBadRequest)
	}
	// What the body says is no parameter of the authorization endpoint.
	req, err := http.NewRequest(http.MethodPost, s.request(client, nil), strings.NewReader("redirect_uri=https://evil.example/"))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	wantPage(t, b.do(req), http.StatusForbidden)
}

// TestBrokerOfRequest: issuer chooses one of the site's brokers, no other.
func TestBrokerOfRequest(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, func(c *site.Config) { c.Brokers = c.Brokers[:2] })
	client := f.brokers[2].register(metadata()) // its home is no broker of the site
	for i, status := range []int{http.StatusOK, http.StatusOK, http.StatusBadRequest} {
		got := newBrowser(s, "alice").get(s.request(client, func(q url.Values) { q.Set("issuer", f.brokers[i].issuer) }))
		if got.StatusCode != status {
			t.Errorf("issuer %d: %d, want %d", i, got.StatusCode, status)
		}
	}
	if code := s.consent("alice", client, nil); code.Audience != f.brokers[0].issuer {
		t.Errorf("without issuer: %s, want the first broker", code.Audience)
	}
	if code := s.consent("alice", client, func(q url.Values) { q.Set("issuer", f.brokers[1].issuer) }); code.Audience != f.brokers[1].issuer {
		t.Errorf("with issuer: %s, want the second broker", code.Audience)
	}
}

// TestFault12Consent: the page cannot be framed, and no other origin, user or
// time can answer for the one who saw it.
func TestFault12Consent(t *testing.T) { // fault 12
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	alice := newBrowser(s, "alice")
	page := alice.get(s.request(client, nil))
	policy := page.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' https://app.example"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if page.Header.Get("Cache-Control") != "no-store" || page.Header.Get("Referrer-Policy") != "no-referrer" ||
		strings.Contains(page.body, "<script") || strings.Contains(page.body, "style=") {
		t.Error("page may be cached, leak its address, or run something")
	}
	form := page.form()
	form.Set("decision", "allow")
	submit := func(b *browser, change func(*http.Request)) answer {
		req, err := http.NewRequest(http.MethodPost, s.url("/comity/authorize"), strings.NewReader(form.Encode()))
		must(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if change != nil {
			change(req)
		}
		return b.do(req)
	}
	wantPage(t, submit(alice, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), http.StatusForbidden)
	wantPage(t, submit(alice, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }), http.StatusForbidden)
	wantPage(t, submit(newBrowser(s, "mallory"), nil), http.StatusForbidden)
	wantPage(t, submit(newBrowser(s, ""), nil), http.StatusForbidden)
	altered := form.Get("consent")
	for _, token := range []string{"", altered[1:], "A" + altered[1:], altered + "A", strings.Replace(altered, ".", "", 1)} {
		wantPage(t, alice.post(s.url("/comity/authorize"), url.Values{"consent": {token}, "decision": {"allow"}}), http.StatusForbidden)
	}
	wantPage(t, alice.post(s.url("/comity/authorize"), url.Values{"consent": {altered}}), http.StatusBadRequest)
	if done := submit(alice, nil); done.StatusCode != http.StatusSeeOther {
		t.Fatalf("the honest form: %d", done.StatusCode)
	}
	wantPage(t, submit(alice, nil), http.StatusConflict) // one decision, one grant
	late := alice.get(s.request(client, nil)).form()
	late.Set("decision", "allow")
	f.clock.Advance(11 * 60e9)
	must(t, s.Poll(t.Context()))
	wantPage(t, alice.post(s.url("/comity/authorize"), late), http.StatusBadRequest)
}

// TestStoppedWhileOpen: the app is stopped while the user reads the page.
func TestStoppedWhileOpen(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	b := newBrowser(s, "alice")
	form := b.get(s.request(client, nil)).form()
	form.Set("decision", "allow")
	f.brokers[0].stop(client, registry.Revoke, nil)
	wantPage(t, b.post(s.url("/comity/authorize"), form), http.StatusForbidden)
}

// TestRequestObject: a broker hands a request over, signed.
func TestRequestObject(t *testing.T) {
	f := newFederation(t, 2)
	s := newSite(t, f, func(c *site.Config) { c.Brokers = c.Brokers[:1] })
	client := f.brokers[0].register(metadata())
	b := newBrowser(s, "alice")
	object := func(signer *broker, change func(*protocol.RequestObject)) string {
		o := protocol.RequestObject{
			Issuer: f.brokers[0].issuer, Audience: s.config.Resource, ClientID: client, RedirectURI: callback, Scope: "read",
			State: "xyz", Challenge: challengeOf(verifier), Method: "S256", IssuedAt: f.clock.Unix(),
		}
		if change != nil {
			change(&o)
		}
		signed, err := protocol.SignRequest(signer.token, o)
		must(t, err)
		return s.url("/comity/authorize?") + url.Values{"client_id": {o.ClientID}, "request": {signed}}.Encode()
	}
	good := object(f.brokers[0], nil)
	// What stands beside the object does not count.
	page := b.get(good + "&redirect_uri=https://evil.example/&scope=write")
	form := page.form()
	form.Set("decision", "allow")
	done := b.post(s.url("/comity/authorize"), form).location()
	if page.StatusCode != http.StatusOK || !strings.HasPrefix(done.String(), callback+"?") || done.Query().Get("state") != "xyz" {
		t.Fatalf("request object: %d, then %s", page.StatusCode, done)
	}
	resumed := newBrowser(s, "").get(good).location().Query().Get("return_to")
	f.clock.Advance(61e9) // a login takes longer than the object lives
	if got := b.get(s.url(resumed)); got.StatusCode != http.StatusOK {
		t.Errorf("after the login: %d", got.StatusCode)
	}
	for name, target := range map[string]string{
		"expired":        good,
		"altered":        object(f.brokers[0], nil) + "A",
		"another signer": object(f.brokers[1], nil),
		"another broker": object(f.brokers[1], func(o *protocol.RequestObject) { o.Issuer = f.brokers[1].issuer }),
		"another site":   object(f.brokers[0], func(o *protocol.RequestObject) { o.Audience = "https://wiki.example" }),
		"another client": strings.Replace(object(f.brokers[0], nil), client, "bafkreiother", 1),
		"request_uri":    s.request(client, func(q url.Values) { q.Set("request_uri", "https://app.example/r") }),
	} {
		t.Run(name, func(t *testing.T) { wantPage(t, b.get(target), http.StatusBadRequest) })
	}
}

// TestFault19Handlers: nonsense gets a 4xx from every endpoint.
func TestFault19Handlers(t *testing.T) { // fault 19
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	b := newBrowser(s, "alice")
	form, sec := "application/x-www-form-urlencoded", "application/secevent+jwt"
	for _, c := range []struct {
		method, target, kind, body string
		status                     int
	}{
		{"PUT", s.url("/comity/authorize"), "", "", 405},
		{"DELETE", s.url("/comity/grants"), "", "", 405},
		{"GET", s.url("/comity/events"), "", "", 405},
		{"POST", s.url("/comity/jwks"), "", "", 405},
		{"POST", s.url("/.well-known/oauth-protected-resource"), "", "", 405},
		{"GET", s.url("/comity/nothing"), "", "", 404},
		{"GET", s.url("/comity/authorize"), "", "", 400},
		{"GET", s.url("/comity/authorize?client_id=%zz"), "", "", 400},
		{"GET", s.url("/comity/authorize?a;b"), "", "", 400},
		{"GET", s.request(client, func(q url.Values) { q.Set("state", "a\x00b") }), "", "", 400},
		{"GET", s.request(client, func(q url.Values) { q.Set("state", "\xff") }), "", "", 400},
		{"GET", s.request(client, func(q url.Values) { q.Set("state", strings.Repeat("s", 8192)) }), "", "", 400},
		{"GET", s.request(client, func(q url.Values) { q.Set("x", strings.Repeat("s", 100000)) }), "", "", 400},
		{"GET", s.request(strings.Repeat("b", 59), nil), "", "", 400},
		{"GET", s.request("../../federation", nil), "", "", 400},
		{"POST", s.url("/comity/authorize"), "application/json", `{"decision":"allow"}`, 400},
		{"POST", s.url("/comity/authorize"), form, "consent=a&consent=b", 400},
		{"POST", s.url("/comity/authorize"), form, strings.Repeat("a", 40000), 400},
		{"POST", s.url("/comity/grants"), "", "grant=x", 400},
		{"POST", s.url("/comity/grants"), form, "grant=x", 403},
		{"POST", s.url("/comity/events"), "application/json", "{}", 400},
		{"POST", s.url("/comity/events"), sec, "", 400},
		{"POST", s.url("/comity/events"), sec, "a.b.c", 400},
		{"POST", s.url("/comity/events"), sec, "\x00\xff", 400},
		{"POST", s.url("/comity/events"), sec, strings.Repeat("a", 65537), 400},
	} {
		req, err := http.NewRequest(c.method, c.target, strings.NewReader(c.body))
		must(t, err)
		req.Header.Set("Content-Type", c.kind)
		if got := b.do(req); got.StatusCode != c.status || got.Header.Get("Location") != "" {
			t.Errorf("%s %.80s: %d, want %d", c.method, c.target, got.StatusCode, c.status)
		}
	}
}
