// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/comity-network/comity/internal/ratelimit"
)

// serveConfirm answers a site that sends credentials for a verifier. Only
// exactly 200 makes it store them.
func (s *Server) serveConfirm(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	began := s.cfg.Now()
	claimed, got, err := s.confirm(w, r)
	if err == nil && s.cfg.Now().Sub(began) > confirmTime {
		err = timedOut()
	}
	if err == nil {
		err = s.say(w, r, began)
	} else {
		f := s.explain(r.Context(), err)
		s.writeFailure(w, f, "")
		err = f
	}
	if claimed == nil {
		return
	}
	if err != nil {
		s.cfg.Log.InfoContext(r.Context(), "a site's confirm does not count", "client", claimed.call.client, "why", err.Error())
		err = unconfirmed(err)
	}
	claimed.outcome <- outcome{got, err}
}

// say answers 200. The site has read it, or may have, unless there is an error.
func (s *Server) say(w http.ResponseWriter, r *http.Request, began time.Time) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "2")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write([]byte("{}"))
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil {
		s.cfg.Log.InfoContext(r.Context(), "the answer to a confirm could not be sent", "error", err)
		return siteUnusable("it went away before it had our answer")
	}
	if s.cfg.Now().Sub(began) > confirmTime {
		return timedOut()
	}
	return nil
}

// confirm claims the exchange that waits for the confirm. It returns the one
// that it has claimed with an error, too: that one is burnt.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request) (*waiting, credentials, error) {
	var none credentials
	body, err := readForm(w, r, maxConfirmBytes)
	if err != nil {
		return nil, none, err
	}
	f, malformed := parseConfirm(string(body))
	if f.verifier == "" {
		return nil, none, malformed
	}
	claimed := s.pending.claim(f.verifier)
	switch {
	case claimed == nil:
		if wait := s.guesses.Take(ratelimit.AddressKey(r.RemoteAddr)); wait > 0 {
			return nil, none, tooMany(wait, "too many wrong verifiers; wait before the next")
		}
		return nil, none, invalidVerifier()
	case malformed != nil:
		return claimed, none, malformed
	case f.clientID != claimed.call.client:
		return claimed, none, invalidClientID()
	}
	if _, err := s.mayConnect(r.Context(), claimed.call); err != nil {
		return claimed, none, err
	}
	if claimed.ctx.Err() != nil {
		return claimed, none, invalidVerifier()
	}
	return claimed, f.credentials, nil
}

// confirmForm is the body of a confirm.
type confirmForm struct {
	unprinted
	verifier    string
	clientID    string
	credentials credentials
}

// parseConfirm reads the body of a confirm as the original plugin writes it:
// members between "&", each a name, "=" and a value that is not encoded.
//
//	verifier=…&client_id=…&client_token=…&client_secret=…
//
// Each of the four is there once, in any order, and other members mean
// nothing. A value with "%" or "+" is refused: it means one thing to those who
// encode and another to those who do not, and with neither do all sites agree.
// What the plugin sends, and client ids of a federation, hold neither.
//
// The verifier is returned with an error, too, if it could be read.
func parseConfirm(body string) (confirmForm, error) {
	var f confirmForm
	var token, secret string
	into := map[string]*string{
		"verifier": &f.verifier, "client_id": &f.clientID, "client_token": &token, "client_secret": &secret,
	}
	if !utf8.ValidString(body) {
		return f, invalidRequest("the body is not UTF-8")
	}
	seen := map[string]bool{}
	var wrong error
	twice := false // the verifier
	for member := range strings.SplitSeq(body, "&") {
		name, value, _ := strings.Cut(member, "=")
		to, known := into[name]
		switch {
		case seen[name]:
			wrong = invalidRequest("a member of the form is there twice")
			twice = twice || name == "verifier"
		case !known:
		case strings.ContainsAny(value, "%+"):
			wrong = invalidRequest("%s holds %% or +, which mean different things to different sites", name)
		default:
			*to = value
		}
		seen[name] = true
	}
	switch {
	case twice:
		return confirmForm{}, wrong
	case wrong != nil:
		return f, wrong
	case f.verifier == "" || f.clientID == "":
		return f, invalidRequest("verifier, client_id, client_token and client_secret are required")
	}
	f.credentials = newCredentials(token, secret)
	if err := f.credentials.check(); err != nil {
		return f, invalidRequest("%v", err)
	}
	return f, nil
}
