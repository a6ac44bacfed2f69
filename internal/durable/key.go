// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxKeyFile is longer than any key file that CreateKey writes.
const maxKeyFile = 1024

// A key file is one PEM block. Its label says what the key is for, so that a
// file in the wrong place is noticed and secret scanners know it:
//
//	-----BEGIN COMITY RECORD PRIVATE KEY-----
//	(64 bytes: the Ed25519 seed, then the public key)
//	-----END COMITY RECORD PRIVATE KEY-----
//
// The public key is redundant and tells damage from another key.
func label(use string) string {
	return "COMITY " + strings.ToUpper(use) + " PRIVATE KEY"
}

// CreateKey makes an Ed25519 key and stores it in a new file at path. use is
// one word, such as "record", "token" or "peer". The error is os.ErrExist when
// the file exists.
func CreateKey(path, use string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	block := &pem.Block{Type: label(use), Bytes: key}
	if err := CreateSecret(path, pem.EncodeToMemory(block)); err != nil {
		return nil, err
	}
	return key, nil
}

// ReadKey reads a key that CreateKey stored for the same use. The error is
// os.ErrNotExist when there is no file, and ErrUnsafe when there is one that
// must not be used: ReadSecret refuses it, it is damaged, or it holds a key
// for another use.
func ReadKey(path, use string) (ed25519.PrivateKey, error) {
	data, err := ReadSecret(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil || len(rest) != 0 || len(block.Headers) != 0 || len(block.Bytes) != ed25519.PrivateKeySize {
		return nil, damagedKey(path)
	}
	if block.Type != label(use) {
		return nil, fmt.Errorf("%w: %s holds a %q, not a %q; put the right file there, or restore it from a backup",
			ErrUnsafe, path, block.Type, label(use))
	}
	key := ed25519.NewKeyFromSeed(block.Bytes[:ed25519.SeedSize])
	if subtle.ConstantTimeCompare(key, block.Bytes) != 1 {
		return nil, damagedKey(path)
	}
	return key, nil
}

func damagedKey(path string) error {
	return fmt.Errorf("%w: %s is damaged or cut off; restore it from a backup (a new key would be a new identity)", ErrUnsafe, path)
}

// OpenKey reads the key at path, or creates it when there is no file and
// create is set. Without create, a missing file is an error that says so.
func OpenKey(path, use string, create bool) (ed25519.PrivateKey, error) {
	key, err := ReadKey(path, use)
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if !create {
		return nil, fmt.Errorf("%s is missing: restore it from a backup (a new key would be a new identity): %w", path, os.ErrNotExist)
	}
	return CreateKey(path, use)
}
