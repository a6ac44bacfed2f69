// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// TestRegistersAsTheOperator: with an initial access token a client is in the
// log, and can prove itself with what it was given.
func TestRegistersAsTheOperator(t *testing.T) {
	b := newBroker(t)
	var metadata struct {
		Endpoint string `json:"registration_endpoint"`
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		check(t, json.Unmarshal([]byte(b.do(http.MethodGet, path, "", "").body), &metadata))
		if metadata.Endpoint != b.issuer+"/oauth/register" {
			t.Errorf("%s: registration_endpoint %q", path, metadata.Endpoint)
		}
	}
	a := b.register(b.initial(1), `{"client_name":"App","redirect_uris":["https://app.example/cb"],"contacts":["me@app.example"],
		"grant_types":["authorization_code","client_credentials"],"scope":"read","tos_uri":null,"x_new":{"a":[1,2.50]}}`)
	id, token := created(t, a)
	if registry.ParseCID(id) != nil || len(token) != 43 || len(a.text("client_secret")) != 43 || a.json["client_secret_expires_at"] != 0.0 ||
		a.text("registration_client_uri") != b.issuer+"/oauth/register/"+id {
		t.Errorf("answer %s", a.body)
	}
	if issued := a.json["client_id_issued_at"].(float64); int64(issued) > b.now().Unix() || int64(issued) < b.now().Unix()-60 {
		t.Errorf("issued at %v", issued)
	}
	if a.text("token_endpoint_auth_method") != "client_secret_basic" || !reflect.DeepEqual(a.json["response_types"], []any{"code"}) || !strings.Contains(a.body, `"x_new":{"a":[1,2.50]}`) {
		t.Errorf("what was left open is not filled in: %s", a.body)
	}
	for _, absent := range []string{"contacts", "tos_uri", "client_secret_sha256"} {
		if a.json[absent] != nil {
			t.Errorf("the answer has %s: %s", absent, a.body)
		}
	}
	shown, err := b.ShowApp(t.Context(), admin.AppID{ClientID: id})
	check(t, err)
	if shown.State != "active" || shown.Home != b.issuer || strings.Contains(shown.Registration, a.text("client_secret")) || strings.Contains(string(shown.Metadata), "me@app.example") {
		t.Errorf("the operator sees %+v", shown)
	}
	if got := b.introspect(id, a.text("client_secret")); got.status != http.StatusOK {
		t.Errorf("with its secret the client gets %d %s", got.status, got.body)
	}
	if strings.Contains(b.logged.String(), a.text("client_secret")) || strings.Contains(b.logged.String(), token) {
		t.Error("the log has a secret")
	}
}

// introspect asks about some token, which takes an authenticated client.
func (b *broker) introspect(id, secret string) answer {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.issuer+"/oauth/introspect", strings.NewReader(url.Values{"token": {"x"}}.Encode()))
	check(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return b.send(r)
}

// TestDefaults: what RFC 7591, section 2, says of members that are left out.
func TestDefaults(t *testing.T) {
	b := newBroker(t)
	token := b.initial(20)
	for metadata, expect := range map[string]map[string]any{
		`{"redirect_uris":["https://app.example/cb"]}`: {
			"client_name": "app.example", "grant_types": []any{"authorization_code"}, "response_types": []any{"code"}, "token_endpoint_auth_method": "client_secret_basic"},
		`{"client_name":"Job","grant_types":["client_credentials"]}`: {
			"grant_types": []any{"client_credentials"}, "response_types": nil},
		`{"redirect_uris":["com.example.app:/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`: {
			"client_name": "com.example.app"},
		`{"client_name":"Old","redirect_uris":["https://app.example/cb"],"grant_types":["authorization_code","implicit"],"token_endpoint_auth_method":"none"}`: {
			"response_types": []any{"code", "token"}},
	} {
		a := b.register(token, metadata)
		created(t, a)
		for member, value := range expect {
			if !reflect.DeepEqual(a.json[member], value) {
				t.Errorf("%s: %s is %v, expected %v", metadata, member, a.json[member], value)
			}
		}
	}
}

