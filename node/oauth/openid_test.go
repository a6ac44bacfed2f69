// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// idClaims verifies an ID token with the keys at the JWKS, as a client does.
func (w *world) idClaims(token string, alg jose.SignatureAlgorithm) map[string]any {
	w.t.Helper()
	var keys jose.JSONWebKeySet
	check(w.t, json.Unmarshal([]byte(w.get("/oauth/jwks").Body), &keys))
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
	if err != nil {
		w.t.Fatalf("%v: %q", err, token)
	}
	found := keys.Key(signed.Signatures[0].Header.KeyID)
	if len(found) != 1 {
		w.t.Fatalf("%d keys %q in the JWKS", len(found), signed.Signatures[0].Header.KeyID)
	}
	payload, err := signed.Verify(found[0])
	check(w.t, err)
	var claims map[string]any
	check(w.t, json.Unmarshal(payload, &claims))
	return claims
}

// userinfo asks who the person is.
func (w *world) userinfo(token string, edit ...func(*http.Request)) response {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.issuer+"/oauth/userinfo", nil)
	check(w.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, f := range edit {
		f(r)
	}
	return w.do(r)
}

// accessHash is at_hash for an algorithm.
func accessHash(alg jose.SignatureAlgorithm, token string) string {
	h := sha256.New()
	if alg == jose.EdDSA {
		h = sha512.New()
	}
	h.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}

// TestOpenID is a login at the broker: who it was, for the app alone.
func TestOpenID(t *testing.T) {
	for alg, extra := range map[jose.SignatureAlgorithm]map[string]json.RawMessage{
		jose.RS256: nil,
		jose.EdDSA: {"id_token_signed_response_alg": json.RawMessage(`"EdDSA"`)},
	} {
		t.Run(string(alg), func(t *testing.T) {
			w, p := newPeopled(t)
			a := w.public(func(m *registry.ClientMetadata) { m.Extra = extra })
			verifier := newVerifier()
			back := a.allow(w.browser(), "ada", verifier, "scope", "openid profile")
			answer := a.redeem(back.Get("code"), verifier)
			access, _ := tokens(t, answer)
			claims := w.idClaims(answer.text("id_token"), alg)
			ada, err := p.Find(context.Background(), "ada")
			check(t, err)
			now := float64(w.clock.now().Unix())
			for name, value := range map[string]any{
				"iss": w.issuer, "aud": a.id, "sub": p.Subject(ada.ID, "app.example"), "nonce": "n-1", "iat": now, "exp": now + 300,
				"auth_time": now, "at_hash": accessHash(alg, access),
			} {
				if claims[name] != value {
					t.Errorf("%s is %v, expected %v", name, claims[name], value)
				}
			}
			info := w.userinfo(access)
			want(t, info, http.StatusOK, "")
			if info.text("sub") != claims["sub"] || info.text("name") != "ADA" || info.text("preferred_username") != "ada" {
				t.Errorf("userinfo %s", info.Body)
			}
		})
	}
}

// TestScopesInVain: what OpenID Connect clients ask for by default is passed
// over, and the answer says so.
func TestScopesInVain(t *testing.T) {
	w, _ := newPeopled(t, optedIn)
	a := w.public()
	verifier := newVerifier()
	answer := a.redeem(a.allow(w.browser(), "ada", verifier, "scope", "openid email profile offline_access").Get("code"), verifier)
	if want(t, answer, http.StatusOK, ""); answer.text("scope") != "openid profile" || answer.text("id_token") == "" {
		t.Errorf("%s", answer.Body)
	}
	if answer := w.public(withPassword).logIn("ada", password, "scope", "openid phone"); answer.text("scope") != "openid" {
		t.Errorf("%s", answer.Body)
	}
	for _, scope := range []string{"email", "openid emails", "openid admin"} {
		if back := w.answer(w.browser().open(a.here(verifier, "scope", scope))); back.Get("error") != "invalid_scope" {
			t.Errorf("%s: %v", scope, back)
		}
	}
}

