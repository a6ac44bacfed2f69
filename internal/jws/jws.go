// SPDX-License-Identifier: Apache-2.0

// Package jws signs and checks JSON Web Signatures in compact form (RFC 7515)
// under the rules of RFC 8725. The caller names the one explicit type and the
// algorithms that it accepts before anything is parsed. What is refused, is
// refused before any cryptography and before the payload is decoded:
//
//   - more characters than the caller allows, or not exactly three parts (so a
//     JWE never gets further);
//   - base64url with padding, line breaks or stray trailing bits, which would
//     give one message several spellings;
//   - a header that is not strict JSON (package strictjson), holds a member
//     that names a key or changes how the message is read (jwk, jku, x5c, crit,
//     b64, zip, enc, p2c …), or, unless Rules.Foreign is set, any member but
//     alg, kid and typ;
//   - first of all header members typ, then alg, unless the caller listed them.
//
// Keys never come out of the message, except for DPoP proofs, which ask for it
// (Rules.EmbedKey). A message of ours looks like this before it is encoded:
//
//	{"alg":"EdDSA","kid":"<RFC 7638 thumbprint>","typ":"comity-view+jwt"}
//	. <payload> . <64 bytes of Ed25519 over the first two parts and their dot>
package jws

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Base64 is the canonical base64url of JOSE: no padding, no stray trailing
// bits. It skips line breaks; Decode does not.
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

// Message is a parsed compact JWS whose signature is not yet checked.
type Message struct {
	Header
	Payload []byte // decoded; believe nothing of it before Verify

	token     string
	signature []byte
	rules     Rules
}

// Sign makes a compact JWS with Ed25519; the header is exactly alg, kid and typ.
func Sign(key ed25519.PrivateKey, kid, typ string, payload []byte) string {
	header := headerJSON(kid, typ)
	token := make([]byte, 0, Base64.EncodedLen(len(header))+Base64.EncodedLen(len(payload))+Base64.EncodedLen(ed25519.SignatureSize)+2)
	token = Base64.AppendEncode(token, header)
	token = append(token, '.')
	token = Base64.AppendEncode(token, payload)
	signature := ed25519.Sign(key, token)
	token = append(token, '.')
	return string(Base64.AppendEncode(token, signature))
}

// headerJSON needs no escaping: kid is a thumbprint and typ a constant.
func headerJSON(kid, typ string) []byte {
	return []byte(`{"alg":"EdDSA","kid":` + strconv.Quote(kid) + `,"typ":` + strconv.Quote(typ) + `}`)
}

// Parse checks the form of token. It verifies no signature. The error is an
// *Error or a *strictjson.Error.
func Parse(token string, rules Rules) (*Message, error) {
	if len(token) > rules.MaxBytes {
		return nil, refuse(Size, "%d characters, at most %d are allowed", len(token), rules.MaxBytes)
	}
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return nil, refuse(Parts, "not three parts separated by dots")
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
	if m.signature, err = decode("signature", parts[2]); err != nil {
		return nil, err
	}
	if m.Algorithm == string(jose.EdDSA) && len(m.signature) != ed25519.SignatureSize {
		return nil, refuse(SignatureSize, "signature has %d bytes, EdDSA has %d", len(m.signature), ed25519.SignatureSize)
	}
	return m, nil
}

func decode(what, s string) ([]byte, error) {
	b, ok := Decode(s)
	if !ok {
		return nil, refuse(NotBase64, "%s is not canonical base64url", what)
	}
	return b, nil
}

// Decode decodes canonical base64url: the one spelling that Base64 encodes to.
func Decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, false
	}
	b, err := Base64.DecodeString(s)
	return b, err == nil
}

// Verify checks the signature with key, a crypto.PublicKey or a public
// *jose.JSONWebKey. The error is ErrSignature.
func (m *Message) Verify(key crypto.PublicKey) error {
	if pub, ok := key.(ed25519.PublicKey); ok {
		return m.verifyEd25519(pub)
	}
	parsed, err := jose.ParseSignedCompact(m.token, m.rules.Algorithms)
	if err != nil {
		return fmt.Errorf("jws: %w", err)
	}
	if _, err := parsed.Verify(key); err != nil {
		return ErrSignature
	}
	return nil
}

// verifyEd25519 is what every record takes, so it does not parse the message a
// second time. crypto/ed25519 refuses signatures whose S is not reduced
// (RFC 8032, section 5.1.7), so a valid one has no second form (fault 47).
func (m *Message) verifyEd25519(pub ed25519.PublicKey) error {
	input := m.token[:strings.LastIndexByte(m.token, '.')]
	if m.Algorithm != string(jose.EdDSA) || len(pub) != ed25519.PublicKeySize ||
		!ed25519.Verify(pub, []byte(input), m.signature) {
		return ErrSignature
	}
	return nil
}

// Thumbprint is the RFC 7638 thumbprint (SHA-256, base64url) of an Ed25519 key.
func Thumbprint(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":%q}`, Base64.EncodeToString(pub)))
	return Base64.EncodeToString(sum[:])
}
