// SPDX-License-Identifier: Apache-2.0

package oauth

import "context"

// direct mints for a site that takes no notifications. It gave the grant itself,
// or has opted in, and asks by introspection, so nobody has to be waited for:
// the token is released by the transaction that claims what it is minted for.
func (s *Server) direct(ctx context.Context, o *offer, m Mint) error {
	m.ReleasedAt = s.cfg.Now()
	if m.SelfContained && m.Code == nil && m.Proof == nil {
		return s.stillGood(ctx, m.Token) // nothing to be stored
	}
	if err := s.claim(ctx, o, m); err != nil {
		return err
	}
	// From here on the token must come to an end of its own, whether or not
	// the client still waits. A stop that came after the client was checked
	// has either killed the token or is seen here.
	ctx = context.WithoutCancel(ctx)
	err := s.stillGood(ctx, m.Token)
	if err != nil && !m.SelfContained {
		s.withdraw(ctx, m.Token)
	}
	return err
}

// withdraw ends a token that is released and was not handed out, with all of
// its family: the client does not have the new refresh token, and the old one
// is used up.
func (s *Server) withdraw(ctx context.Context, t Token) {
	const reason = "not-released"
	var err error
	if t.Family != "" {
		err = s.cfg.Store.RevokeFamily(ctx, t.Family, s.now(), reason, s.deadToken(reason))
	} else {
		err = s.revokeToken(ctx, t, reason)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "a token that was not handed out is not revoked yet", "token", short(t.Hash()), "error", err)
	}
}
