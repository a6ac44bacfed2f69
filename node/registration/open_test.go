// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
	webapp "github.com/comity-network/comity/testnet/app"
)

// TestOpenRegistration: off unless the operator allows it; a client that comes
// by it is known here alone, and can be used for logins here alone.
func TestOpenRegistration(t *testing.T) {
	closed := newBroker(t)
	want(t, closed.register("", someApp), http.StatusUnauthorized, "invalid_token")
	b := newBroker(t, open)
	before, err := b.Status(t.Context())
	check(t, err)
	a := b.register("", someApp)
	id, token := created(t, a)
	if !strings.HasPrefix(id, "local-") || len(id) != len("local-")+22 || a.text("comity_state") != "local" ||
		a.json["comity_expires_at"].(float64)-a.json["client_id_issued_at"].(float64) != registration.LocalLife.Seconds() {
		t.Errorf("answer %s", a.body)
	}
	after, err := b.Status(t.Context())
	check(t, err)
	if before.Members[0].Head != after.Members[0].Head || fmt.Sprint(before.Clients) != fmt.Sprint(after.Clients) {
		t.Error("something is in the log")
	}
	if got := b.do(http.MethodGet, "/federation/clients/"+id, "", ""); got.status != http.StatusNotFound {
		t.Errorf("others can look it up: %d %s", got.status, got.body)
	}
	if shown := b.do(http.MethodGet, "/oauth/register/"+id, token, ""); shown.text("client_name") != "App" || shown.text("registration_access_token") != token {
		t.Errorf("it reads %s", shown.body)
	}
	list, err := b.ListLocalApps(t.Context(), admin.Page{})
	check(t, err)
	if len(list.Apps) != 1 || list.Apps[0].ClientID != id || list.Apps[0].Name != "App" {
		t.Errorf("the operator sees %+v", list)
	}
	for _, grant := range []string{"client_credentials", "password", "implicit", "urn:comity:grant-type:one-time-token"} {
		metadata := strings.Replace(secretApp, "{", `{"grant_types":["authorization_code","`+grant+`"],`, 1)
		want(t, b.register("", metadata), http.StatusBadRequest, "invalid_client_metadata")
	}
	t.Run("secret", func(t *testing.T) {
		a := b.register("", secretApp)
		confidential, _ := created(t, a)
		if a.json["client_secret_expires_at"] != a.json["comity_expires_at"] {
			t.Errorf("the secret outlives its client: %s", a.body)
		}
		if got := b.introspect(confidential, a.text("client_secret")); got.status != http.StatusOK {
			t.Errorf("with its secret: %d %s", got.status, got.body)
		}
		want(t, b.introspect(confidential, "wrong"), http.StatusUnauthorized, "invalid_client")
		b.pass(registration.LocalLife)
		want(t, b.introspect(confidential, a.text("client_secret")), http.StatusUnauthorized, "invalid_client")
	})
	t.Run("forgotten", func(t *testing.T) {
		want(t, b.do(http.MethodGet, "/oauth/register/"+id, token, ""), http.StatusUnauthorized, "invalid_token")
		list, err := b.ListLocalApps(t.Context(), admin.Page{})
		check(t, err)
		if len(list.Apps) != 0 {
			t.Errorf("the operator still sees %+v", list)
		}
	})
}

const verifier = "a-verifier-of-43-characters-and-some-more-of-them"

