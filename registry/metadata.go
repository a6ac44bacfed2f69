// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
)

// ClientMetadata are the RFC 7591 members of a registration. CheckMetadata is
// the one place that judges them.
type ClientMetadata struct {
	Name            string   `json:"client_name"`
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	GrantTypes      []string `json:"grant_types,omitempty"`
	ResponseTypes   []string `json:"response_types,omitempty"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	Scope           string   `json:"scope,omitempty"`
	ApplicationType string   `json:"application_type,omitempty"` // web or native
	URI             string   `json:"client_uri,omitempty"`
	LogoURI         string   `json:"logo_uri,omitempty"`
	PolicyURI       string   `json:"policy_uri,omitempty"`
	TermsURI        string   `json:"tos_uri,omitempty"`
	Keys            *JWKSet  `json:"jwks,omitempty"`                 // for private_key_jwt
	SecretHash      string   `json:"client_secret_sha256,omitempty"` // base64url SHA-256 of a secret that the broker made
	SoftwareID      string   `json:"software_id,omitempty"`
	SoftwareVersion string   `json:"software_version,omitempty"`
	DPoPBound       bool     `json:"dpop_bound_access_tokens,omitempty"`
	// Extra are the members that this version does not know, kept as they
	// are so that a newer node's registrations survive an older one.
	Extra map[string]json.RawMessage `json:"-"`
}

// Client authentication methods at the token endpoint that a broker serves.
const (
	AuthNone          = "none"
	AuthPrivateKeyJWT = "private_key_jwt"
	AuthSecretBasic   = "client_secret_basic"
	AuthSecretPost    = "client_secret_post"
)

// Grant types that a client may register. Which of them a broker serves, is its
// own matter.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantPassword          = "password"
	GrantImplicit          = "implicit"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	GrantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	GrantSAML2Bearer       = "urn:ietf:params:oauth:grant-type:saml2-bearer"
	// GrantOneTimeToken exchanges a token that came with the redirect, once.
	GrantOneTimeToken = "urn:comity:grant-type:one-time-token"
)

// Grants returns the grant types of the client: authorization_code when it
// registered none (RFC 7591 section 2).
func (m *ClientMetadata) Grants() []string {
	if len(m.GrantTypes) == 0 {
		return []string{GrantAuthorizationCode}
	}
	return m.GrantTypes
}

// AllowsGrant reports whether the client registered the grant type.
func (m *ClientMetadata) AllowsGrant(grant string) bool {
	return slices.Contains(m.Grants(), grant)
}

func (m *ClientMetadata) fields() []field {
	return []field{
		{name: "client_name", into: &m.Name, required: true},
		{name: "redirect_uris", into: &m.RedirectURIs},
		{name: "grant_types", into: &m.GrantTypes},
		{name: "response_types", into: &m.ResponseTypes},
		{name: "token_endpoint_auth_method", into: &m.AuthMethod, required: true},
		{name: "scope", into: &m.Scope},
		{name: "application_type", into: &m.ApplicationType},
		{name: "client_uri", into: &m.URI},
		{name: "logo_uri", into: &m.LogoURI},
		{name: "policy_uri", into: &m.PolicyURI},
		{name: "tos_uri", into: &m.TermsURI},
		{name: "jwks", into: &m.Keys},
		{name: "client_secret_sha256", into: &m.SecretHash},
		{name: "software_id", into: &m.SoftwareID},
		{name: "software_version", into: &m.SoftwareVersion},
		{name: "dpop_bound_access_tokens", into: &m.DPoPBound},
	}
}

// ParseMetadata reads client metadata that somebody wrote as a JSON object, by
// the rules of package strictjson. It is lenient where a document is only
// incomplete: no member is required yet, and empty ones count as absent.
// Whoever calls it fills in what is missing (a method, the hash of a secret)
// and asks CheckMetadata.
func ParseMetadata(data []byte) (ClientMetadata, error) {
	var m ClientMetadata
	if len(data) > MaxRecordBytes {
		return m, wrong(classSize, "", "the client metadata have %d bytes, at most %d are allowed", len(data), MaxRecordBytes)
	}
	fields := m.fields()
	for i := range fields {
		fields[i].required, fields[i].zero = false, true
	}
	err := decode(data, fields, func(member strictjson.Member) error {
		if slices.Contains(chainNames, member.Name) {
			return wrong(classUnwanted, member.Name, "%s is set by the broker: leave it out", member.Name)
		}
		return m.keep(member)
	})
	if err != nil {
		return ClientMetadata{}, err
	}
	return m, nil
}

// Document returns the metadata as the JSON object that ParseMetadata reads.
func (m *ClientMetadata) Document() ([]byte, error) {
	body, err := encode(m)
	if err != nil {
		return nil, err
	}
	return withExtra(body, m.Extra, m.fields())
}

// refused are members that have no place in a public log that is for ever.
var refused = map[string]string{
	"contacts":                  "contacts are addresses of people, and a log is public and for ever: put them on the page at client_uri",
	"jwks_uri":                  "jwks_uri is not fetched, since every broker must know the keys without asking: put them in jwks",
	"client_secret":             "client_secret must never be published: client_secret_sha256 holds its hash",
	"client_id":                 "client_id is the CID of the first registration: leave it out",
	"registration_access_token": "registration_access_token must never be published: leave it out",
}

// keep stores a member that this version does not know.
func (m *ClientMetadata) keep(member strictjson.Member) error {
	if why := refused[member.Name]; why != "" {
		return wrong(classUnwanted, member.Name, "%s", why)
	}
	if err := ignore(member); err != nil {
		return err
	}
	if m.Extra == nil {
		m.Extra = map[string]json.RawMessage{}
	}
	m.Extra[member.Name] = bytes.Clone(member.Value)
	return nil
}

// CheckMetadata is the one judge of client metadata: inside ParseRecord, at
// registration, and again at use. The error names the member and says what to
// do. Members that this version does not know are not judged, except that
// those which must not be published are refused.
func CheckMetadata(m *ClientMetadata) error {
	for _, check := range []func(*ClientMetadata) error{
		checkNames, checkGrants, checkAuthMethod, checkRedirects, checkScope, checkLinks, checkExtra,
	} {
		if err := check(m); err != nil {
			return err
		}
	}
	return nil
}

func checkNames(m *ClientMetadata) error {
	if err := checkText("client_name", m.Name, MaxNameRunes); err != nil {
		return err
	}
	if m.SoftwareID != "" {
		if err := checkText("software_id", m.SoftwareID, MaxNameRunes); err != nil {
			return err
		}
	}
	if m.SoftwareVersion != "" {
		return checkText("software_version", m.SoftwareVersion, MaxNameRunes)
	}
	return nil
}

func checkRedirects(m *ClientMetadata) error {
	if t := m.ApplicationType; t != "" && t != "web" && t != "native" {
		return wrong(classValue, "application_type", "application_type is %.20q: use web or native", t)
	}
	if n := len(m.RedirectURIs); n > MaxRedirectURIs {
		return wrong(classLimit, "redirect_uris", "redirect_uris has %d entries, at most %d are allowed", n, MaxRedirectURIs)
	}
	if len(m.RedirectURIs) == 0 && m.redirects() {
		return wrong(classMissing, "redirect_uris", "redirect_uris is missing: a client with the grant type authorization_code needs at least one")
	}
	for i, uri := range m.RedirectURIs {
		if err := CheckRedirectURI(uri, m.Native()); err != nil {
			return relabel(err, "redirect_uris")
		}
		if slices.Contains(m.RedirectURIs[:i], uri) {
			return wrong(classValue, "redirect_uris", "redirect_uris holds %.200q twice: remove one", uri)
		}
	}
	return nil
}

// redirects reports whether the client is answered by a redirect.
func (m *ClientMetadata) redirects() bool {
	return slices.ContainsFunc(m.Grants(), func(g string) bool {
		return g == GrantAuthorizationCode || g == GrantImplicit || g == GrantOneTimeToken
	})
}

// checkScope wants scope tokens (RFC 6749 section 3.3) with one space between
// them, none twice.
func checkScope(m *ClientMetadata) error {
	if m.Scope == "" {
		return nil
	}
	if len(m.Scope) > MaxScopeBytes {
		return wrong(classLimit, "scope", "scope has %d bytes, at most %d are allowed", len(m.Scope), MaxScopeBytes)
	}
	tokens := strings.Split(m.Scope, " ")
	for i, t := range tokens {
		if t == "" || !isVisible(t) || strings.ContainsAny(t, `"\`) {
			return wrong(classValue, "scope", "scope is not a list of words of visible ASCII characters with one space between them")
		}
		if slices.Contains(tokens[:i], t) {
			return wrong(classValue, "scope", "scope holds %.60q twice: remove one", t)
		}
	}
	return nil
}

func checkLinks(m *ClientMetadata) error {
	for _, l := range []struct{ member, link string }{
		{"client_uri", m.URI}, {"logo_uri", m.LogoURI}, {"policy_uri", m.PolicyURI}, {"tos_uri", m.TermsURI},
	} {
		if l.link == "" {
			continue
		}
		if err := checkLink(l.member, l.link); err != nil {
			return err
		}
	}
	return nil
}

// checkExtra judges again what keep refuses, for metadata that came another way.
func checkExtra(m *ClientMetadata) error {
	for name := range m.Extra {
		if why := refused[name]; why != "" {
			return wrong(classUnwanted, name, "%s", why)
		}
	}
	return nil
}
