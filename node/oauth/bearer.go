// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/node/saml"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// SAML verifies assertions of the identity providers that the operator named.
type SAML interface {
	// Verify checks the value of the parameter "assertion". The error wraps
	// saml.ErrRefused when it is not good.
	Verify(assertion []byte, e saml.Expect) (*saml.Assertion, error)
}

// JWTIssuer may say who somebody is (RFC 7523, section 2.1): an issuer that the
// operator named, with its keys.
type JWTIssuer struct {
	Issuer string
	Keys   *registry.JWKSet
}

// vouched is what an assertion says, after it was verified.
type vouched struct {
	who  string  // issuer and subject, one text
	once OneTime // the assertion itself
}

// samlGrant takes a SAML 2.0 bearer assertion as a grant (RFC 7522, section 2.1).
func (s *Server) samlGrant(ctx context.Context, x exchange) (*offer, error) {
	raw, err := x.form.need("assertion")
	if err != nil {
		return nil, err
	}
	a, err := s.cfg.SAML.Verify([]byte(raw), saml.Expect{
		Audience: []string{s.cfg.Issuer, s.paths.token}, Recipient: s.paths.token, Now: s.cfg.Now(),
	})
	if errors.Is(err, saml.ErrRefused) {
		return nil, invalidGrant("%v", err)
	}
	if err != nil {
		return nil, err
	}
	return s.bearerOffer(ctx, x, vouched{
		who:  strings.Join([]string{"saml", a.Issuer, a.Format, a.Subject}, "\n"),
		once: OneTime{Key: "saml:" + protocol.TokenHash(a.Issuer+"\n"+a.ID), ExpiresAt: a.ExpiresAt.Unix() + 1},
	})
}

// grantRules are those of JWTs that are grants.
var grantRules = jws.Rules{
	Types:      []string{"", "JWT"},
	Algorithms: []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.PS256, jose.RS256},
	MaxBytes:   16 << 10,
	Foreign:    true,
}

// maxGrantLife is how far ahead exp of such a JWT may lie, in seconds.
const maxGrantLife = 3600

// jwtGrant takes a JWT of an issuer that the operator trusts as a grant (RFC
// 7523, section 2.1). It is read as strictly as a client's assertion, but may
// live for an hour.
func (s *Server) jwtGrant(ctx context.Context, x exchange) (*offer, error) {
	raw, err := x.form.need("assertion")
	if err != nil {
		return nil, err
	}
	m, err := jws.Parse(raw, grantRules)
	if err != nil {
		return nil, invalidGrant("assertion: %v", err)
	}
	var claims assertionClaims
	if err := strictjson.Unmarshal(m.Payload, &claims); err != nil {
		return nil, invalidGrant("assertion: %v", err)
	}
	keys, ok := s.jwtIssuers[claims.Issuer]
	if !ok || !verifiesWithAny(m, keys) {
		return nil, invalidGrant("the assertion is not signed by an issuer that is trusted here")
	}
	if err := s.checkGrantJWT(&claims); err != nil {
		return nil, err
	}
	return s.bearerOffer(ctx, x, vouched{
		who:  strings.Join([]string{"jwt", claims.Issuer, claims.Subject}, "\n"),
		once: OneTime{Key: "jwt:" + protocol.TokenHash(claims.Issuer+"\n"+claims.ID), ExpiresAt: claims.ExpiresAt + skew + 1},
	})
}

func (s *Server) checkGrantJWT(c *assertionClaims) error {
	now := s.now()
	var audience string
	if strictjson.Unmarshal(c.Audience, &audience) != nil || audience != s.cfg.Issuer {
		return invalidGrant("assertion: aud must be one string, the issuer %s", s.cfg.Issuer)
	}
	switch {
	case c.Subject == "" || len(c.Subject) > maxIDBytes:
		return invalidGrant("assertion: sub is missing or too long")
	case c.ID == "" || len(c.ID) > maxIDBytes:
		return invalidGrant("assertion: jti is missing or too long")
	case c.ExpiresAt <= now-skew:
		return invalidGrant("assertion: expired, or without exp; is the clock right?")
	case c.ExpiresAt > now+maxGrantLife+skew:
		return invalidGrant("assertion: exp must be at most an hour ahead")
	case c.IssuedAt > now+skew || c.NotBefore > now+skew:
		return invalidGrant("assertion: issued in the future; is the clock right?")
	}
	return nil
}

// bearerOffer is a token for somebody of whom an assertion speaks. There is no
// grant by the site behind it, so the site must have opted in, and no refresh
// token: the next one takes a new assertion.
func (s *Server) bearerOffer(ctx context.Context, x exchange, v vouched) (*offer, error) {
	o, err := s.credentialsGrant(ctx, x)
	if err != nil {
		return nil, err
	}
	o.code = &v.once
	o.family.Subject = s.cfg.Subject(v.who, o.site.Resource)
	return o, nil
}

// issuersOf indexes the trusted issuers.
func issuersOf(list []JWTIssuer) map[string]*registry.JWKSet {
	index := make(map[string]*registry.JWKSet, len(list))
	for _, i := range list {
		index[i.Issuer] = i.Keys
	}
	return index
}
