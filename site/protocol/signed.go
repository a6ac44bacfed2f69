// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// Values of typ (RFC 8725, section 3.11).
const (
	TypeCode      = "comity-code+jwt"
	TypeEvent     = "secevent+jwt"
	TypeBatch     = "secevent-batch+jwt"
	TypeRequest   = "oauth-authz-req+jwt"
	TypeAssertion = "client-authentication+jwt"
)

// envelope is what all signed formats share: the parsed JWS.
type envelope struct {
	message *jws.Message
}

// KeyID is the kid that the header names: the RFC 7638 thumbprint of a key of
// the issuer.
func (e envelope) KeyID() string { return e.message.KeyID }

// open parses token and decodes its payload into claims.
func open(token string, rules jws.Rules, claims any) (envelope, error) {
	m, err := jws.Parse(token, rules)
	if err != nil {
		return envelope{}, err
	}
	if m.KeyID == "" || len(m.KeyID) > maxIDBytes {
		return envelope{}, errors.New("header names no kid")
	}
	switch claims := claims.(type) {
	case *Event:
		err = claims.UnmarshalJSON(m.Payload)
	case *Code:
		err = strictjson.Fields(m.Payload, claims.field)
	default:
		err = strictjson.Unmarshal(m.Payload, claims)
	}
	return envelope{m}, err
}

// verify finds the key that the header names among keys, by kid, and checks
// the signature with it.
func (e envelope) verify(keys map[string]ed25519.PublicKey) error {
	key, ok := keys[e.message.KeyID]
	if !ok {
		return fmt.Errorf("%w %q", ErrUnknownKey, e.message.KeyID)
	}
	if err := e.message.Verify(key); err != nil {
		return registry.ErrSignature
	}
	return nil
}

func rules(max int, types ...string) jws.Rules {
	return jws.Rules{Types: types, Algorithms: jws.EdDSA, MaxBytes: max}
}
