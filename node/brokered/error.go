// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/comity-network/comity/registry"
)

// Failure is an error that the other side is told. They are made in this file
// only. Whatever else goes wrong becomes comity.internal, and its details go
// to the log alone.
type Failure struct {
	Status     int             // of the HTTP answer
	Code       string          // ba.…, rest_… (a site's own) or comity.…
	Message    string          // what is wrong and what to do
	Data       json.RawMessage // more for programs, an object; nil: nothing
	RetryAfter int             // seconds; 0: no Retry-After
	allow      string          // with Allow
}

// Error makes it an error.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

func failure(status int, code, format string, args ...any) *Failure {
	return &Failure{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// The codes of the protocol.
const (
	codeInvalidVerifier = "ba.invalid_verifier"
	codeInvalidClientID = "ba.invalid_client_id"
	codeInvalidCallback = "ba.invalid_callback"
	codeRejectedClient  = "ba.rejected_client"
	codeUnknownBroker   = "ba.unknown_broker"
	codeTimedOut        = "ba.timed_out"
)

// invalidVerifier is the one answer to a verifier that is unknown, used or
// expired, or whose client has gone away.
func invalidVerifier() *Failure {
	return failure(http.StatusBadRequest, codeInvalidVerifier, "no connection request is waiting for this verifier")
}

func invalidClientID() *Failure {
	return failure(http.StatusBadRequest, codeInvalidClientID, "the verifier is for another client")
}

func invalidCallback() *Failure {
	return failure(http.StatusBadRequest, codeInvalidCallback, "callback_url is none of the redirect URIs that the client has registered")
}

func rejectedClient(state registry.ClientState) *Failure {
	f := failure(http.StatusBadRequest, codeRejectedClient, "%s", whyStopped(state))
	if state.Since == 0 {
		return f
	}
	return f.with(map[string]any{"reason": reasonOf(state), "since": state.Since})
}

func unregistered() *Failure {
	return failure(http.StatusBadRequest, codeRejectedClient, "the client is not registered any more")
}

func unknownBroker(format string, args ...any) *Failure {
	return failure(http.StatusBadRequest, codeUnknownBroker, format, args...)
}

func timedOut() *Failure {
	return failure(http.StatusConflict, codeTimedOut, "the site did not finish the connection in time; try again")
}

// Our own codes.
const (
	codeInvalidRequest = "comity.invalid_request"
	codeUnauthorized   = "comity.unauthorized"
	codeOtherHome      = "comity.other_home"
	codeSiteDenied     = "comity.site_denied"
	codeSiteUnusable   = "comity.site_unusable"
	codeTooMany        = "comity.too_many"
	codeUnavailable    = "comity.unavailable"
	codeInternal       = "comity.internal"
)

func invalidRequest(format string, args ...any) *Failure {
	return failure(http.StatusBadRequest, codeInvalidRequest, format, args...)
}

func methodNotAllowed(allow string) *Failure {
	f := invalidRequest("use %s", allow)
	f.Status, f.allow = http.StatusMethodNotAllowed, allow
	return f
}

func unauthorized(format string, args ...any) *Failure {
	return failure(http.StatusUnauthorized, codeUnauthorized, format, args...)
}

// notAuthenticated is the one answer to an unknown client, to one without a
// secret and to a wrong secret, so that nobody learns which it was (fault 15).
func notAuthenticated() *Failure {
	return unauthorized("the signature is not that of a client of this broker: check consumer key, OAuth 1.0a secret and base string")
}

// otherHome sends a client to its home broker. Where that is, is public.
func otherHome(home string, online bool) *Failure {
	is := "it is online"
	if !online {
		is = "it is not reachable from here at the moment"
	}
	f := failure(http.StatusBadRequest, codeOtherHome, "the client's home is %s, which alone can check its signature: send the request to %s/broker/connect; %s", home, home, is)
	return f.with(map[string]any{"home": home, "connect": home + "/broker/connect", "online": online})
}

func siteDenied() *Failure {
	return failure(http.StatusForbidden, codeSiteDenied, "the operator of this broker does not serve the site")
}

// siteUnusable says what is wrong with a site, and what its owner should do.
func siteUnusable(format string, args ...any) *Failure {
	return failure(http.StatusBadGateway, codeSiteUnusable, format, args...)
}

// unconfirmed is what the client is told when its site's confirm does not
// count. Why this broker refuses the client is told as it is.
func unconfirmed(err error) error {
	var f *Failure
	if errors.As(err, &f) && (f.Code == codeRejectedClient || f.Code == codeUnavailable || f.Code == codeInternal) {
		return f
	}
	return siteUnusable("the site's confirmation does not count (%v); try again, and if that does not help, the site's owner looks for a newer plugin", err)
}

func tooMany(wait time.Duration, format string, args ...any) *Failure {
	f := failure(http.StatusTooManyRequests, codeTooMany, format, args...)
	f.RetryAfter = int((wait + time.Second - 1) / time.Second)
	return f
}

func unavailable(seconds int, format string, args ...any) *Failure {
	f := failure(http.StatusServiceUnavailable, codeUnavailable, format, args...)
	f.RetryAfter = seconds
	return f
}

func (f *Failure) with(data map[string]any) *Failure {
	raw, err := json.Marshal(data)
	if err == nil { // strings, numbers and booleans always encode
		f.Data = raw
	}
	return f
}

// whyStopped says in a sentence how a client is stopped.
func whyStopped(state registry.ClientState) string {
	if state.Since == 0 {
		return fmt.Sprintf("the client is %s, because its home broker %s is %s", state.Status, state.Home, state.HomeStatus)
	}
	until := ""
	if state.Until > 0 {
		until = ", until " + rfc3339(state.Until)
	}
	return fmt.Sprintf("the client is %s since %s%s; reason: %s", state.Status, rfc3339(state.Since), until, reasonOf(state))
}

func reasonOf(state registry.ClientState) string {
	if state.Reason == "" {
		return "unspecified"
	}
	return state.Reason
}

func rfc3339(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

// explain turns any error into what the other side is told. It logs what that
// is not told.
func (s *Server) explain(ctx context.Context, err error) *Failure {
	var f *Failure
	switch {
	case errors.As(err, &f):
		return f
	case ctx.Err() != nil: // time is up, or nobody is there to read it
		return timedOut()
	}
	id := registry.NewID()
	s.cfg.Log.ErrorContext(ctx, "brokered authentication failed", "request", id, "error", err)
	return failure(http.StatusInternalServerError, codeInternal, "internal error; the operator finds it in the log as request %s", id)
}

type errorDocument struct {
	Status  string          `json:"status,omitempty"` // "error", in answers to clients only
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// writeFailure sends the error document. status is its member of that name.
func (s *Server) writeFailure(w http.ResponseWriter, f *Failure, status string) {
	h := w.Header()
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if f.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", fmt.Sprintf("OAuth realm=%q", s.cfg.Issuer))
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	writeJSON(w, f.Status, errorDocument{status, f.Code, f.Message, f.Data})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // every v is a struct of ours, and raw JSON in it was checked
		status, body = http.StatusInternalServerError, []byte(`{"code":"`+codeInternal+`","message":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// audit writes one line about something that an operator must be able to find
// later. Nothing in it is secret.
func (s *Server) audit(ctx context.Context, message string, attrs ...any) {
	s.cfg.Log.WarnContext(ctx, message, slog.Group("audit", attrs...))
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return strings.TrimSpace(string(r[:n-1])) + "…"
	}
	return s
}