// TestInitialTokens: they are good so often, for so long, and as long as the
// operator lets them; and nothing is lost by a refusal.
func TestInitialTokens(t *testing.T) {
	b := newBroker(t)
	refuse := func(token string) {
		t.Helper()
		a := b.register(token, someApp)
		want(t, a, http.StatusUnauthorized, "invalid_token")
		if a.header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
			t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
		}
	}
	t.Run("used up", func(t *testing.T) {
		token := b.initial(2)
		want(t, b.register(token, `{"redirect_uris":["http://app.example/cb"]}`), http.StatusBadRequest, "invalid_redirect_uri")
		want(t, b.register(token, `{"redirect_uris":["https://app.example/cb"],"jwks":{"keys":[]}}`), http.StatusBadRequest, "invalid_client_metadata")
		created(t, b.register(token, someApp))
		created(t, b.register(token, someApp))
		refuse(token)
	})
	t.Run("at once", func(t *testing.T) {
		const uses, tries = 3, 20
		token := b.initial(uses)
		var group sync.WaitGroup
		statuses := make(chan int, tries)
		for range tries {
			group.Go(func() { statuses <- b.register(token, someApp).status })
		}
		group.Wait()
		close(statuses)
		count := map[int]int{}
		for status := range statuses {
			count[status]++
		}
		if count[http.StatusCreated] != uses || count[http.StatusUnauthorized] != tries-uses {
			t.Errorf("%d uses gave %v", uses, count)
		}
	})
	t.Run("expired", func(t *testing.T) {
		token := b.initial(1)
		b.pass(time.Hour)
		refuse(token)
	})
	t.Run("ended", func(t *testing.T) {
		made, err := b.MakeToken(t.Context(), admin.TokenDraft{Uses: 1, For: 60})
		check(t, err)
		list, err := b.ListTokens(t.Context())
		check(t, err)
		if len(list.Tokens) != 1 || list.Tokens[0].ID != made.ID || list.Tokens[0].Token != "" {
			t.Errorf("tokens %+v", list)
		}
		_, err = b.EndToken(t.Context(), admin.TokenID{ID: made.ID})
		check(t, err)
		refuse(made.Token)
		if _, err := b.EndToken(t.Context(), admin.TokenID{ID: made.ID}); err == nil {
			t.Error("a token ends twice")
		}
	})
	t.Run("none", func(t *testing.T) {
		b.pass(time.Minute)
		refuse("")
		refuse("wrong")
	})
	t.Run("guessed", func(t *testing.T) {
		for range 100 {
			if a := b.register("wrong", someApp); a.status == http.StatusTooManyRequests {
				return
			}
		}
		t.Error("an address may guess without end")
	})
}

