// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func TestPinnedGrant(t *testing.T) {
	w := newWorld(t)
	a, thief := w.public().withDPoP(), w.public().withDPoP()
	pin := func(c *protocol.Code) { c.JKT = a.jkt() }
	code, v := a.consent(w.site, pin)

	bare := *a
	bare.dpop = nil
	want(t, bare.redeem(code, v), http.StatusBadRequest, "invalid_dpop_proof")
	wrong := *a
	wrong.dpop = thief.dpop
	want(t, wrong.redeem(code, v), http.StatusBadRequest, "invalid_grant")

	answer := a.redeem(code, v)
	access, refresh := tokens(t, answer)
	if answer.text("token_type") != "DPoP" || answer.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("answer %s, DPoP-Nonce %q", answer.Body, answer.Header.Get("DPoP-Nonce"))
	}
	if issued := w.site.tokens[protocol.TokenHash(access)]; issued.JKT != a.jkt() || issued.TokenType != "DPoP" {
		t.Errorf("the site was told %+v", issued)
	}
	seen := w.post("/oauth/introspect", siteForm(w, w.site, access))
	if cnf, _ := seen.JSON["cnf"].(map[string]any); cnf["jkt"] != a.jkt() || seen.text("token_type") != "DPoP" {
		t.Errorf("introspection %s", seen.Body)
	}

	want(t, bare.refresh(refresh), http.StatusBadRequest, "invalid_dpop_proof")
	want(t, wrong.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	access, _ = tokens(t, a.refresh(refresh))
	if w.site.tokens[protocol.TokenHash(access)].JKT != a.jkt() {
		t.Error("the refreshed token has no key")
	}
}

// A key that the site did not pin binds the grant from its redemption on.
func TestUnpinnedGrantIsBoundToItsFirstKey(t *testing.T) {
	w := newWorld(t)
	a := w.public().withDPoP()
	_, refresh := tokens(t, a.login(w.site))
	bare := *a
	bare.dpop = nil
	want(t, bare.refresh(refresh), http.StatusBadRequest, "invalid_dpop_proof")
	tokens(t, a.refresh(refresh))
}

func TestClientThatAskedForDPoP(t *testing.T) {
	w := newWorld(t)
	a := w.public(func(m *registry.ClientMetadata) { m.DPoPBound = true })
	want(t, a.login(w.site), http.StatusBadRequest, "invalid_dpop_proof")
	tokens(t, a.withDPoP().login(w.site))
}

