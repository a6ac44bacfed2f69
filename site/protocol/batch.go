// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// SignedBatch is several events of one broker for one site, signed together.
// They may be believed after Verify returned nil.
type SignedBatch struct {
	Events []Event // of the same Issuer, Audience and IssuedAt; each with a jti of its own
	envelope
}

// batchClaims is the payload of a batch. What each event has for itself is in
// Sets: as it is read, or as it is written.
type batchClaims[Body any] struct {
	Issuer   string           `json:"iss"`
	Audience string           `json:"aud"`
	IssuedAt int64            `json:"iat"`
	Sets     []batchSet[Body] `json:"sets"`
}

type batchSet[Body any] struct {
	ID     string          `json:"jti"`
	Events map[string]Body `json:"events"`
}

// InBatches reports whether e may be one of a batch: it is for one site.
func (e *Event) InBatches() bool { return !e.forFederation() }

// SignBatch signs events together, with a token key of the broker, and returns
// how many: as many of the first as fit. They are of one issuer, for one site,
// and of one time.
func SignBatch(k registry.SigningKey, events []Event) (token string, n int, err error) {
	if len(events) == 0 {
		return "", 0, fmt.Errorf("sign: %w", malformed("batch", errors.New("no events")))
	}
	first := events[0]
	claims := batchClaims[any]{Issuer: first.Issuer, Audience: first.Audience, IssuedAt: first.IssuedAt}
	for _, e := range events[:min(len(events), MaxBatchEvents)] {
		set, err := e.set()
		if err == nil && (e.Issuer != first.Issuer || e.Audience != first.Audience || e.IssuedAt != first.IssuedAt) {
			err = errors.New("events of different issuers, audiences or times")
		}
		if err != nil {
			return "", 0, fmt.Errorf("sign: %w", malformed("batch", err))
		}
		claims.Sets = append(claims.Sets, set)
	}
	for ; ; claims.Sets = claims.Sets[:len(claims.Sets)/2] { // one always fits
		payload, err := encode(claims)
		if err != nil {
			return "", 0, err
		}
		if token := k.Sign(TypeBatch, payload); len(token) <= MaxEventBytes {
			return token, len(claims.Sets), nil
		}
	}
}

// set checks e and returns what it has for itself in a batch.
func (e *Event) set() (batchSet[any], error) {
	if err := first(e.check(), checkTime("iat", e.IssuedAt)); err != nil {
		return batchSet[any]{}, err
	}
	if !e.InBatches() {
		return batchSet[any]{}, errNotInBatches
	}
	uri, body := e.body()
	return batchSet[any]{e.ID, map[string]any{uri: body}}, nil
}

var errNotInBatches = errors.New("an event for the whole federation")

// ParseBatch checks the form of a batch. The error wraps registry.ErrForm.
func ParseBatch(token string) (*SignedBatch, error) {
	b, err := parseBatch(token)
	if err != nil {
		return nil, malformed("batch", err)
	}
	return b, nil
}

func parseBatch(token string) (*SignedBatch, error) {
	var c batchClaims[json.RawMessage]
	e, err := open(token, rules(MaxEventBytes, TypeBatch), &c)
	if err != nil {
		return nil, err
	}
	if n := len(c.Sets); n == 0 || n > MaxBatchEvents {
		return nil, fmt.Errorf("%d events, expected 1 to %d", n, MaxBatchEvents)
	}
	if err := checkTime("iat", c.IssuedAt); err != nil {
		return nil, err
	}
	b := &SignedBatch{envelope: e, Events: make([]Event, len(c.Sets))}
	ids := make(map[string]bool, len(c.Sets))
	for i, set := range c.Sets {
		e := Event{Issuer: c.Issuer, Audience: c.Audience, ID: set.ID, IssuedAt: c.IssuedAt}
		if err := e.read(set.Events); err != nil {
			return nil, err
		}
		if !e.InBatches() {
			return nil, errNotInBatches
		}
		if ids[e.ID] {
			return nil, fmt.Errorf("jti %s twice", e.ID)
		}
		ids[e.ID], b.Events[i] = true, e
	}
	return b, nil
}

// Verify checks the signature and the age, as SignedEvent.Verify does.
func (b *SignedBatch) Verify(keys map[string]ed25519.PublicKey, now time.Time) error {
	return verifyEvent(b.envelope, b.Events[0].IssuedAt, keys, now)
}

// BatchAnswer is a site's answer 202 to a batch.
type BatchAnswer struct {
	// Alone are the jti of events that the site has not stored, since it
	// refuses them or cannot judge them at once: they are to be pushed alone.
	// It has stored the others.
	Alone []string `json:"alone"`
}

// ParseBatchAnswer reads it. The error wraps registry.ErrForm.
func ParseBatchAnswer(data []byte) (*BatchAnswer, error) {
	var a BatchAnswer
	err := strictjson.Unmarshal(data, &a)
	if err == nil && (len(data) > MaxAnswerBytes || a.Alone == nil) {
		err = errors.New("alone is missing, or there is too much of it")
	}
	if err != nil {
		return nil, malformed("answer to a batch", err)
	}
	return &a, nil
}
