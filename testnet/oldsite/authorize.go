// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"context"
	"crypto/subtle"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/comity-network/comity/testnet/app"
)

// logins are the sessions of the site's user: what each cookie's holder may
// send the consent form with.
type logins struct {
	mu     sync.Mutex
	nonces map[string]string // by cookie
}

// sessionCookie is the name of the cookie of a user who is logged in.
const sessionCookie = "wordpress_logged_in_0ef7e92f163da1e2"

var pages = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="en"><title>Log in</title>
<form name="loginform" action="{{.Action}}" method="post">
<input name="log"><input name="pwd" type="password">
<input type="hidden" name="redirect_to" value="{{.ReturnTo}}">
<button name="wp-submit" value="Log In">Log in</button>
</form></html>
{{define "consent"}}<!DOCTYPE html>
<html lang="en"><title>Authorize</title>
<form name="oauth1_authorize_form" action="{{.Action}}" method="post">
<h2>Connect {{.Client}}</h2>
<input type="hidden" name="oauth_token" value="{{.Token}}">
<input type="hidden" name="_wpnonce" value="{{.Nonce}}">
<button name="wp-submit" value="authorize">Authorize</button>
<button name="wp-submit" value="cancel">Cancel</button>
</form></html>
{{end}}`))

// authorize is the second leg (RFC 5849, section 2.2): it sends the user to
// the consent page.
func (s *Site) authorize(w http.ResponseWriter, r *http.Request) {
	to := s.base.String() + "/wp-login.php?action=oauth1_authorize&oauth_token=" + url.QueryEscape(r.FormValue("oauth_token"))
	http.Redirect(w, r, to, http.StatusFound)
}

// login has the login page, the consent page, and what their forms are sent to.
func (s *Site) login(w http.ResponseWriter, r *http.Request) {
	asks := r.URL.Query().Get("action") == "oauth1_authorize"
	nonce, in := s.session(r)
	switch {
	case asks && !in:
		http.Redirect(w, r, s.base.String()+"/wp-login.php?redirect_to="+url.QueryEscape(r.URL.RequestURI()), http.StatusFound)
	case asks:
		s.consent(w, r, nonce)
	case r.Method == http.MethodPost:
		s.logIn(w, r)
	default:
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		pages.Execute(w, map[string]string{"Action": s.base.String() + "/wp-login.php", "ReturnTo": r.FormValue("redirect_to")})
	}
}

func (s *Site) session(r *http.Request) (nonce string, ok bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", false
	}
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	nonce, ok = s.logins.nonces[cookie.Value]
	return nonce, ok
}

func (s *Site) logIn(w http.ResponseWriter, r *http.Request) {
	to := r.PostFormValue("redirect_to")
	inside := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.Contains(to, `\`)
	if r.PostFormValue("log") != s.cfg.User.Name || !inside ||
		subtle.ConstantTimeCompare([]byte(r.PostFormValue("pwd")), []byte(s.cfg.User.Password)) != 1 {
		http.Error(w, "the name or the password is wrong", http.StatusForbidden)
		return
	}
	session := random(32)
	s.logins.mu.Lock()
	if s.logins.nonces == nil {
		s.logins.nonces = map[string]string{}
	}
	s.logins.nonces[session] = random(10)
	s.logins.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, to, http.StatusFound)
}

// consent shows the user who asks, and takes the answer.
func (s *Site) consent(w http.ResponseWriter, r *http.Request, nonce string) {
	asked, ok := s.keys.request(r.URL.Query().Get("oauth_token"))
	if !ok {
		http.Error(w, "there is no such token", http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		pages.ExecuteTemplate(w, "consent", map[string]string{
			"Action": s.base.String() + "/wp-login.php?action=oauth1_authorize&oauth_token=" + asked.key,
			"Client": asked.client.Name, "Token": asked.key, "Nonce": nonce,
		})
		return
	}
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("_wpnonce")), []byte(nonce)) != 1 {
		http.Error(w, "this form is not from the consent page", http.StatusForbidden)
		return
	}
	if r.PostFormValue("wp-submit") != "authorize" {
		s.keys.forget(asked.key)
		http.Redirect(w, r, s.base.String()+"/", http.StatusFound)
		return
	}
	t, ok := s.keys.authorize(asked.key)
	if !ok {
		http.Error(w, "there is no such token", http.StatusUnauthorized)
		return
	}
	back, err := url.Parse(t.callback)
	if err != nil {
		http.Error(w, "the callback is no URL", http.StatusBadRequest)
		return
	}
	added := "oauth_token=" + t.key + "&oauth_verifier=" + t.verifier + "&wp_scope=%2A"
	back.RawQuery = strings.TrimPrefix(back.RawQuery+"&"+added, "&")
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// Approve is the site's user, see User.Approve.
func (s *Site) Approve(ctx context.Context, authorizeURL, callback string) (*url.URL, error) {
	return s.cfg.User.Approve(ctx, authorizeURL, callback)
}

// Approve opens an authorization page of a site, logs in, authorizes, and
// returns the URL that the site then sends the browser to: the client's
// callback, with oauth_token and oauth_verifier.
func (u User) Approve(ctx context.Context, authorizeURL, callback string) (*url.URL, error) {
	browser := app.NewBrowser(&http.Transport{DisableKeepAlives: true})
	browser.StopAt = callback
	page, err := browser.Open(ctx, authorizeURL)
	if err != nil {
		return nil, err
	}
	if page, err = browser.Submit(ctx, page, "Log in", map[string]string{"log": u.Name, "pwd": u.Password}); err != nil {
		return nil, err
	}
	if page, err = browser.Submit(ctx, page, "Authorize", nil); err != nil {
		return nil, err
	}
	if !page.Stopped {
		return nil, fmt.Errorf("the site did not send the user to %s but to %s: %s", callback, page.URL, app.Text(page.Body))
	}
	return url.Parse(page.URL)
}
