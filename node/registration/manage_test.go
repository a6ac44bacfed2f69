// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// TestManage: a client reads, replaces and ends its registration.
func TestManage(t *testing.T) {
	b := newBroker(t)
	a := b.register(b.initial(1), strings.Replace(secretApp, "{", `{"scope":"read write","client_uri":"https://app.example/",`, 1))
	id, token := created(t, a)
	secret, at := a.text("client_secret"), "/oauth/register/"+id
	shown := b.do(http.MethodGet, at, token, "")
	want(t, shown, http.StatusOK, "")
	if shown.text("scope") != "read write" || shown.text("comity_state") != "active" || shown.text("client_secret") != "" ||
		shown.text("registration_access_token") != token || shown.text("registration_client_uri") != b.issuer+at || shown.json["client_id_issued_at"] != a.json["client_id_issued_at"] {
		t.Errorf("it reads %s", shown.body)
	}
	heads, _ := shown.json["comity_heads"].([]any)
	if len(heads) != 1 {
		t.Fatalf("heads in %s", shown.body)
	}
	if head := heads[0].(map[string]any); head["issuer"] != b.issuer || head["size"] != 2.0 || head["root"] == "" || head["view_age"] == nil {
		t.Errorf("heads in %s", shown.body)
	}
	replaced := b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_secret":"`+secret+`","client_name":"New","redirect_uris":["https://app.example/new"],"comity_state":"active"}`)
	want(t, replaced, http.StatusOK, "")
	if replaced.text("client_name") != "New" || replaced.json["scope"] != nil || replaced.json["client_uri"] != nil || replaced.text("client_secret") != "" {
		t.Errorf("replaced by %s", replaced.body)
	}
	app, err := b.ShowApp(t.Context(), admin.AppID{ClientID: id})
	check(t, err)
	if app.Sequence != 1 || strings.Contains(string(app.Metadata), "comity_state") || strings.Contains(string(app.Metadata), `"scope"`) {
		t.Errorf("the log has %s", app.Metadata)
	}
	if got := b.introspect(id, secret); got.status != http.StatusOK {
		t.Errorf("the secret was lost: %d %s", got.status, got.body)
	}
	// What changes nothing makes no record.
	want(t, b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_name":"New","redirect_uris":["https://app.example/new"]}`), http.StatusOK, "")
	public := b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_name":"New","redirect_uris":["https://app.example/new"],"token_endpoint_auth_method":"none"}`)
	want(t, public, http.StatusOK, "")
	again := b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_name":"New","redirect_uris":["https://app.example/new"]}`)
	if want(t, again, http.StatusOK, ""); len(again.text("client_secret")) != 43 || again.text("client_secret") == secret {
		t.Errorf("confidential again: %s", again.body)
	}
	app, err = b.ShowApp(t.Context(), admin.AppID{ClientID: id})
	check(t, err)
	if app.Sequence != 3 {
		t.Errorf("%d records, expected 3 after the first", app.Sequence)
	}
	deleted := b.do(http.MethodDelete, at, token, "")
	want(t, deleted, http.StatusNoContent, "")
	if deleted.body != "" {
		t.Errorf("204 with %q", deleted.body)
	}
	app, err = b.ShowApp(t.Context(), admin.AppID{ClientID: id})
	check(t, err)
	if app.State != "revoked" || app.Reason != "developer-request" {
		t.Errorf("after DELETE it is %s, %s", app.State, app.Reason)
	}
	want(t, b.introspect(id, again.text("client_secret")), http.StatusUnauthorized, "invalid_client")
	want(t, b.do(http.MethodDelete, at, token, ""), http.StatusNoContent, "")
	want(t, b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_name":"Back","redirect_uris":["https://app.example/cb"]}`), http.StatusForbidden, "access_denied")
}

// TestReplaceRefused: nobody changes what only the broker sets.
func TestReplaceRefused(t *testing.T) {
	b := newBroker(t, open)
	for name, a := range map[string]answer{"logged": b.register(b.initial(1), secretApp), "local": b.register("", secretApp)} {
		t.Run(name, func(t *testing.T) {
			id, token := created(t, a)
			other, _ := created(t, b.register(b.initial(1), someApp))
			for body, code := range map[string]string{
				secretApp: "invalid_request", // no client_id
				`{"client_id":"` + other + `","client_name":"A","redirect_uris":["https://app.example/cb"]}`:                                                       "invalid_request",
				`{"client_id":"` + id + `","client_secret":"mine","client_name":"A","redirect_uris":["https://app.example/cb"]}`:                                   "invalid_request",
				`{"client_id":"` + id + `","client_secret_sha256":"` + strings.Repeat("A", 43) + `","client_name":"A","redirect_uris":["https://app.example/cb"]}`: "invalid_client_metadata",
				`{"client_id":"` + id + `","registration_access_token":"` + token + `","client_name":"A","redirect_uris":["https://app.example/cb"]}`:              "invalid_client_metadata",
				`{"client_id":"` + id + `","registration_client_uri":"https://evil.example/","client_name":"A","redirect_uris":["https://app.example/cb"]}`:        "invalid_client_metadata",
				`{"client_id":"` + id + `","client_id_issued_at":1,"client_name":"A","redirect_uris":["https://app.example/cb"]}`:                                  "invalid_client_metadata",
				`{"client_id":"` + id + `","client_secret_expires_at":0,"client_name":"A","redirect_uris":["https://app.example/cb"]}`:                             "invalid_client_metadata",
				`{"client_id":"` + id + `","compromised":true,"client_name":"A","redirect_uris":["https://app.example/cb"]}`:                                       "invalid_client_metadata",
				`{"client_id":"` + id + `","client_name":"A","redirect_uris":["https://app.example/cb"],"logo_uri":"javascript:alert()"}`:                          "invalid_client_metadata",
				`{"client_id":"` + id + `","client_name":"A","redirect_uris":["http://app.example/cb"]}`:                                                           "invalid_redirect_uri",
				`{"client_id":"` + id + `","software_statement":"a.b.c"}`:                                                                                          "invalid_software_statement",
				`{"client_id":"` + id + `","client_id":"` + id + `"}`:                                                                                              "invalid_client_metadata",
			} {
				if got := b.do(http.MethodPut, "/oauth/register/"+id, token, body); got.status != http.StatusBadRequest || got.text("error") != code {
					t.Errorf("%s: %d %s", body, got.status, got.body)
				}
			}
			if got := b.introspect(id, a.text("client_secret")); got.status != http.StatusOK {
				t.Errorf("its secret: %d %s", got.status, got.body)
			}
		})
	}
}

// TestReplaceAlone: what the operator has not given, a client does not take by
// itself later; what it has, it keeps (fault 30).
func TestReplaceAlone(t *testing.T) {
	b := newBroker(t)
	bad, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(strings.ReplaceAll(someApp, "app.example", "bad.example"))})
	check(t, err)
	const had = `"client_name":"App","redirect_uris":["https://app.example/cb"],"grant_types":["authorization_code","client_credentials"]`
	id, token := created(t, b.register(b.initial(1), "{"+had+"}"))
	beside, besideToken := created(t, b.register(b.initial(1), strings.ReplaceAll(someApp, "app.example", "bad.example")))
	b.stop(bad.ClientID, registry.Revoke)
	put := func(metadata string) answer {
		return b.do(http.MethodPut, "/oauth/register/"+id, token, `{"client_id":"`+id+`",`+metadata+`}`)
	}
	for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer"} {
		want(t, put(strings.Replace(had, "client_credentials", grant, 1)), http.StatusBadRequest, "invalid_client_metadata")
	}
	want(t, put(strings.Replace(had, "app.example", "bad.example", 1)), http.StatusBadRequest, "invalid_redirect_uri")
	want(t, put(strings.Replace(had, "/cb", "/cb2", 1)), http.StatusOK, "")
	keep := `{"client_id":"` + beside + `","client_name":"Beside","redirect_uris":["https://bad.example/cb"],"token_endpoint_auth_method":"none"}`
	want(t, b.do(http.MethodPut, "/oauth/register/"+beside, besideToken, keep), http.StatusOK, "")
	// It is stopped itself, which does not make its own host foreign to it.
	b.stop(id, registry.Suspend)
	want(t, put(strings.Replace(had, "/cb", "/cb3", 1)), http.StatusOK, "")
}

