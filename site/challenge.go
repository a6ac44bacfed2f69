// SPDX-License-Identifier: Apache-2.0

package site

import (
	"errors"
	"net/http"
	"strings"

	"github.com/comity-network/comity/registry"
)

// challenge is a refusal of an API request (RFC 6750, section 3; RFC 9449,
// section 7.1).
type challenge struct {
	status      int
	scheme      string // the one to answer with; empty: both
	code        string // error; empty: no token was sent
	description string
	scope       string
}

func (c *challenge) Error() string {
	if c.code == "" {
		return "no token"
	}
	return c.code + ": " + c.description
}

func invalidToken(description string) *challenge {
	return &challenge{status: http.StatusUnauthorized, code: "invalid_token", description: description}
}

func invalidRequest(description string) *challenge {
	return &challenge{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

// apiError is the body of a refusal.
type apiError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// challenge answers err. Every refusal names the site's metadata (RFC 9728,
// section 5.1), so that a client can find out how to get a token. A stale site
// does not say that the token is bad, since it may be good in a minute.
func (s *Site) challenge(w http.ResponseWriter, err error) {
	var c *challenge
	switch {
	case errors.As(err, &c):
	case errors.Is(err, registry.ErrStale):
		c = &challenge{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: describable(err.Error())}
		w.Header().Set("Retry-After", "30")
	default:
		s.config.Log.Error("token not checked", "error", err)
		c = &challenge{status: http.StatusInternalServerError, code: "server_error", description: "the token could not be checked"}
	}
	for _, scheme := range []string{"Bearer", "DPoP"} {
		if c.scheme == "" || c.scheme == scheme {
			w.Header().Add("WWW-Authenticate", s.authenticateHeader(scheme, c))
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	body := apiError{c.code, describable(c.description)}
	if c.code == "" {
		body = apiError{"invalid_token", "a token is needed"}
	}
	s.writeJSON(w, c.status, body)
}

func (s *Site) authenticateHeader(scheme string, c *challenge) string {
	var b strings.Builder
	b.WriteString(scheme + ` resource_metadata="` + s.metadataURL + `"`)
	if scheme == "DPoP" {
		b.WriteString(`, algs="ES256 EdDSA"`)
	}
	if c.status < http.StatusInternalServerError && c.code != "" {
		b.WriteString(`, error="` + c.code + `", error_description="` + describable(c.description) + `"`)
	}
	if c.scope != "" {
		b.WriteString(`, scope="` + c.scope + `"`)
	}
	return b.String()
}
