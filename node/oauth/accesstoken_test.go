// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/site/protocol"

	"github.com/go-jose/go-jose/v4"
)

// readAccess verifies an access token as a resource server does (RFC 9068,
// section 4), with a library that is not ours.
func (w *world) readAccess(token string) map[string]any {
	w.t.Helper()
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	check(w.t, err)
	if typ := parsed.Signatures[0].Header.ExtraHeaders["typ"]; typ != "at+jwt" {
		w.t.Errorf("typ %v", typ)
	}
	payload, err := parsed.Verify(w.tokenKey.Public())
	check(w.t, err)
	var claims map[string]any
	check(w.t, strictjson.Unmarshal(payload, &claims))
	return claims
}

// TestJWTAccessToken: where the site's metadata ask for them, access tokens are
// JWTs (RFC 9068), and still of the kind that a site is told of.
func TestJWTAccessToken(t *testing.T) {
	w := newWorld(t)
	w.site.meta.AccessTokenFormat = protocol.FormatJWT
	a := w.public().withDPoP()
	access, refresh := tokens(t, a.login(w.site))
	now := float64(w.clock.now().Unix())
	claims := w.readAccess(access)
	for name, value := range map[string]any{
		"iss": w.issuer, "aud": w.site.URL, "client_id": a.id, "scope": "read write", "iat": now, "exp": now + 3600,
	} {
		if claims[name] != value {
			t.Errorf("%s is %v, expected %v", name, claims[name], value)
		}
	}
	if claims["sub"] == "" || claims["sub"] == a.id || claims["jti"] == "" {
		t.Errorf("sub %v, jti %v", claims["sub"], claims["jti"])
	}
	if cnf, _ := claims["cnf"].(map[string]any); cnf["jkt"] != a.jkt() {
		t.Errorf("cnf %v", claims["cnf"])
	}
	if !w.site.accepted(access) || !w.active(w.site, access) {
		t.Error("the site was not told, or the token is not active")
	}
	again, _ := tokens(t, a.refresh(refresh))
	if other := w.readAccess(again); other["jti"] == claims["jti"] {
		t.Error("two tokens have one jti")
	}
	want(t, a.revoke(access), 200, "")
	if w.active(w.site, access) {
		t.Error("a revoked token is active")
	}
}

// TestUntoldJWTIsShort: a site that is told of nothing believes a JWT until it
// expires, so that is not later than a stop may take.
func TestUntoldJWTIsShort(t *testing.T) {
	w := newWorld(t)
	w.site.meta.AccessTokenFormat, w.site.meta.EventsEndpoint = protocol.FormatJWT, ""
	a := w.public()
	answer := a.login(w.site)
	access, _ := tokens(t, answer)
	claims := w.readAccess(access)
	if answer.JSON["expires_in"] != 120.0 || claims["exp"].(float64)-claims["iat"].(float64) != 120 {
		t.Errorf("expires_in %v, claims %v", answer.JSON["expires_in"], claims)
	}
	w.clock.advance(2 * time.Minute)
	if w.active(w.site, access) {
		t.Error("an expired token is active")
	}
}

// TestClientsOwnJWT: a client that acts for itself is the subject.
func TestClientsOwnJWT(t *testing.T) {
	w := newWorld(t)
	w.site.meta.AccessTokenFormat = protocol.FormatJWT
	a := w.keyed(w.issuer)
	access, _ := tokens(t, a.send("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "resource": {w.site.URL}, "scope": {"read"}}))
	if claims := w.readAccess(access); claims["sub"] != a.id || claims["client_id"] != a.id || claims["cnf"] != nil {
		t.Errorf("claims %v", claims)
	}
	if _, err := jws.Parse(access, jws.Rules{Types: []string{protocol.TypeAccessToken}, Algorithms: []jose.SignatureAlgorithm{jose.EdDSA}, MaxBytes: 4 << 10}); err != nil {
		t.Error(err)
	}
}
