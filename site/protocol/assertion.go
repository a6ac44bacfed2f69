// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/registry"
)

// SiteAssertion authenticates a site at a broker (RFC 7523), for
// introspection, polling and the revocation of a token. Whoever accepts it
// claims its ID, so that it works once.
type SiteAssertion struct {
	Issuer    string `json:"iss"` // resource of the site
	Subject   string `json:"sub"` // the same
	Audience  string `json:"aud"` // issuer of the broker
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"` // seconds since 1970
	ExpiresAt int64  `json:"exp"` // at most MaxAssertionLife after IssuedAt
}

// SignedAssertion is an assertion in its signed form. Its fields may be
// believed after Verify returned nil.
type SignedAssertion struct {
	SiteAssertion
	envelope
}

// SignSiteAssertion signs a with a key of the site. Empty Subject, ID and
// ExpiresAt are filled.
func SignSiteAssertion(k registry.SigningKey, a SiteAssertion) (string, error) {
	if a.ID == "" {
		a.ID = registry.NewID()
	}
	if a.Subject == "" {
		a.Subject = a.Issuer
	}
	if a.ExpiresAt == 0 {
		a.ExpiresAt = a.IssuedAt + int64(MaxAssertionLife/time.Second)
	}
	payload, err := encode(a)
	if err != nil {
		return "", err
	}
	token := k.Sign(TypeAssertion, payload)
	if _, err := ParseSiteAssertion(token); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}

// ParseSiteAssertion checks the form of an assertion. Like those of clients it
// may have the older types: JWT, or none. The error wraps registry.ErrForm.
func ParseSiteAssertion(token string) (*SignedAssertion, error) {
	var s SignedAssertion
	r := rules(MaxAssertionBytes, TypeAssertion, "JWT", "")
	r.Foreign = true
	var err error
	if s.envelope, err = open(token, r, &s.SiteAssertion); err == nil {
		err = s.SiteAssertion.check()
	}
	if err != nil {
		return nil, malformed("site assertion", err)
	}
	return &s, nil
}

func (a *SiteAssertion) check() error {
	if a.Issuer != a.Subject {
		return errors.New("iss and sub differ")
	}
	return first(
		CheckResource(a.Issuer),
		checkIssuer(a.Audience),
		checkID("jti", a.ID),
		checkLife(a.IssuedAt, a.ExpiresAt, MaxAssertionLife),
	)
}

// Verify checks the audience, the signature by keys, the site's by kid, and
// the time. Errors: ErrAudience, ErrUnknownKey, registry.ErrSignature,
// ErrExpired, ErrClock.
func (s *SignedAssertion) Verify(keys map[string]ed25519.PublicKey, issuer string, now time.Time) error {
	if s.Audience != issuer {
		return fmt.Errorf("site assertion: %w: aud is %q, expected %q", ErrAudience, s.Audience, issuer)
	}
	if err := s.verify(keys); err != nil {
		return fmt.Errorf("site assertion: %w", err)
	}
	if err := checkNow(s.IssuedAt, s.ExpiresAt, Skew, now); err != nil {
		return fmt.Errorf("site assertion: %w", err)
	}
	return nil
}
