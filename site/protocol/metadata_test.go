// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func metadata() protocol.SiteMetadata {
	return protocol.SiteMetadata{
		Resource: resource, AuthorizationServers: []string{issuer, "https://second.example"},
		JWKSURI: resource + "/comity/jwks", ScopesSupported: []string{"read", "write"}, Federation: federation,
		AuthorizationEndpoint: resource + "/comity/authorize", EventsEndpoint: resource + "/comity/events",
	}
}

func TestSiteMetadata(t *testing.T) {
	raw, err := json.Marshal(metadata())
	wantError(t, err)
	m, err := protocol.ParseSiteMetadata(raw, resource)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Delegates(issuer) || m.Delegates("https://third.example") {
		t.Errorf("delegates wrongly: %+v", m)
	}
	_, err = protocol.ParseSiteMetadata(raw, "https://shop.example")
	wantError(t, err, registry.ErrForm)

	for name, alter := range map[string]func(*protocol.SiteMetadata){
		"no servers":       func(m *protocol.SiteMetadata) { m.AuthorizationServers = nil },
		"server twice":     func(m *protocol.SiteMetadata) { m.AuthorizationServers = []string{issuer, issuer} },
		"server not URL":   func(m *protocol.SiteMetadata) { m.AuthorizationServers = []string{"broker"} },
		"33 servers":       func(m *protocol.SiteMetadata) { m.AuthorizationServers = many(33) },
		"no federation":    func(m *protocol.SiteMetadata) { m.Federation = "" },
		"token format":     func(m *protocol.SiteMetadata) { m.AccessTokenFormat = "xml" },
		"bad federation":   func(m *protocol.SiteMetadata) { m.Federation = "Qm" },
		"no jwks_uri":      func(m *protocol.SiteMetadata) { m.JWKSURI = "" },
		"jwks elsewhere":   func(m *protocol.SiteMetadata) { m.JWKSURI = "https://cdn.example/jwks" },
		"other port":       func(m *protocol.SiteMetadata) { m.EventsEndpoint = "https://wiki.example:8443/e" },
		"other scheme":     func(m *protocol.SiteMetadata) { m.EventsEndpoint = "http://wiki.example/e" },
		"user info":        func(m *protocol.SiteMetadata) { m.EventsEndpoint = "https://wiki.example@evil.example/e" },
		"backslash":        func(m *protocol.SiteMetadata) { m.EventsEndpoint = `https://wiki.example\@evil.example/e` },
		"javascript":       func(m *protocol.SiteMetadata) { m.AuthorizationEndpoint = "javascript:alert(1)" },
		"direct, stranger": func(m *protocol.SiteMetadata) { m.DirectGrants = direct("https://third.example", "client_credentials") },
		"direct, none":     func(m *protocol.SiteMetadata) { m.DirectGrants = direct(issuer) },
		"direct, empty":    func(m *protocol.SiteMetadata) { m.DirectGrants = direct(issuer, "") },
		"direct, twice": func(m *protocol.SiteMetadata) {
			m.DirectGrants = direct(issuer, "client_credentials", "client_credentials")
		},
		"direct, 17":       func(m *protocol.SiteMetadata) { m.DirectGrants = direct(issuer, many(17)...) },
		"direct, control":  func(m *protocol.SiteMetadata) { m.DirectGrants = direct(issuer, "client\ncredentials") },
		"scope with a gap": func(m *protocol.SiteMetadata) { m.ScopesSupported = []string{"a b"} },
	} {
		t.Run(name, func(t *testing.T) {
			m := metadata()
			alter(&m)
			raw, err := json.Marshal(m)
			wantError(t, err)
			_, err = protocol.ParseSiteMetadata(raw, resource)
			wantError(t, err, registry.ErrForm)
		})
	}
	polled := metadata()
	polled.EventsEndpoint = ""
	wantError(t, polled.Check())
}

func direct(issuer string, grants ...string) map[string][]string {
	return map[string][]string{issuer: grants}
}

