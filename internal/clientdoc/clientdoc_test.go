// SPDX-License-Identifier: Apache-2.0

package clientdoc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/clientdoc"
	"github.com/comity-network/comity/registry"
)

const id = "https://app.example/oauth/client.json"

// document is a good one; change sets members, nil takes one away.
func document(change map[string]any) []byte {
	members := map[string]any{"client_id": id, "client_name": "App", "redirect_uris": []string{"https://app.example/cb"}}
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	raw, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return raw
}

func TestParse(t *testing.T) {
	m, err := clientdoc.Parse(id, document(nil))
	if err != nil || m.Name != "App" || m.AuthMethod != registry.AuthNone || !m.AllowsRedirect("https://app.example/cb") || m.Native() {
		t.Errorf("%+v, %v", m, err)
	}
	for name, c := range map[string]struct {
		change map[string]any
		check  func(*registry.ClientMetadata) bool
	}{
		"contacts are passed over": {map[string]any{"contacts": []string{"a@app.example"}},
			func(m *registry.ClientMetadata) bool { return len(m.Extra) == 0 }},
		"no name": {map[string]any{"client_name": nil}, func(m *registry.ClientMetadata) bool { return m.Name == "app.example" }},
		"on the user's machine": {map[string]any{"redirect_uris": []string{"http://127.0.0.1/cb"}},
			func(m *registry.ClientMetadata) bool { return m.AllowsRedirect("http://127.0.0.1:51234/cb") }},
		"localhost beside it": {map[string]any{"redirect_uris": []string{"http://localhost:3000/cb", "http://127.0.0.1:3000/cb"}},
			func(m *registry.ClientMetadata) bool {
				return slices.Equal(m.RedirectURIs, []string{"http://127.0.0.1:3000/cb"})
			}},
		"a scheme of its own": {map[string]any{"redirect_uris": []string{"com.example.app:/cb"}},
			func(m *registry.ClientMetadata) bool { return m.AllowsRedirect("com.example.app:/cb") }},
		"members that are not known": {map[string]any{"client_colour": "red"},
			func(m *registry.ClientMetadata) bool { return string(m.Extra["client_colour"]) == `"red"` }},
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := clientdoc.Parse(id, document(c.change)); err != nil || !c.check(m) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, raw := range map[string][]byte{
		"no JSON":               []byte("<html>"),
		"an array":              []byte("[]"),
		"a member twice":        []byte(`{"client_id":"` + id + `","client_id":"` + id + `"}`),
		"no client_id":          document(map[string]any{"client_id": nil}),
		"another client_id":     document(map[string]any{"client_id": id + "2"}),
		"a secret":              document(map[string]any{"client_secret": "s"}),
		"a hash of one":         document(map[string]any{"client_secret_sha256": strings.Repeat("A", 43)}),
		"when one expires":      document(map[string]any{"client_secret_expires_at": 0}),
		"a method with one":     document(map[string]any{"token_endpoint_auth_method": "client_secret_basic"}),
		"no redirect URIs":      document(map[string]any{"redirect_uris": nil}),
		"none that can be used": document(map[string]any{"redirect_uris": []string{"http://localhost/cb", "javascript:alert(1)"}}),
		"keys elsewhere":        document(map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/k"}),
		"no keys":               document(map[string]any{"token_endpoint_auth_method": "private_key_jwt"}),
		"HTML in the name":      document(map[string]any{"client_name": "A\u202eB"}),
		"a script as its logo":  document(map[string]any{"logo_uri": "javascript:alert(1)"}),
		"too long":              document(map[string]any{"x": strings.Repeat("x", clientdoc.MaxBytes)}),
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := clientdoc.Parse(id, raw); !errors.Is(err, registry.ErrForm) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestFetch(t *testing.T) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, c := range map[string]struct {
		status      int
		contentType string
		body        string
		want        error
	}{
		"good":               {200, "application/json; charset=utf-8", "{}", nil},
		"good, another JSON": {200, "application/oauth+json", "{}", nil},
		"a page":             {200, "text/html", "{}", registry.ErrForm},
		"gone":               {404, "application/json", "{}", registry.ErrForm},
		"a redirect":         {302, "application/json", "{}", registry.ErrForm},
		"busy":               {429, "application/json", "{}", clientdoc.ErrUnreachable},
		"broken":             {503, "application/json", "{}", clientdoc.ErrUnreachable},
		"too long":           {200, "application/json", strings.Repeat(" ", clientdoc.MaxBytes+1), registry.ErrForm},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer s.Close()
			body, err := clientdoc.Fetch(t.Context(), client, s.URL+"/client")
			if !errors.Is(err, c.want) || c.want == nil && string(body) != c.body {
				t.Errorf("%q, %v, expected %v", body, err, c.want)
			}
		})
	}
	if _, err := clientdoc.Fetch(t.Context(), client, "http://127.0.0.1:1/client"); !errors.Is(err, clientdoc.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(document(nil))
	f.Add(document(map[string]any{"redirect_uris": []string{"http://127.0.0.1/cb"}, "contacts": []string{"a"}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := clientdoc.Parse(id, raw)
		if err != nil {
			if !errors.Is(err, registry.ErrForm) {
				t.Errorf("%v is not ErrForm", err)
			}
			return
		}
		if m.SecretHash != "" || m.AuthMethod != registry.AuthNone && m.AuthMethod != registry.AuthPrivateKeyJWT || registry.CheckMetadata(m) != nil {
			t.Errorf("accepted: %+v", m)
		}
	})
}
