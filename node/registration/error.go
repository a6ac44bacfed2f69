// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

// failure is an error document of RFC 7591, section 3.2.2, with status 400.
func failure(code, format string, args ...any) *oauth.Failure {
	return &oauth.Failure{Status: http.StatusBadRequest, Code: code, Description: fmt.Sprintf(format, args...)}
}

func invalidMetadata(format string, args ...any) *oauth.Failure {
	return failure("invalid_client_metadata", format, args...)
}

func invalidRedirect(format string, args ...any) *oauth.Failure {
	return failure("invalid_redirect_uri", format, args...)
}

func invalidStatement(format string, args ...any) *oauth.Failure {
	return failure("invalid_software_statement", format, args...)
}

func tooMany(wait time.Duration, text string) *oauth.Failure {
	f := failure("temporarily_unavailable", "%s; wait before the next", text)
	f.Status, f.RetryAfter = http.StatusTooManyRequests, int((wait+time.Second-1)/time.Second)
	return f
}

func methodNotAllowed(w http.ResponseWriter, allow string) *oauth.Failure {
	w.Header().Set("Allow", allow)
	f := failure("invalid_request", "use %s", allow)
	f.Status = http.StatusMethodNotAllowed
	return f
}

// unauthorized is the answer to whoever has no token, or a wrong one (RFC 6750,
// section 3).
func unauthorized(w http.ResponseWriter, text string) *oauth.Failure {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	f := failure("invalid_token", "%s", text)
	f.Status = http.StatusUnauthorized
	return f
}

// judged turns what is wrong with metadata into what the client is told.
func judged(err error) error {
	var form *registry.FormError
	switch {
	case errors.As(err, &form) && form.Member == "redirect_uris":
		return invalidRedirect("%v", err)
	case errors.Is(err, registry.ErrForm):
		return invalidMetadata("%v", err)
	}
	return err
}

// refused turns an error of the Registrar into what the client is told. sure
// says that certainly nothing was registered.
func refused(err error) (told error, sure bool) {
	var f *oauth.Failure
	if told = judged(err); errors.As(told, &f) {
		return told, true
	}
	switch {
	case errors.Is(err, registry.ErrRevoked), errors.Is(err, registry.ErrConflict):
		f = failure("access_denied", "%v", err)
		f.Status = http.StatusForbidden
	case errors.Is(err, registry.ErrLimit), errors.Is(err, registry.ErrStale), errors.Is(err, registry.ErrFork):
		f = failure("temporarily_unavailable", "this broker registers nothing at the moment: %v", err)
		f.Status, f.RetryAfter = http.StatusServiceUnavailable, 60
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err, false
	default:
		return err, false
	}
	return f, true
}
