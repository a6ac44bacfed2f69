// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Failure is an error that the client is told: an OAuth error document (RFC
// 6749, section 5.2). They are made in this file only. Whatever else goes
// wrong becomes server_error, and its details go to the log alone.
type Failure struct {
	Status      int    // of the HTTP answer
	Code        string // error
	Description string // error_description: what is wrong and what to do
	RetryAfter  int    // seconds; 0: no Retry-After
	basic       bool   // with WWW-Authenticate: Basic (RFC 6749, section 5.2)
	nonce       bool   // with DPoP-Nonce (RFC 9449, section 8)
	bearer      bool   // with WWW-Authenticate: Bearer, DPoP (RFC 6750, section 3)
	allow       string // with Allow
}

// Error makes it an error.
func (f *Failure) Error() string { return f.Code + ": " + f.Description }

func failure(code, format string, args ...any) *Failure {
	return &Failure{Status: http.StatusBadRequest, Code: code, Description: fmt.Sprintf(format, args...)}
}

func invalidRequest(format string, args ...any) *Failure {
	return failure("invalid_request", format, args...)
}

func invalidGrant(format string, args ...any) *Failure {
	return failure("invalid_grant", format, args...)
}

func invalidScope(format string, args ...any) *Failure {
	return failure("invalid_scope", format, args...)
}

// invalidTarget is of RFC 8707, section 2.
func invalidTarget(format string, args ...any) *Failure {
	return failure("invalid_target", format, args...)
}

func invalidProof(format string, args ...any) *Failure {
	return failure("invalid_dpop_proof", format, args...)
}

func unauthorizedClient(format string, args ...any) *Failure {
	return failure("unauthorized_client", format, args...)
}

func useNonce() *Failure {
	f := failure("use_dpop_nonce", "put the nonce of the DPoP-Nonce header into the proof")
	f.nonce = true
	return f
}

func invalidClient(format string, args ...any) *Failure {
	f := failure("invalid_client", format, args...)
	f.Status, f.basic = http.StatusUnauthorized, true
	return f
}

// notAuthenticated is the one answer to an unknown client, a wrong secret, a
// wrong signature and a method that is not the registered one, so that nobody
// learns which it was (fault 15).
func notAuthenticated() *Failure {
	return invalidClient("client authentication failed")
}

func tooMany(wait time.Duration) *Failure {
	f := failure("temporarily_unavailable", "too many failed attempts; wait before the next")
	f.Status, f.RetryAfter = http.StatusTooManyRequests, int((wait+time.Second-1)/time.Second)
	return f
}

// unavailable is an extension of RFC 6749, section 5.2: the same request may
// succeed later.
func unavailable(retryAfter int, format string, args ...any) *Failure {
	f := failure("temporarily_unavailable", format, args...)
	f.Status, f.RetryAfter = http.StatusServiceUnavailable, retryAfter
	return f
}

func methodNotAllowed(allow string) *Failure {
	f := invalidRequest("use %s", allow)
	f.Status, f.allow = http.StatusMethodNotAllowed, allow
	return f
}

// invalidToken is of RFC 6750, section 3.1; without a text no token was sent.
func invalidToken(text string) *Failure {
	f := failure("invalid_token", "%s", text)
	f.Status, f.bearer = http.StatusUnauthorized, true
	return f
}

func bearerChallenge(f *Failure) string {
	if f.Description == "" {
		return "Bearer, DPoP"
	}
	return fmt.Sprintf(`Bearer error=%q, error_description=%q, DPoP error=%q`, f.Code, ascii(f.Description), f.Code)
}

func serverError(requestID string) *Failure {
	f := failure("server_error", "internal error; the operator finds it in the log as request %s", requestID)
	f.Status = http.StatusInternalServerError
	return f
}

// explain turns any error into what the client is told. It logs what the
// client is not told.
func (s *Server) explain(r *http.Request, id string, err error) *Failure {
	var f *Failure
	switch {
	case errors.As(err, &f):
		s.log.DebugContext(r.Context(), "request refused", "request", id, "path", r.URL.Path, "code", f.Code, "why", f.Description)
		return f
	case errors.Is(err, ErrUnavailable):
		s.log.ErrorContext(r.Context(), "cannot write", "request", id, "path", r.URL.Path, "error", err)
		return unavailable(30, "the broker cannot store anything at the moment; nothing was issued")
	}
	s.log.ErrorContext(r.Context(), "request failed", "request", id, "path", r.URL.Path, "error", err)
	return serverError(id)
}

// writeFailure sends the error document.
func (s *Server) writeFailure(w http.ResponseWriter, f *Failure) {
	h := w.Header()
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if f.basic {
		h.Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", s.cfg.Issuer))
	}
	if f.nonce {
		h.Set("DPoP-Nonce", s.nonces.current())
	}
	if f.bearer {
		h.Set("WWW-Authenticate", bearerChallenge(f))
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	writeJSON(w, f.Status, errorDocument{f.Code, ascii(f.Description)})
}

type errorDocument struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// ascii replaces what an error_description may not hold (RFC 6749, section
// 5.2), since descriptions quote what a client sent.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r > 0x7e || r == '\\':
			return '?'
		}
		return r
	}, s)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // every v is a struct of ours, without anything that cannot be encoded
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
