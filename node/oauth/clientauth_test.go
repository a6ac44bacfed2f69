// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// fault 9: client assertions. Each claim is altered in an assertion that is
// good otherwise, at seconds from now where it is a time.
func TestFault09ClientAssertion(t *testing.T) {
	w := newWorld(t)
	a := w.keyed(w.issuer)
	now := w.clock.now().Unix()
	day := int64(86400)
	for _, test := range []struct {
		name   string
		change map[string]any
		ok     bool
	}{
		{"good", nil, true},
		{"aud is the token endpoint", map[string]any{"aud": w.issuer + "/oauth/token"}, false},
		{"aud is the endpoint for pushed requests", map[string]any{"aud": w.issuer + "/oauth/par"}, false},
		{"aud is an array", map[string]any{"aud": []string{w.issuer}}, false},
		{"aud is an array of two", map[string]any{"aud": []string{w.issuer, "https://evil.example"}}, false},
		{"aud is another broker", map[string]any{"aud": awayIssuer}, false},
		{"aud with a slash", map[string]any{"aud": w.issuer + "/"}, false},
		{"no aud", map[string]any{"aud": nil}, false},
		{"exp 5 minutes ago", map[string]any{"exp": now - 300, "iat": now - 30}, false},
		{"exp in a day", map[string]any{"exp": now + day}, false},
		{"exp in 71 s", map[string]any{"exp": now + 71}, false},
		{"no exp", map[string]any{"exp": nil}, false},
		{"no iat", map[string]any{"iat": nil}, false},
		{"no jti", map[string]any{"jti": nil}, false},
		{"a long jti", map[string]any{"jti": strings.Repeat("j", 257)}, false},
		{"iss is another client", map[string]any{"iss": w.public().id}, false},
		{"no sub", map[string]any{"sub": nil}, false},
		{"sub is another client", map[string]any{"sub": w.public().id}, false},
		{"nbf in a minute", map[string]any{"nbf": now + 60}, false},
		{"exp as text", map[string]any{"exp": "soon"}, false},
		{"issued in 30 s", map[string]any{"iat": now + 30, "exp": now + 60}, false},
		{"clock 8 s ahead", map[string]any{"iat": now + 8, "nbf": now + 8, "exp": now + 68}, true},
		{"clock 8 s behind", map[string]any{"iat": now - 8, "exp": now + 52}, true},
		{"clock 60 s ahead", map[string]any{"iat": now + 60, "exp": now + 120}, false},
		{"clock 60 s behind", map[string]any{"iat": now - 60, "exp": now}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.start() // forget failed attempts
			form := codeForm(a.consent(w.site))
			form.Set("client_assertion_type", assertionType)
			form.Set("client_assertion", a.assertion(test.change))
			answer := w.post("/oauth/token", form)
			if test.ok {
				tokens(t, answer)
			} else {
				want(t, answer, http.StatusUnauthorized, "invalid_client")
			}
		})
	}
}

// fault 9: an assertion works once, at all endpoints together, also after a
// restart.
func TestFault09Replay(t *testing.T) {
	w := newWorld(t)
	a := w.keyed(w.issuer)
	use := func(path string, form url.Values, assertion string) response {
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
		return w.post(path, form)
	}
	once := a.assertion(nil)
	tokens(t, use("/oauth/token", codeForm(a.consent(w.site)), once))
	want(t, use("/oauth/token", codeForm(a.consent(w.site)), once), http.StatusUnauthorized, "invalid_client")
	want(t, use("/oauth/introspect", url.Values{"token": {"x"}}, once), http.StatusUnauthorized, "invalid_client")
	w.start()
	want(t, use("/oauth/token", codeForm(a.consent(w.site)), once), http.StatusUnauthorized, "invalid_client")

	asked := a.assertion(nil)
	want(t, use("/oauth/introspect", url.Values{"token": {"x"}}, asked), http.StatusOK, "")
	want(t, use("/oauth/token", codeForm(a.consent(w.site)), asked), http.StatusUnauthorized, "invalid_client")
}

