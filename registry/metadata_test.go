// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

func keySet(keys ...string) *registry.JWKSet {
	s := new(registry.JWKSet)
	for _, k := range keys {
		s.Keys = append(s.Keys, json.RawMessage(k))
	}
	return s
}

// The vectors hold one example of each refusal; these are further ones.
func TestCheckMetadata(t *testing.T) {
	type metadata = registry.ClientMetadata
	confidential := func(m *metadata) { m.AuthMethod, m.Keys = registry.AuthPrivateKeyJWT, keySet(keysEd25519) }
	for _, tc := range []struct {
		name string
		edit func(*metadata)
		slug string // empty: accepted
	}{
		{"plain", func(*metadata) {}, ""},
		{"private_key_jwt", confidential, ""},
		{"client_secret_post", func(m *metadata) { m.AuthMethod, m.SecretHash = registry.AuthSecretPost, someDigest }, ""},
		{"80 characters", func(m *metadata) { m.Name = strings.Repeat("é", 80) }, ""},
		{"Hindi name", func(m *metadata) { m.Name = "\u095eोटो" }, "value:client_name"}, // form C takes it apart
		{"Hindi name in form C", func(m *metadata) { m.Name = "फ़ोटो" }, ""},
		{"Thai name", func(m *metadata) { m.Name = "เครื่องพิมพ์" }, ""},
		{"Hangul name", func(m *metadata) { m.Name = "사진 인쇄" }, ""},
		{"markup is text", func(m *metadata) { m.Name = "<b>Photo</b> & 'Printer'" }, ""},
		{"empty name", func(m *metadata) { m.Name = "" }, "empty:client_name"},
		{"name in other bytes", func(m *metadata) { m.Name = "Photo\xff" }, "value:client_name"},
		{"only a space", func(m *metadata) { m.Name = " " }, "value:client_name"},
		{"two spaces", func(m *metadata) { m.Name = "Photo  Printer" }, "value:client_name"},
		{"no-break space", func(m *metadata) { m.Name = "Photo\u00a0Printer" }, "value:client_name"},
		{"ideographic space", func(m *metadata) { m.Name = "写真\u3000印刷" }, "value:client_name"},
		{"NUL", func(m *metadata) { m.Name = "Photo\x00" }, "value:client_name"},
		{"escape", func(m *metadata) { m.Name = "Photo\x1b[31m" }, "value:client_name"},
		{"next line", func(m *metadata) { m.Name = "Photo\u0085Printer" }, "value:client_name"},
		{"line separator", func(m *metadata) { m.Name = "Photo\u2028Printer" }, "value:client_name"},
		{"right-to-left mark", func(m *metadata) { m.Name = "Photo\u200fPrinter" }, "value:client_name"},
		{"isolate", func(m *metadata) { m.Name = "Photo\u2066Printer" }, "value:client_name"},
		{"joiner", func(m *metadata) { m.Name = "Pho\u200dto" }, "value:client_name"},
		{"soft hyphen", func(m *metadata) { m.Name = "Pho\u00adto" }, "value:client_name"},
		{"byte order mark", func(m *metadata) { m.Name = "Pho\ufeffto" }, "value:client_name"},
		{"Hangul filler", func(m *metadata) { m.Name = "Pho\u3164to" }, "value:client_name"},
		{"grapheme joiner", func(m *metadata) { m.Name = "Pho\u034fto" }, "value:client_name"},
		{"variation selector", func(m *metadata) { m.Name = "Photo\ufe0f" }, "value:client_name"},
		{"braille blank", func(m *metadata) { m.Name = "Photo\u2800x" }, "value:client_name"},
		{"tag", func(m *metadata) { m.Name = "Photo\U000e0041" }, "value:client_name"},
		{"private use", func(m *metadata) { m.Name = "Photo\ue000" }, "value:client_name"},
		{"not a character", func(m *metadata) { m.Name = "Photo\uffff" }, "value:client_name"},
		{"replacement character", func(m *metadata) { m.Name = "Photo\ufffd" }, "value:client_name"},
		{"mark in front", func(m *metadata) { m.Name = "\u0489Photo" }, "value:client_name"},
		{"pile of marks", func(m *metadata) { m.Name = "P" + strings.Repeat("\u0489", 5) }, "value:client_name"},
		{"decomposed", func(m *metadata) { m.Name = "Cafe\u0301" }, "value:client_name"},
		{"compatibility ideograph", func(m *metadata) { m.Name = "\uf900" }, "value:client_name"},
		{"software_id", func(m *metadata) { m.SoftwareID = "a\nb" }, "value:software_id"},
		{"software_version", func(m *metadata) { m.SoftwareVersion = strings.Repeat("1", 81) }, "limit:software_version"},

		{"all grant types", func(m *metadata) {
			confidential(m)
			m.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials", "password", "implicit",
				registry.GrantDeviceCode, registry.GrantJWTBearer, registry.GrantSAML2Bearer, registry.GrantOneTimeToken}
			m.ResponseTypes = []string{"code", "token"}
		}, ""},
		{"grant twice", func(m *metadata) { m.GrantTypes = []string{"authorization_code", "authorization_code"} }, "value:grant_types"},
		{"code without its grant", func(m *metadata) {
			confidential(m)
			m.GrantTypes, m.ResponseTypes = []string{"client_credentials"}, []string{"code"}
		}, "value:response_types"},
		{"grant without its code", func(m *metadata) {
			m.GrantTypes, m.ResponseTypes = []string{"authorization_code", "implicit"}, []string{"token"}
		}, "value:response_types"},
		{"response type twice", func(m *metadata) { m.ResponseTypes = []string{"code", "code"} }, "value:response_types"},
		{"hybrid response type", func(m *metadata) { m.ResponseTypes = []string{"code id_token"} }, "value:response_types"},
		{"device flow needs no redirect", func(m *metadata) {
			m.RedirectURIs, m.GrantTypes = nil, []string{registry.GrantDeviceCode}
		}, ""},
		{"implicit needs a redirect", func(m *metadata) {
			m.RedirectURIs, m.GrantTypes = nil, []string{registry.GrantImplicit}
		}, "missing:redirect_uris"},

		{"no method", func(m *metadata) { m.AuthMethod = "" }, "missing:token_endpoint_auth_method"},
		{"keys and a secret", func(m *metadata) { confidential(m); m.SecretHash = someDigest }, "unwanted:client_secret_sha256"},
		{"secret and keys", func(m *metadata) {
			m.AuthMethod, m.SecretHash, m.Keys = registry.AuthSecretBasic, someDigest, keySet(keysP256)
		}, "unwanted:jwks"},
		{"ten keys", func(m *metadata) {
			m.AuthMethod = registry.AuthPrivateKeyJWT
			m.Keys = keySet(keysP256, keysP256, keysP256, keysP256, keysP256, keysP256, keysP256, keysP256, keysRSA, keysEd25519)
		}, ""},
		{"key is no object", func(m *metadata) { confidential(m); m.Keys = keySet(`"x"`) }, "json"},
		{"key with a certificate", func(m *metadata) { confidential(m); m.Keys = keySet(with(keysP256, `"x5c":["MAA="]`)) }, "unwanted:jwks"},
		{"key with a certificate elsewhere", func(m *metadata) {
			confidential(m)
			m.Keys = keySet(with(keysP256, `"x5u":"https://evil.example"`))
		}, "unwanted:jwks"},
		{"key with padding", func(m *metadata) { confidential(m); m.Keys = keySet(change(keysP256, `RVEU"`, `RVEU="`)) }, "value:jwks"},
		{"key number with a zero in front", func(m *metadata) { confidential(m); m.Keys = keySet(change(keysRSA, `"AQAB"`, `"AAEAAQ"`)) }, "value:jwks"},
		{"even exponent", func(m *metadata) { confidential(m); m.Keys = keySet(change(keysRSA, `"AQAB"`, `"AQAC"`)) }, "value:jwks"},
		{"exponent 3", func(m *metadata) { confidential(m); m.Keys = keySet(change(keysRSA, `"AQAB"`, `"Aw"`)) }, "value:jwks"},
		{"even modulus", func(m *metadata) { confidential(m); m.Keys = keySet(change(keysRSA, `BNFw"`, `BNFg"`)) }, "value:jwks"},
		{"RSA of 4,104 bits", func(m *metadata) {
			confidential(m)
			m.Keys = keySet(`{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("_", 684) + `"}`)
		}, "limit:jwks"},
		{"RSA private", func(m *metadata) { confidential(m); m.Keys = keySet(with(keysRSA, `"dp":"AQAB"`)) }, "unwanted:jwks"},
		{"P-384", func(m *metadata) {
			confidential(m)
			m.Keys = keySet(`{"kty":"EC","crv":"P-384","x":"qqoK6Jxr6gjPqvL7WE6OxyzHCvIgMpBxqzG6A_bCEu9S0y4Xl0jKj0GuqEsL6ZjM","y":"NhfeSpYmLCaQyTP5xfZ5bo3lTbpzCeIG7n5cbgDRqZP4Lq6CxyUKMwFMcQk8W2LW"}`)
		}, "value:jwks"},

		{"scope", func(m *metadata) { m.Scope = "a !#$%&'()*+,-./09:;<=>?@[]^_`{|}~" }, ""},
		{"scope with a space in front", func(m *metadata) { m.Scope = " a" }, "value:scope"},
		{"scope with a tab", func(m *metadata) { m.Scope = "a\tb" }, "value:scope"},
		{"scope with a backslash", func(m *metadata) { m.Scope = `a\b` }, "value:scope"},
		{"scope outside of ASCII", func(m *metadata) { m.Scope = "lire-été" }, "value:scope"},
		{"scope too long", func(m *metadata) { m.Scope = strings.Repeat("a", 1025) }, "limit:scope"},

		{"link without a path", func(m *metadata) { m.URI = "https://app.example" }, ""},
		{"link to a script", func(m *metadata) { m.URI = "javascript:alert(1)" }, "value:client_uri"},
		{"link in http", func(m *metadata) { m.TermsURI = "http://127.0.0.1/terms" }, "value:tos_uri"},
		{"link with user info", func(m *metadata) { m.PolicyURI = "https://bank.example@evil.example/" }, "value:policy_uri"},
		{"link too long", func(m *metadata) { m.LogoURI = "https://app.example/" + strings.Repeat("a", 2048) }, "limit:logo_uri"},

		{"contacts another way", func(m *metadata) { m.Extra = map[string]json.RawMessage{"contacts": []byte(`[]`)} }, "unwanted:contacts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := publicClient()
			tc.edit(&m)
			err := registry.CheckMetadata(&m)
			if registry.Slug(err) != tc.slug || (err == nil) != (tc.slug == "") {
				t.Errorf("%v (%s), expected %q", err, registry.Slug(err), tc.slug)
			}
			if err != nil && !strings.Contains(err.Error(), memberOf(tc.slug)) {
				t.Errorf("%q does not name %s", err, memberOf(tc.slug))
			}
		})
	}
}

