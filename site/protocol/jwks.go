// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// ParseJWKS reads the Ed25519 signing keys of a JWK set (RFC 7517), by kid,
// which is the RFC 7638 thumbprint. Keys of other types or other uses are
// ignored; a bad Ed25519 key, a private key, a key given twice and a set
// without a usable key are errors, which wrap registry.ErrForm.
func ParseJWKS(data []byte) (map[string]ed25519.PublicKey, error) {
	keys, err := parseJWKS(data)
	if err != nil {
		return nil, malformed("jwks", err)
	}
	return keys, nil
}

func parseJWKS(data []byte) (map[string]ed25519.PublicKey, error) {
	if len(data) > MaxMetadataBytes {
		return nil, fmt.Errorf("more than %d bytes", MaxMetadataBytes)
	}
	var set struct {
		Keys []strictjson.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(data, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > registry.MaxKeys {
		return nil, fmt.Errorf("%d keys, at most %d are allowed", len(set.Keys), registry.MaxKeys)
	}
	keys := make(map[string]ed25519.PublicKey, len(set.Keys))
	for i, raw := range set.Keys {
		kid, pub, err := parseKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if _, twice := keys[kid]; twice {
			return nil, fmt.Errorf("key %d is there twice", i)
		}
		if pub != nil {
			keys[kid] = pub
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no Ed25519 key (kty OKP, crv Ed25519) for signatures")
	}
	return keys, nil
}

// parseKey returns nil and no error for a key that is not for us.
func parseKey(raw []byte) (string, ed25519.PublicKey, error) {
	var key registry.JWK // refuses private keys
	if err := strictjson.Unmarshal(raw, &key); err != nil {
		return "", nil, err
	}
	if key.KeyType != "OKP" || key.Curve != "Ed25519" || key.Use != "" && key.Use != "sig" {
		return "", nil, nil
	}
	pub, err := key.PublicKey()
	if err != nil {
		return "", nil, err
	}
	return registry.Thumbprint(pub), pub, nil
}