// fault 8: what is no signature of the client, at the one place that takes
// foreign signatures by foreign libraries.
func TestFault08ForgedAssertions(t *testing.T) {
	w := newWorld(t)
	ec := newEC(t)
	a := w.keyedWith(w.issuer, ec, jose.ES256)
	rsa := w.keyedWith(w.issuer, newRSA(), jose.RS256)
	other := w.keyed(w.issuer)
	good := strings.Split(a.assertion(nil), ".")
	header := func(h string) string { return b64(h) + "." + good[1] + "." + good[2] }
	public, err := jose.JSONWebKey{Key: ec.Public()}.MarshalJSON()
	check(t, err)
	for name, assertion := range map[string]string{
		"alg none":                  b64(`{"alg":"none"}`) + "." + good[1] + ".",
		"HS256 with the public key": sign(t, jose.HS256, public, a.claims(), nil),
		"HS256 with the RSA key":    sign(t, jose.HS256, newRSA().N.Bytes(), rsa.claims(), nil),
		"RS512":                     sign(t, jose.RS512, newRSA(), rsa.claims(), nil),
		"of another client's key":   sign(t, jose.EdDSA, other.key, a.claims(), nil),
		"of an unknown key":         sign(t, jose.ES256, newEC(t), a.claims(), nil),
		"another kid":               sign(t, jose.ES256, ec, a.claims(), map[string]any{"kid": "k2"}),
		"typ of a code":             sign(t, jose.ES256, ec, a.claims(), map[string]any{"typ": protocol.TypeCode}),
		"typ of a proof":            sign(t, jose.ES256, ec, a.claims(), map[string]any{"typ": "dpop+jwt"}),
		"crit":                      header(`{"alg":"ES256","crit":["exp"],"exp":1}`),
		"embedded jwk":              header(`{"alg":"ES256","jwk":` + string(public) + `}`),
		"jku":                       header(`{"alg":"ES256","jku":"https://evil.example/jwks"}`),
		"x5u":                       header(`{"alg":"ES256","x5u":"https://evil.example/x"}`),
		"zip":                       header(`{"alg":"ES256","zip":"DEF"}`),
		"alg twice":                 header(`{"alg":"ES256","alg":"none"}`),
		"a JWE":                     b64(`{"alg":"PBES2-HS256+A128KW","p2c":1000000000,"enc":"A128GCM"}`) + ".a.b.c.d",
		"p2c in a JWS":              header(`{"alg":"ES256","p2c":1000000000}`),
		"huge":                      strings.Repeat("A", 60<<10),
		"not a JWS":                 "assertion",
		"cut":                       strings.Join(good, ".")[:len(strings.Join(good, "."))-3],
		"claims twice":              good[0] + "." + b64(`{"iss":"`+a.id+`","iss":"`+a.id+`"}`) + "." + good[2],
	} {
		t.Run(name, func(t *testing.T) {
			w.start()
			form := codeForm(a.consent(w.site))
			form.Set("client_assertion_type", assertionType)
			form.Set("client_assertion", assertion)
			want(t, w.post("/oauth/token", form), http.StatusUnauthorized, "invalid_client")
		})
	}
}

// fault 8, the grants: what this broker does not serve.
func TestFault08Grants(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "AUTHORIZATION_CODE", "refresh_token "} {
		answer := a.send("/oauth/token", url.Values{"grant_type": {grant}, "username": {"u"}, "password": {"p"}})
		want(t, answer, http.StatusBadRequest, "unsupported_grant_type")
	}
	want(t, a.send("/oauth/token", url.Values{}), http.StatusBadRequest, "invalid_request")
}

