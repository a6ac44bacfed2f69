// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	webapp "github.com/comity-network/comity/testnet/app"
)

// TestFault11SessionFixation: what one browser has begun, no other can finish.
func TestFault11SessionFixation(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public()
	attacker, victim := w.browser(), w.browser()
	begun := attacker.open(a.here(newVerifier()))
	ask := begun.Forms[0].Fields.Get("ask")
	if ask == "" {
		t.Fatal("the login page carries no request")
	}
	t.Run("link", func(t *testing.T) {
		victim.open("/login") // has been here before
		victim.logIn(victim.open("/login"), "ada")
		showsPage(t, victim.open("/login?ask="+url.QueryEscape(ask)), http.StatusForbidden, "made for another browser")
	})
	t.Run("form", func(t *testing.T) {
		showsPage(t, w.browser().logIn(begun, "ada"), http.StatusForbidden, "made for another browser")
	})
	t.Run("consent of another login", func(t *testing.T) {
		consent := attacker.logIn(begun, "grace")
		if !strings.Contains(consent.Body, `value="allow"`) {
			t.Fatalf("no consent page: %s", webapp.Text(consent.Body))
		}
		showsPage(t, victim.press(consent, "Allow"), http.StatusForbidden, "another login")
		// The attacker's browser, logged in as somebody else since.
		attacker.press(attacker.open("/account"), "Log out")
		attacker.logIn(attacker.open("/login"), "ada")
		showsPage(t, attacker.press(consent, "Allow"), http.StatusForbidden, "another login")
	})
	t.Run("session", func(t *testing.T) {
		// A session that was planted does not become the victim's.
		b := w.browser()
		page := b.open("/login")
		b.logIn(page, "grace")
		planted := b.cookie("comity-session")
		b.logIn(page, "ada")
		if now := b.cookie("comity-session"); planted == "" || planted == now {
			t.Errorf("the login keeps the session of before")
		}
		r, err := http.NewRequest(http.MethodGet, w.issuer+"/account", nil)
		check(t, err)
		r.AddCookie(&http.Cookie{Name: "comity-session", Value: planted})
		if answer := w.do(r); answer.Status != http.StatusSeeOther {
			t.Errorf("the session of before still lives: %d", answer.Status)
		}
	})
}

// cookie is the value of a cookie, asked of the page that sets it.
func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.w.issuer)
	check(b.w.t, err)
	for _, c := range b.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// TestFault12CrossOrigin: no other origin can post to the pages or frame them,
// and the password is not sent again after the login.
func TestFault12CrossOrigin(t *testing.T) {
	w, _ := newPeopled(t)
	b := w.browser()
	consent := b.logIn(b.open(w.public().here(newVerifier())), "ada")
	decision := consent.Forms[0].Fields.Get("decision")
	for _, path := range []string{"/login", "/login/decision", "/logout", "/account", "/device"} {
		for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			answer := w.post(path, url.Values{"decision": {decision}, "answer": {"allow"}, "name": {"ada"}, "password": {password}},
				func(r *http.Request) { r.Header.Set(header, value) })
			if answer.Status != http.StatusForbidden || answer.Header.Get("Set-Cookie") != "" || answer.Header.Get("Location") != "" {
				t.Errorf("POST %s with %s %s: %d", path, header, value, answer.Status)
			}
		}
	}
	for _, path := range []string{"/login", "/device", "/account"} {
		h := b.open(path).Header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	answer := w.post("/login", url.Values{"name": {"ada"}, "password": {password}})
	if answer.Status != http.StatusSeeOther || answer.Header.Get("Location") != "/account" {
		t.Errorf("after the login: %d to %q", answer.Status, answer.Header.Get("Location"))
	}
	set := answer.Header.Values("Set-Cookie")
	if len(set) != 1 || !strings.Contains(set[0], "HttpOnly") || !strings.Contains(set[0], "SameSite=Lax") || !strings.Contains(set[0], "Path=/;") {
		t.Errorf("cookie %q", set)
	}
}

// TestFormTarget: browsers hold form-action against what a form leads to, and
// the login may lead to the app at once.
func TestFormTarget(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public()
	b := w.browser()
	for _, page := range []*webapp.Page{
		b.open(a.here(newVerifier())),
		b.press(b.open(a.here(newVerifier())), "Log in", "name", "ada", "password", "wrong"),
		b.logIn(b.open(a.here(newVerifier())), "ada"),
	} {
		if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://app.example") {
			t.Errorf("%s: %s", page.URL, csp)
		}
	}
}

