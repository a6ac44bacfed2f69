// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"fmt"
	"slices"

	"github.com/comity-network/comity/internal/strictjson"
)

// Values of PushError.Err: those of RFC 8935, section 2.4, and two of ours.
const (
	ErrInvalidRequest       = "invalid_request"
	ErrInvalidKey           = "invalid_key"
	ErrInvalidIssuer        = "invalid_issuer"
	ErrInvalidAudience      = "invalid_audience"
	ErrAuthenticationFailed = "authentication_failed"
	ErrAccessDenied         = "access_denied" // the client or the broker is stopped, or the site does not want the token
	ErrInvalidGrant         = "invalid_grant" // the grant is unknown or ended, or the code was used
	ErrStale                = "stale"         // the site does not know what is stopped right now
)

var pushErrors = []string{
	ErrInvalidRequest, ErrInvalidKey, ErrInvalidIssuer, ErrInvalidAudience, ErrAuthenticationFailed,
	ErrAccessDenied, ErrInvalidGrant, ErrStale,
}

// PushError is the body of a site's answer 400 to an event (RFC 8935, section
// 2.3): the site has understood and refuses.
type PushError struct {
	Err         string `json:"err"`
	Description string `json:"description,omitempty"`
}

// Error makes it an error.
func (e *PushError) Error() string {
	if e.Description == "" {
		return "the site refuses: " + e.Err
	}
	return fmt.Sprintf("the site refuses: %s (%s)", e.Err, e.Description)
}

// ParsePushError reads such a body. The description is for people: it is cut,
// and what is not printable ASCII, or a quote or a backslash, is replaced, so
// that it may be logged and handed on in an error_description (RFC 6749,
// section 5.2). The error wraps registry.ErrForm.
func ParsePushError(data []byte) (*PushError, error) {
	if len(data) > MaxAnswerBytes {
		return nil, malformed("push error", fmt.Errorf("more than %d bytes", MaxAnswerBytes))
	}
	var e PushError
	if err := strictjson.Unmarshal(data, &e); err != nil {
		return nil, malformed("push error", err)
	}
	if !slices.Contains(pushErrors, e.Err) {
		return nil, malformed("push error", fmt.Errorf("unknown err"))
	}
	e.Description = plain(e.Description)
	return &e, nil
}

// plain cuts s and replaces what an error_description may not hold.
func plain(s string) string {
	out := []byte{}
	for _, r := range s {
		if len(out) == maxDescriptionBytes {
			break
		}
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return string(out)
}
