// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// IDTokens signs ID tokens.
type IDTokens interface {
	// SignIDToken signs claims, as JSON, with RS256, which is what OpenID
	// Connect clients expect that say nothing, or with EdDSA.
	SignIDToken(alg string, claims []byte) (string, error)
	// PublicKeys are the JWKs that verify them, beside the token keys.
	PublicKeys() ([]json.RawMessage, error)
}

// Scopes of this broker itself.
const (
	scopeOpenID  = "openid"
	scopeProfile = "profile"
)

// Signature algorithms of ID tokens.
const (
	algRS256 = "RS256"
	algEdDSA = "EdDSA"
)

// identity is what an ID token says of a login.
type identity struct {
	subject  string
	nonce    string
	authTime int64
}

// idClaims are those of OpenID Connect Core 1.0, section 2.
type idClaims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	AuthTime  int64  `json:"auth_time"`
	Nonce     string `json:"nonce,omitempty"`
	TokenHash string `json:"at_hash"`
}

// idTokenLife is how long an ID token may be presented, in seconds. It says
// what was true when it was made.
const idTokenLife = 300

// idToken makes the ID token for an offer, or nothing.
func (s *Server) idToken(o *offer, access string) (string, error) {
	if o.identity == nil {
		return "", nil
	}
	alg := algRS256
	if string(o.client.Metadata.Extra["id_token_signed_response_alg"]) == `"EdDSA"` {
		alg = algEdDSA
	}
	now := s.now()
	claims, err := json.Marshal(idClaims{
		Issuer: s.cfg.Issuer, Subject: o.identity.subject, Audience: o.client.ID, IssuedAt: now, ExpiresAt: now + idTokenLife,
		AuthTime: o.identity.authTime, Nonce: o.identity.nonce, TokenHash: accessHash(alg, access),
	})
	if err != nil {
		return "", fmt.Errorf("encode ID token: %w", err)
	}
	return s.cfg.IDTokens.SignIDToken(alg, claims)
}

// accessHash is at_hash: the left half of the access token's hash, by the hash
// function that the signature uses (OpenID Connect Core 1.0, section 3.1.3.6).
// Ed25519 uses SHA-512 (RFC 8032, section 5.1).
func accessHash(alg, access string) string {
	sum := sha256.Sum256([]byte(access))
	half := sum[:len(sum)/2]
	if alg == algEdDSA {
		sum := sha512.Sum512([]byte(access))
		half = sum[:len(sum)/2]
	}
	return jws.Base64.EncodeToString(half)
}

// userinfo answers who the person is (OpenID Connect Core 1.0, section 5.3).
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, methodNotAllowed("GET, POST")
	}
	t, err := s.presented(w, r)
	if err != nil {
		return nil, err
	}
	if !protocol.ScopeSubset(scopeOpenID, t.Scope) {
		f := failure("insufficient_scope", "the token is not for the scope openid")
		f.Status, f.bearer = http.StatusForbidden, true
		return nil, f
	}
	person, err := s.cfg.People.Person(r.Context(), t.Grant)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, invalidToken("the person has ended the grant")
	}
	if err != nil {
		return nil, err
	}
	info := map[string]string{"sub": t.Subject}
	if protocol.ScopeSubset(scopeProfile, t.Scope) {
		info["name"], info["preferred_username"] = person.DisplayName, person.Name
	}
	return info, nil
}

// presented returns the token of a request to this broker itself (RFC 6750,
// section 2.1; RFC 9449, section 7).
func (s *Server) presented(w http.ResponseWriter, r *http.Request) (Token, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return Token{}, invalidToken("")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || r.URL.Query().Has("access_token") {
		return Token{}, invalidRequest("send the access token once, in the Authorization header")
	}
	t, err := s.cfg.Store.Token(r.Context(), tokenKey(token))
	if errors.Is(err, registry.ErrNotFound) {
		return t, invalidToken("the token is unknown")
	}
	if err != nil {
		return t, err
	}
	if !strings.EqualFold(scheme, t.Type) || t.Site != s.cfg.Issuer || t.State != TokenReleased || t.ExpiresAt <= s.now() {
		return t, invalidToken("the token is of another kind, for somebody else, expired or revoked")
	}
	if err := s.alive(r.Context(), t.ClientID, t.IssuedAt); errors.Is(err, registry.ErrNotFound) {
		return t, invalidToken("the app was stopped")
	} else if err != nil {
		return t, err
	}
	if t.JKT != "" {
		if err := s.presentedProof(w, r, t, token); err != nil {
			return t, err
		}
	}
	if err := s.use(r.Context(), t); errors.Is(err, registry.ErrNotFound) {
		return t, invalidToken("the token was used as often as it may be")
	} else if err != nil {
		return t, err
	}
	return t, nil
}

// presentedProof checks the proof that comes with a token that is bound to a
// key.
func (s *Server) presentedProof(w http.ResponseWriter, r *http.Request, t Token, token string) error {
	p, err := s.readProof(r, s.paths.userinfo)
	switch {
	case err != nil:
		return err
	case p == nil || p.JKT != t.JKT || p.tokenHash != tokenThumbprint(token):
		return invalidProof("a proof by the token's key, with its ath, is needed")
	}
	w.Header().Set("DPoP-Nonce", s.nonces.current())
	if err := s.claimRecent(r.Context(), p.once); err != nil {
		return invalidProof("jti was used before")
	}
	return nil
}

// tokenThumbprint is ath of RFC 9449, section 4.2.
func tokenThumbprint(token string) string { return protocol.TokenHash(token) }

// openIDMetadata is the document of OpenID Connect Discovery 1.0, section 3.
type openIDMetadata struct {
	metadata
	UserinfoEndpoint string   `json:"userinfo_endpoint"`
	Scopes           []string `json:"scopes_supported"`
	SubjectTypes     []string `json:"subject_types_supported"`
	SigningAlgs      []string `json:"id_token_signing_alg_values_supported"`
	Claims           []string `json:"claims_supported"`
	Prompts          []string `json:"prompt_values_supported"`
}

func (s *Server) newOpenIDMetadata() openIDMetadata {
	return openIDMetadata{
		metadata:         s.metadata,
		UserinfoEndpoint: s.paths.userinfo,
		Scopes:           s.self.ScopesSupported,
		SubjectTypes:     []string{"pairwise"},
		SigningAlgs:      []string{algRS256, algEdDSA},
		Claims:           []string{"iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "at_hash", "name", "preferred_username"},
		Prompts:          []string{"none", "login", "consent"},
	}
}
