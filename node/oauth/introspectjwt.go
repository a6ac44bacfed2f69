// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// Media and token type of a signed answer (RFC 9701, section 5).
const (
	signedIntrospection     = "application/token-introspection+jwt"
	typeSignedIntrospection = "token-introspection+jwt"
)

// wantsSigned reports whether the caller asks for a signed answer, as evidence
// for somebody else.
func wantsSigned(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for _, part := range strings.Split(accept, ",") {
			if media, _, err := mime.ParseMediaType(part); err == nil && media == signedIntrospection {
				return true
			}
		}
	}
	return false
}

// signIntrospection makes the signed answer. Its audience is the caller, so
// that nobody else takes it for an answer of its own.
func (s *Server) signIntrospection(who caller, answer introspection) (any, error) {
	audience := who.site
	if who.client != nil {
		audience = who.client.ID
	}
	payload, err := json.Marshal(struct {
		Issuer   string        `json:"iss"`
		Audience string        `json:"aud"`
		IssuedAt int64         `json:"iat"`
		Answer   introspection `json:"token_introspection"`
	}{s.cfg.Issuer, audience, s.now(), answer})
	if err != nil {
		return nil, fmt.Errorf("encode introspection: %w", err)
	}
	return signedAnswer{signedIntrospection, s.cfg.TokenKey().Sign(typeSignedIntrospection, payload)}, nil
}
