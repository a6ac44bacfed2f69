// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// UsesMember is the member of a client's registration that limits its access
// tokens: protocol.UseOnce or UseWindow. It makes up for a token's way through a
// browser, where others may read it.
const UsesMember = "comity_access_token_uses"

// usesOf returns how often the client's tokens may be used.
func usesOf(c *client) (string, error) {
	raw, ok := c.Metadata.Extra[UsesMember]
	if !ok {
		return "", nil
	}
	var uses string
	if json.Unmarshal(raw, &uses) != nil || uses != protocol.UseOnce && uses != protocol.UseWindow {
		return "", unauthorizedClient("the client's registration has a %s that this broker does not know", UsesMember)
	}
	return uses, nil
}

// limitsUses checks that somebody enforces how often a token may be used: the
// site, or this broker, which the site asks about each use.
func limitsUses(uses string, site *sites.Site) error {
	if uses == "" || site.LimitsUses || site.EventsEndpoint == "" && site.AccessTokenFormat != protocol.FormatJWT {
		return nil
	}
	return invalidTarget("the client's tokens may be used %s, and the site does not enforce that", uses)
}

// use notes that the site asked about a token. registry.ErrNotFound: it was used
// as often as it may be.
func (s *Server) use(ctx context.Context, t Token) error {
	if t.Uses == "" {
		return nil
	}
	err := s.cfg.Store.Use(ctx, t.Key, s.now())
	if errors.Is(err, ErrSeen) {
		return registry.ErrNotFound
	}
	return err
}