// TestFault25Metadata: what people are shown, and where their browsers go, is
// judged as from everybody.
func TestFault25Metadata(t *testing.T) {
	b := newBroker(t, open)
	token := b.initial(1)
	for member, values := range map[string][]string{
		"client_name": {`"a\u202eb"`, `"a\u0007b"`, `"a\u200bb"`, `" a"`, `"` + strings.Repeat("a", 81) + `"`, `7`, `"a\u0000b"`},
		"logo_uri":    {`"javascript:alert(1)"`, `"data:image/png;base64,AA"`, `"http://app.example/l.png"`, `"https://app.example/\"><script>"`},
		"policy_uri":  {`"javascript:alert(1)"`, `"data:text/html,x"`},
		"tos_uri":     {`"vbscript:x"`},
		"client_uri":  {`"https://a@app.example/"`, `"//app.example"`},
		"jwks_uri":    {`"https://app.example/jwks"`},
		"grant_types": {`["magic"]`, `"authorization_code"`, `["authorization_code","authorization_code"]`},
		"scope":       {`"a  b"`, `"a a"`, `"` + strings.Repeat("a", 1025) + `"`},

		"response_types":             {`["token"]`, `["code","code"]`},
		"token_endpoint_auth_method": {`"tls_client_auth"`, `"client_secret_jwt"`, `"private_key_jwt"`},
		"client_secret_sha256":       {`"` + strings.Repeat("A", 43) + `"`},
		"registration_access_token":  {`"mine"`},
		"client_secret":              {`"mine"`},
		"client_id":                  {`"local-mine"`, `"user-7"`}, // fault 22: a client_id of one's own choice
		"iss":                        {`"https://evil.example"`},
		"seq":                        {`7`},
		"compromised":                {`true`},
		"exp":                        {`1`},
	} {
		for _, value := range values {
			for _, with := range []string{token, ""} {
				metadata := strings.TrimSuffix(someApp, "}") + "}"
				if strings.Contains(metadata, `"`+member+`"`) {
					var all map[string]json.RawMessage
					check(t, json.Unmarshal([]byte(metadata), &all))
					all[member] = json.RawMessage(value)
					text, err := json.Marshal(all)
					check(t, err)
					metadata = string(text)
				} else {
					metadata = strings.TrimSuffix(metadata, "}") + `,"` + member + `":` + value + `}`
				}
				if a := b.register(with, metadata); a.status != http.StatusBadRequest || a.text("error") != "invalid_client_metadata" {
					t.Errorf("%s %s: %d %s", member, value, a.status, a.body)
				}
			}
		}
	}
	for _, uri := range []string{
		"http://app.example/cb", "https://app.example/cb#x", "javascript:alert(1)", "https://me@app.example/", "https://app.example/../cb",
		"https://APP.example/cb", "http://localhost/cb", "https://app.example\\@evil.example/", "app:/cb", "https://аpp.example/cb",
	} {
		text, err := json.Marshal(map[string]any{"client_name": "App", "redirect_uris": []string{uri}, "token_endpoint_auth_method": "none"})
		check(t, err)
		want(t, b.register(token, string(text)), http.StatusBadRequest, "invalid_redirect_uri")
		want(t, b.register("", string(text)), http.StatusBadRequest, "invalid_redirect_uri")
	}
	created(t, b.register(token, someApp)) // nothing of all that has used it up
}

// TestFault25Form: a body that two readers could read in two ways is refused,
// and one that is too long is not read.
func TestFault25Form(t *testing.T) {
	b := newBroker(t, open)
	for name, body := range map[string]string{
		"duplicate member":      `{"client_name":"A","client_name":"B","redirect_uris":["https://app.example/cb"]}`,
		"duplicate, escaped":    `{"client_name":"A","client\u005fname":"B","redirect_uris":["https://app.example/cb"]}`,
		"trailing bytes":        someApp + "{}",
		"array":                 "[" + someApp + "]",
		"empty":                 "",
		"not UTF-8":             "{\"client_name\":\"\xff\"}",
		"deep":                  `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"many values":           `{"x":[` + strings.Repeat("1,", 2000) + `1]}`,
		"statement of no type":  `{"software_statement":7}`,
		"nothing to be said in": `{"software_statement":""}`,
	} {
		if a := b.register("", body); a.status != http.StatusBadRequest || a.text("error") != "invalid_client_metadata" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	long := strings.TrimSuffix(someApp, "}") + `,"description":"` + strings.Repeat("a", 1<<20) + `"}`
	want(t, b.register("", long), http.StatusRequestEntityTooLarge, "invalid_client_metadata")
	r, err := http.NewRequest(http.MethodPost, b.issuer+"/oauth/register", strings.NewReader(someApp))
	check(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	want(t, b.send(r), http.StatusUnsupportedMediaType, "invalid_request")
	b.pass(time.Minute)
	a := b.do(http.MethodGet, "/oauth/register", "", "")
	want(t, a, http.StatusMethodNotAllowed, "invalid_request")
	if a.header.Get("Allow") != "POST" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
}
