// SPDX-License-Identifier: Apache-2.0

// Package seal lets a browser carry a value that it cannot alter: base64url of
// JSON, a dot, and base64url of an HMAC-SHA-256 over the purpose and the first
// part. What is in it is not secret.
//
// It trusts whoever holds the key, and nobody else.
package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
)

// ErrSeal refuses a value that was not sealed with this key for this purpose.
var ErrSeal = errors.New("not made here, or altered")

// Key seals and opens. It has 32 random bytes.
type Key []byte

// MAC authenticates payload for one purpose.
func (k Key) MAC(purpose, payload string) []byte {
	h := hmac.New(sha256.New, k)
	h.Write([]byte(purpose + "\x00" + payload))
	return h.Sum(nil)
}

// Seal makes the string. v is a plain struct of strings and numbers.
func (k Key) Seal(purpose string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // no such struct
	}
	payload := jws.Base64.EncodeToString(data)
	return payload + "." + jws.Base64.EncodeToString(k.MAC(purpose, payload))
}

// Open reads such a string into v. The error is ErrSeal, or of the JSON.
func (k Key) Open(purpose, sealed string, v any) error {
	payload, tag, ok := strings.Cut(sealed, ".")
	if !ok {
		return ErrSeal
	}
	given, err := jws.Base64.DecodeString(tag)
	if err != nil || !hmac.Equal(given, k.MAC(purpose, payload)) {
		return ErrSeal
	}
	data, err := jws.Base64.DecodeString(payload)
	if err != nil {
		return ErrSeal
	}
	return strictjson.Unmarshal(data, v)
}
