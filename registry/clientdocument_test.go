// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// clientDocument is a good one; change sets members, nil takes one away.
func clientDocument(change map[string]any) []byte {
	members := map[string]any{"client_id": clientURL, "client_name": "App", "redirect_uris": []string{"https://app.example/cb"}}
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

func TestParseClientDocument(t *testing.T) {
	m, err := registry.ParseClientDocument(clientURL, clientDocument(nil))
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
			if m, err := registry.ParseClientDocument(clientURL, clientDocument(c.change)); err != nil || !c.check(m) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestParseClientDocumentRefuses(t *testing.T) {
	for name, raw := range map[string][]byte{
		"no JSON":               []byte("<html>"),
		"an array":              []byte("[]"),
		"a member twice":        []byte(`{"client_id":"` + clientURL + `","client_id":"` + clientURL + `"}`),
		"no client_id":          clientDocument(map[string]any{"client_id": nil}),
		"another client_id":     clientDocument(map[string]any{"client_id": clientURL + "2"}),
		"a secret":              clientDocument(map[string]any{"client_secret": "s"}),
		"a hash of one":         clientDocument(map[string]any{"client_secret_sha256": strings.Repeat("A", 43)}),
		"when one expires":      clientDocument(map[string]any{"client_secret_expires_at": 0}),
		"a method with one":     clientDocument(map[string]any{"token_endpoint_auth_method": "client_secret_basic"}),
		"no redirect URIs":      clientDocument(map[string]any{"redirect_uris": nil}),
		"none that can be used": clientDocument(map[string]any{"redirect_uris": []string{"http://localhost/cb", "javascript:alert(1)"}}),
		"keys elsewhere":        clientDocument(map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/k"}),
		"no keys":               clientDocument(map[string]any{"token_endpoint_auth_method": "private_key_jwt"}),
		"HTML in the name":      clientDocument(map[string]any{"client_name": "A\u202eB"}),
		"a script as its logo":  clientDocument(map[string]any{"logo_uri": "javascript:alert(1)"}),
		"too long":              clientDocument(map[string]any{"x": strings.Repeat("x", registry.MaxRecordBytes)}),
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := registry.ParseClientDocument(clientURL, raw); !errors.Is(err, registry.ErrForm) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func FuzzParseClientDocument(f *testing.F) {
	f.Add(clientDocument(nil))
	f.Add(clientDocument(map[string]any{"redirect_uris": []string{"http://127.0.0.1/cb"}, "contacts": []string{"a"}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := registry.ParseClientDocument(clientURL, raw)
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
