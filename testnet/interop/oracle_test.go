// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
	"golang.org/x/oauth2"
)

// server is an authorization server with two clients: ours, or the oracle.
type server struct {
	*world
	issuer    string
	basic     client // client_secret_basic
	none      client
	authorize func(link string) string // a person who allows it; where the browser ends
}

// ours is the broker of w as a server to compare.
func (w *world) ours() *server {
	w.addPerson()
	all := metadata{"token_endpoint_auth_method": "client_secret_basic", "scope": "openid profile"}
	basic := w.register(all)
	all["token_endpoint_auth_method"] = "none"
	return &server{w, w.issuer, basic, w.register(all), w.visit}
}

// oracle starts github.com/luikyv/go-oidc on loopback, with the same endpoints,
// features and clients as our broker has.
func (w *world) oracle() *server {
	w.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.check(err)
	keys := goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{{KeyID: "k", Key: key, Algorithm: "RS256", Use: "sig"}}}
	s := &server{
		world: w, basic: client{ID: "basic", Secret: "secret-of-the-oracle"}, none: client{ID: "none"}, authorize: w.follow,
	}
	listener := httptest.NewServer(http.HandlerFunc(nil))
	w.Cleanup(listener.Close)
	s.issuer = listener.URL
	op, err := provider.New(
		provider.Config{
			Issuer: s.issuer, JWKS: func(context.Context) (goidc.JSONWebKeySet, error) { return keys, nil },
			IDTokenAlgs: []goidc.SignatureAlgorithm{goidc.SigAlgRS256},
		},
		provider.WithJTIConsumer(func(context.Context, string) error { return nil }), // no assertions are sent
		provider.WithPathPrefix("/oauth"), provider.WithScopes(goidc.ScopeOpenID, goidc.ScopeProfile),
		provider.WithNoneAuthn(), provider.WithSecretBasicAuthn(), provider.WithSecretPostAuthn(),
		provider.WithAuthCodeGrant(
			provider.AuthCodeGrantConfig{ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode}},
			provider.WithPAR(nil), provider.WithIssuerResponseParameter(),
			provider.WithPKCE([]goidc.CodeChallengeMethod{goidc.CodeChallengeMethodSHA256}, provider.WithPKCERequired()),
			provider.WithAuthPolicies(allowEverything()),
		),
		provider.WithRefreshTokenGrant(nil, provider.WithRefreshTokenRotation()), provider.WithClientCredentialsGrant(),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewOpaqueTokenOptions(3600)
		}, provider.WithOpaqueTokens(nil)),
		provider.WithTokenIntrospection(func(context.Context, *goidc.Client, goidc.TokenInfo) bool { return true }),
		provider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true }),
		provider.WithStaticClients(oracleClient(s.basic, goidc.AuthnMethodSecretBasic), oracleClient(s.none, goidc.AuthnMethodNone)),
	)
	w.check(err)
	listener.Config.Handler = op.Handler()
	return s
}

func oracleClient(c client, method goidc.AuthnMethod) *goidc.Client {
	return &goidc.Client{ID: c.ID, Secret: c.Secret, ClientMeta: goidc.ClientMeta{
		Name: "Reader", RedirectURIs: []string{callback}, ScopeIDs: "openid profile", TokenAuthnMethod: method,
		GrantTypes:    []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken},
		ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
	}}
}

// allowEverything is the oracle's person, who asks no questions.
func allowEverything() goidc.AuthnPolicy {
	return goidc.NewPolicy("all",
		func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true },
		func(_ http.ResponseWriter, _ *http.Request, s *goidc.AuthnSession, _ *goidc.Client) (goidc.Status, error) {
			s.Subject, s.GrantedScopes = person, s.Scopes
			return goidc.StatusSuccess, nil
		})
}

// follow is where a link of the oracle leads, which asks nothing.
func (w *world) follow(link string) string {
	w.Helper()
	res, err := direct.Get(link)
	w.check(err)
	res.Body.Close()
	return res.Header.Get("Location")
}

// direct follows no redirects.
var direct = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// verifier is the PKCE verifier of all codes here.
const verifier = "abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// value is what $name stands for in a request: clients by name, and what is
// made anew each time.
func (s *server) value(name string) string {
	s.Helper()
	switch name {
	case "basic":
		return s.basic.ID
	case "secret":
		return url.QueryEscape(s.basic.Secret)
	case "none":
		return s.none.ID
	case "callback":
		return url.QueryEscape(callback)
	case "verifier":
		return verifier
	case "challenge":
		return oauth2.S256ChallengeFromVerifier(verifier)
	case "code", "nonecode":
		return s.code(s.client(name))
	case "usedcode":
		code := s.code(s.basic)
		s.redeem(s.basic, code)
		return code
	case "access", "refresh", "noneaccess", "nonerefresh":
		c := s.client(name)
		return s.redeem(c, s.code(c))[strings.TrimPrefix(name, "none")+"_token"].(string)
	}
	s.Fatalf("nothing is called $%s", name)
	return ""
}

func (s *server) client(name string) client {
	if strings.HasPrefix(name, "none") {
		return s.none
	}
	return s.basic
}

// code logs in for a client.
func (s *server) code(c client) string {
	s.Helper()
	back, err := url.Parse(s.authorize(s.issuer + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {callback}, "scope": {"openid"}, "state": {"a"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}.Encode()))
	s.check(err)
	if back.Query().Get("code") == "" {
		s.Fatalf("no code: %s", back)
	}
	return back.Query().Get("code")
}

// redeem gets the tokens for a code.
func (s *server) redeem(c client, code string) map[string]any {
	s.Helper()
	w := *s.world
	w.issuer = s.issuer
	status, tokens := w.post("/oauth/token", c, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	})
	if status != http.StatusOK {
		s.Fatalf("the code gives %d %v", status, tokens)
	}
	return tokens
}