// TestPairwiseSubject: apps of one host know a person by one name, others by
// another, and each person has names of its own.
func TestPairwiseSubject(t *testing.T) {
	w, _ := newPeopled(t)
	subject := func(a *app, name string, more ...string) string {
		verifier := newVerifier()
		answer := a.redeemAt(a.allow(w.browser(), name, verifier, more...).Get("code"), verifier, more...)
		want(t, answer, http.StatusOK, "")
		claims := w.idClaims(answer.text("id_token"), jose.RS256)
		if info := w.userinfo(answer.text("access_token")); info.text("sub") != claims["sub"] {
			t.Errorf("sub %v and, at userinfo, %s", claims["sub"], info.Body)
		}
		return claims["sub"].(string)
	}
	one, same := w.public(), w.public(func(m *registry.ClientMetadata) { m.Name = "Same host" })
	const two = "https://app.example/2"
	several := w.public(func(m *registry.ClientMetadata) { m.RedirectURIs = []string{two, "https://other.example/cb"} })
	ada := subject(one, "ada")
	if ada != subject(same, "ada") {
		t.Error("two apps of one host know a person by two names")
	}
	if ada == subject(one, "grace") {
		t.Error("two people have one name")
	}
	if ada == subject(several, "ada", "redirect_uri", two) {
		t.Error("an app of two hosts knows a person by a name of another app")
	}
}

// redeemAt redeems with the redirect URI of more, if it names one.
func (a *app) redeemAt(code, verifier string, more ...string) response {
	form := codeForm(code, verifier)
	for i := 0; i < len(more); i += 2 {
		if more[i] == "redirect_uri" {
			form.Set("redirect_uri", more[i+1])
		}
	}
	return a.send("/oauth/token", form)
}

// TestLoginAtTheBrokerForASite: a site without users of its own takes people of
// the broker; it is told who, by a name that is good for this site alone.
func TestLoginAtTheBrokerForASite(t *testing.T) {
	w, p := newPeopled(t)
	w.site.meta.AuthorizationEndpoint = ""
	a := w.public()
	verifier := newVerifier()
	back := a.allow(w.browser(), "ada", verifier, "resource", w.site.URL, "scope", "read openid")
	answer := a.redeem(back.Get("code"), verifier)
	access, refresh := tokens(t, answer)
	told := w.site.tokens[protocol.TokenHash(access)]
	ada, err := p.Find(context.Background(), "ada")
	check(t, err)
	if told.Subject != p.Subject(ada.ID, w.site.URL) || told.Scope != "read" || told.Grant == "" || told.CodeJTI != "" {
		t.Errorf("the site was told %+v", told)
	}
	if claims := w.idClaims(answer.text("id_token"), jose.RS256); claims["sub"] == told.Subject {
		t.Error("the app and the site know the person by the same name")
	}
	want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token") // it is the site's
	if asked := w.post("/oauth/introspect", siteForm(w, w.site, access)); asked.text("sub") != told.Subject || asked.text("grant") != told.Grant {
		t.Errorf("introspection by the site: %s", asked.Body)
	}
	if asked := a.introspect(access); asked.JSON["active"] != true || asked.text("sub") != "" {
		t.Errorf("introspection by the client: %s", asked.Body)
	}
	again, _ := tokens(t, a.refresh(refresh))
	if told := w.site.tokens[protocol.TokenHash(again)]; told.Subject != p.Subject(ada.ID, w.site.URL) {
		t.Errorf("after the refresh the site was told %+v", told)
	}
}