// TestManageLocal: the same for a local client, which no log has.
func TestManageLocal(t *testing.T) {
	b := newBroker(t, open)
	id, token := created(t, b.register("", someApp))
	at := "/oauth/register/" + id
	a := b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_name":"New","redirect_uris":["https://app.example/new"]}`)
	if want(t, a, http.StatusOK, ""); a.text("client_name") != "New" || len(a.text("client_secret")) != 43 || a.json["client_secret_expires_at"] != a.json["comity_expires_at"] {
		t.Errorf("replaced by %s", a.body)
	}
	if got := b.introspect(id, a.text("client_secret")); got.status != http.StatusOK {
		t.Errorf("its new secret: %d %s", got.status, got.body)
	}
	want(t, b.do(http.MethodPut, at, token, `{"client_id":"`+id+`","client_name":"N","grant_types":["client_credentials"]}`), http.StatusBadRequest, "invalid_client_metadata")
	want(t, b.do(http.MethodDelete, at, token, ""), http.StatusNoContent, "")
	want(t, b.do(http.MethodGet, at, token, ""), http.StatusUnauthorized, "invalid_token")
	want(t, b.introspect(id, a.text("client_secret")), http.StatusUnauthorized, "invalid_client")
}

// TestFault15WrongToken: a wrong token and an unknown client have one answer, and
// no token opens another client.
func TestFault15WrongToken(t *testing.T) {
	b := newBroker(t, open)
	id, token := created(t, b.register(b.initial(1), someApp))
	local, localToken := created(t, b.register("", someApp))
	app, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(someApp)}) // has no token
	check(t, err)
	initial := b.initial(1)
	expect := ""
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		for _, try := range []struct{ id, token string }{
			{id, "wrong"}, {id, localToken}, {id, initial}, {id, ""}, {id, token[:42]}, {local, token}, {local, "wrong"},
			{app.ClientID, token}, {app.ClientID, "wrong"}, {registry.CID([]byte("nobody")), token}, {"local-nobody", localToken}, {"x", token}, {"%2e%2e", token},
		} {
			a := b.do(method, "/oauth/register/"+try.id, try.token, `{"client_id":"`+try.id+`"}`)
			want(t, a, http.StatusUnauthorized, "invalid_token")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
			if expect == "" {
				expect = a.body
			}
			if a.body != expect {
				t.Errorf("%s %+v: %s, others got %s", method, try, a.body, expect)
			}
		}
		b.pass(1e9 * 60)
	}
	if state, err := b.ShowApp(t.Context(), admin.AppID{ClientID: id}); err != nil || state.State != "active" {
		t.Errorf("the client is %s, %v", state.State, err)
	}
	a := b.do(http.MethodPost, "/oauth/register/"+id, token, someApp)
	if want(t, a, http.StatusMethodNotAllowed, "invalid_request"); a.header.Get("Allow") != "GET, PUT, DELETE" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
	r, err := http.NewRequest(http.MethodGet, b.issuer+"/oauth/register/"+id+"?access_token="+token, nil)
	check(t, err)
	want(t, b.send(r), http.StatusUnauthorized, "invalid_token") // in the query it counts for nothing
}

