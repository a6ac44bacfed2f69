// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// A self-contained token is a JWT that is not stored: the broker knows it by its
// own signature, as the site does. What is stored is its revocation.

// selfContained reports whether t needs no row. Nobody is told of it, so that it
// lives no longer than a stop may take to arrive; there is no grant that could
// end before; and nobody counts how often it is used.
func selfContained(site *sites.Site, t Token) bool {
	return site.EventsEndpoint == "" && site.AccessTokenFormat == protocol.FormatJWT &&
		t.Family == "" && t.Grant == "" && t.Uses == ""
}

// accessToken returns the token with these characters, and whether it is stored;
// one that is self-contained is once it was revoked. registry.ErrNotFound: there
// is none.
func (s *Server) accessToken(ctx context.Context, raw string) (t Token, stored bool, err error) {
	key := tokenKey(raw)
	t, err = s.cfg.Store.Token(ctx, key)
	if !errors.Is(err, registry.ErrNotFound) {
		return t, true, err
	}
	t, ok := s.readSelfContained(raw)
	if !ok {
		return t, false, err
	}
	t.Key = key
	return t, false, nil
}

// ownRules are those of access tokens that this broker has signed. It wrote
// nothing longer than a scope into them.
var ownRules = jws.Rules{Types: []string{protocol.TypeAccessToken}, Algorithms: jws.EdDSA, MaxBytes: 16 << 10}

// readSelfContained reads a self-contained token of this broker, by its
// signature. Whether it has expired is for the caller to judge, as with others.
func (s *Server) readSelfContained(raw string) (Token, bool) {
	m, err := jws.Parse(raw, ownRules)
	if err != nil || !s.signedHere(m) {
		return Token{}, false
	}
	var c accessClaims
	if err := strictjson.Unmarshal(m.Payload, &c); err != nil || c.Issuer != s.cfg.Issuer || !c.SelfContained {
		return Token{}, false
	}
	t := Token{
		Type: protocol.TokenBearer, ClientID: c.ClientID, Site: c.Audience, Scope: c.Scope,
		IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, State: TokenReleased,
	}
	if c.Subject != c.ClientID {
		t.Subject = c.Subject
	}
	if c.Confirmation != nil {
		t.Type, t.JKT = protocol.TokenDPoP, c.Confirmation.JKT
	}
	return t, true
}

// signedHere checks a signature by the broker's own token keys.
func (s *Server) signedHere(m *jws.Message) bool {
	for _, k := range s.cfg.TokenKeys() {
		pub, err := k.PublicKey()
		if err == nil && jws.Thumbprint(pub) == m.KeyID {
			return m.Verify(pub) == nil
		}
	}
	return false
}
