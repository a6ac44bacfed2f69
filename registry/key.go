// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
)

// JWK is an Ed25519 public key as RFC 8037 writes it.
type JWK struct {
	KeyType string `json:"kty"` // OKP
	Curve   string `json:"crv"` // Ed25519
	X       string `json:"x"`
	KeyID   string `json:"kid,omitempty"` // the RFC 7638 thumbprint
	Use     string `json:"use,omitempty"`
	Alg     string `json:"alg,omitempty"`
}

// UnmarshalJSON refuses a JWK that holds private members, so that a private
// key that is pasted by mistake is not published. Other members that are not
// known are ignored, as RFC 7517 section 4 says.
func (j *JWK) UnmarshalJSON(data []byte) error {
	members, err := strictjson.Object(data, jwkLimits)
	if err != nil {
		return lower(err)
	}
	if err := refusePrivate(members); err != nil {
		return err
	}
	type plain JWK
	var p plain
	if err := strictjson.Unmarshal(data, &p); err != nil {
		return err
	}
	*j = JWK(p)
	return nil
}

// jwkLimits leave room for members that others put into a JWK.
var jwkLimits = strictjson.Limits{Values: 64, Members: 32}

// privateNames are the private members of all key types (RFC 7518 section 6,
// RFC 8037 section 2).
var privateNames = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

func refusePrivate(members []strictjson.Member) error {
	for _, m := range members {
		if slices.Contains(privateNames, m.Name) {
			return wrong(classUnwanted, m.Name, "a JWK holds the private member %s: publish the public key only, and replace this one", m.Name)
		}
	}
	return nil
}

// SigningKey is a record key or a token key.
type SigningKey struct {
	private ed25519.PrivateKey
	id      string
}

// NewSigningKey wraps a private key. It panics when the key has another
// length than ed25519.PrivateKeySize.
func NewSigningKey(private ed25519.PrivateKey) SigningKey {
	if len(private) != ed25519.PrivateKeySize {
		panic("registry: not an Ed25519 private key")
	}
	return SigningKey{private: private, id: Thumbprint(private.Public().(ed25519.PublicKey))}
}

// GenerateSigningKey makes a new key from the system's randomness.
func GenerateSigningKey() SigningKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand never fails since Go 1.24
	}
	return NewSigningKey(private)
}

// ID returns the thumbprint, which is the kid of what the key signs.
func (k SigningKey) ID() string { return k.id }

// Public returns the public half.
func (k SigningKey) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Private returns the private half, for writing it to its file.
func (k SigningKey) Private() ed25519.PrivateKey { return k.private }

// JWK returns the public half as a JWK.
func (k SigningKey) JWK() JWK { return NewJWK(k.Public()) }

// Sign returns a compact JWS of payload with the given explicit type.
func (k SigningKey) Sign(typ string, payload []byte) string {
	return jws.Sign(k.private, k.id, typ, payload)
}

// String returns the thumbprint.
func (k SigningKey) String() string { return k.id }

// Format prints the thumbprint whatever the verb is, so that a key that is
// printed by mistake shows nothing secret.
func (k SigningKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.id) }

// NewJWK returns the JWK of an Ed25519 public key, kid included.
func NewJWK(pub ed25519.PublicKey) JWK {
	return JWK{KeyType: "OKP", Curve: "Ed25519", X: jws.Base64.EncodeToString(pub), KeyID: Thumbprint(pub)}
}

// Thumbprint returns the RFC 7638 thumbprint of an Ed25519 public key: SHA-256
// over {"crv":"Ed25519","kty":"OKP","x":"…"}, base64url.
func Thumbprint(pub ed25519.PublicKey) string { return jws.Thumbprint(pub) }

// NewID returns a new jti: 128 random bits, base64url.
func NewID() string {
	var b [IDBytes]byte
	rand.Read(b[:])
	return jws.Base64.EncodeToString(b[:])
}

// OrderedID returns a new name that is ordered by time: 48 bits of milliseconds
// since 1970 and 80 random ones, as 32 hexadecimal digits. What is stored under
// such names is written side by side, here and elsewhere: with random ones each
// row costs a page of its own at every commit. Nothing may rest on its being
// secret.
func OrderedID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:])
	return hex.EncodeToString(b[:])
}

// PublicKey returns the key, after checking it: kty OKP, crv Ed25519, x the
// canonical encoding of a point on the curve that is not of small order, kid
// (when present) the thumbprint, use and alg (when present) "sig" and "EdDSA".
// A signature under a key of small order is valid for many messages at once
// (fault 47).
func (j JWK) PublicKey() (ed25519.PublicKey, error) {
	switch {
	case j.KeyType != "OKP":
		return nil, wrong(classValue, "kty", "kty is %.20q: only OKP keys (RFC 8037) sign here", j.KeyType)
	case j.Curve != "Ed25519":
		return nil, wrong(classValue, "crv", "crv is %.20q: only Ed25519 keys sign here", j.Curve)
	case j.Use != "" && j.Use != "sig":
		return nil, wrong(classValue, "use", "use is %.20q: a key that signs has use sig, or none", j.Use)
	case j.Alg != "" && j.Alg != "EdDSA":
		return nil, wrong(classValue, "alg", "alg is %.20q: an Ed25519 key has alg EdDSA, or none", j.Alg)
	}
	pub, ok := jws.Decode(j.X)
	if !ok || len(pub) != ed25519.PublicKeySize {
		return nil, wrong(classValue, "x", "x is not 32 bytes in canonical base64url")
	}
	if err := checkPoint(pub); err != nil {
		return nil, err
	}
	if j.KeyID != "" && j.KeyID != Thumbprint(pub) {
		return nil, wrong(classKid, "", "kid is not the RFC 7638 thumbprint of the key, which is %s", Thumbprint(pub))
	}
	return pub, nil
}
