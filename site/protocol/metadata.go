// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"errors"
	"fmt"
	"slices"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// SiteMetadata are the protected resource metadata (RFC 9728) of a site, with
// members of ours. All URLs but the servers are of the resource's origin.
type SiteMetadata struct {
	Resource string `json:"resource"`
	// AuthorizationServers are the issuers that the site delegates to, the
	// preferred one first.
	AuthorizationServers []string `json:"authorization_servers"`
	JWKSURI              string   `json:"jwks_uri"`
	ScopesSupported      []string `json:"scopes_supported,omitempty"`
	// Federation is the id of the federation that the site has pinned.
	Federation string `json:"comity_federation"`
	// AuthorizationEndpoint is where users log in and consent. Empty: they do
	// that at the broker.
	AuthorizationEndpoint string `json:"comity_authorization_endpoint,omitempty"`
	// EventsEndpoint takes notifications. Empty: the site asks by polling or
	// introspection.
	EventsEndpoint string `json:"comity_events_endpoint,omitempty"`
	// EventBatches says that the EventsEndpoint takes batches as well.
	EventBatches bool `json:"comity_event_batches,omitempty"`
	// AccessTokenFormat is what access tokens for the site are made of:
	// FormatOpaque, which is the default, or FormatJWT.
	AccessTokenFormat string `json:"comity_access_token_format,omitempty"`
	// LimitsUses says that the site enforces TokenIssued.Uses.
	LimitsUses bool `json:"comity_limits_token_uses,omitempty"`
	// DirectGrants are the grant types without a grant of the site by which
	// each of its brokers, by issuer, may mint for it. They count where there
	// is no EventsEndpoint; elsewhere the site is asked about each token.
	DirectGrants map[string][]string `json:"comity_direct_grants,omitempty"`
}

// ParseSiteMetadata checks the metadata document that was fetched for
// resource. The error wraps registry.ErrForm and says what to change.
func ParseSiteMetadata(data []byte, resource string) (*SiteMetadata, error) {
	var m SiteMetadata
	if err := m.parse(data, resource); err != nil {
		return nil, malformed("site metadata", err)
	}
	return &m, nil
}

func (m *SiteMetadata) parse(data []byte, resource string) error {
	if len(data) > MaxMetadataBytes {
		return fmt.Errorf("more than %d bytes", MaxMetadataBytes)
	}
	if err := strictjson.Unmarshal(data, m); err != nil {
		return err
	}
	// RFC 9728, section 3.3: a document that names another resource must not
	// be used, or one site could speak for another.
	if m.Resource != resource {
		return fmt.Errorf("resource is %q, expected %q", m.Resource, resource)
	}
	return m.Check()
}

// Check judges the members of m. A site calls it for its own metadata.
func (m *SiteMetadata) Check() error {
	if err := CheckResource(m.Resource); err != nil {
		return err
	}
	if err := m.checkServers(); err != nil {
		return err
	}
	if m.Federation == "" {
		return errors.New("comity_federation is missing")
	}
	if err := checkFederation(m.Federation); err != nil {
		return err
	}
	if err := m.checkEndpoints(); err != nil {
		return err
	}
	if err := m.checkDirectGrants(); err != nil {
		return fmt.Errorf("comity_direct_grants: %w", err)
	}
	switch m.AccessTokenFormat {
	case "", FormatOpaque, FormatJWT:
	default:
		return fmt.Errorf("comity_access_token_format is %.40q, expected %s or %s", m.AccessTokenFormat, FormatOpaque, FormatJWT)
	}
	return checkScopes(m.ScopesSupported)
}

func (m *SiteMetadata) checkServers() error {
	n := len(m.AuthorizationServers)
	if n == 0 || n > MaxServers {
		return fmt.Errorf("authorization_servers has %d entries, expected 1 to %d", n, MaxServers)
	}
	for i, issuer := range m.AuthorizationServers {
		if err := checkIssuer(issuer); err != nil {
			return fmt.Errorf("authorization_servers: %w", err)
		}
		if slices.Contains(m.AuthorizationServers[:i], issuer) {
			return fmt.Errorf("authorization_servers names %q twice", issuer)
		}
	}
	return nil
}

func (m *SiteMetadata) checkEndpoints() error {
	for _, e := range []struct{ name, url string }{
		{"jwks_uri", m.JWKSURI},
		{"comity_authorization_endpoint", m.AuthorizationEndpoint},
		{"comity_events_endpoint", m.EventsEndpoint},
	} {
		if e.url == "" && e.name != "jwks_uri" {
			continue
		}
		if err := checkEndpoint(e.url); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if Origin(e.url) != Origin(m.Resource) {
			return fmt.Errorf("%s is not of the origin of the resource, %s", e.name, Origin(m.Resource))
		}
	}
	return nil
}

// checkDirectGrants judges the form. Grant types that are not known are let
// pass and count for nothing: a later version may know them.
func (m *SiteMetadata) checkDirectGrants() error {
	for issuer, grants := range m.DirectGrants {
		switch {
		case !m.Delegates(issuer):
			return fmt.Errorf("%.80q is not in authorization_servers", issuer)
		case len(grants) == 0 || len(grants) > maxDirectGrants:
			return fmt.Errorf("%s has %d grant types, expected 1 to %d", issuer, len(grants), maxDirectGrants)
		}
		for i, grant := range grants {
			if err := checkURI("grant type", grant); err != nil {
				return fmt.Errorf("%s: %w", issuer, err)
			}
			if slices.Contains(grants[:i], grant) {
				return fmt.Errorf("%s has %s twice", issuer, grant)
			}
		}
	}
	return nil
}

func checkScopes(scopes []string) error {
	if len(scopes) > maxScopes {
		return fmt.Errorf("scopes_supported has %d entries, at most %d are allowed", len(scopes), maxScopes)
	}
	for _, s := range scopes {
		if len(s) > maxNonceBytes || !isScopeWord(s) {
			return errors.New("scopes_supported holds something that is not a scope")
		}
	}
	return nil
}

// AllowsDirect reports whether the broker issuer may mint by a grant type that
// needs no grant of the site, without asking.
func (m *SiteMetadata) AllowsDirect(issuer, grantType string) bool {
	switch grantType {
	case registry.GrantClientCredentials, registry.GrantSAML2Bearer, registry.GrantJWTBearer:
		return slices.Contains(m.DirectGrants[issuer], grantType)
	}
	return false
}

// Delegates reports whether the site delegates to issuer.
func (m *SiteMetadata) Delegates(issuer string) bool {
	return slices.Contains(m.AuthorizationServers, issuer)
}