func TestProofs(t *testing.T) {
	w := newWorld(t)
	a := w.public().withDPoP()
	now := w.clock.now().Unix()
	nonce := w.nonce()
	ec := newEC(t)
	make := func(alg jose.SignatureAlgorithm, key, jwk any, change map[string]any, header map[string]any) string {
		claims := map[string]any{"jti": registry.NewID(), "htm": "POST", "htu": w.issuer + "/oauth/token", "iat": now, "nonce": nonce}
		maps.Copy(claims, change)
		h := map[string]any{"typ": "dpop+jwt"}
		if jwk != nil {
			h["jwk"] = jwk
		}
		maps.Copy(h, header)
		return sign(t, alg, key, claims, h)
	}
	ours := func(change map[string]any) string {
		return make(jose.EdDSA, a.dpop, jose.JSONWebKey{Key: pub(a.dpop)}, change, nil)
	}
	with := func(header map[string]any) string {
		return make(jose.EdDSA, a.dpop, jose.JSONWebKey{Key: pub(a.dpop)}, nil, header)
	}
	good := strings.Split(ours(nil), ".")
	for _, test := range []struct{ name, proof, code string }{
		{"good", ours(nil), ""},
		{"ES256", make(jose.ES256, ec, jose.JSONWebKey{Key: ec.Public()}, nil, nil), ""},
		{"htu with a query and a fragment", ours(map[string]any{"htu": w.issuer + "/oauth/token?a=b#c"}), ""},
		{"htu in upper case", ours(map[string]any{"htu": "HTTP" + w.issuer[4:] + "/oauth/token"}), ""},
		{"with nbf and exp", ours(map[string]any{"nbf": now - 1, "exp": now + 60}), ""},
		{"59 s old", ours(map[string]any{"iat": now - 59}), ""},
		{"59 s ahead", ours(map[string]any{"iat": now + 59}), ""},

		{"no nonce", ours(map[string]any{"nonce": nil}), "use_dpop_nonce"},
		{"another nonce", ours(map[string]any{"nonce": registry.NewID()}), "use_dpop_nonce"},
		{"no jti", ours(map[string]any{"jti": nil}), "invalid_dpop_proof"},
		{"a long jti", ours(map[string]any{"jti": strings.Repeat("x", 257)}), "invalid_dpop_proof"},
		{"htm GET", ours(map[string]any{"htm": "GET"}), "invalid_dpop_proof"},
		{"htm in lower case", ours(map[string]any{"htm": "post"}), "invalid_dpop_proof"},
		{"htu of another endpoint", ours(map[string]any{"htu": w.issuer + "/oauth/revoke"}), "invalid_dpop_proof"},
		{"htu of another broker", ours(map[string]any{"htu": awayIssuer + "/oauth/token"}), "invalid_dpop_proof"},
		{"no htu", ours(map[string]any{"htu": nil}), "invalid_dpop_proof"},
		{"61 s old", ours(map[string]any{"iat": now - 61}), "invalid_dpop_proof"},
		{"61 s ahead", ours(map[string]any{"iat": now + 61}), "invalid_dpop_proof"},
		{"no iat", ours(map[string]any{"iat": nil}), "invalid_dpop_proof"},
		{"typ JWT", with(map[string]any{"typ": "JWT"}), "invalid_dpop_proof"},
		{"kid", with(map[string]any{"jku": "https://evil.example"}), "invalid_dpop_proof"},
		{"no jwk", make(jose.EdDSA, a.dpop, nil, nil, nil), "invalid_dpop_proof"},
		{"private jwk", make(jose.EdDSA, a.dpop, jose.JSONWebKey{Key: a.dpop}, nil, nil), "invalid_dpop_proof"},
		{"another jwk", make(jose.EdDSA, a.dpop, jose.JSONWebKey{Key: ec.Public()}, nil, nil), "invalid_dpop_proof"},
		{"RS256", make(jose.RS256, newRSA(), jose.JSONWebKey{Key: newRSA().Public()}, nil, nil), "invalid_dpop_proof"},
		{"HS256", make(jose.HS256, []byte(secret), jose.JSONWebKey{Key: []byte(secret)}, nil, nil), "invalid_dpop_proof"},
		{"altered", good[0] + "." + good[1] + "." + good[2][:80] + "AAAAAA", "invalid_dpop_proof"},
		{"not a JWS", "proof", "invalid_dpop_proof"},
		{"huge", strings.Repeat("x", 5<<10), "invalid_dpop_proof"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, v := a.consent(w.site)
			form := codeForm(code, v)
			form.Set("client_id", a.id)
			answer := w.post("/oauth/token", form, func(r *http.Request) { r.Header.Set("DPoP", test.proof) })
			if test.code == "" {
				tokens(t, answer)
				return
			}
			want(t, answer, http.StatusBadRequest, test.code)
			if (answer.Header.Get("DPoP-Nonce") != "") != (test.code == "use_dpop_nonce") {
				t.Errorf("DPoP-Nonce %q", answer.Header.Get("DPoP-Nonce"))
			}
			tokens(t, a.redeem(code, v)) // nothing was consumed
		})
	}
}

// A proof works once, and two are none.
func TestProofReplay(t *testing.T) {
	w := newWorld(t)
	a := w.public().withDPoP()
	bare := *a
	bare.dpop = nil
	once := a.proof(nil)
	send := func(edit ...func(*http.Request)) response {
		code, v := a.consent(w.site)
		return bare.send("/oauth/token", codeForm(code, v), edit...)
	}
	want(t, send(once, a.proof(nil)), http.StatusBadRequest, "invalid_dpop_proof")
	tokens(t, send(once))
	want(t, send(once), http.StatusBadRequest, "invalid_dpop_proof")
}

// Nonces are rotated: one is good for two to four minutes.
func TestNonceRotation(t *testing.T) {
	w := newWorld(t)
	a := w.public().withDPoP()
	old := w.nonce()
	w.clock.advance(2 * time.Minute)
	if w.nonce() == old {
		t.Error("the nonce was not rotated")
	}
	code, v := a.consent(w.site)
	bare := *a
	bare.dpop = nil
	tokens(t, bare.send("/oauth/token", codeForm(code, v), a.proof(map[string]any{"nonce": old})))
	w.clock.advance(2 * time.Minute)
	code, v = a.consent(w.site)
	want(t, bare.send("/oauth/token", codeForm(code, v), a.proof(map[string]any{"nonce": old})), http.StatusBadRequest, "use_dpop_nonce")
}