// What a site has opted in to, it has for one broker and for what is known.
func TestDirectGrants(t *testing.T) {
	read := func(member string) (*protocol.SiteMetadata, error) {
		m := metadata()
		m.EventsEndpoint = ""
		raw, err := json.Marshal(m)
		wantError(t, err)
		return protocol.ParseSiteMetadata([]byte(strings.TrimSuffix(string(raw), "}")+`,"comity_direct_grants":`+member+"}"), resource)
	}
	const saml, bearer = "urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:ietf:params:oauth:grant-type:jwt-bearer"
	m, err := read(`{"` + issuer + `":["client_credentials","` + bearer + `","authorization_code","urn:example:later"]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		issuer, grant string
		want          bool
	}{
		{issuer, "client_credentials", true},
		{issuer, bearer, true},
		{issuer, saml, false},
		{issuer, "authorization_code", false}, // needs a grant, whatever the site says
		{issuer, "urn:example:later", false},
		{issuer, "", false},
		{"https://second.example", "client_credentials", false},
		{"", "client_credentials", false},
	} {
		if got := m.AllowsDirect(tt.issuer, tt.grant); got != tt.want {
			t.Errorf("%s by %s: %v", tt.grant, tt.issuer, got)
		}
	}
	for name, member := range map[string]string{
		"a list": `["client_credentials"]`, "a string": `"client_credentials"`, "true": `true`,
		"a string of one": `{"` + issuer + `":"client_credentials"}`, "a number": `{"` + issuer + `":[1]}`,
		"the broker twice": `{"` + issuer + `":["client_credentials"],"` + issuer + `":["` + saml + `"]}`,
	} {
		if _, err := read(member); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if m, err := read(`{}`); err != nil || m.AllowsDirect(issuer, "client_credentials") {
		t.Errorf("an empty object: %v", err)
	}
}

func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("https://b%d.example", i))
	}
	return all
}

func TestMetadataURL(t *testing.T) {
	const wk = "/.well-known/oauth-protected-resource"
	for _, tt := range []struct{ resource, want string }{
		{"https://wiki.example", "https://wiki.example" + wk},
		{"https://wiki.example:8443", "https://wiki.example:8443" + wk},
		{"https://example.org/blog", "https://example.org" + wk + "/blog"},
		{"https://example.org/a/b%20c", "https://example.org" + wk + "/a/b%20c"},
		{"https://[2001:db8::1]", "https://[2001:db8::1]" + wk},
		{"http://127.0.0.1:8081", "http://127.0.0.1:8081" + wk},
		{"http://localhost:8081", "http://localhost:8081" + wk},
		{"http://[::1]:8081", "http://[::1]:8081" + wk},
		{"http://10.1.2.3", "http://10.1.2.3" + wk},
		{"", ""},
		{"wiki.example", ""},
		{"https://", ""},
		{"https:wiki.example", ""},
		{"https://wiki.example/", ""},
		{"https://wiki.example/a/", ""},
		{"https://wiki.example//a", ""},
		{"https://wiki.example/../a", ""},
		{"https://wiki.example/a/./b", ""},
		{"https://wiki.example/%2e%2e/a", ""},
		{"https://wiki.example?x", ""},
		{"https://wiki.example?", ""},
		{"https://wiki.example#", ""},
		{"https://wiki.example#x", ""},
		{"https://u:p@wiki.example", ""},
		{"https://@wiki.example", ""},
		{"https://Wiki.example", ""},
		{"HTTPS://wiki.example", ""},
		{"https://wiki.example.", ""},
		{"https://wiki.example:443", ""},
		{"https://wiki.example:", ""},
		{"https://wiki.example:08443", ""},
		{"https://wïki.example", ""},
		{"https://wiki.example/ä", ""},
		{"https://wiki_example", ""},
		{"https://wiki.example\\x", ""},
		{"https://[::FFFF]", ""},
		{"https://[fe80::1%25eth0]", ""},
		{"http://wiki.example", ""},
		{"http://8.8.8.8", ""},
		{"gopher://wiki.example", ""},
		{"javascript:alert(1)", ""},
		{"https://wiki.example/" + strings.Repeat("a", 2048), ""},
	} {
		got, err := protocol.MetadataURL(tt.resource)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("MetadataURL(%q) = %q, %v; want %q", tt.resource, got, err, tt.want)
		}
	}
}

func TestJWKS(t *testing.T) {
	k := key("site")
	own, err := json.Marshal(k.JWK())
	wantError(t, err)
	x := k.JWK().X
	for _, tt := range []struct {
		name, keys string
		n          int
	}{
		{"one", string(own), 1},
		{"no kid", `{"kty":"OKP","crv":"Ed25519","x":"` + x + `"}`, 1},
		{"others are ignored", string(own) + `,{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"rsa"},{"kty":"OKP","crv":"X25519","x":"AA"}`, 1},
		{"for encryption", `{"kty":"OKP","crv":"Ed25519","x":"` + x + `","use":"enc"}`, 0},
		{"none", ``, 0},
		{"twice", string(own) + "," + string(own), 0},
		{"another kid", `{"kty":"OKP","crv":"Ed25519","kid":"mine","x":"` + x + `"}`, 0},
		{"short x", `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`, 0},
		{"private", `{"kty":"OKP","crv":"Ed25519","x":"` + x + `","d":"AAAA"}`, 0},
		{"private RSA", string(own) + `,{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}`, 0},
		{"small order", `{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, 0},
		{"eleven", strings.Repeat(`{"kty":"RSA"},`, 10) + string(own), 0},
		{"a string", `"key"`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := protocol.ParseJWKS([]byte(`{"keys":[` + tt.keys + `]}`))
			if len(got) != tt.n || (err == nil) != (tt.n > 0) {
				t.Fatalf("got %d keys, error %v", len(got), err)
			}
			if tt.n > 0 && !k.Public().Equal(got[k.ID()]) {
				t.Error("another key")
			}
		})
	}
}