// ask is a request for a login at the broker. more are names and values.
func ask(id string, more ...string) string {
	q := url.Values{
		"client_id": {id}, "redirect_uri": {"https://app.example/cb"}, "response_type": {"code"}, "scope": {"openid"},
		"code_challenge": {protocol.TokenHash(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q.Encode()
}

// login goes through a login of ada at the broker with an app, and returns the
// consent page and the answer at the token endpoint.
func (b *broker) login(id string) (consent *webapp.Page, tokens answer) {
	b.t.Helper()
	ctx, browser := context.Background(), webapp.NewBrowser(nil)
	browser.StopAt = "https://app.example/"
	page, err := browser.Open(ctx, b.issuer+"/oauth/authorize?"+ask(id))
	check(b.t, err)
	consent, err = browser.Submit(ctx, page, "Log in", map[string]string{"name": "ada", "password": "correct horse battery"})
	check(b.t, err)
	page, err = browser.Submit(ctx, consent, "Allow", nil)
	check(b.t, err)
	u, err := url.Parse(page.URL)
	check(b.t, err)
	return consent, b.form("/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {id}, "code": {u.Query().Get("code")},
		"code_verifier": {verifier}, "redirect_uri": {"https://app.example/cb"},
	})
}

func (b *broker) form(path string, form url.Values) answer {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.issuer+path, strings.NewReader(form.Encode()))
	check(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

// TestLocalLogin: a local client logs people in here and reaches no site; the
// page says that nobody vouches for it, and shows its name as text (fault 25).
func TestLocalLogin(t *testing.T) {
	b := newBroker(t, open, func(c *node.Config) { c.AllowPrivate = true })
	_, err := b.AddUser(t.Context(), admin.UserDraft{Name: "ada", Password: "correct horse battery"})
	check(t, err)
	id, _ := created(t, b.register("", `{"client_name":"<script>alert(1)</script>","redirect_uris":["https://app.example/cb"],
		"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"]}`))
	consent, tokens := b.login(id)
	if strings.Contains(consent.Body, "<script") || !strings.Contains(consent.Body, "&lt;script") {
		t.Errorf("the name is not shown as text: %s", consent.Body)
	}
	for _, text := range []string{"app.example", "nobody: it has registered itself here"} {
		if !strings.Contains(webapp.Text(consent.Body), text) {
			t.Errorf("the consent page does not say %q: %s", text, webapp.Text(consent.Body))
		}
	}
	want(t, tokens, http.StatusOK, "")
	if info := b.do(http.MethodGet, "/oauth/userinfo", tokens.text("access_token"), ""); info.status != http.StatusOK || info.text("sub") == "" {
		t.Errorf("userinfo: %d %s", info.status, info.body)
	}
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer site.Close()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(b.issuer + "/oauth/authorize?" + ask(id, "resource", site.URL))
	check(t, err)
	check(t, res.Body.Close())
	if to, err := res.Location(); err != nil || to.Query().Get("error") != "unauthorized_client" {
		t.Errorf("for a site: %d %v", res.StatusCode, to)
	}
	device := b.form("/oauth/device_authorization", url.Values{"client_id": {id}, "scope": {"read"}, "resource": {site.URL}})
	want(t, device, http.StatusBadRequest, "unauthorized_client")
	if n := asked.Load(); n != 0 {
		t.Errorf("the site was asked %d times", n)
	}
}

// TestPromote: the operator makes a local client one of the federation. It
// learns its new name from its registration, and keeps what it has.
func TestPromote(t *testing.T) {
	b := newBroker(t, open)
	a := b.register("", secretApp)
	id, token := created(t, a)
	secret := a.text("client_secret")
	app, err := b.PromoteApp(t.Context(), admin.AppID{ClientID: id})
	check(t, err)
	if registry.ParseCID(app.ClientID) != nil || app.State != "active" {
		t.Errorf("promoted to %+v", app)
	}
	if _, err := b.PromoteApp(t.Context(), admin.AppID{ClientID: id}); err == nil || !strings.Contains(err.Error(), app.ClientID) {
		t.Errorf("promoted twice: %v", err)
	}
	for _, name := range []string{id, app.ClientID} { // until it knows, both work
		if got := b.introspect(name, secret); got.status != http.StatusOK {
			t.Errorf("as %s: %d %s", name, got.status, got.body)
		}
	}
	for range 2 { // an answer may be lost
		told := b.do(http.MethodGet, "/oauth/register/"+id, token, "")
		want(t, told, http.StatusOK, "")
		if told.text("client_id") != app.ClientID || told.text("registration_client_uri") != b.issuer+"/oauth/register/"+app.ClientID || told.text("comity_state") != "active" {
			t.Errorf("it is told %s", told.body)
		}
	}
	want(t, b.introspect(id, secret), http.StatusUnauthorized, "invalid_client")
	if got := b.introspect(app.ClientID, secret); got.status != http.StatusOK {
		t.Errorf("with its new name: %d %s", got.status, got.body)
	}
	want(t, b.do(http.MethodGet, "/oauth/register/"+app.ClientID, token, ""), http.StatusOK, "")
	b.pass(registration.LocalLife)
	want(t, b.do(http.MethodGet, "/oauth/register/"+id, token, ""), http.StatusUnauthorized, "invalid_token")
	want(t, b.do(http.MethodGet, "/oauth/register/"+app.ClientID, token, ""), http.StatusOK, "")
	for _, other := range []string{"local-unknown", app.ClientID, ""} {
		if _, err := b.PromoteApp(t.Context(), admin.AppID{ClientID: other}); err == nil {
			t.Errorf("%q was promoted", other)
		}
	}
}

// TestPromotedAndStopped: a stop holds under the old name too.
func TestPromotedAndStopped(t *testing.T) {
	b := newBroker(t, open)
	a := b.register("", secretApp)
	id, token := created(t, a)
	app, err := b.PromoteApp(t.Context(), admin.AppID{ClientID: id})
	check(t, err)
	b.stop(app.ClientID, registry.Revoke)
	want(t, b.introspect(id, a.text("client_secret")), http.StatusUnauthorized, "invalid_client")
	if told := b.do(http.MethodGet, "/oauth/register/"+id, token, ""); told.text("comity_state") != "revoked" {
		t.Errorf("it is told %s", told.body)
	}
}

// TestFault27Flood: one address, and one network, register slowly; and no
// number of networks fills the disk.
func TestFault27Flood(t *testing.T) {
	b := newBroker(t, open, func(c *node.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // so that a test can come from anywhere
	})
	from := func(address string) answer {
		r, err := http.NewRequest(http.MethodPost, b.issuer+"/oauth/register", strings.NewReader(someApp))
		check(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", address)
		return b.send(r)
	}
	flood := func(address func(i int) string) (registered int) {
		for i := range 100 {
			switch a := from(address(i)); a.status {
			case http.StatusCreated:
				registered++
			case http.StatusTooManyRequests:
				if a.header.Get("Retry-After") == "" || a.text("error") != "temporarily_unavailable" {
					t.Fatalf("answer %s", a.body)
				}
			default:
				t.Fatalf("answer %d %s", a.status, a.body)
			}
		}
		return registered
	}
	if n := flood(func(int) string { return "198.51.100.7" }); n > 15 {
		t.Errorf("one address registered %d", n)
	}
	if n := flood(func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }); n > 40 {
		t.Errorf("one /24 registered %d", n)
	}
	if n := flood(func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i+1) }); n > 15 {
		t.Errorf("one /64 registered %d", n)
	}
	full := answer{}
	for i := 0; i <= registration.MaxLocal && full.status != http.StatusServiceUnavailable; i++ {
		full = from(fmt.Sprintf("10.%d.%d.1", i/250, i%250))
	}
	want(t, full, http.StatusServiceUnavailable, "temporarily_unavailable")
	list, err := b.ListLocalApps(t.Context(), admin.Page{})
	check(t, err)
	if len(list.Apps) != registration.MaxLocal {
		t.Errorf("%d local clients, expected %d", len(list.Apps), registration.MaxLocal)
	}
	b.pass(registration.LocalLife)
	created(t, from("10.200.0.1")) // the old ones make place
}

// TestFault30StoppedHost: whoever was stopped does not come back in the open.
func TestFault30StoppedHost(t *testing.T) {
	b := newBroker(t, open)
	register := func(metadata string) string {
		t.Helper()
		app, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(metadata)})
		check(t, err)
		return app.ClientID
	}
	bad := register(`{"client_name":"Bad","redirect_uris":["https://bad.example/cb","http://127.0.0.1/cb","org.bad.app:/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`)
	register(`{"client_name":"Good","redirect_uris":["https://good.example/cb"],"token_endpoint_auth_method":"none"}`)
	open := func(uri string) answer {
		return b.register("", `{"client_name":"Again","redirect_uris":["`+uri+`"],"application_type":"native","token_endpoint_auth_method":"none"}`)
	}
	held := func() {
		t.Helper()
		for _, uri := range []string{"https://bad.example/cb", "https://bad.example:8443/other", "org.bad.app:/x"} {
			a := open(uri)
			want(t, a, http.StatusBadRequest, "invalid_redirect_uri")
			if !strings.Contains(a.text("error_description"), "operator") {
				t.Errorf("it does not say what to do: %s", a.body)
			}
		}
		for _, uri := range []string{"https://good.example/cb", "https://sub.bad.example/cb", "http://127.0.0.1/cb"} {
			created(t, open(uri))
		}
	}
	created(t, open("https://bad.example/cb"))
	b.stop(bad, registry.Suspend)
	held()
	if !strings.Contains(b.logged.String(), `"event":"registration-held"`) {
		t.Error("it is not in the audit log")
	}
	b.stop(bad, registry.Reinstate)
	localID, token := created(t, open("https://bad.example/cb"))
	b.stop(bad, registry.Revoke)
	held()
	a := b.do(http.MethodPut, "/oauth/register/"+localID, token,
		`{"client_id":"`+localID+`","client_name":"Again","redirect_uris":["https://bad.example/cb2"],"token_endpoint_auth_method":"none"}`)
	want(t, a, http.StatusBadRequest, "invalid_redirect_uri")
	// The operator may, and so may whom the operator gave a token.
	register(`{"client_name":"Better","redirect_uris":["https://bad.example/cb"],"token_endpoint_auth_method":"none"}`)
	created(t, b.register(b.initial(1), `{"client_name":"Better","redirect_uris":["https://bad.example/cb"],"token_endpoint_auth_method":"none"}`))
}

