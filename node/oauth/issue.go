// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"time"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/site/protocol"
)

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// issue is the one path from a grant to a token: mint, notify, release; where
// there is nobody to notify, all in one (direct).
func (s *Server) issue(ctx context.Context, o *offer) (*tokenAnswer, error) {
	if err := s.localOnly(o.client.ID, o.site.Resource); err != nil {
		return nil, err
	}
	m, err := s.mint(o)
	if err != nil {
		return nil, err
	}
	refresh := ""
	if m.Refresh != nil {
		refresh = s.opaque(m.Refresh.ExpiresAt)
		m.Refresh.Key = tokenKey(refresh)
	}
	m.SelfContained = selfContained(o.site, m.Token)
	access, err := s.characters(m, o.site.AccessTokenFormat)
	if err != nil {
		return nil, err
	}
	m.Token.Key = tokenKey(access)
	if o.site.EventsEndpoint == "" {
		err = s.direct(ctx, o, m)
	} else if err = s.claim(ctx, o, m); err == nil {
		// From here on the token must come to an end of its own, whether or
		// not the client still waits.
		err = s.settle(context.WithoutCancel(ctx), o, m)
	}
	if err != nil {
		return nil, err
	}
	idToken, err := s.idToken(o, access)
	if err != nil {
		return nil, err
	}
	return &tokenAnswer{
		AccessToken:  access,
		TokenType:    m.Token.Type,
		ExpiresIn:    m.Token.ExpiresAt - m.Token.IssuedAt,
		RefreshToken: refresh,
		Scope:        m.Token.Scope,
		IDToken:      idToken,
	}, nil
}

// claim stores the mint, and says what it means that it cannot be.
func (s *Server) claim(ctx context.Context, o *offer, m Mint) error {
	err := s.cfg.Store.Mint(ctx, m)
	if claim := (*ClaimError)(nil); errors.As(err, &claim) {
		return s.taken(ctx, o, claim)
	}
	if errors.Is(err, ErrSeen) {
		return invalidProof("jti was used before")
	}
	return err
}

// mint writes down what is to be stored, but for the keys of tokens.
func (s *Server) mint(o *offer) (Mint, error) {
	uses, err := usesOf(o.client)
	if err == nil {
		err = limitsUses(uses, o.site)
	}
	if err != nil {
		return Mint{}, err
	}
	now := s.now()
	t := Token{
		Type:      protocol.TokenBearer,
		ClientID:  o.client.ID,
		Home:      o.client.State.Home,
		Site:      o.site.Resource,
		Scope:     o.scope,
		Family:    o.family.ID,
		Grant:     o.grant,
		Subject:   o.family.Subject,
		Uses:      uses,
		IssuedAt:  now,
		ExpiresAt: now + s.accessLife(&o.site.SiteMetadata),
	}
	m := Mint{Code: o.code, Rotate: o.rotate}
	if o.proof != nil {
		t.Type, t.JKT, m.Proof = protocol.TokenDPoP, o.proof.JKT, &o.proof.once
	}
	if o.family.ID != "" && o.rotate == "" {
		m.Family = &o.family
	}
	if o.refresh {
		m.Refresh = &Refresh{
			Family:    o.family.ID,
			IssuedAt:  now,
			ExpiresAt: min(now+seconds(s.cfg.RefreshLife), o.family.ExpiresAt),
		}
	}
	m.Token = t
	return m, nil
}

// settle tells the site of the pending token and releases it, or makes it void.
func (s *Server) settle(ctx context.Context, o *offer, m Mint) error {
	t := m.Token
	if err := s.acknowledged(ctx, o, t); err != nil {
		return err
	}
	// A stop that came after the client was checked has either killed the
	// pending token, so that it cannot be released, or is seen here.
	if err := s.stillGood(ctx, t); err != nil {
		s.void(ctx, t)
		return err
	}
	err := s.cfg.Store.Release(ctx, t.Key, s.cfg.Now())
	if err == nil {
		return nil
	}
	// It is unknown whether the release is on disk. The app does not get the
	// token, so it must be dead in either case.
	s.void(ctx, t)
	if e := s.revokeToken(ctx, t, "not-released"); e != nil {
		s.log.ErrorContext(ctx, "a token that was not handed out is not revoked yet", "token", short(t.Hash()), "error", e)
	}
	if errors.Is(err, ErrNotPending) {
		return unavailable(1, "the token was revoked while it was issued")
	}
	return err
}