// TestSecondLogin: who has allowed it is not asked twice, unless the app wants
// that; who is not logged in is not asked at all with prompt=none.
func TestSecondLogin(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public()
	b := w.browser()
	if back := w.answer(b.open(a.here(newVerifier(), "prompt", "none"))); back.Get("error") != "login_required" {
		t.Errorf("before the login, prompt=none gives %v", back)
	}
	b.logIn(b.open("/login"), "ada")
	if back := w.answer(b.open(a.here(newVerifier(), "prompt", "none"))); back.Get("error") != "consent_required" {
		t.Errorf("before the consent, prompt=none gives %v", back)
	}
	verifier := newVerifier()
	a.allow(b, "ada", verifier)
	w.clock.advance(time.Minute)
	if back := w.answer(b.open(a.here(verifier, "prompt", "none"))); back.Get("code") == "" {
		t.Errorf("after the consent, prompt=none gives %v", back)
	} else if claims := w.idClaims(a.redeem(back.Get("code"), verifier).text("id_token"), jose.RS256); claims["auth_time"] != float64(w.clock.now().Unix()-60) {
		t.Errorf("auth_time %v of a login a minute ago", claims["auth_time"])
	}
	if p := b.open(a.here(verifier)); !p.Stopped {
		t.Errorf("asked a second time: %s", p.URL)
	}
	if p := b.open(a.here(verifier, "prompt", "consent")); p.Stopped || !strings.Contains(p.Body, `value="allow"`) {
		t.Errorf("prompt=consent does not ask: %s", p.URL)
	}
	if p := b.open(a.here(verifier, "scope", "openid profile")); p.Stopped {
		t.Error("a wider scope is not asked for")
	}
	if p := b.open(a.here(verifier, "max_age", "60")); !p.Stopped {
		t.Error("max_age=60 asks for the password after a minute")
	}
	for _, more := range [][]string{{"max_age", "59"}, {"prompt", "login"}} {
		p := b.open(a.here(verifier, more...))
		if p.Stopped || !strings.Contains(p.Body, `name="password"`) {
			t.Fatalf("%s does not ask for the password: %s", more, p.URL)
		}
		if p = b.logIn(p, "ada"); !p.Stopped {
			t.Errorf("%s: the password does not lead back to the app: %s", more, p.URL)
		}
	}
}

func TestDeny(t *testing.T) {
	w, _ := newPeopled(t)
	b := w.browser()
	p := b.logIn(b.open(w.public().here(newVerifier())), "ada")
	if back := w.answer(b.press(p, "Do not allow")); back.Get("error") != "access_denied" || back.Get("code") != "" {
		t.Errorf("%v", back)
	}
	// The same form a second time, with another answer.
	again := b.press(p, "Allow")
	showsPage(t, again, http.StatusConflict, "You have answered this question already")
}

// TestRefusedAsk: what no person is asked.
func TestRefusedAsk(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(func(m *registry.ClientMetadata) { m.Scope = "openid profile read write" })
	for _, test := range []struct {
		name string
		more []string
		code string
	}{
		{"unknown scope", []string{"scope", "openid write"}, "invalid_scope"},
		{"no scope", []string{"scope", ""}, "invalid_scope"},
		{"no challenge", []string{"code_challenge", ""}, "invalid_request"},
		{"plain challenge", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"max_age in words", []string{"max_age", "soon"}, "invalid_request"},
		{"negative max_age", []string{"max_age", "-1"}, "invalid_request"},
		{"long nonce", []string{"nonce", strings.Repeat("n", 1025)}, "invalid_request"},
		{"unknown response type", []string{"response_type", "id_token"}, "unsupported_response_type"},
		{"unregistered response type", []string{"response_type", "token"}, "unauthorized_client"},
		{"fragment for a code", []string{"response_mode", "fragment"}, "invalid_request"},
		{"another site", []string{"resource", "http://127.0.0.1:1"}, "temporarily_unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if back := w.answer(w.browser().open(a.here(newVerifier(), test.more...))); back.Get("error") != test.code {
				t.Errorf("%v, expected %s", back, test.code)
			}
		})
	}
}

