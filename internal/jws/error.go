// SPDX-License-Identifier: Apache-2.0

package jws

import (
	"errors"
	"fmt"
)

// ErrSignature means that the signature does not verify under the given key.
var ErrSignature = errors.New("signature does not verify")

// Reason is a stable word for why a message is refused. Test vectors name it.
type Reason string

// The reasons; those of strictjson come on top for a header that is not JSON.
const (
	Size          Reason = "size"    // longer than Rules.MaxBytes
	Parts         Reason = "parts"   // not three parts: a JWE has five, JSON forms have none
	NotBase64     Reason = "base64"  // padding, foreign characters or stray bits
	Typ           Reason = "typ"     // not one of Rules.Types
	Alg           Reason = "alg"     // not one of Rules.Algorithms
	InHeader      Reason = "header"  // a header member that has no place there, or has the wrong type
	EmbeddedKey   Reason = "jwk"     // Rules.EmbedKey, and the key is missing or unusable
	SignatureSize Reason = "sigsize" // EdDSA signatures have 64 bytes
)

// Error says why a message is refused before its signature is looked at.
type Error struct {
	Reason Reason
	text   string
}

func (e *Error) Error() string { return "jws: " + e.text }

// Slug returns the reason.
func (e *Error) Slug() string { return string(e.Reason) }

func refuse(r Reason, format string, args ...any) error {
	return &Error{Reason: r, text: fmt.Sprintf(format, args...)}
}
