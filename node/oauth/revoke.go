// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/comity-network/comity/registry"
)

// revoke is the revocation endpoint (RFC 7009). A token that is unknown, dead
// or somebody else's gets the same answer as one that is now revoked.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) (any, error) {
	who, token, err := s.aboutToken(w, r, s.claimStored)
	if err != nil {
		return nil, err
	}
	return nil, s.revokeFor(r.Context(), who, token)
}

// revokeFor revokes an access token alone, and a refresh token with all that
// came of the same grant (RFC 7009, section 2.1).
func (s *Server) revokeFor(ctx context.Context, who caller, token string) error {
	reason := "client-request"
	if who.site != "" {
		reason = "site-request"
	}
	t, stored, err := s.accessToken(ctx, token)
	switch {
	case err == nil && !who.owns(t.Site, t.ClientID):
		return nil
	case err == nil && stored:
		return s.revokeToken(ctx, t, reason)
	case err == nil && t.ExpiresAt <= s.now():
		return nil // dead already, and nobody would forget it
	case err == nil:
		return s.cfg.Store.RevokeSelfContained(ctx, t, s.now(), reason, s.deadToken(reason)(t))
	}
	if !errors.Is(err, registry.ErrNotFound) || who.client == nil {
		return ignore(err, registry.ErrNotFound)
	}
	_, family, err := s.cfg.Store.Refresh(ctx, tokenKey(token))
	if err != nil {
		return ignore(err, registry.ErrNotFound)
	}
	if family.ClientID != who.client.ID {
		return nil
	}
	return s.cfg.Store.RevokeFamily(ctx, family.ID, s.now(), reason, s.deadToken(reason))
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}
