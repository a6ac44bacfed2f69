// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
)

// maxConfirmRedirects is how many redirects of a confirm are followed.
const maxConfirmRedirects = 5

// connect is the connection endpoint: POST takes a connection request, GET
// and HEAD say what the endpoint is.
func (s *Site) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("X-BA-Endpoint", "connection-request")
		s.answer(w, http.StatusOK, "GET, POST", "This endpoint is used for the Brokered Authentication protocol.")
		return
	}
	b := s.behaves()
	confirmURL, refusal, data := s.check(r)
	if b.Refuse != nil {
		refusal, data = b.Refuse, nil
	}
	if refusal != nil {
		s.problem(w, "GET, POST", *refusal, data)
		return
	}
	if b.AcceptFirst {
		s.accept(w, b)
		http.NewResponseController(w).Flush()
	}
	s.confirm(b, confirmURL, r.PostForm)
	switch {
	case s.ctx.Err() != nil:
		panic(http.ErrAbortHandler) // the site was closed meanwhile
	case b.AcceptFirst:
	case b.ConnectFault != None:
		s.fail(w.(*answer), r, b.ConnectFault)
	default:
		s.accept(w, b)
	}
}

func (s *Site) accept(w http.ResponseWriter, b Behaviour) {
	s.restHeader(w, "GET, POST")
	w.WriteHeader(cmp.Or(b.AcceptStatus, http.StatusAccepted))
}

// check finds the confirm URL of a connection request, or why it is refused.
func (s *Site) check(r *http.Request) (confirmURL string, refusal *Refusal, data map[string]any) {
	bad := func(code, message string) (string, *Refusal, map[string]any) {
		return "", &Refusal{http.StatusBadRequest, code, message}, nil
	}
	if err := r.ParseForm(); err != nil {
		return bad("rest_invalid_param", "The body is no form.")
	}
	var missing []string
	for _, name := range []string{"client_id", "broker", "verifier", "callback_url"} {
		if !r.PostForm.Has(name) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return "", &Refusal{http.StatusBadRequest, "rest_missing_callback_param", "Missing: " + strings.Join(missing, ", ")},
			map[string]any{"params": missing}
	}
	confirmURL, known := s.cfg.Brokers[r.PostForm.Get("broker")]
	id, verifier := r.PostForm.Get("client_id"), r.PostForm.Get("verifier")
	callback, err := url.Parse(r.PostForm.Get("callback_url"))
	switch {
	case !known:
		return bad("ba.unknown_broker", "Unknown broker ID.")
	case id == "" || len(id) > 255:
		return bad("ba.invalid_client_id", "The client ID is not between 1 and 255 characters long.")
	case verifier == "" || len(verifier) > 255 || strings.Trim(verifier, alphanumeric) != "":
		return bad("ba.invalid_verifier", "The verifier is not of 1 to 255 letters and digits.")
	case err != nil || callback.Scheme == "" || callback.Host == "":
		return bad("ba.invalid_callback", "The callback URL is not absolute.")
	}
	return confirmURL, s.admits(r.Context(), r.PostForm.Get("broker"), id, callback.String()), nil
}

// confirm sends the broker what the client's credentials are going to be, and
// makes them live if the broker agrees. It says nothing about how that went,
// and it goes on when the broker has given up on the connection request.
func (s *Site) confirm(b Behaviour, confirmURL string, form url.Values) {
	if b.NoConfirm || !s.pause(b.ConfirmAfter) {
		return
	}
	// The client is looked up by its id alone, whoever the broker is; one that
	// is known is sent what it has, before any answer was seen.
	c, known := s.keys.lookup(form.Get("client_id"))
	if !known {
		c = Credentials{
			ClientID: form.Get("client_id"), Token: random(12), Secret: random(48),
			Broker: form.Get("broker"), Callback: form.Get("callback_url"), Name: form.Get("client_name"), IssuedAt: s.cfg.Now().Unix(),
		}
	}
	body := "verifier=" + form.Get("verifier") + "&client_id=" + c.ClientID +
		"&client_token=" + c.Token + "&client_secret=" + c.Secret // not encoded
	if b.ConfirmBody != nil {
		body = b.ConfirmBody(body)
	}
	agreed := false
	for range max(b.ConfirmTimes, 1) {
		agreed = s.ask(confirmURL, body) || agreed
	}
	if agreed && !known && s.pause(b.StoreAfter) {
		s.keys.store(c)
	}
}

// ask reports whether a broker answers a confirm with exactly 200 in time. It
// follows redirects as WordPress does, body and all.
func (s *Site) ask(to, body string) bool {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.ConfirmTimeout)
	defer cancel()
	method := http.MethodPost
	header := http.Header{
		"User-Agent":   {"WordPress/7.1.4; " + s.base.String()},
		"Accept":       {"*/*"},
		"Content-Type": {"application/x-www-form-urlencoded"},
	}
	for range 1 + maxConfirmRedirects {
		status, location := s.send(ctx, method, to, header, body)
		switch status {
		case http.StatusFound, http.StatusSeeOther:
			method = http.MethodGet // and the body stays
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return status == http.StatusOK
		}
		to = location
	}
	return false
}
