// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/oauth"
)

// raw sends a request as it is written.
func (w *world) raw(method, path, contentType, body string, edit ...func(*http.Request)) response {
	w.t.Helper()
	r, err := http.NewRequest(method, w.issuer+path, strings.NewReader(body))
	check(w.t, err)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for _, f := range edit {
		f(r)
	}
	return w.do(r)
}

var formEndpoints = []string{"/oauth/token", "/oauth/introspect", "/oauth/revoke"}

const formType = "application/x-www-form-urlencoded"

// fault 3: a parameter twice, in the body or beside it.
func TestFault03DuplicateParameters(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, v := a.consent(w.site)
	form := codeForm(code, v)
	form.Set("client_id", a.id)
	for name := range form {
		twice := form.Encode() + "&" + name + "=" + url.QueryEscape(form.Get(name))
		want(t, w.raw("POST", "/oauth/token", formType, twice), http.StatusBadRequest, "invalid_request")
		query := "/oauth/token?" + name + "=" + url.QueryEscape(form.Get(name))
		want(t, w.raw("POST", query, formType, form.Encode()), http.StatusBadRequest, "invalid_request")
	}
	want(t, w.raw("POST", "/oauth/token", formType, form.Encode()+"&x=1&x=1"), http.StatusBadRequest, "invalid_request")
	want(t, w.raw("POST", "/oauth/token", formType, form.Encode()+"&client%5Fid="+a.id), http.StatusBadRequest, "invalid_request")
	page := w.get("/oauth/authorize?" + a.authorizeQuery(w.site).Encode() + "&redirect_uri=" + url.QueryEscape(redirectURI))
	if page.Status != http.StatusBadRequest || page.Header.Get("Location") != "" {
		t.Errorf("authorize with redirect_uri twice: %d, Location %q", page.Status, page.Header.Get("Location"))
	}
	tokens(t, w.raw("POST", "/oauth/token", formType+"; charset=UTF-8", form.Encode()))
}

// fault 19: what is not a form.
func TestFault19Forms(t *testing.T) {
	w := newWorld(t)
	good := "grant_type=refresh_token&refresh_token=x&token=x&client_id=" + w.public().id
	for _, path := range formEndpoints {
		for _, test := range []struct {
			name, method, path, contentType, body string
			status                                int
		}{
			{"GET", "GET", path, "", "", 405},
			{"GET with parameters", "GET", path + "?" + good, "", "", 405},
			{"PUT", "PUT", path, formType, good, 405},
			{"DELETE", "DELETE", path, "", "", 405},
			{"OPTIONS", "OPTIONS", path, "", "", 405},
			{"JSON", "POST", path, "application/json", `{"grant_type":"refresh_token"}`, 415},
			{"multipart", "POST", path, "multipart/form-data; boundary=x", "--x--", 415},
			{"no type", "POST", path, "", good, 415},
			{"bad type", "POST", path, "application/", good, 415},
			{"NUL", "POST", path, formType, good + "&a=%00", 400},
			{"NUL in a name", "POST", path, formType, good + "&a%00=b", 400},
			{"invalid UTF-8", "POST", path, formType, good + "&a=%ff%fe", 400},
			{"raw invalid UTF-8", "POST", path, formType, good + "&a=\xff", 400},
			{"bad escape", "POST", path, formType, good + "&a=%zz", 400},
			{"semicolon", "POST", path, formType, good + ";a=b", 400},
			{"empty", "POST", path, formType, "", 400},
			{"too long", "POST", path, formType, good + "&a=" + strings.Repeat("a", 64<<10), 413},
			{"in the query", "POST", path + "?" + good, formType, "", 400},
			{"an empty query", "POST", path + "?", formType, good, 400},
			{"compressed", "POST", path, formType, good, 400},
		} {
			t.Run(path+" "+test.name, func(t *testing.T) {
				answer := w.raw(test.method, test.path, test.contentType, test.body, func(r *http.Request) {
					if test.name == "compressed" {
						r.Header.Set("Content-Encoding", "gzip")
					}
				})
				want(t, answer, test.status, "invalid_request")
				if test.status == 405 && answer.Header.Get("Allow") != "POST" {
					t.Errorf("Allow is %q", answer.Header.Get("Allow"))
				}
			})
		}
	}
	for _, path := range []string{"/oauth/jwks", "/.well-known/oauth-authorization-server"} {
		want(t, w.raw("POST", path, formType, "a=b"), http.StatusMethodNotAllowed, "invalid_request")
	}
}

// fault 19: any bytes at any endpoint get an answer below 500, in JSON, with an
// error, and the same headers.
func FuzzTokenForm(f *testing.F) {
	for _, seed := range []string{
		"grant_type=authorization_code&code=a.b.c&redirect_uri=x&code_verifier=y&client_id=z",
		"grant_type=refresh_token&refresh_token=x&client_id=z&client_secret=s",
		"grant_type=client_credentials&client_assertion_type=" + assertionType + "&client_assertion=eyJhbGciOiJFUzI1NiJ9.e30.AA",
		"token=a&token=b", "%00=%ff", "a;b", "=&&==", "grant_type=password",
	} {
		for i := range formEndpoints {
			f.Add(i, formType, "Basic YTpi", seed)
		}
	}
	f.Add(0, "text/plain", "Bearer x", "")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, endpoint int, contentType, authorization, body string) {
		path := formEndpoints[uint(endpoint)%uint(len(formEndpoints))]
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		answer, err := io.ReadAll(rec.Result().Body)
		check(t, err)
		var doc struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		if rec.Code < 400 || rec.Code >= 500 {
			t.Fatalf("status %d", rec.Code)
		}
		if json.Unmarshal(answer, &doc) != nil || doc.Error == "" || doc.Description == "" {
			t.Fatalf("answer %q", answer)
		}
		if bytes.ContainsFunc([]byte(doc.Error+doc.Description), func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
			t.Fatalf("characters that RFC 6749, section 5.2, forbids: %q", answer)
		}
		if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get(oauth.RequestIDHeader) == "" {
			t.Fatal("headers are missing")
		}
	})
}
