// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/site/protocol"
)

// newSecret makes the characters of what is used once: 256 random bits.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return jws.Base64.EncodeToString(b[:])
}

// accessClaims are those of RFC 9068, section 2.2. sub is what the site calls
// the user's consent, so that no name of a person leaves the site; of people who
// are known to the broker and not to the site it is their pairwise name; and of
// a client that acts for itself, the client.
type accessClaims struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     string        `json:"aud"`
	ClientID     string        `json:"client_id"`
	Scope        string        `json:"scope,omitempty"`
	IssuedAt     int64         `json:"iat"`
	ExpiresAt    int64         `json:"exp"`
	ID           string        `json:"jti"`
	Confirmation *confirmation `json:"cnf,omitempty"`
	// SelfContained: the broker does not store the token.
	SelfContained bool `json:"comity_self_contained,omitempty"`
}

// characters are what the app is given for the token of m: opaque ones, or a JWT (RFC 9068)
// where the site's metadata ask for that. Either way the broker and the site
// know the token by its hash.
func (s *Server) characters(m Mint, format string) (string, error) {
	if format != protocol.FormatJWT {
		return s.opaque(m.Token.ExpiresAt), nil
	}
	t := m.Token
	claims := accessClaims{
		Issuer: s.cfg.Issuer, Subject: t.Grant, Audience: t.Site, ClientID: t.ClientID, Scope: t.Scope,
		IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, ID: s.tokenID(t.ExpiresAt), SelfContained: m.SelfContained,
	}
	if t.Subject != "" {
		claims.Subject = t.Subject
	}
	if claims.Subject == "" {
		claims.Subject = t.ClientID
	}
	if t.JKT != "" {
		claims.Confirmation = &confirmation{t.JKT}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode access token: %w", err)
	}
	return s.cfg.TokenKey().Sign(protocol.TypeAccessToken, payload), nil
}

// accessLife is how long an access token for a site lives, in seconds. A JWT
// that nobody can be told is dead lives no longer than a stop may take to
// arrive.
func (s *Server) accessLife(site *protocol.SiteMetadata) int64 {
	life := seconds(s.cfg.AccessLife)
	if site.AccessTokenFormat == protocol.FormatJWT && site.EventsEndpoint == "" {
		life = min(life, s.cfg.MaxAge())
	}
	return life
}
