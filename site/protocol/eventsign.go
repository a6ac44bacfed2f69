// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/comity-network/comity/registry"
)

// SignedEvent is an event in its signed form. Its fields may be believed
// after Verify returned nil.
type SignedEvent struct {
	Event
	envelope
}

// SignEvent signs e with a token key of the broker. An empty ID is filled.
func SignEvent(k registry.SigningKey, e Event) (string, error) {
	if e.ID == "" {
		e.ID = registry.NewID()
	}
	payload, err := e.MarshalJSON()
	if err != nil {
		return "", err
	}
	if err := first(e.check(), checkTime("iat", e.IssuedAt)); err != nil {
		return "", fmt.Errorf("sign: %w", malformed("event", err))
	}
	token := k.Sign(TypeEvent, payload)
	if len(token) > MaxEventBytes {
		return "", fmt.Errorf("sign: %w", malformed("event", fmt.Errorf("%d characters, at most %d are allowed", len(token), MaxEventBytes)))
	}
	return token, nil
}

// ParseEvent checks the form of an event. The error wraps registry.ErrForm.
func ParseEvent(token string) (*SignedEvent, error) {
	var s SignedEvent
	var err error
	if s.envelope, err = open(token, rules(MaxEventBytes, TypeEvent), &s.Event); err == nil {
		err = checkTime("iat", s.IssuedAt)
	}
	if err != nil {
		return nil, malformed("event", err)
	}
	return &s, nil
}

// Verify checks the signature by keys, the token keys of the broker that the
// event names by kid, and that the event is at most MaxEventAge old. Errors:
// ErrUnknownKey, registry.ErrSignature, ErrExpired, ErrClock. It does not
// check whom the event is meant for: see CheckAudience.
func (s *SignedEvent) Verify(keys map[string]ed25519.PublicKey, now time.Time) error {
	return verifyEvent(s.envelope, s.IssuedAt, keys, now)
}

func verifyEvent(e envelope, issuedAt int64, keys map[string]ed25519.PublicKey, now time.Time) error {
	if err := e.verify(keys); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if err := checkNow(issuedAt, issuedAt+int64(MaxEventAge/time.Second), 0, now); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	return nil
}

// CheckAudience checks that e is meant for the site resource, or, where the
// kind of event is for all sites, for its federation. The error is ErrAudience.
func (e *Event) CheckAudience(resource, federation string) error {
	want := resource
	if e.forFederation() {
		want = federation
	}
	if want == "" || e.Audience != want {
		return fmt.Errorf("event: %w: aud is %q, expected %q", ErrAudience, e.Audience, want)
	}
	return nil
}