// TestFault31Login: guessing is slow, a logout ends, and the login leads nowhere
// but to what was asked.
func TestFault31Login(t *testing.T) {
	w, _ := newPeopled(t)
	b := w.browser()
	b.logIn(b.open("/login?next=//evil.example&return_to=//evil.example&ask="), "ada")
	if page := b.open("/account"); page.Status != http.StatusOK || !strings.HasPrefix(page.URL, w.issuer+"/account") {
		t.Errorf("after the login at %s", page.URL)
	}
	session := b.cookie("comity-session")
	b.press(b.open("/account"), "Log out")
	r, err := http.NewRequest(http.MethodGet, w.issuer+"/account", nil)
	check(t, err)
	r.AddCookie(&http.Cookie{Name: "comity-session", Value: session})
	if answer := w.do(r); answer.Status != http.StatusSeeOther || answer.Header.Get("Location") != "/login" {
		t.Errorf("with the cookie of an ended session: %d to %q", answer.Status, answer.Header.Get("Location"))
	}
	page := b.open("/login")
	wrong := 0
	for range 30 {
		page = b.press(page, "Log in", "name", "ada", "password", "wrong")
		if page.Status == http.StatusTooManyRequests {
			break
		}
		showsPage(t, page, http.StatusForbidden, "Name or password is wrong")
		wrong++
	}
	if page.Status != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" || wrong > 10 {
		t.Errorf("after %d wrong passwords: %d", wrong, page.Status)
	}
	if page = b.logIn(page, "ada"); page.Status != http.StatusTooManyRequests {
		t.Errorf("the right password gets through: %d", page.Status)
	}
	if strings.Contains(w.logged.String(), password) || strings.Contains(w.logged.String(), session) {
		t.Error("the log has a password or a session")
	}
}

// TestFault31Escaped: what a form sends back is shown as text.
func TestFault31Escaped(t *testing.T) {
	w, _ := newPeopled(t)
	b := w.browser()
	const script = `"><script>alert(1)</script>`
	for _, page := range []*webapp.Page{
		b.press(b.open("/login"), "Log in", "name", script, "password", "x"),
		b.open("/device?user_code=" + url.QueryEscape(script)),
		b.press(b.open("/device"), "Go on", "user_code", script),
		b.open(w.public().here(newVerifier(), "login_hint", script)),
	} {
		if strings.Contains(page.Body, "<script") || !strings.Contains(page.Body, "&lt;script") {
			t.Errorf("%s: %s", page.URL, page.Body)
		}
	}
}

// TestUnknownNameLooksTheSame: an answer does not tell who has an account.
func TestUnknownNameLooksTheSame(t *testing.T) {
	w, p := newPeopled(t)
	_, err := p.Disable(context.Background(), "grace")
	check(t, err)
	b := w.browser()
	one := func(name, word string) string {
		page := b.press(b.open("/login"), "Log in", "name", name, "password", word)
		return strings.ReplaceAll(page.Body, name, "NAME")
	}
	known := one("ada", "wrong")
	for name, word := range map[string]string{"nobody": "wrong", "grace": password} {
		if got := one(name, word); got != known {
			t.Errorf("%s: %s\nand for a wrong password: %s", name, got, known)
		}
	}
}

// TestOldPages: a page that was open for too long says so.
func TestOldPages(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public()
	b := w.browser()
	page := b.open(a.here(newVerifier()))
	other := w.browser()
	consent := other.logIn(other.open(a.here(newVerifier())), "ada")
	w.clock.advance(10*time.Minute + time.Second)
	showsPage(t, b.logIn(page, "ada"), http.StatusBadRequest, "open for too long")
	showsPage(t, other.press(consent, "Allow"), http.StatusBadRequest, "open for too long")
}

// TestFault25NamesAreText: what an app calls itself is shown as text, with who
// vouches for it and where it answers.
func TestFault25NamesAreText(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(func(m *registry.ClientMetadata) {
		m.Name, m.URI, m.PolicyURI = `<script>alert("1")</script>`, "https://app.example/about", "https://app.example/privacy"
	})
	b := w.browser()
	consent := b.logIn(b.open(a.here(newVerifier(), "scope", "openid profile")), "ada")
	for _, page := range []*webapp.Page{consent, b.press(consent, "Allow"), b.open("/account")} {
		if strings.Contains(page.Body, "<script") {
			t.Errorf("%s: %s", page.URL, page.Body)
		}
	}
	for _, shown := range []string{"&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;", ">app.example<", strings.TrimPrefix(w.issuer, "http://")} {
		if !strings.Contains(consent.Body, shown) {
			t.Errorf("the page does not show %q: %s", shown, consent.Body)
		}
	}
}

// TestFault20SecretFlood: guesses from a thousand addresses lock nobody out, and
// those from one are soon refused without being judged.
func TestFault20SecretFlood(t *testing.T) {
	w := newWorld(t)
	id := w.ledger.register(w.issuer, metadata(registry.AuthSecretBasic))
	attempt := func(remote, word string) int {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
		r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(form.Encode()))
		r.RemoteAddr = remote + ":1"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(id), word)
		answer := httptest.NewRecorder()
		w.handler.ServeHTTP(answer, r)
		return answer.Code
	}
	for n := range 1000 {
		if status := attempt(fmt.Sprintf("10.0.%d.%d", n/250, n%250), "guess"); status != http.StatusUnauthorized {
			t.Fatalf("the %d. guess: %d", n+1, status)
		}
	}
	if status := attempt("192.0.2.1", secret); status != http.StatusBadRequest { // authenticated; the token is no token
		t.Errorf("its owner elsewhere: %d", status)
	}
	refused := 0
	for range 200 {
		if attempt("192.0.2.2", "guess") == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 190 {
		t.Errorf("%d of 200 guesses from one address were refused", refused)
	}
}
