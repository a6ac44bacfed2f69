// SPDX-License-Identifier: Apache-2.0

// Package vault encrypts, for the database, the few secrets that a broker must
// know in clear: AES-256-GCM with a random nonce, under a key that HKDF-SHA-256
// derives from a seed in a file of its own. What is sealed is bound to its
// place: under another name it does not open.
//
//	sealed = base64url(nonce ‖ ciphertext ‖ tag), 28 bytes longer than the secret
//
// Whoever has the database alone learns how long the secrets are, and which of
// them are old copies of each other. Whoever has the key file as well has the
// secrets. A row that is put back to an older one is not noticed.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/jws"
)

// ErrSealed: it was not sealed with this key under this name, or was altered.
var ErrSealed = errors.New("cannot be decrypted: it belongs to another key, or was altered")

// Vault seals and opens. It is safe for concurrent use.
type Vault struct{ aead cipher.AEAD }

// New makes a vault from a seed of at least 32 random bytes.
func New(seed []byte) (*Vault, error) {
	if len(seed) < 32 {
		return nil, fmt.Errorf("a seed of %d bytes is too short, 32 are needed", len(seed))
	}
	key, err := hkdf.Key(sha256.New, seed, nil, "comity vault", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Vault{aead}, nil
}

// Seal encrypts a secret for the place with that name.
func (v *Vault) Seal(name, secret string) string {
	return jws.Base64.EncodeToString(v.aead.Seal(nil, nil, []byte(secret), []byte(name)))
}

// Open decrypts what was sealed under that name. The error is ErrSealed.
func (v *Vault) Open(name, sealed string) (string, error) {
	raw, err := jws.Base64.DecodeString(sealed)
	if err != nil {
		return "", ErrSealed
	}
	secret, err := v.aead.Open(nil, nil, raw, []byte(name))
	if err != nil {
		return "", ErrSealed
	}
	return string(secret), nil
}
