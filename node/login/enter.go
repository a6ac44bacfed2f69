// SPDX-License-Identifier: Apache-2.0

package login

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/comity-network/comity/node/accounts"
)

// showLogin is the login page, and, for who is logged in, what comes after it.
func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request) {
	a, ok := p.resume(w, r, r.URL.Query())
	switch {
	case !ok:
	case a != nil:
		p.proceed(w, r, *a)
	default:
		if _, in, err := p.session(r); err == nil && in {
			p.redirect(w, "/account")
			return
		}
		p.loginPage(w, http.StatusOK, loginData{})
	}
}

// login takes name and password. A session of before does not survive it, so
// that nobody can give somebody else one that he knows (fault 11).
func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	posted, ok := p.form(w, r)
	if !ok {
		return
	}
	a, ok := p.resume(w, r, posted)
	if !ok {
		return
	}
	user, err := p.Accounts.Authenticate(r.Context(), posted.Get("name"), posted.Get("password"), r.RemoteAddr)
	if err != nil {
		p.notLoggedIn(w, posted, a, err)
		return
	}
	token, _, err := p.Accounts.Start(r.Context(), user, p.cookie(r, sessionCookie))
	if err != nil {
		p.notLoggedIn(w, posted, a, err)
		return
	}
	p.setCookie(w, sessionCookie, token, int(accounts.SessionLife/time.Second))
	if a == nil {
		p.redirect(w, "/account")
		return
	}
	a.Ask.Prompt = without(a.Ask.Prompt, "login") // done
	p.redirect(w, "/login?"+url.Values{"ask": {p.secret.Seal(sealAsk, a)}}.Encode())
}

// notLoggedIn shows the form again, with what was wrong.
func (p *Pages) notLoggedIn(w http.ResponseWriter, posted url.Values, a *asked, err error) {
	data := loginData{Form: posted.Get("ask"), Name: posted.Get("name")}
	if a != nil {
		data.leadsTo = a.Ask.RedirectURI
	}
	again := (*accounts.TryAgainError)(nil)
	switch {
	case errors.Is(err, accounts.ErrCredentials):
		data.Wrong = "Name or password is wrong."
		p.loginPage(w, http.StatusForbidden, data)
	case errors.As(err, &again):
		wait := int((again.After + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(wait))
		data.Wrong = "Too many attempts. Try again in " + strconv.Itoa(wait) + " seconds."
		p.loginPage(w, http.StatusTooManyRequests, data)
	case errors.Is(err, accounts.ErrNoSession):
		data.Wrong = "Your account was changed a moment ago. Log in again."
		p.loginPage(w, http.StatusForbidden, data)
	default:
		p.failed(w, "log in", err)
	}
}

// logout ends the session.
func (p *Pages) logout(w http.ResponseWriter, r *http.Request) {
	if err := p.Accounts.End(r.Context(), p.cookie(r, sessionCookie)); err != nil {
		p.failed(w, "log out", err)
		return
	}
	p.setCookie(w, sessionCookie, "", -1)
	p.redirect(w, "/login")
}
