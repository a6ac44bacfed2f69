// SPDX-License-Identifier: Apache-2.0

package login

import (
	"errors"
	"net/http"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
)

// Names of the cookies: who is logged in, and which browser this is.
const (
	sessionCookie = "comity-session"
	browserCookie = "comity-browser"
)

// cookieName is of this host and no other, where there is TLS (RFC 6265bis,
// section 4.1.3.2).
func (p *Pages) cookieName(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name
}

func (p *Pages) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: p.cookieName(name), Value: value, Path: "/", MaxAge: maxAge,
		Secure: p.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (p *Pages) cookie(r *http.Request, name string) string {
	// Two of one name cannot come from this host alone.
	if found := r.CookiesNamed(p.cookieName(name)); len(found) == 1 {
		return found[0].Value
	}
	return ""
}

// session is the login of the browser; ok is false when there is none.
func (p *Pages) session(r *http.Request) (s accounts.Session, ok bool, err error) {
	s, err = p.Accounts.Session(r.Context(), p.cookie(r, sessionCookie))
	if errors.Is(err, accounts.ErrNoSession) {
		return s, false, nil
	}
	return s, err == nil, err
}

// browser names the browser, giving it a name when it has none.
func (p *Pages) browser(w http.ResponseWriter, r *http.Request) string {
	name := p.cookie(r, browserCookie)
	if name == "" {
		name = registry.NewID()
		p.setCookie(w, browserCookie, name, 0)
	}
	return name
}
