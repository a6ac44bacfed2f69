// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"strings"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// credentialsGrant gives a client a token of its own, without any user (RFC
// 6749, section 4.4). There is no grant by the site behind it, so the site
// must have opted in: its acknowledgement is the judge, and where it takes no
// notifications, what its metadata say.
func (s *Server) credentialsGrant(ctx context.Context, x exchange) (*offer, error) {
	switch {
	case x.client.Metadata.AuthMethod == registry.AuthNone:
		return nil, unauthorizedClient("a public client has no credentials")
	case s.away(x.client):
		return nil, unauthorizedClient("away from its home broker a client needs private_key_jwt for this")
	}
	resource, err := x.form.need("resource")
	if err != nil {
		return nil, err
	}
	scope := x.form["scope"]
	if scope == "" {
		scope = x.client.Metadata.Scope
	}
	if err := scopeWithin(scope, x.client); err != nil {
		return nil, err
	}
	site, err := s.site(ctx, resource, invalidTarget)
	if err != nil {
		return nil, err
	}
	if grantType := x.form["grant_type"]; site.EventsEndpoint == "" && !site.AllowsDirect(s.cfg.Issuer, grantType) {
		return nil, invalidTarget("the site takes no notifications and has not opted in to tokens without a grant; "+
			"its owner must publish %s for %s in comity_direct_grants of its metadata", grantType, s.cfg.Issuer)
	}
	if known := strings.Join(site.ScopesSupported, " "); known != "" && !protocol.ScopeSubset(scope, known) {
		return nil, invalidScope("the site has no more than: %s", known)
	}
	if err := bound(x.client, x.proof, ""); err != nil {
		return nil, err
	}
	return &offer{client: x.client, proof: x.proof, site: site, scope: scope}, nil
}