// Only the registered method, and one at a time.
func TestOnlyTheRegisteredMethod(t *testing.T) {
	w := newWorld(t)
	public := w.public()
	keyed := w.keyed(w.issuer)
	basicID := w.ledger.register(w.issuer, metadata(registry.AuthSecretBasic))
	postID := w.ledger.register(w.issuer, metadata(registry.AuthSecretPost))
	with := func(pairs ...string) url.Values {
		f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Add("Authorization", value) }
	}
	for _, test := range []struct {
		name   string
		form   url.Values
		edit   []func(*http.Request)
		status int
		code   string
	}{
		{"basic", with(), list(basic(basicID, secret)), 400, "invalid_grant"},
		{"basic with the same client_id", with("client_id", basicID), list(basic(basicID, secret)), 400, "invalid_grant"},
		{"post", with("client_id", postID, "client_secret", secret), nil, 400, "invalid_grant"},
		{"none", with("client_id", public.id), nil, 400, "invalid_grant"},
		{"an empty secret counts as none", with("client_id", public.id, "client_secret", ""), nil, 400, "invalid_grant"},

		{"nothing", with(), nil, 401, "invalid_client"},
		{"basic client by post", with("client_id", basicID, "client_secret", secret), nil, 401, "invalid_client"},
		{"post client by basic", with(), list(basic(postID, secret)), 401, "invalid_client"},
		{"basic client by none", with("client_id", basicID), nil, 401, "invalid_client"},
		{"key client by none", with("client_id", keyed.id), nil, 401, "invalid_client"},
		{"public client by basic", with(), list(basic(public.id, "")), 401, "invalid_client"},
		{"key client by a secret", with("client_id", keyed.id, "client_secret", secret), nil, 401, "invalid_client"},
		{"wrong secret", with(), list(basic(basicID, secret+"x")), 401, "invalid_client"},
		{"unknown client", with("client_id", "nobody"), nil, 401, "invalid_client"},
		{"bearer", with("client_id", public.id), list(header("Bearer x")), 401, "invalid_client"},
		{"basic without base64", with(), list(header("Basic %%%")), 401, "invalid_client"},
		{"basic without colon", with(), list(header("Basic YWJj")), 401, "invalid_client"},
		{"basic with bad escape", with(), list(header("Basic " + b64std("%zz:x"))), 401, "invalid_client"},

		{"two headers", with(), list(basic(basicID, secret), header("Basic YTpi")), 400, "invalid_request"},
		{"basic and post", with("client_secret", secret), list(basic(basicID, secret)), 400, "invalid_request"},
		{"basic and assertion", with("client_assertion_type", assertionType, "client_assertion", keyed.assertion(nil)), list(basic(basicID, secret)), 400, "invalid_request"},
		{"post and assertion", with("client_secret", "x", "client_assertion_type", assertionType, "client_assertion", keyed.assertion(nil)), nil, 400, "invalid_request"},
		{"basic with another client_id", with("client_id", public.id), list(basic(basicID, secret)), 400, "invalid_request"},
		{"unknown assertion type", with("client_assertion_type", "saml", "client_assertion", keyed.assertion(nil)), nil, 400, "invalid_request"},
		{"assertion of another client_id", with("client_id", public.id, "client_assertion_type", assertionType, "client_assertion", keyed.assertion(nil)), nil, 401, "invalid_client"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.start()
			answer := w.post("/oauth/token", test.form, test.edit...)
			want(t, answer, test.status, test.code)
			if (answer.Header.Get("WWW-Authenticate") != "") != (test.status == 401) {
				t.Errorf("WWW-Authenticate is %q", answer.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func list[T any](v ...T) []T { return v }

// A secret with characters that Basic must encode (RFC 6749, section 2.3.1).
func TestBasicIsFormEncoded(t *testing.T) {
	w := newWorld(t)
	odd := "a:b%c d+e/ü"
	id := w.ledger.register(w.issuer, metadata(registry.AuthSecretBasic, func(m *registry.ClientMetadata) {
		m.SecretHash = protocol.TokenHash(odd)
	}))
	a := &app{w: w, id: id}
	tokens(t, w.post("/oauth/token", codeForm(a.consent(w.site)), basic(id, odd)))
	want(t, w.post("/oauth/token", codeForm(a.consent(w.site)), func(r *http.Request) { r.SetBasicAuth(id, odd) }),
		http.StatusUnauthorized, "invalid_client")
}

// fault 15: an unknown client and a wrong secret get the same bytes, at every
// endpoint and with every grant type.
func TestFault15SameBytes(t *testing.T) {
	w, _ := newPeopled(t, optedIn, func(_ *world, cfg *oauth.Config) { cfg.SAML = &says{} })
	endpoints := map[string]url.Values{
		"/oauth/par":                  {"redirect_uri": {redirectURI}, "response_type": {"code"}},
		"/oauth/device_authorization": {"scope": {"openid"}},
		"/oauth/one_time_token":       {"one_time_token": {"x"}},
		"/oauth/introspect":           {"token": {"x"}},
		"/oauth/revoke":               {"token": {"x"}},
	}
	grants, ok := w.get("/.well-known/oauth-authorization-server").JSON["grant_types_supported"].([]any)
	if !ok || len(grants) < 7 {
		t.Fatalf("grant types %v", grants)
	}
	for _, grant := range grants {
		endpoints["/oauth/token?"+fmt.Sprint(grant)] = url.Values{"grant_type": {fmt.Sprint(grant)}}
	}
	for endpoint, form := range endpoints {
		path, _, _ := strings.Cut(endpoint, "?")
		t.Run(strings.ReplaceAll(strings.TrimPrefix(endpoint, "/oauth/"), "/", "_"), func(t *testing.T) {
			w.clock.advance(10 * time.Minute) // so that no attempt is one too many
			sameBytes(t, w, path, form)
		})
	}
}

// sameBytes sends wrong credentials of every kind to one endpoint.
func sameBytes(t *testing.T, w *world, path string, parameters url.Values) {
	known := w.ledger.register(w.issuer, metadata(registry.AuthSecretBasic))
	posted := w.ledger.register(w.issuer, metadata(registry.AuthSecretPost))
	keyed := w.keyed(w.issuer)
	unknown := strings.Repeat("a", len(known))
	form := func() url.Values { return maps.Clone(parameters) }
	post := func(id, secret string) response {
		f := form()
		f.Set("client_id", id)
		f.Set("client_secret", secret)
		return w.post(path, f)
	}
	assert := func(a *app) response {
		f := form()
		f.Set("client_assertion_type", assertionType)
		f.Set("client_assertion", a.assertion(nil))
		return w.post(path, f)
	}
	nobody, forger := *keyed, *keyed
	nobody.id = unknown
	forger.key = w.keyed(w.issuer).key
	answers := map[string]response{
		"unknown, basic":      w.post(path, form(), basic(unknown, secret)),
		"wrong, basic":        w.post(path, form(), basic(known, "wrong")),
		"right, wrong method": post(known, secret),
		"unknown, post":       post(unknown, secret),
		"wrong, post":         post(posted, "wrong"),
		"unknown, key":        assert(&nobody),
		"wrong key":           assert(&forger),
	}
	first := answers["unknown, basic"]
	want(t, first, http.StatusUnauthorized, "invalid_client")
	for _, answer := range answers {
		answer.Header.Del("X-Request-Id")
		answer.Header.Del("Date")
	}
	for name, answer := range answers {
		if answer.Body != first.Body || answer.Status != first.Status || fmt.Sprint(answer.Header) != fmt.Sprint(first.Header) {
			t.Errorf("%s: %d %v %s", name, answer.Status, answer.Header, answer.Body)
		}
	}
}

func TestFailedAttemptsAreLimited(t *testing.T) {
	w := newWorld(t)
	id := w.ledger.register(w.issuer, metadata(registry.AuthSecretBasic))
	other := w.public()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
	for range 10 {
		want(t, w.post("/oauth/token", form, basic(id, "wrong")), http.StatusUnauthorized, "invalid_client")
	}
	answer := w.post("/oauth/token", form, basic(id, secret))
	want(t, answer, http.StatusTooManyRequests, "temporarily_unavailable")
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	tokens(t, other.login(w.site)) // another client at the same address
	w.clock.advance(10 * time.Second)
	want(t, w.post("/oauth/token", form, basic(id, secret)), http.StatusBadRequest, "invalid_grant")
}

func TestStoppedClientIsTold(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	state := w.ledger.revoke(a.id, registry.Revoke, 0)
	answer := a.login(w.site)
	want(t, answer, http.StatusUnauthorized, "invalid_client")
	at := time.Unix(state.Since, 0).UTC().Format(time.RFC3339)
	if d := answer.text("error_description"); !strings.Contains(d, "revoked") || !strings.Contains(d, "malicious") || !strings.Contains(d, at) {
		t.Errorf("description %q", d)
	}
}