// stillGood looks once more at what may have ended while a token was minted:
// the client, and a grant that a person gave here.
func (s *Server) stillGood(ctx context.Context, t Token) error {
	state, err := s.cfg.Clients.State(ctx, t.ClientID)
	if err != nil {
		return err
	}
	if err := notStopped(state); err != nil {
		return err
	}
	if !state.Accepts(t.IssuedAt) {
		return invalidClient("the client was stopped a moment ago")
	}
	if t.Subject != "" && t.Grant != "" {
		_, err = s.person(ctx, t.Grant)
	}
	return err
}

// acknowledged pushes the event and judges the answer. Unless it returns nil,
// the token is void, or will be within seconds.
func (s *Server) acknowledged(ctx context.Context, o *offer, t Token) error {
	answer := s.cfg.Sender.Deliver(ctx, s.issued(o, t))
	switch {
	case answer.Accepted:
		return nil
	case answer.Refused != nil && !temporary(answer.Refused):
		if err := s.cfg.Store.Void(ctx, t.Key, Refused, s.now()); err != nil {
			s.log.ErrorContext(ctx, "a refused token is not void yet", "token", short(t.Hash()), "error", err)
		}
		return invalidGrant("%v", answer.Refused)
	case answer.Refused != nil:
		s.void(ctx, t)
		return unavailable(5, "%v", answer.Refused)
	}
	s.void(ctx, t)
	s.log.WarnContext(ctx, "a site did not acknowledge a token", "site", t.Site, "client", t.ClientID, "error", answer.Err)
	return unavailable(1, "the site did not acknowledge the token; try again")
}

// temporary reports whether a refusal says nothing about the grant: the site
// itself does not know what is stopped, or does not have this broker's newest
// key yet. It must not cost the user the grant.
func temporary(e *protocol.PushError) bool {
	return e.Err == protocol.ErrStale || e.Err == protocol.ErrInvalidKey
}

// void ends a pending token, tells the site so, and gives the claim back. When
// that fails, Run does it soon, or Recover after a restart.
func (s *Server) void(ctx context.Context, t Token) {
	err := s.cfg.Store.Void(ctx, t.Key, Undo, s.now(), s.deadToken("not-released")(t))
	if err != nil {
		s.log.ErrorContext(ctx, "a token is not void yet", "token", short(t.Hash()), "error", err)
	}
}

// revokeToken ends one token and tells the site.
func (s *Server) revokeToken(ctx context.Context, t Token, reason string) error {
	return s.cfg.Store.RevokeToken(ctx, t.Key, s.now(), reason, s.deadToken(reason)(t))
}

// issued makes the event that announces a token.
func (s *Server) issued(o *offer, t Token) notify.Message {
	return s.message(t.Site, t.ExpiresAt, protocol.Event{TokenIssued: &protocol.TokenIssued{
		TokenHash: t.Hash(),
		TokenType: t.Type,
		JKT:       t.JKT,
		ClientID:  t.ClientID,
		Scope:     t.Scope,
		ExpiresAt: t.ExpiresAt,
		Grant:     t.Grant,
		Subject:   t.Subject,
		Uses:      t.Uses,
		CodeJTI:   o.codeJTI,
	}})
}

// deadToken returns what makes the event that one token is dead.
func (s *Server) deadToken(reason string) func(Token) notify.Message {
	return func(t Token) notify.Message {
		return s.message(t.Site, t.ExpiresAt, protocol.Event{TokenRevoked: &protocol.TokenRevoked{
			TokenHash: t.Hash(), ExpiresAt: t.ExpiresAt, Reason: reason,
		}})
	}
}

// message completes an event to one site.
func (s *Server) message(site string, expiresAt int64, e protocol.Event) notify.Message {
	e.Issuer = s.cfg.Issuer
	if e.ID == "" {
		e.ID = s.newID()
	}
	if e.Audience == "" {
		e.Audience = site
	}
	return notify.Message{Site: site, Event: e, ExpiresAt: expiresAt}
}

// short is how a token may be named in a log.
func short(hash string) string { return limit(hash, 8) }
