// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/store"
	"github.com/comity-network/comity/site/internal/trust"
	"github.com/comity-network/comity/site/protocol"
)

// consentLife is how long a consent page may lie open, in seconds.
const consentLife = 600

// consentForm is what the consent page hands back, sealed: whose decision it
// is, about what.
type consentForm struct {
	ID        string      `json:"id"` // one decision
	User      string      `json:"user"`
	ExpiresAt int64       `json:"exp"`
	Request   authRequest `json:"request"`
}

// serveAuthorize is the authorization endpoint: it verifies the request, sends
// the browser to the login if need be, and asks the user.
func (s *Site) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q, err := s.parseRequest(r.Context(), r.URL.RawQuery)
	if err != nil {
		s.refuse(w, nil, err)
		return
	}
	client, err := s.verify(r.Context(), q)
	if err != nil {
		s.refuse(w, q, err)
		return
	}
	user, ok := s.config.User(r)
	if !ok {
		s.toLogin(w, s.suspend(q))
		return
	}
	form := consentForm{registry.NewID(), user, s.config.Now().Unix() + consentLife, *q}
	s.consentPage(w, client, q, s.secret.Seal(sealConsent, form))
}

// serveConsent takes the user's decision.
func (s *Site) serveConsent(w http.ResponseWriter, r *http.Request) {
	posted, err := webpage.ReadForm(w, r)
	if err != nil {
		s.errorPage(w, http.StatusBadRequest, "The form is malformed: "+err.Error()+".")
		return
	}
	var form consentForm
	user, ok := s.config.User(r)
	if err := s.secret.Open(sealConsent, posted.Get("consent"), &form); err != nil || !ok || form.User != user {
		s.errorPage(w, http.StatusForbidden, "This form was made for somebody else, or for another login. Start again from the app.")
		return
	}
	if s.config.Now().Unix() > form.ExpiresAt {
		s.errorPage(w, http.StatusBadRequest, "This page was open for too long. Start again from the app.")
		return
	}
	switch posted.Get("decision") {
	case "allow":
		s.allow(w, r, &form)
	case "deny":
		s.refuse(w, &form.Request, &oauthError{"access_denied", "the user said no"})
	default:
		s.errorPage(w, http.StatusBadRequest, "The form says neither allow nor deny.")
	}
}

// allow makes the grant and its code. The request is verified again, for the
// page may have been open while the app was stopped.
func (s *Site) allow(w http.ResponseWriter, r *http.Request, form *consentForm) {
	q := &form.Request
	client, err := s.verify(r.Context(), q)
	if err != nil {
		s.refuse(w, q, err)
		return
	}
	code, err := s.grant(r.Context(), form, client)
	switch {
	case errors.Is(err, store.ErrUsed):
		s.errorPage(w, http.StatusConflict, "You have answered this question already. Go back to the app.")
	case err != nil:
		s.config.Log.Error("store a grant", "error", err)
		s.errorPage(w, http.StatusInternalServerError, "Your answer could not be stored. Try again.")
	default:
		redirect(w, q, url.Values{"code": {code}})
	}
}

// grant stores the grant and signs the code that carries it.
func (s *Site) grant(ctx context.Context, form *consentForm, client *trust.Client) (string, error) {
	now, q := s.config.Now().Unix(), &form.Request
	code := protocol.Code{
		Issuer: s.config.Resource, Audience: q.Broker, ClientID: client.ID, RedirectURI: q.RedirectURI, Challenge: q.Challenge,
		Method: q.Method, Scope: q.Scope, Grant: registry.NewID(), JKT: q.JKT,
		IssuedAt: now, ExpiresAt: now + int64(protocol.MaxCodeLife.Seconds()), ID: registry.OrderedID(s.config.Now()),
	}
	signed, err := protocol.SignCode(s.config.Key, code)
	if err != nil {
		return "", err
	}
	return signed, s.store.AddGrant(ctx, form.ID, store.Grant{
		ID: code.Grant, User: form.User, ClientID: client.ID, Home: client.Home, Broker: q.Broker, Scope: q.Scope, JKT: q.JKT,
		Code: code.ID, CodeExpiresAt: code.ExpiresAt, CreatedAt: now,
	})
}

// refuse answers a request that fails: on a page, or, when client and redirect
// URI are verified, at the client.
func (s *Site) refuse(w http.ResponseWriter, q *authRequest, err error) {
	var toClient *oauthError
	if errors.As(err, &toClient) {
		redirect(w, q, url.Values{"error": {toClient.code}, "error_description": {describable(toClient.description)}})
		return
	}
	var b *badRequest
	if !errors.As(err, &b) {
		b = bad(http.StatusInternalServerError, "Something went wrong at this site. Try again.", err)
	}
	if b.cause != nil {
		s.config.Log.Info("authorization request refused", "reason", b.text, "error", b.cause)
	}
	if b.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "30")
	}
	s.errorPage(w, b.status, b.text)
}

// redirect sends the browser to the verified redirect URI of q, with state and
// the broker's issuer (RFC 9207).
func redirect(w http.ResponseWriter, q *authRequest, answer url.Values) {
	if q.State != "" {
		answer.Set("state", q.State)
	}
	answer.Set("iss", q.Broker)
	separator := "?"
	if strings.Contains(q.RedirectURI, "?") {
		separator = "&"
	}
	w.Header().Set("Location", q.RedirectURI+separator+answer.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

// describable replaces what an error_description may not hold (RFC 6749,
// section 4.1.2.1).
func describable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return '\''
		}
		return c
	}, s)
}

// toLogin sends a browser without login to the site's login page.
func (s *Site) toLogin(w http.ResponseWriter, back string) {
	if s.config.LoginURL == "" {
		s.errorPage(w, http.StatusUnauthorized, "Log in to this site first, then come back to this page.")
		return
	}
	separator := "?"
	if strings.Contains(s.config.LoginURL, "?") {
		separator = "&"
	}
	w.Header().Set("Location", s.config.LoginURL+separator+url.Values{"return_to": {back}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}
