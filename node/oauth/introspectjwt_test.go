// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestSignedIntrospection: an answer that the caller can show to others (RFC
// 9701).
func TestSignedIntrospection(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	access, _ := tokens(t, a.login(w.site))
	signed := func(accept string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Accept", accept) }
	}
	read := func(answer response, audience string) map[string]any {
		t.Helper()
		if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != "application/token-introspection+jwt" {
			t.Fatalf("%d %s %s", answer.Status, answer.Header.Get("Content-Type"), answer.Body)
		}
		parsed, err := jose.ParseSignedCompact(answer.Body, []jose.SignatureAlgorithm{jose.EdDSA})
		check(t, err)
		payload, err := parsed.Verify(w.tokenKey.Public())
		check(t, err)
		var claims struct {
			Issuer   string         `json:"iss"`
			Audience string         `json:"aud"`
			IssuedAt int64          `json:"iat"`
			Answer   map[string]any `json:"token_introspection"`
		}
		check(t, json.Unmarshal(payload, &claims))
		if parsed.Signatures[0].Header.ExtraHeaders["typ"] != "token-introspection+jwt" || claims.Issuer != w.issuer ||
			claims.Audience != audience || claims.IssuedAt != w.clock.now().Unix() {
			t.Errorf("%s", payload)
		}
		return claims.Answer
	}
	const media = "application/token-introspection+jwt"
	if answer := read(w.post("/oauth/introspect", siteForm(w, w.site, access), signed(media)), w.site.URL); answer["active"] != true || answer["client_id"] != a.id {
		t.Errorf("to the site: %v", answer)
	}
	own := url.Values{"token": {access}, "client_id": {a.id}}
	if answer := read(w.post("/oauth/introspect", own, signed("application/json;q=0.5, "+media)), a.id); answer["active"] != true {
		t.Errorf("to the client: %v", answer)
	}
	unknown := url.Values{"token": {"nothing"}, "client_id": {a.id}}
	if answer := read(w.post("/oauth/introspect", unknown, signed(media)), a.id); answer["active"] != false || len(answer) != 1 {
		t.Errorf("about a token that does not exist: %v", answer)
	}
	if plain := w.post("/oauth/introspect", own, signed("application/json")); plain.JSON["active"] != true {
		t.Errorf("%d %s", plain.Status, plain.Body)
	}
}