func memberOf(slug string) string {
	_, member, _ := strings.Cut(slug, ":")
	return member
}

func TestParseMetadata(t *testing.T) {
	m, err := registry.ParseMetadata([]byte(`{"client_name":"Photo Printer","redirect_uris":["https://printer.example/callback"],
		"response_types":[],"scope":"","token_endpoint_auth_method":"none","extra":{"b":[1,null]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := publicClient()
	want.ResponseTypes = []string{}
	want.Extra = map[string]json.RawMessage{"extra": []byte(`{"b":[1,null]}`)}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("read as %+v", m)
	}
	if err := registry.CheckMetadata(&m); err != nil {
		t.Error(err)
	}
	for in, slug := range map[string]string{
		`{"iss":"https://broker.example"}`:             "unwanted:iss",
		`{"seq":0}`:                                    "unwanted:seq",
		`{"contacts":[]}`:                              "unwanted:contacts",
		`{"jwks_uri":"https://app.example/keys"}`:      "unwanted:jwks_uri",
		`{"client_secret":"x"}`:                        "unwanted:client_secret",
		`{"client_id":"x"}`:                            "unwanted:client_id",
		`{"exp":1}`:                                    "unwanted:exp",
		`{"client_name":null}`:                         "type:client_name",
		`{"redirect_uris":"https://app.example/"}`:     "type:redirect_uris",
		`{"redirect_uris":[["https://app.example/"]]}`: "type:redirect_uris",
		`{"client_name":"a","client_name":"b"}`:        "duplicate",
		`{} {}`:                                        "trailing",
		`[]`:                                           "json",
		`{"a":"` + strings.Repeat("x", 16384) + `"}`:   "size",
		`{"redirect_uris":[` + strings.Repeat(`"",`, 1024) + `""]}`: "values",
	} {
		if _, err := registry.ParseMetadata([]byte(in)); registry.Slug(err) != slug || !errors.Is(err, registry.ErrForm) {
			t.Errorf("%.60s: %v, expected %s", in, err, slug)
		}
	}
}

func TestGrants(t *testing.T) {
	m := publicClient()
	if !m.AllowsGrant(registry.GrantAuthorizationCode) || m.AllowsGrant(registry.GrantRefreshToken) {
		t.Errorf("without grant_types: %v", m.Grants())
	}
	m.GrantTypes = []string{registry.GrantClientCredentials}
	if m.AllowsGrant(registry.GrantAuthorizationCode) || !m.AllowsGrant(registry.GrantClientCredentials) {
		t.Errorf("with client_credentials: %v", m.Grants())
	}
}

func TestPublicKeys(t *testing.T) {
	keys, err := keySet(keysEd25519, keysP256, keysRSA).PublicKeys()
	if err != nil || len(keys) != 3 || keys[2].KeyID != "2026" {
		t.Errorf("%v, %v", keys, err)
	}
}

// Unknown members are kept byte for byte, and come back out the same.
func TestUnknownMembers(t *testing.T) {
	reg := registration()
	reg.Extra = map[string]json.RawMessage{
		"zeta": []byte(`{"b":1,"a":[null,1.50,"<&>"]}`), "alpha": []byte(`"\u00e9"`),
	}
	r, err := registry.SignRegistration(fixedKey(1), reg)
	must(t, r, err)
	if have := r.Registration.Extra; !reflect.DeepEqual(have, reg.Extra) {
		t.Errorf("kept as %s", have)
	}
	again, err := registry.SignRegistration(fixedKey(1), *r.Registration)
	if must(t, again, err); again.Raw != r.Raw {
		t.Error("signed again it is another record")
	}
	for name, slug := range map[string]string{
		"client_name": "unwanted:client_name", "sub": "unwanted:sub", "contacts": "unwanted:contacts", "aud": "unwanted:aud",
	} {
		reg.Extra = map[string]json.RawMessage{name: []byte(`"x"`)}
		if _, err := registry.SignRegistration(fixedKey(1), reg); registry.Slug(err) != slug {
			t.Errorf("%s in Extra: %v", name, err)
		}
	}
	reg.Extra = map[string]json.RawMessage{"x": []byte(`{`)}
	if _, err := registry.SignRegistration(fixedKey(1), reg); registry.Slug(err) != "value:x" {
		t.Errorf("no JSON in Extra: %v", err)
	}
}

// Metadata survive being written down and read again.
func TestMetadataDocument(t *testing.T) {
	const given = `{"client_name":"A <&>","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none","dpop_bound_access_tokens":true,"x_a":[1,2.50],"x_b":"y"}`
	m, err := registry.ParseMetadata([]byte(given))
	if err != nil {
		t.Fatal(err)
	}
	if document, err := m.Document(); err != nil || string(document) != given {
		t.Errorf("document %s, %v", document, err)
	}
}
