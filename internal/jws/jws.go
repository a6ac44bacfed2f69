// SPDX-License-Identifier: Apache-2.0

// Package jws signs and checks JSON Web Signatures in compact form (RFC 7515)
// under the rules of RFC 8725: the caller names the one explicit type and the
// algorithms that it accepts before anything is parsed; keys never come out of
// the message (except for DPoP proofs, which ask for it); base64url is
// canonical; headers hold no member that could change the meaning.
package jws

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/strictjson"
)

// ErrSignature means that the signature does not verify under the given key.
var ErrSignature = errors.New("signature does not verify")

// Base64 is the canonical base64url of JOSE: no padding, no stray trailing bits.
var Base64 = base64.RawURLEncoding.Strict()

// Rules say what Parse accepts.
type Rules struct {
	Types      []string                  // accepted values of typ; "" stands for an absent typ
	Algorithms []jose.SignatureAlgorithm // accepted values of alg
	MaxBytes   int                       // longest accepted token, in characters
	EmbedKey   bool                      // DPoP (RFC 9449, section 4.2): header carries jwk and no kid
	Foreign    bool                      // ignore harmless header members that we do not know (client assertions of other libraries)
}

// EdDSA is the one algorithm of everything that Comity itself signs.
var EdDSA = []jose.SignatureAlgorithm{jose.EdDSA}

// Header is the protected header.
type Header struct {
	Algorithm string
	KeyID     string
	Type      string
	Key       *jose.JSONWebKey // only with Rules.EmbedKey: a valid public key
}

// Message is a parsed compact JWS whose signature is not yet checked.
type Message struct {
	Header
	Payload []byte // decoded; believe nothing of it before Verify

	token string
	rules Rules
}

// Sign makes a compact JWS with Ed25519; the header is exactly alg, kid and typ.
func Sign(key ed25519.PrivateKey, kid, typ string, payload []byte) string {
	input := Base64.EncodeToString(headerJSON(kid, typ)) + "." + Base64.EncodeToString(payload)
	return input + "." + Base64.EncodeToString(ed25519.Sign(key, []byte(input)))
}

// headerJSON needs no escaping: kid is a thumbprint and typ a constant.
func headerJSON(kid, typ string) []byte {
	return fmt.Appendf(nil, `{"alg":"EdDSA","kid":%q,"typ":%q}`, kid, typ)
}

// Parse checks the form of token. It verifies no signature.
func Parse(token string, rules Rules) (*Message, error) {
	if len(token) > rules.MaxBytes {
		return nil, fmt.Errorf("jws: %d characters, at most %d are allowed", len(token), rules.MaxBytes)
	}
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return nil, errors.New("jws: not three parts separated by dots")
	}
	header, err := decode("header", parts[0])
	if err != nil {
		return nil, err
	}
	m := &Message{token: token, rules: rules}
	if m.Header, err = parseHeader(header, rules); err != nil {
		return nil, err
	}
	if m.Payload, err = decode("payload", parts[1]); err != nil {
		return nil, err
	}
	if _, err = decode("signature", parts[2]); err != nil {
		return nil, err
	}
	return m, nil
}

func decode(what, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, fmt.Errorf("jws: %s holds a line break", what)
	}
	b, err := Base64.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("jws: %s is not canonical base64url", what)
	}
	return b, nil
}

// forbidden header members name keys or change how the message is read.
var forbidden = []string{"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "p2c", "p2s"}

func parseHeader(data []byte, rules Rules) (Header, error) {
	var members map[string]strictjson.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return Header{}, fmt.Errorf("jws: header: %w", err)
	}
	var h Header
	for name, raw := range members {
		var err error
		switch {
		case name == "alg":
			err = strictjson.Unmarshal(raw, &h.Algorithm)
		case name == "typ":
			err = strictjson.Unmarshal(raw, &h.Type)
		case name == "kid" && !rules.EmbedKey:
			err = strictjson.Unmarshal(raw, &h.KeyID)
		case name == "jwk" && rules.EmbedKey:
			h.Key, err = parseKey(raw)
		case slices.Contains(forbidden, name) || !rules.Foreign:
			err = errors.New("not allowed here")
		}
		if err != nil {
			return Header{}, fmt.Errorf("jws: header member %q: %w", name, err)
		}
	}
	// An absent typ and an empty one are told apart by the map, not the string.
	if _, present := members["typ"]; present && h.Type == "" {
		return Header{}, errors.New("jws: typ is empty")
	}
	if !slices.Contains(rules.Types, h.Type) {
		return Header{}, fmt.Errorf("jws: typ is %q, expected %q", h.Type, strings.Join(rules.Types, `" or "`))
	}
	if !slices.Contains(rules.Algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
		return Header{}, fmt.Errorf("jws: alg %q is not accepted", h.Algorithm)
	}
	if rules.EmbedKey && h.Key == nil {
		return Header{}, errors.New("jws: header has no jwk")
	}
	return h, nil
}

func parseKey(raw []byte) (*jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if !key.Valid() || !key.IsPublic() {
		return nil, errors.New("not a valid public key")
	}
	return &key, nil
}

// Verify checks the signature with key, a crypto.PublicKey or a public
// *jose.JSONWebKey. The error is ErrSignature.
func (m *Message) Verify(key crypto.PublicKey) error {
	parsed, err := jose.ParseSignedCompact(m.token, m.rules.Algorithms)
	if err != nil {
		return fmt.Errorf("jws: %w", err)
	}
	if pub, ok := key.(ed25519.PublicKey); ok && len(pub) != ed25519.PublicKeySize {
		return ErrSignature
	}
	if _, err := parsed.Verify(key); err != nil {
		return ErrSignature
	}
	return nil
}

// Thumbprint is the RFC 7638 thumbprint (SHA-256, base64url) of an Ed25519 key.
func Thumbprint(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":%q}`, Base64.EncodeToString(pub)))
	return Base64.EncodeToString(sum[:])
}
