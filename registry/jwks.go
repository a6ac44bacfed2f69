// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
)

// JWKSet is the key set of a client (RFC 7517): Ed25519, P-256 or RSA keys of
// 2048 bits and more. Keys are kept as they were given.
type JWKSet struct {
	Keys []json.RawMessage `json:"keys"`
}

// PublicKeys returns the checked keys of the set.
func (s *JWKSet) PublicKeys() ([]jose.JSONWebKey, error) {
	switch n := len(s.Keys); {
	case n == 0:
		return nil, wrong(classEmpty, "jwks", "jwks has no keys: add at least one public key")
	case n > MaxKeys:
		return nil, wrong(classLimit, "jwks", "jwks has %d keys, at most %d are allowed: drop retired ones", n, MaxKeys)
	}
	keys := make([]jose.JSONWebKey, len(s.Keys))
	var seen []string
	for i, raw := range s.Keys {
		if err := parseClientKey(raw, &keys[i]); err != nil {
			return nil, relabel(err, "jwks")
		}
		if id := keys[i].KeyID; id != "" {
			if slices.Contains(seen, id) {
				return nil, wrong(classValue, "jwks", "jwks has two keys with the kid %.60q: give each its own", id)
			}
			seen = append(seen, id)
		}
	}
	return keys, nil
}

func parseClientKey(raw []byte, key *jose.JSONWebKey) error {
	members, err := strictjson.Object(raw, jwkLimits)
	if err != nil {
		return lower(err)
	}
	if err := refusePrivate(members); err != nil {
		return err
	}
	for _, m := range members {
		if err := checkKeyMember(m); err != nil {
			return err
		}
	}
	if err := key.UnmarshalJSON(raw); err != nil || !key.Valid() || !key.IsPublic() {
		return wrong(classValue, "jwks", "a key is not a valid public JWK of type OKP, EC or RSA")
	}
	switch pub := key.Key.(type) {
	case ed25519.PublicKey:
		if err := checkPoint(pub); err != nil {
			return err
		}
		return checkAlg(key, "EdDSA")
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return wrong(classValue, "jwks", "an EC key is not on P-256, the one curve that is served: make another key")
		}
		return checkAlg(key, "ES256")
	case *rsa.PublicKey:
		return checkRSA(key, pub)
	}
	return wrong(classValue, "jwks", "a key is of a type that is not served: use Ed25519, P-256 or RSA")
}

// checkKeyMember wants one spelling of each number, and no pointers to keys
// elsewhere.
func checkKeyMember(m strictjson.Member) error {
	switch m.Name {
	case "x", "y", "n", "e":
		var s string
		if err := strictjson.Unmarshal(m.Value, &s); err != nil {
			return wrong(classType, "jwks", "member %s of a key is not a string", m.Name)
		}
		if b, ok := jws.Decode(s); !ok || len(b) == 0 || (m.Name == "n" || m.Name == "e") && b[0] == 0 {
			return wrong(classValue, "jwks", "member %s of a key is not in canonical base64url", m.Name)
		} else if len(b) > MaxRSABits/8 {
			return wrong(classLimit, "jwks", "an RSA key has more than %d bits: make another key", MaxRSABits)
		}
	case "x5u", "x5c":
		return wrong(classUnwanted, "jwks", "a key has a certificate in %s: give the bare public key", m.Name)
	}
	return nil
}

func checkAlg(key *jose.JSONWebKey, algs ...string) error {
	if key.Use != "" && key.Use != "sig" {
		return wrong(classValue, "jwks", "a key has use %.20q: keys that authenticate have use sig, or none", key.Use)
	}
	if key.Algorithm != "" && !slices.Contains(algs, key.Algorithm) {
		return wrong(classValue, "jwks", "a key has alg %.20q, which does not fit its type: use %s, or leave it out", key.Algorithm, algs[0])
	}
	return nil
}

// checkRSA wants a long odd modulus and the exponents of FIPS 186-5: below
// 65537 old attacks work, and with 1 everything verifies.
func checkRSA(key *jose.JSONWebKey, pub *rsa.PublicKey) error {
	bits := pub.N.BitLen()
	switch {
	case bits < MinRSABits:
		return wrong(classValue, "jwks", "an RSA key has %d bits, at least %d are needed: make another key", bits, MinRSABits)
	case pub.E < 65537 || pub.E&1 == 0 || int64(pub.E) > 1<<31-1:
		return wrong(classValue, "jwks", "an RSA key has the exponent %d: use 65537", pub.E)
	case pub.N.Bit(0) == 0:
		return wrong(classValue, "jwks", "an RSA key has an even modulus: make another key")
	}
	return checkAlg(key, "RS256", "PS256", "RS384", "PS384", "RS512", "PS512")
}
