// SPDX-License-Identifier: Apache-2.0

package app

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

var b64 = base64.RawURLEncoding

// random returns 256 bits as 43 characters.
func random() string {
	bits := make([]byte, 32)
	rand.Read(bits)
	return b64.EncodeToString(bits)
}

// Challenge is the S256 challenge of a verifier (RFC 7636, section 4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return b64.EncodeToString(sum[:])
}

// SignJWT makes a JWS in compact form with EdDSA; header gets the alg.
func SignJWT(key ed25519.PrivateKey, header, claims map[string]any) string {
	header["alg"] = "EdDSA"
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	input := b64.EncodeToString(h) + "." + b64.EncodeToString(c)
	return input + "." + b64.EncodeToString(ed25519.Sign(key, []byte(input)))
}

// ParseKey reads a private JWK (RFC 8037), as `comity app register --new-key`
// writes it.
func ParseKey(data []byte) (Key, error) {
	var jwk struct {
		KeyID string `json:"kid"`
		Type  string `json:"kty"`
		Curve string `json:"crv"`
		D     string `json:"d"`
	}
	if err := json.Unmarshal(data, &jwk); err != nil {
		return Key{}, err
	}
	seed, err := b64.DecodeString(jwk.D)
	if err != nil || len(seed) != ed25519.SeedSize || jwk.Type != "OKP" || jwk.Curve != "Ed25519" {
		return Key{}, errors.New("not a private Ed25519 JWK")
	}
	return Key{ID: jwk.KeyID, Private: ed25519.NewKeyFromSeed(seed)}, nil
}

// Assertion authenticates the client at the broker (RFC 7523): one audience,
// the issuer as a string.
func (a *App) Assertion(issuer string) string {
	now := time.Now().Unix()
	return SignJWT(a.Key.Private, map[string]any{"kid": a.Key.ID}, map[string]any{
		"iss": a.ClientID, "sub": a.ClientID, "aud": issuer,
		"jti": random(), "iat": now, "exp": now + 50,
	})
}

// Proof makes DPoP proofs (RFC 9449) with one key and remembers the newest
// nonce of each server. Make one by NewProof or ProofWith.
type Proof struct {
	key ed25519.PrivateKey

	mu     sync.Mutex
	nonces map[string]string // by origin
}

// NewProof makes a key.
func NewProof() *Proof {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the system has no randomness
	}
	return ProofWith(key)
}

// ProofWith makes proofs with a key that exists.
func ProofWith(key ed25519.PrivateKey) *Proof {
	return &Proof{key: key, nonces: map[string]string{}}
}

func (p *Proof) jwk() map[string]any {
	return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(p.key.Public().(ed25519.PublicKey))}
}

// Thumbprint is what tokens are pinned to (RFC 7638).
func (p *Proof) Thumbprint() string {
	jwk, _ := json.Marshal(p.jwk()) // maps are written in the order of RFC 7638
	sum := sha256.Sum256(jwk)
	return b64.EncodeToString(sum[:])
}

// Make makes a proof for one request. token is empty at a token endpoint.
func (p *Proof) Make(method, target, token string) string {
	claims := map[string]any{"jti": random(), "htm": method, "htu": withoutQuery(target), "iat": time.Now().Unix()}
	if token != "" {
		claims["ath"] = Challenge(token)
	}
	p.mu.Lock()
	if nonce := p.nonces[origin(target)]; nonce != "" {
		claims["nonce"] = nonce
	}
	p.mu.Unlock()
	return SignJWT(p.key, map[string]any{"typ": "dpop+jwt", "jwk": p.jwk()}, claims)
}

// learn keeps a nonce that the server of target gave and reports whether it
// is a new one.
func (p *Proof) learn(target, nonce string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if nonce == "" || p.nonces[origin(target)] == nonce {
		return false
	}
	p.nonces[origin(target)] = nonce
	return true
}
