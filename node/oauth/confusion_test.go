// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// TestFault22SubjectOfAnother: a person whose name is a client_id, and a client
// whose id somebody would like to be, are told apart: ids of clients are hashes,
// subjects of people are keyed hashes, and a token of a client has no subject.
func TestFault22SubjectOfAnother(t *testing.T) {
	w, p := newPeopled(t, optedIn)
	a := w.public(withPassword)
	_, err := p.Add(context.Background(), accounts.Draft{Name: a.id, Password: password})
	check(t, err)
	answer := a.logIn(a.id, password)
	access, _ := tokens(t, answer)
	if sub := w.idClaims(answer.text("id_token"), jose.RS256)["sub"]; sub == a.id || sub == "" {
		t.Errorf("the person's subject is %v", sub)
	}
	if sub := w.userinfo(access).text("sub"); sub == a.id {
		t.Errorf("and at userinfo %v", sub)
	}
	machine := w.keyed(w.issuer)
	own, _ := tokens(t, machine.send("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "resource": {w.site.URL}, "scope": {"read"}}))
	if told := w.site.tokens[protocol.TokenHash(own)]; told.Subject != "" {
		t.Errorf("a token of a client speaks of %q", told.Subject)
	}
	want(t, w.userinfo(own), http.StatusUnauthorized, "invalid_token")
}

// TestFault22TokenOfAnotherKind: what is signed for one purpose is good for no
// other, whoever signed it.
func TestFault22TokenOfAnotherKind(t *testing.T) {
	w, _ := newPeopled(t)
	w.site.meta.AccessTokenFormat = protocol.FormatJWT
	eddsa := func(m *registry.ClientMetadata) {
		m.Extra = map[string]json.RawMessage{"id_token_signed_response_alg": json.RawMessage(`"EdDSA"`)}
	}
	a := w.public(eddsa)
	verifier := newVerifier()
	idToken := a.redeem(a.allow(w.browser(), "ada", verifier).Get("code"), verifier).text("id_token")
	accessJWT, _ := tokens(t, a.login(w.site))
	keyed := w.keyed(w.issuer)
	for name, token := range map[string]string{
		"ID token": idToken, "access token": accessJWT, "assertion of a client": keyed.assertion(nil),
		"assertion of a site": w.site.assertion(w.issuer), "event": w.event(),
	} {
		t.Run(name, func(t *testing.T) {
			want(t, w.userinfo(token), http.StatusUnauthorized, "invalid_token")
			want(t, a.redeem(token, verifier), http.StatusBadRequest, "invalid_grant")
			want(t, a.refresh(token), http.StatusBadRequest, "invalid_grant")
			form := url.Values{"grant_type": {"client_credentials"}, "resource": {w.site.URL}, "client_assertion_type": {assertionType}, "client_assertion": {token}}
			if name != "assertion of a client" {
				want(t, w.post("/oauth/token", form), http.StatusUnauthorized, "invalid_client")
			}
			if name != "assertion of a site" && name != "assertion of a client" {
				form = url.Values{"token": {accessJWT}, "client_assertion_type": {assertionType}, "client_assertion": {token}}
				want(t, w.post("/oauth/introspect", form), http.StatusUnauthorized, "invalid_client")
			}
			if name != "access token" && w.active(w.site, token) {
				t.Error("it is an active token")
			}
		})
	}
}

// event is a notification that the broker has signed.
func (w *world) event() string {
	w.t.Helper()
	token, err := protocol.SignEvent(w.tokenKey, protocol.Event{
		Issuer: w.issuer, Audience: w.site.URL, ID: registry.NewID(), IssuedAt: w.clock.now().Unix(),
		TokenRevoked: &protocol.TokenRevoked{TokenHash: protocol.TokenHash("x"), ExpiresAt: w.clock.now().Unix() + 60, Reason: "r"},
	})
	check(w.t, err)
	return token
}
