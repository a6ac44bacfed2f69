// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/registry"
)

// MethodS256 is the only code challenge method (RFC 7636, section 4.2).
const MethodS256 = "S256"

// Code is an authorization code: the statement of a site that one of its users
// gave one client a grant, to be redeemed at one broker, once.
type Code struct {
	Issuer      string `json:"iss"` // resource of the site
	Audience    string `json:"aud"` // issuer of the broker
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
	Challenge   string `json:"code_challenge"`        // of RFC 7636, 43 characters
	Method      string `json:"code_challenge_method"` // S256
	Scope       string `json:"scope"`
	Grant       string `json:"grant"`         // opaque to the broker: 128 random bits or more, not derived from the user
	JKT         string `json:"jkt,omitempty"` // RFC 7638 thumbprint of the one DPoP key that may use the grant
	IssuedAt    int64  `json:"iat"`           // seconds since 1970
	ExpiresAt   int64  `json:"exp"`           // at most MaxCodeLife after IssuedAt
	ID          string `json:"jti"`
}

// SignedCode is a code in its signed form. Its fields may be believed after
// Verify returned nil.
type SignedCode struct {
	Code
	envelope
}

// SignCode signs c with a key of the site. An empty ID, Method or ExpiresAt
// is filled.
func SignCode(k registry.SigningKey, c Code) (string, error) {
	if c.ID == "" {
		c.ID = registry.NewID()
	}
	if c.Method == "" {
		c.Method = MethodS256
	}
	if c.ExpiresAt == 0 {
		c.ExpiresAt = c.IssuedAt + int64(MaxCodeLife/time.Second)
	}
	payload, err := encode(c)
	if err != nil {
		return "", err
	}
	token := k.Sign(TypeCode, payload)
	if _, err := ParseCode(token); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}

// ParseCode checks the form of a code. The error wraps registry.ErrForm.
func ParseCode(token string) (*SignedCode, error) {
	var s SignedCode
	var err error
	if s.envelope, err = open(token, rules(MaxCodeBytes, TypeCode), &s.Code); err == nil {
		err = s.Code.check()
	}
	if err != nil {
		return nil, malformed("code", err)
	}
	return &s, nil
}

// field is where a claim goes.
func (c *Code) field(claim string) any {
	switch claim {
	case "iss":
		return &c.Issuer
	case "aud":
		return &c.Audience
	case "client_id":
		return &c.ClientID
	case "redirect_uri":
		return &c.RedirectURI
	case "code_challenge":
		return &c.Challenge
	case "code_challenge_method":
		return &c.Method
	case "scope":
		return &c.Scope
	case "grant":
		return &c.Grant
	case "jkt":
		return &c.JKT
	case "iat":
		return &c.IssuedAt
	case "exp":
		return &c.ExpiresAt
	case "jti":
		return &c.ID
	}
	return nil
}

func (c *Code) check() error {
	if c.Method != MethodS256 {
		return errors.New("code_challenge_method is not S256")
	}
	if c.JKT != "" {
		if err := checkDigest("jkt", c.JKT); err != nil {
			return err
		}
	}
	_, scopeErr := ParseScope(c.Scope)
	return first(
		CheckResource(c.Issuer),
		checkIssuer(c.Audience),
		checkClient(c.ClientID),
		checkURI("redirect_uri", c.RedirectURI),
		checkDigest("code_challenge", c.Challenge),
		scopeErr,
		checkID("grant", c.Grant),
		checkID("jti", c.ID),
		checkLife(c.IssuedAt, c.ExpiresAt, MaxCodeLife),
	)
}

// Verify checks the signature by keys, the site's by kid, and the time.
// Errors: ErrUnknownKey, registry.ErrSignature, ErrExpired, ErrClock.
func (s *SignedCode) Verify(keys map[string]ed25519.PublicKey, now time.Time) error {
	if err := s.verify(keys); err != nil {
		return fmt.Errorf("code: %w", err)
	}
	if err := checkNow(s.IssuedAt, s.ExpiresAt, 0, now); err != nil {
		return fmt.Errorf("code: %w", err)
	}
	return nil
}
