// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/comity-network/comity/site/protocol"
)

// ServeHTTP serves POST /federation/events. The site authenticates by its
// assertion as a bearer token:
//
//	POST /federation/events HTTP/1.1
//	Authorization: Bearer <site assertion>
//	Content-Type: application/json
//
//	{"maxEvents":10,"ack":["4Nn0bCQpYpN0x5Ku1J3PXQ"]}
//
//	HTTP/1.1 200 OK
//	Content-Type: application/json
//
//	{"sets":{"x8rO1…":"eyJhbGci…"},"moreAvailable":true}
//
// Errors have the body of RFC 8935: 401 when the assertion is not accepted,
// 400 for a wrong request, 405, 415, and 503 when the database fails.
func (p *Poller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		p.fail(w, http.StatusMethodNotAllowed, protocol.ErrInvalidRequest, "use POST")
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		p.fail(w, http.StatusUnsupportedMediaType, protocol.ErrInvalidRequest, "use Content-Type: application/json")
		return
	}
	assertion, ok := bearer(r.Header)
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		p.fail(w, http.StatusUnauthorized, protocol.ErrAuthenticationFailed, "send one site assertion as bearer token")
		return
	}
	site, err := p.cfg.Authenticate(r.Context(), assertion)
	if err != nil {
		p.cfg.Log.Info("poll not authenticated", "error", err)
		w.Header().Set("WWW-Authenticate", "Bearer")
		p.fail(w, http.StatusUnauthorized, protocol.ErrAuthenticationFailed, reason(err))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPollRequest))
	if err != nil {
		p.fail(w, http.StatusBadRequest, protocol.ErrInvalidRequest, "the body is too long or broken")
		return
	}
	request, err := protocol.ParsePollRequest(body)
	if err != nil {
		p.fail(w, http.StatusBadRequest, protocol.ErrInvalidRequest, err.Error())
		return
	}
	answer, err := p.Poll(r.Context(), site.Resource, request)
	if err != nil {
		p.cfg.Log.Error("poll failed", "site", site.Resource, "error", err)
		w.Header().Set("Retry-After", "5")
		p.fail(w, http.StatusServiceUnavailable, protocol.ErrInvalidRequest, "try again")
		return
	}
	write(w, http.StatusOK, answer)
}

// reason says why an assertion is not accepted, as far as it helps an honest
// site: clock, audience, replay.
func reason(err error) string {
	for _, known := range []error{protocol.ErrClock, protocol.ErrExpired, protocol.ErrAudience, protocol.ErrUnknownKey} {
		if errors.Is(err, known) {
			return err.Error()
		}
	}
	return "the assertion is not accepted"
}

// bearer returns the one bearer token of a request.
func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

func (p *Poller) fail(w http.ResponseWriter, status int, code, description string) {
	write(w, status, protocol.PushError{Err: code, Description: description})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // a failure is the connection's
}