// TestStoppedClientReadsWhy: a client can ask whether it is alive.
func TestStoppedClientReadsWhy(t *testing.T) {
	b := newBroker(t)
	id, token := created(t, b.register(b.initial(1), someApp))
	for _, stop := range []struct {
		action        registry.Action
		state, reason string
	}{{registry.Suspend, "suspended", "malicious"}, {registry.Reinstate, "active", ""}, {registry.Revoke, "revoked", "malicious"}} {
		b.stop(id, stop.action)
		a := b.do(http.MethodGet, "/oauth/register/"+id, token, "")
		want(t, a, http.StatusOK, "")
		if a.text("comity_state") != stop.state || a.text("comity_reason") != stop.reason || (a.json["comity_since"] != nil) != (stop.reason != "") || a.json["comity_heads"] == nil {
			t.Errorf("after %s it reads %s", stop.action, a.body)
		}
	}
}

// TestUpdatesAreFew: every change stays in a log for ever (fault 27).
func TestUpdatesAreFew(t *testing.T) {
	b := newBroker(t)
	id, token := created(t, b.register(b.initial(1), someApp))
	done := 0
	for i := range 20 {
		name := strings.Repeat("x", i+1)
		a := b.do(http.MethodPut, "/oauth/register/"+id, token, `{"client_id":"`+id+`","client_name":"`+name+`","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}`)
		if a.status == http.StatusTooManyRequests {
			break
		}
		want(t, a, http.StatusOK, "")
		done++
	}
	if done == 0 || done > 5 {
		t.Errorf("%d changes in a row", done)
	}
}

// TestOperatorGivesManagement: a client that the operator registered can manage
// itself where the operator says so.
func TestOperatorGivesManagement(t *testing.T) {
	b := newBroker(t)
	app, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(someApp), Manage: true})
	check(t, err)
	if app.RegistrationURI != b.issuer+"/oauth/register/"+app.ClientID {
		t.Errorf("URI %q", app.RegistrationURI)
	}
	want(t, b.do(http.MethodGet, app.RegistrationURI, app.RegistrationToken, ""), http.StatusOK, "")
}
