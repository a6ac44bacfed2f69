// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// doubleClick is how long after its use a refresh token may come again without
// being taken for stolen: a client that asked twice at once gets one answer
// and one refusal, and stays logged in.
const doubleClick = 2 * time.Second

// refreshGrant replaces a refresh token (RFC 6749, section 6; RFC 9700,
// section 4.14.2). Every refresh token works once.
func (s *Server) refreshGrant(ctx context.Context, x exchange) (*offer, error) {
	raw, err := x.form.need("refresh_token")
	if err != nil {
		return nil, err
	}
	key := tokenKey(raw)
	refresh, family, err := s.cfg.Store.Refresh(ctx, key)
	if errors.Is(err, registry.ErrNotFound) || err == nil && family.ClientID != x.client.ID {
		return nil, invalidGrant("the refresh token is unknown, or was issued to another client")
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkFamily(refresh, family, x); err != nil {
		return nil, err
	}
	scope := family.Scope
	if asked := x.form["scope"]; asked != "" {
		if _, err := protocol.ParseScope(asked); err != nil {
			return nil, invalidScope("%v", err)
		}
		if !protocol.ScopeSubset(asked, family.Scope) {
			return nil, invalidScope("the grant has no more than: %s", family.Scope)
		}
		scope = asked
	}
	if family.Subject != "" {
		if _, err := s.person(ctx, family.Grant); err != nil {
			return nil, err
		}
	}
	site, err := s.site(ctx, family.Site, invalidGrant)
	if err != nil {
		return nil, err
	}
	return &offer{
		client: x.client, proof: x.proof, site: site, scope: scope, grant: family.Grant,
		rotate: key, family: family, refresh: true,
	}, nil
}

// checkFamily judges what the refresh token belongs to. Whether the token
// itself is still good, only the claim can tell.
func (s *Server) checkFamily(r Refresh, f Family, x exchange) error {
	now := s.now()
	switch {
	case f.RevokedAt != 0:
		return invalidGrant("the grant has ended: %s", f.Reason)
	case f.ExpiresAt <= now || r.ExpiresAt <= now:
		return invalidGrant("the refresh token has expired; the user must log in again")
	case !x.client.State.Accepts(f.CreatedAt):
		return invalidGrant("what the client got before %s is dead", rfc3339(x.client.State.Cutoff+1))
	case x.form["resource"] != "" && x.form["resource"] != f.Site:
		return invalidTarget("the grant is for the resource %s", f.Site)
	}
	return bound(x.client, x.proof, f.JKT)
}

// taken answers a code or refresh token that cannot be claimed, and revokes
// what it gave when that shows that it was stolen (RFC 6749, section 4.1.2;
// RFC 9700, section 4.14.2). Whoever gets here has authenticated itself as the
// client and has the code's verifier.
func (s *Server) taken(ctx context.Context, o *offer, claim *ClaimError) error {
	switch claim.State {
	case ClaimPending:
		return invalidGrant("it is being redeemed right now")
	case ClaimSpent:
		return invalidGrant("it cannot be used any more")
	}
	if o.rotate != "" && s.cfg.Now().Sub(claim.UsedAt) <= doubleClick {
		return invalidGrant("it was used a moment ago")
	}
	if claim.Family == "" { // an assertion, which gave nothing that lasts
		return invalidGrant("it was used before")
	}
	reason := "refresh-token-reuse"
	if o.code != nil {
		reason = "code-replay"
	}
	err := s.cfg.Store.RevokeFamily(context.WithoutCancel(ctx), claim.Family, s.now(), reason, s.deadToken(reason))
	if err != nil {
		return err
	}
	s.audit(ctx, "a one-time credential came twice; what it gave is revoked",
		"event", reason, "client", o.client.ID, "site", o.site.Resource, "family", claim.Family)
	return invalidGrant("it was used before; everything that it gave is revoked")
}