// TestEndedGrant: what a person takes back is dead at once, everywhere.
func TestEndedGrant(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public()
	b := w.browser()
	verifier := newVerifier()
	access, refresh := tokens(t, a.redeem(a.allow(b, "ada", verifier).Get("code"), verifier))
	unused := a.allow(b, "ada", verifier).Get("code")
	page := b.open("/account")
	showsPage(t, page, http.StatusOK, "App")
	ended := b.press(page, "End access of App")
	showsPage(t, ended, http.StatusOK, "The access has ended")
	want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token")
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	want(t, a.redeem(unused, verifier), http.StatusBadRequest, "invalid_grant")
	if p := b.open(a.here(verifier)); p.Stopped {
		t.Error("the ended grant still stands")
	}
	// The form of somebody else's page does nothing.
	other := w.browser()
	other.logIn(other.open("/login"), "grace")
	other.open("/account")
	showsPage(t, other.press(page, "End access of App"), http.StatusForbidden, "made for another login")
}

// TestEndedGrantTellsTheSite: likewise at a site.
func TestEndedGrantTellsTheSite(t *testing.T) {
	w, _ := newPeopled(t)
	w.site.meta.AuthorizationEndpoint = ""
	a := w.public()
	b := w.browser()
	verifier := newVerifier()
	access, _ := tokens(t, a.redeem(a.allow(b, "ada", verifier, "resource", w.site.URL, "scope", "read").Get("code"), verifier))
	if !w.active(w.site, access) {
		t.Fatal("the token is not active")
	}
	b.press(b.open("/account"), "End access of App")
	w.deliver()
	if !w.site.dead[protocol.TokenHash(access)] || w.active(w.site, access) {
		t.Error("the site does not know that the grant was ended")
	}
}

// TestGrantEndsDuringTheRedemption: the grant ends between the claim of the
// code and the release of the token.
func TestGrantEndsDuringTheRedemption(t *testing.T) {
	w, p := newPeopled(t)
	w.site.meta.AuthorizationEndpoint = ""
	a := w.public()
	verifier := newVerifier()
	code := a.allow(w.browser(), "ada", verifier, "resource", w.site.URL, "scope", "read").Get("code")
	w.site.during = func() {
		// Disabled, and no EndGrant yet: only the release is left to notice.
		if _, err := p.Disable(context.Background(), "ada"); err != nil {
			t.Error(err)
		}
	}
	want(t, a.redeem(code, verifier), http.StatusBadRequest, "invalid_grant")
	for hash := range w.site.tokens {
		if s := w.state(w.stored(hash)); s != "void" {
			t.Errorf("the token is %s", s)
		}
	}
}

// TestUserinfoRefuses: every token that is not good here, in one way.
func TestUserinfoRefuses(t *testing.T) {
	w, p := newPeopled(t)
	a := w.public()
	verifier := newVerifier()
	b := w.browser()
	access, _ := tokens(t, a.redeem(a.allow(b, "ada", verifier).Get("code"), verifier))
	plain, _ := tokens(t, a.redeem(a.allow(b, "ada", verifier, "scope", "profile").Get("code"), verifier))
	want(t, w.userinfo(plain), http.StatusForbidden, "insufficient_scope")
	sites, _ := tokens(t, a.login(w.site))
	want(t, w.userinfo(sites), http.StatusUnauthorized, "invalid_token")
	want(t, w.userinfo("unknown"), http.StatusUnauthorized, "invalid_token")
	none := w.get("/oauth/userinfo")
	if none.Status != http.StatusUnauthorized || none.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a token: %d %q", none.Status, none.Header.Get("WWW-Authenticate"))
	}
	want(t, w.userinfo(access, func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+access) }), http.StatusBadRequest, "invalid_request")
	want(t, w.userinfo(access, func(r *http.Request) { r.Header.Set("Authorization", "DPoP "+access) }), http.StatusUnauthorized, "invalid_token")
	want(t, w.userinfo(access, func(r *http.Request) { r.URL.RawQuery = "access_token=" + access }), http.StatusBadRequest, "invalid_request")
	want(t, w.userinfo(access), http.StatusOK, "")
	_, err := p.Disable(context.Background(), "ada")
	check(t, err)
	want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token")
	_, err = p.Enable(context.Background(), "ada")
	check(t, err)
	w.clock.advance(time.Hour)
	want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token")
}