// TestFault30FormerHost: a client that gives up a host before it is stopped, or
// while it is, does not free it.
func TestFault30FormerHost(t *testing.T) {
	b := newBroker(t, open)
	bad, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(someApp)})
	check(t, err)
	b.stop(bad.ClientID, registry.Suspend)
	_, err = b.UpdateApp(t.Context(), admin.AppChange{ClientID: bad.ClientID, Metadata: json.RawMessage(`{"redirect_uris":["https://new.example/cb"]}`)})
	check(t, err)
	for _, host := range []string{"app.example", "new.example"} {
		a := b.register("", strings.Replace(someApp, "app.example", host, 1))
		want(t, a, http.StatusBadRequest, "invalid_redirect_uri")
	}
}

// TestFault32NothingIsFetched: whatever URLs a client names, nobody is asked
// for what is there.
func TestFault32NothingIsFetched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	var connections atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	b := newBroker(t, open, func(c *node.Config) { c.AllowPrivate = true })
	at := "https://" + l.Addr().String()
	metadata := strings.Replace(someApp, "{", fmt.Sprintf(`{"client_uri":"%[1]s/","logo_uri":"%[1]s/l","policy_uri":"%[1]s/p","tos_uri":"%[1]s/t",
		"sector_identifier_uri":"%[1]s/s","initiate_login_uri":"%[1]s/i",`, at), 1)
	id, token := created(t, b.register("", metadata))
	created(t, b.register(b.initial(1), metadata))
	want(t, b.register(b.initial(1), strings.Replace(metadata, "{", `{"jwks_uri":"`+at+`/jwks",`, 1)), http.StatusBadRequest, "invalid_client_metadata")
	want(t, b.do(http.MethodGet, "/oauth/register/"+id, token, ""), http.StatusOK, "")
	if page := b.do(http.MethodGet, "/oauth/authorize?"+ask(id), "", ""); page.status != http.StatusOK {
		t.Errorf("the login: %d", page.status)
	}
	b.pass(time.Second)
	if n := connections.Load(); n != 0 {
		t.Errorf("somebody connected %d times", n)
	}
}
