// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	// assertionLife is how far exp may lie ahead, and iat behind, in seconds.
	assertionLife = 60
	// skew is how far two honest clocks may differ, in seconds.
	skew = 10
	// maxIDBytes bounds the jti of foreign assertions and proofs.
	maxIDBytes = 256
)

// assertionAlgorithms are the signatures that clients may use. Symmetric ones
// are out: nobody but the home broker could check them.
var assertionAlgorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.PS256, jose.RS256}

var assertionRules = jws.Rules{
	Types:      []string{"", "JWT", protocol.TypeAssertion},
	Algorithms: assertionAlgorithms,
	MaxBytes:   8 << 10,
	Foreign:    true,
}

// assertionClaims are those of RFC 7523, section 3.
type assertionClaims struct {
	Issuer    string                `json:"iss"`
	Subject   string                `json:"sub"`
	Audience  strictjson.RawMessage `json:"aud"`
	ExpiresAt int64                 `json:"exp"`
	IssuedAt  int64                 `json:"iat"`
	NotBefore int64                 `json:"nbf"`
	ID        string                `json:"jti"`
}

// claimFunc uses up a one-time identifier. It returns ErrSeen when it was used
// before.
type claimFunc func(ctx context.Context, id OneTime) error

// claimStored uses up an identifier for all times.
func (s *Server) claimStored(ctx context.Context, id OneTime) error {
	if !s.recent.claim(id.Key) {
		return ErrSeen
	}
	return s.cfg.Store.Claim(ctx, id)
}

// claimRecent uses up an identifier without writing to disk.
func (s *Server) claimRecent(_ context.Context, id OneTime) error {
	if !s.recent.claim(id.Key) {
		return ErrSeen
	}
	return nil
}

// parseAssertion reads the claims of an assertion, which are not yet to be
// believed.
func parseAssertion(assertion string) (*jws.Message, assertionClaims, error) {
	var claims assertionClaims
	m, err := jws.Parse(assertion, assertionRules)
	if err != nil {
		return nil, claims, invalidClient("client assertion: %v", err)
	}
	if err := strictjson.Unmarshal(m.Payload, &claims); err != nil {
		return nil, claims, invalidClient("client assertion: %v", err)
	}
	return m, claims, nil
}

// assertionSubject is the client that the assertion is about.
func assertionSubject(cred credentials) (string, error) {
	_, claims, err := parseAssertion(cred.assertion)
	switch {
	case err != nil:
		return "", err
	case claims.Subject == "" || claims.Issuer != claims.Subject:
		return "", invalidClient("client assertion: iss and sub must both be the client_id")
	case cred.id != "" && cred.id != claims.Subject:
		return "", invalidClient("client assertion: sub is not the client_id of the request")
	}
	return claims.Subject, nil
}

// checkAssertion judges a client assertion (RFC 7523, section 3, and its
// update: one audience, the issuer as a string, so that no other server can
// be given an assertion that is good here).
func (s *Server) checkAssertion(ctx context.Context, cred credentials, keys *registry.JWKSet, claim claimFunc) error {
	m, claims, err := parseAssertion(cred.assertion)
	if err != nil {
		return err
	}
	if err := claims.check(s.cfg.Issuer, s.now()); err != nil {
		return invalidClient("client assertion: %v", err)
	}
	if !verifiesWithAny(m, keys) {
		return notAuthenticated()
	}
	once := OneTime{
		Key:       "assertion:" + protocol.TokenHash(cred.id+"\n"+claims.ID),
		ExpiresAt: claims.ExpiresAt + skew + 1,
	}
	if err := claim(ctx, once); errors.Is(err, ErrSeen) {
		return invalidClient("client assertion: jti was used before")
	} else if err != nil {
		return err
	}
	return nil
}

func (c *assertionClaims) check(issuer string, now int64) error {
	var audience string
	if strictjson.Unmarshal(c.Audience, &audience) != nil || audience != issuer {
		return errors.New("aud must be one string, the issuer " + issuer)
	}
	switch {
	case c.ID == "" || len(c.ID) > maxIDBytes:
		return errors.New("jti is missing or too long")
	case c.ExpiresAt == 0 || c.IssuedAt == 0:
		return errors.New("exp and iat are needed")
	case c.ExpiresAt <= now-skew:
		return errors.New("expired; is the clock right?")
	case c.ExpiresAt > now+assertionLife+skew:
		return errors.New("exp must be at most 60 s ahead")
	case c.IssuedAt > now+skew || c.NotBefore > now+skew:
		return errors.New("issued in the future; is the clock right?")
	case c.IssuedAt <= now-assertionLife:
		return errors.New("issued more than 60 s ago; is the clock right?")
	}
	return nil
}

// verifiesWithAny tries the registered keys that fit the header.
func verifiesWithAny(m *jws.Message, keys *registry.JWKSet) bool {
	if keys == nil {
		return false
	}
	known, err := keys.PublicKeys()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(known, func(k jose.JSONWebKey) bool {
		return fits(&k, m) && m.Verify(k.Key) == nil
	})
}

// fits reports whether the key may have signed under this header. The kind of
// key decides which algorithms are possible, never the message.
func fits(k *jose.JSONWebKey, m *jws.Message) bool {
	if m.KeyID != "" && k.KeyID != "" && m.KeyID != k.KeyID ||
		k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != m.Algorithm {
		return false
	}
	return slices.Contains(algorithmsOf(k.Key), jose.SignatureAlgorithm(m.Algorithm))
}

func algorithmsOf(key any) []jose.SignatureAlgorithm {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return []jose.SignatureAlgorithm{jose.ES256}
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return []jose.SignatureAlgorithm{jose.PS256, jose.RS256}
		}
	}
	return nil
}
