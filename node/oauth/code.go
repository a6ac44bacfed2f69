// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"crypto/ed25519"
	"strings"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// codeGrant redeems a code that a site has signed, or this broker has made
// (RFC 6749, section 4.1.3; RFC 7636). The code is judged completely before anything is claimed, so that
// nobody but its client, with the verifier, can use it up.
func (s *Server) codeGrant(ctx context.Context, x exchange) (*offer, error) {
	raw, err := x.form.need("code")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(raw, ".") {
		return s.issuedCodeGrant(ctx, raw, x)
	}
	code, err := protocol.ParseCode(raw)
	if err != nil {
		return nil, invalidGrant("%v", err)
	}
	if err := s.checkCode(&code.Code, x); err != nil {
		return nil, err
	}
	site, err := s.signedBy(ctx, code.Issuer, invalidGrant, func(keys map[string]ed25519.PublicKey) error {
		return code.Verify(keys, s.cfg.Now())
	})
	if err != nil {
		return nil, err
	}
	if err := bound(x.client, x.proof, code.JKT); err != nil {
		return nil, err
	}
	if err := scopeWithin(code.Scope, x.client); err != nil {
		return nil, err
	}
	return s.codeOffer(&code.Code, site, x), nil
}

// checkCode compares the code with the request.
func (s *Server) checkCode(c *protocol.Code, x exchange) error {
	switch {
	case c.Audience != s.cfg.Issuer:
		return invalidGrant("the code is for the broker %s", c.Audience)
	case c.ClientID != x.client.ID:
		return invalidGrant("the code was given to another client")
	case x.form["redirect_uri"] == "":
		return invalidRequest("redirect_uri is missing")
	case c.RedirectURI != x.form["redirect_uri"]:
		return invalidGrant("redirect_uri is not the one that the code was sent to")
	case !x.client.Metadata.AllowsRedirect(c.RedirectURI):
		return invalidGrant("redirect_uri is not registered for the client")
	case x.form["resource"] != "" && x.form["resource"] != c.Issuer:
		return invalidTarget("the code is for the resource %s", c.Issuer)
	}
	return checkVerifier(x.form["code_verifier"], c.Challenge)
}

func (s *Server) codeOffer(c *protocol.Code, site *sites.Site, x exchange) *offer {
	o := &offer{
		client:  x.client,
		proof:   x.proof,
		site:    site,
		scope:   c.Scope,
		grant:   c.Grant,
		code:    &OneTime{Key: c.ID + "." + protocol.TokenHash(c.Issuer), ExpiresAt: c.ExpiresAt + skew},
		codeJTI: c.ID,
		refresh: x.client.Metadata.AllowsGrant(registry.GrantRefreshToken),
	}
	o.family = s.newFamily(o)
	return o
}

// newFamily begins a family with an offer.
func (s *Server) newFamily(o *offer) Family {
	now := s.now()
	f := Family{
		ID:        s.newID(),
		ClientID:  o.client.ID,
		Home:      o.client.State.Home,
		Site:      o.site.Resource,
		Grant:     o.grant,
		Scope:     o.scope,
		CreatedAt: now,
		ExpiresAt: now + seconds(s.cfg.FamilyLife),
	}
	if o.proof != nil {
		f.JKT = o.proof.JKT
	}
	return f
}
