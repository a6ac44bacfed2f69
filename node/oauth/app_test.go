// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const (
	redirectURI   = "https://app.example/cb"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	secret        = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"
)

var allGrants = []string{"authorization_code", "refresh_token", "client_credentials"}

// metadata of a client; change may alter them.
func metadata(method string, change ...func(*registry.ClientMetadata)) registry.ClientMetadata {
	m := registry.ClientMetadata{
		Name: "App", RedirectURIs: []string{redirectURI}, GrantTypes: allGrants, AuthMethod: method,
	}
	switch method {
	case registry.AuthNone:
		m.GrantTypes = allGrants[:2]
	case registry.AuthSecretBasic, registry.AuthSecretPost:
		m.SecretHash = protocol.TokenHash(secret)
	}
	for _, f := range change {
		f(&m)
	}
	return m
}

// app is a client of the broker, as a program.
type app struct {
	w    *world
	id   string
	key  any // of private_key_jwt, nil otherwise
	alg  jose.SignatureAlgorithm
	dpop ed25519.PrivateKey
}

func (w *world) public(change ...func(*registry.ClientMetadata)) *app {
	return &app{w: w, id: w.ledger.register(w.issuer, metadata(registry.AuthNone, change...))}
}

// keyed is a client with private_key_jwt, registered at home.
func (w *world) keyed(home string, change ...func(*registry.ClientMetadata)) *app {
	_, key, err := ed25519.GenerateKey(nil)
	check(w.t, err)
	return w.keyedWith(home, key, jose.EdDSA, change...)
}

func (w *world) keyedWith(home string, key crypto.Signer, alg jose.SignatureAlgorithm, change ...func(*registry.ClientMetadata)) *app {
	jwk, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: "k1"})
	check(w.t, err)
	m := metadata(registry.AuthPrivateKeyJWT, change...)
	m.Keys = &registry.JWKSet{Keys: []json.RawMessage{jwk}}
	return &app{w: w, id: w.ledger.register(home, m), key: key, alg: alg}
}

var (
	rsaOnce sync.Once
	rsaKey  *rsa.PrivateKey
)

// newRSA makes one RSA key for all tests.
func newRSA() *rsa.PrivateKey {
	rsaOnce.Do(func() { rsaKey, _ = rsa.GenerateKey(rand.Reader, 2048) })
	return rsaKey
}

func newEC(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return k
}

// claims are the claims of a good assertion.
func (a *app) claims() map[string]any {
	now := a.w.clock.now().Unix()
	return map[string]any{
		"iss": a.id, "sub": a.id, "aud": a.w.issuer, "iat": now, "exp": now + 60, "jti": registry.NewID(),
	}
}

// assertion signs a client assertion; change alters its claims.
func (a *app) assertion(change map[string]any) string {
	claims := a.claims()
	maps.Copy(claims, change)
	return sign(a.w.t, a.alg, a.key, claims, map[string]any{"kid": "k1"})
}

// sign makes a JWS with any header, as a foreign library does. A nil claim is
// left out.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, claims, header map[string]any) string {
	t.Helper()
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	options := &jose.SignerOptions{}
	for name, v := range header {
		options.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	check(t, err)
	payload, err := json.Marshal(claims)
	check(t, err)
	signed, err := signer.Sign(payload)
	check(t, err)
	token, err := signed.CompactSerialize()
	check(t, err)
	return token
}

// send adds the client's authentication to a form and posts it.
func (a *app) send(path string, form url.Values, edit ...func(*http.Request)) response {
	a.w.t.Helper()
	if a.key != nil {
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", a.assertion(nil))
	} else if !form.Has("client_id") {
		form.Set("client_id", a.id)
	}
	if a.dpop != nil {
		edit = append(edit, a.proof(nil))
	}
	return a.w.post(path, form, edit...)
}

func basic(id, secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

// login lets the user consent at the site and redeems the code.
func (a *app) login(s *testSite, change ...func(*protocol.Code)) response {
	a.w.t.Helper()
	code, verifier := a.consent(s, change...)
	return a.redeem(code, verifier)
}

// consent returns a code and the verifier for it.
func (a *app) consent(s *testSite, change ...func(*protocol.Code)) (code, verifier string) {
	a.w.t.Helper()
	verifier = newVerifier()
	return s.code(a.w.issuer, a.id, verifier, func(c *protocol.Code) {
		for _, f := range change {
			f(c)
		}
	}), verifier
}

func codeForm(code, verifier string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirectURI},
	}
}

func (a *app) redeem(code, verifier string) response {
	a.w.t.Helper()
	return a.send("/oauth/token", codeForm(code, verifier))
}

func (a *app) refresh(token string) response {
	a.w.t.Helper()
	return a.send("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// introspect asks as the client.
func (a *app) introspect(token string) response {
	a.w.t.Helper()
	return a.send("/oauth/introspect", url.Values{"token": {token}})
}

func (a *app) revoke(token string) response {
	a.w.t.Helper()
	return a.send("/oauth/revoke", url.Values{"token": {token}})
}

func newVerifier() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// withDPoP gives the app a DPoP key.
func (a *app) withDPoP() *app {
	var err error
	_, a.dpop, err = ed25519.GenerateKey(nil)
	check(a.w.t, err)
	return a
}

func (a *app) jkt() string { return registry.Thumbprint(pub(a.dpop)) }

// nonce asks the broker for a DPoP nonce, as its answer to a proof without.
func (w *world) nonce() string {
	w.t.Helper()
	a := w.public().withDPoP()
	answer := w.post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {a.id}},
		a.proof(map[string]any{"nonce": nil}))
	want(w.t, answer, http.StatusBadRequest, "use_dpop_nonce")
	nonce := answer.Header.Get("DPoP-Nonce")
	if nonce == "" {
		w.t.Fatal("use_dpop_nonce without DPoP-Nonce")
	}
	return nonce
}

// proof adds a DPoP proof; change alters its claims.
func (a *app) proof(change map[string]any) func(*http.Request) {
	a.w.t.Helper()
	claims := map[string]any{
		"jti": registry.NewID(), "htm": "POST", "htu": a.w.issuer + "/oauth/token", "iat": a.w.clock.now().Unix(),
	}
	if _, given := change["nonce"]; !given {
		claims["nonce"] = a.w.nonce()
	}
	maps.Copy(claims, change)
	token := sign(a.w.t, jose.EdDSA, a.dpop, claims, map[string]any{
		"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: pub(a.dpop)},
	})
	return func(r *http.Request) { r.Header.Add("DPoP", token) }
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func b64std(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
