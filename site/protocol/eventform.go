// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// eventClaims is the payload of an event.
type eventClaims struct {
	Issuer   string                     `json:"iss"`
	Audience string                     `json:"aud"`
	ID       string                     `json:"jti"`
	IssuedAt int64                      `json:"iat"`
	Events   map[string]json.RawMessage `json:"events"`
}

// writtenClaims are eventClaims as they are written.
type writtenClaims struct {
	Issuer   string         `json:"iss"`
	Audience string         `json:"aud"`
	ID       string         `json:"jti"`
	IssuedAt int64          `json:"iat"`
	Events   map[string]any `json:"events"`
}

// MarshalJSON writes the claims of e as they are signed.
func (e Event) MarshalJSON() ([]byte, error) {
	uri, body := e.body()
	if uri == "" {
		return nil, errors.New("event: not exactly one event is set")
	}
	return encode(writtenClaims{e.Issuer, e.Audience, e.ID, e.IssuedAt, map[string]any{uri: body}})
}

// UnmarshalJSON reads the claims of an event and checks all of them but iat,
// which an event that waits for delivery does not have yet.
func (e *Event) UnmarshalJSON(data []byte) error {
	var c eventClaims
	if err := strictjson.Unmarshal(data, &c); err != nil {
		return err
	}
	*e = Event{Issuer: c.Issuer, Audience: c.Audience, ID: c.ID, IssuedAt: c.IssuedAt}
	return e.read(c.Events)
}

// read decodes the one event in events, and checks all claims but iat.
func (e *Event) read(events map[string]json.RawMessage) error {
	if len(events) != 1 {
		return fmt.Errorf("events has %d members, expected one", len(events))
	}
	for uri, raw := range events {
		if err := e.unmarshalBody(uri, raw); err != nil {
			return fmt.Errorf("%s: %w", uri, err)
		}
	}
	return e.check()
}

// unmarshalBody decodes the one event.
func (e *Event) unmarshalBody(uri string, raw []byte) error {
	switch uri {
	case EventTokenIssued:
		e.TokenIssued = &TokenIssued{}
		return strictjson.Fields(raw, e.TokenIssued.field)
	case EventTokenRevoked:
		return decode(raw, &e.TokenRevoked)
	case EventTokensRevoked:
		return decode(raw, &e.TokensRevoked)
	case EventClientDisabled:
		return decode(raw, &e.ClientDisabled)
	case EventClientEnabled:
		return decode(raw, &e.ClientEnabled)
	}
	return errors.New("unknown event")
}

func decode[T any](raw []byte, to **T) error {
	if err := strictjson.Unmarshal(raw, to); err != nil {
		return err
	}
	if *to == nil {
		return errors.New("is null")
	}
	return nil
}

// check checks all claims but iat.
func (e *Event) check() error {
	if uri, body := e.body(); uri == "" {
		return errors.New("not exactly one event is set")
	} else if err := body.check(); err != nil {
		return fmt.Errorf("%s: %w", uri, err)
	}
	audience := CheckResource
	if e.forFederation() {
		audience = checkFederation
	}
	if err := audience(e.Audience); err != nil {
		return fmt.Errorf("aud: %w", err)
	}
	return first(checkIssuer(e.Issuer), checkID("jti", e.ID))
}

// field is where a member goes.
func (t *TokenIssued) field(member string) any {
	switch member {
	case "token_hash":
		return &t.TokenHash
	case "token_type":
		return &t.TokenType
	case "jkt":
		return &t.JKT
	case "client_id":
		return &t.ClientID
	case "scope":
		return &t.Scope
	case "exp":
		return &t.ExpiresAt
	case "grant":
		return &t.Grant
	case "code_jti":
		return &t.CodeJTI
	case "sub":
		return &t.Subject
	case "uses":
		return &t.Uses
	}
	return nil
}

func (t *TokenIssued) check() error {
	switch {
	case t.TokenType != TokenBearer && t.TokenType != TokenDPoP:
		return errors.New("token_type is neither Bearer nor DPoP")
	case (t.TokenType == TokenDPoP) != (t.JKT != ""):
		return errors.New("jkt goes with token_type DPoP, and only with it")
	case t.Uses != "" && t.Uses != UseOnce && t.Uses != UseWindow:
		return errors.New("uses is not known")
	case t.Grant == "" && t.CodeJTI != "":
		return errors.New("code_jti without grant")
	}
	_, scopeErr := ParseScope(t.Scope)
	return first(
		checkDigest("token_hash", t.TokenHash),
		checkOptional("jkt", t.JKT, checkDigest),
		checkClient(t.ClientID),
		scopeErr,
		checkTime("exp", t.ExpiresAt),
		checkOptional("grant", t.Grant, checkID),
		checkOptional("code_jti", t.CodeJTI, checkID),
		checkText("sub", t.Subject, maxNonceBytes),
	)
}

func (t *TokenRevoked) check() error {
	return first(
		checkDigest("token_hash", t.TokenHash),
		checkTime("exp", t.ExpiresAt),
		checkReason(t.Reason),
	)
}

func (t *TokensRevoked) check() error {
	if (t.Grant == "") == (t.ClientID == "") {
		return errors.New("not exactly one of grant and client_id")
	}
	if t.ClientID != "" {
		if err := checkClient(t.ClientID); err != nil {
			return err
		}
	}
	return first(
		checkOptional("grant", t.Grant, checkID),
		checkTime("cutoff", t.Cutoff),
		checkReason(t.Reason),
	)
}

func (c *ClientChange) check() error {
	if len(c.Records) == 0 || len(c.Records) > MaxEventRecords {
		return fmt.Errorf("%d records, expected 1 to %d", len(c.Records), MaxEventRecords)
	}
	for _, r := range c.Records {
		if r == "" || len(r) > registry.MaxRecordBytes {
			return errors.New("a record is empty or too long")
		}
	}
	return checkClient(c.ClientID)
}

func checkOptional(name, s string, check func(name, s string) error) error {
	if s == "" {
		return nil
	}
	return check(name, s)
}

// checkFederation checks a federation id: the CID of the first charter.
func checkFederation(id string) error {
	if err := registry.ParseCID(id); err != nil {
		return fmt.Errorf("federation id: %w", err)
	}
	return nil
}
