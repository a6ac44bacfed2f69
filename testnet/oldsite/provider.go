// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

// errKey is a request of a client that the site does not know. Its text was
// measured; those of the other refusals are ours.
var errKey = errors.New("Consumer Key is invalid") //lint:ignore ST1005 the site's own text, letter by letter

// noToken is the lookup of requests that have none.
func noToken(key string) (token, bool) { return token{}, key == "" }

// verify checks a signed request; lookup finds its token.
func (s *Site) verify(r *http.Request, lookup func(key string) (token, bool)) (*oauth1.Request, Credentials, token, error) {
	none := func(err error) (*oauth1.Request, Credentials, token, error) {
		return nil, Credentials{}, token{}, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return none(err)
	}
	signed, err := oauth1.Parse(r, s.base, body)
	if err != nil {
		return none(err)
	}
	client, ok := s.keys.consumer(signed.ConsumerKey)
	if !ok {
		return none(errKey)
	}
	t, ok := lookup(signed.Token)
	if !ok || t.key != "" && t.client.Token != client.Token {
		return none(errors.New("there is no such token of this client"))
	}
	if err := s.alive(r.Context(), client); err != nil {
		return none(err)
	}
	if err := signed.CheckTime(s.cfg.Now()); err != nil {
		return none(err)
	}
	if err := signed.VerifyHMAC(client.Secret, t.secret); err != nil {
		return none(err)
	}
	if !s.keys.claim(signed) {
		return none(errors.New("this nonce was used before"))
	}
	return signed, client, t, nil
}

// requestToken is the first leg (RFC 5849, section 2.1).
func (s *Site) requestToken(w http.ResponseWriter, r *http.Request) {
	signed, client, _, err := s.verify(r, noToken)
	if err != nil {
		refuse(w, err)
		return
	}
	callback := client.Callback
	if signed.Callback != "" { // may be left out, as was measured
		if callback = signed.Callback; !sameCallback(client.Callback, callback) {
			refuse(w, errors.New("the callback is not the one that the client was connected with"))
			return
		}
	}
	t := s.keys.issue(client, callback)
	formAnswer(w, http.StatusOK, "oauth_token="+t.key+"&oauth_token_secret="+t.secret+"&oauth_callback_confirmed=true")
}

// sameCallback: a query may differ.
func sameCallback(registered, sent string) bool {
	a, errA := url.Parse(registered)
	b, errB := url.Parse(sent)
	return errA == nil && errB == nil && a.Scheme == b.Scheme && a.Host == b.Host && a.Path == b.Path
}

// accessToken is the third leg (RFC 5849, section 2.3).
func (s *Site) accessToken(w http.ResponseWriter, r *http.Request) {
	signed, _, t, err := s.verify(r, s.keys.request)
	switch {
	case err != nil:
		refuse(w, err)
		return
	case t.verifier == "" || subtle.ConstantTimeCompare([]byte(t.verifier), []byte(signed.Verifier)) != 1:
		refuse(w, errors.New("the verifier is not the one that the user brought back"))
		return
	}
	granted, ok := s.keys.redeem(t.key)
	if !ok {
		refuse(w, errors.New("there is no such token of this client"))
		return
	}
	formAnswer(w, http.StatusOK, "oauth_token="+granted.key+"&oauth_token_secret="+granted.secret)
}

// me is the signed resource: who has authorized the client.
func (s *Site) me(w http.ResponseWriter, r *http.Request) {
	const allow = "GET, POST, PUT, PATCH, DELETE"
	if _, _, _, err := s.verify(r, s.keys.granted); err != nil {
		s.problem(w, allow, Refusal{http.StatusUnauthorized, "rest_not_logged_in", err.Error()}, nil)
		return
	}
	s.answer(w, http.StatusOK, allow, map[string]any{
		"id": 1, "username": s.cfg.User.Name, "name": s.cfg.User.Name, "email": s.cfg.User.Email,
		"url": s.base.String(), "slug": s.cfg.User.Name, "roles": []string{"administrator"},
	})
}

// refuse answers a leg that failed: plain text that says it is a form.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusUnauthorized
	if errors.Is(err, oauth1.ErrMalformed) {
		status = http.StatusBadRequest
	}
	formAnswer(w, status, err.Error())
}

func formAnswer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache, must-revalidate, max-age=0, no-store, private")
	w.WriteHeader(status)
	io.WriteString(w, text)
}
