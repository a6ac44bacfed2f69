// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/registry"
)

// RequestObject is an authorization request (RFC 9101) that a broker received
// for a site and hands over to it: the browser arrives at the site's
// authorization endpoint with client_id and request=<the signed object>. What
// the object says replaces all other parameters.
type RequestObject struct {
	Issuer       string `json:"iss"` // issuer of the broker: the site names it as the audience of its code
	Audience     string `json:"aud"` // resource of the site
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri"`
	ResponseType string `json:"response_type"` // code
	Scope        string `json:"scope,omitempty"`
	State        string `json:"state,omitempty"`
	Challenge    string `json:"code_challenge"`
	Method       string `json:"code_challenge_method"` // S256
	Resource     string `json:"resource"`              // the same as aud
	DPoPJKT      string `json:"dpop_jkt,omitempty"`    // RFC 9449, section 10
	Nonce        string `json:"nonce,omitempty"`
	IssuedAt     int64  `json:"iat"` // seconds since 1970
	ExpiresAt    int64  `json:"exp"` // at most MaxCodeLife after IssuedAt
	ID           string `json:"jti"`
}

// SignedRequest is a request object in its signed form. Its fields may be
// believed after Verify returned nil.
type SignedRequest struct {
	RequestObject
	envelope
}

// SignRequest signs r with a token key of the broker. Empty ID, ResponseType,
// Resource and ExpiresAt are filled.
func SignRequest(k registry.SigningKey, r RequestObject) (string, error) {
	if r.ID == "" {
		r.ID = registry.NewID()
	}
	if r.ResponseType == "" {
		r.ResponseType = "code"
	}
	if r.Resource == "" {
		r.Resource = r.Audience
	}
	if r.ExpiresAt == 0 {
		r.ExpiresAt = r.IssuedAt + int64(MaxCodeLife/time.Second)
	}
	payload, err := encode(r)
	if err != nil {
		return "", err
	}
	token := k.Sign(TypeRequest, payload)
	if _, err := ParseRequest(token); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}

// ParseRequest checks the form of a request object. The error wraps
// registry.ErrForm.
func ParseRequest(token string) (*SignedRequest, error) {
	var s SignedRequest
	var err error
	if s.envelope, err = open(token, rules(MaxRequestBytes, TypeRequest), &s.RequestObject); err == nil {
		err = s.RequestObject.check()
	}
	if err != nil {
		return nil, malformed("request object", err)
	}
	return &s, nil
}

func (r *RequestObject) check() error {
	switch {
	case r.ResponseType != "code":
		return errors.New("response_type is not code")
	case r.Method != MethodS256:
		return errors.New("code_challenge_method is not S256")
	case r.Resource != r.Audience:
		return errors.New("resource and aud differ")
	}
	_, scopeErr := ParseScope(r.Scope)
	return first(
		checkIssuer(r.Issuer),
		CheckResource(r.Audience),
		checkClient(r.ClientID),
		checkURI("redirect_uri", r.RedirectURI),
		scopeErr,
		checkText("state", r.State, maxStateBytes),
		checkDigest("code_challenge", r.Challenge),
		checkOptional("dpop_jkt", r.DPoPJKT, checkDigest),
		checkText("nonce", r.Nonce, maxNonceBytes),
		checkID("jti", r.ID),
		checkLife(r.IssuedAt, r.ExpiresAt, MaxCodeLife),
	)
}

// Verify checks the audience, the signature by keys, the broker's token keys
// by kid, and the time. Errors: ErrAudience, ErrUnknownKey,
// registry.ErrSignature, ErrExpired, ErrClock.
func (s *SignedRequest) Verify(keys map[string]ed25519.PublicKey, resource string, now time.Time) error {
	if s.Audience != resource {
		return fmt.Errorf("request object: %w: aud is %q, expected %q", ErrAudience, s.Audience, resource)
	}
	if err := s.verify(keys); err != nil {
		return fmt.Errorf("request object: %w", err)
	}
	if err := checkNow(s.IssuedAt, s.ExpiresAt, 0, now); err != nil {
		return fmt.Errorf("request object: %w", err)
	}
	return nil
}
