// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
)

// FuzzRequest: any body is refused with an error for the client, or means the
// same when it is written down and read again; and never carries what only the
// broker sets.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		someApp, secretApp, `{"software_statement":"a.b.c"}`, `{"contacts":["a@b.example"],"client_name":null}`, `{"client_id":"x","client_secret":"y"}`,
		`{"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}}`, `{"x":{"a":[1,2.5e3,true,"é"]}}`,
		`{"grant_types":["implicit"],"redirect_uris":["com.example.app:/cb"]}`, `{"jwks_uri":"https://app.example/"}`, `[]`, `{"":0}`, `{"client_secret_sha256":"A"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, statement, err := registration.Parse(body)
		if err != nil {
			if failure := (*oauth.Failure)(nil); !errors.As(err, &failure) || failure.Status != 400 || failure.Description == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		if statement != "" {
			return
		}
		if m.SecretHash != "" || m.Extra["contacts"] != nil || m.Extra["client_id"] != nil {
			t.Fatalf("it carries %+v", m)
		}
		if registry.CheckMetadata(&m) != nil {
			return
		}
		document, err := m.Document()
		if err != nil {
			t.Fatal(err)
		}
		again, err := registry.ParseMetadata(document)
		if err != nil || !reflect.DeepEqual(names(again), names(m)) {
			t.Fatalf("%s is read as %+v, %v", document, again, err)
		}
	})
}

// names is what must not change; values of unknown members keep their bytes,
// but for space around them.
func names(m registry.ClientMetadata) []any {
	extra := 0
	for name := range m.Extra {
		extra += len(strings.TrimSpace(name))
	}
	return []any{m.Name, m.RedirectURIs, m.GrantTypes, m.ResponseTypes, m.AuthMethod, m.Scope, m.URI, len(m.Extra), extra}
}