// TestStoppedAppAtTheBroker: a stop reaches what was given at the broker too.
func TestStoppedAppAtTheBroker(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public()
	verifier := newVerifier()
	b := w.browser()
	access, _ := tokens(t, a.redeem(a.allow(b, "ada", verifier).Get("code"), verifier))
	open := b.open(a.here(verifier, "prompt", "consent"))
	w.stopped(a, registry.Revoke, 0)
	want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token")
	showsPage(t, b.press(open, "Allow"), http.StatusForbidden, "revoked")
	showsPage(t, b.open("/account"), http.StatusOK, "Blocked revoked")
}

// TestBoundUserinfo: a token that is bound to a key is good with that key alone.
func TestBoundUserinfo(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public().withDPoP()
	verifier := newVerifier()
	access, _ := tokens(t, a.redeem(a.allow(w.browser(), "ada", verifier, "dpop_jkt", a.jkt()).Get("code"), verifier))
	proof := func(a *app, token string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", "DPoP "+access)
			a.proof(map[string]any{"htm": "GET", "htu": w.issuer + "/oauth/userinfo", "ath": protocol.TokenHash(token)})(r)
		}
	}
	want(t, w.userinfo(access, proof(a, access)), http.StatusOK, "")
	want(t, w.userinfo(access, proof(a, "other")), http.StatusBadRequest, "invalid_dpop_proof")
	want(t, w.userinfo(access, proof(w.public().withDPoP(), access)), http.StatusBadRequest, "invalid_dpop_proof")
	want(t, w.userinfo(access), http.StatusUnauthorized, "invalid_token")
	replayed := proof(a, access)
	var header string
	want(t, w.userinfo(access, replayed, func(r *http.Request) { header = r.Header.Get("DPoP") }), http.StatusOK, "")
	want(t, w.userinfo(access, func(r *http.Request) {
		r.Header.Set("Authorization", "DPoP "+access)
		r.Header.Set("DPoP", header)
	}), http.StatusBadRequest, "invalid_dpop_proof")
}

// TestOpenIDDiscovery: the document says what there is.
func TestOpenIDDiscovery(t *testing.T) {
	w, _ := newPeopled(t)
	d := w.get("/.well-known/openid-configuration")
	want(t, d, http.StatusOK, "")
	for name, value := range map[string]any{
		"issuer": w.issuer, "userinfo_endpoint": w.issuer + "/oauth/userinfo", "jwks_uri": w.issuer + "/oauth/jwks",
		"device_authorization_endpoint": w.issuer + "/oauth/device_authorization",
	} {
		if d.JSON[name] != value {
			t.Errorf("%s is %v", name, d.JSON[name])
		}
	}
	u, err := url.Parse(d.text("token_endpoint"))
	check(t, err)
	if u.Path != "/oauth/token" {
		t.Errorf("token_endpoint %s", u)
	}
	plain := newWorld(t)
	if d := plain.get("/.well-known/openid-configuration"); d.Status != http.StatusNotFound {
		t.Errorf("without people: %d", d.Status)
	}
}

// TestJWTOfAPerson: sub of a JWT access token is the person as the site knows
// them (RFC 9068, section 2.2).
func TestJWTOfAPerson(t *testing.T) {
	w, p := newPeopled(t)
	w.site.meta.AuthorizationEndpoint, w.site.meta.AccessTokenFormat = "", protocol.FormatJWT
	a := w.public()
	verifier := newVerifier()
	access, _ := tokens(t, a.redeem(a.allow(w.browser(), "ada", verifier, "resource", w.site.URL, "scope", "read").Get("code"), verifier))
	ada, err := p.Find(context.Background(), "ada")
	check(t, err)
	if claims := w.readAccess(access); claims["sub"] != p.Subject(ada.ID, w.site.URL) || claims["scope"] != "read" {
		t.Errorf("%v", claims)
	}
}
