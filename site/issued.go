// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/store"
	"github.com/comity-network/comity/site/internal/trust"
	"github.com/comity-network/comity/site/protocol"
)

// redeemGrace is how long after its expiry the token of a code may still be
// announced: a broker redeems within the code's life and then needs to tell.
const redeemGrace = 15

// errUnmet: the site does not know the client of a new token yet.
var errUnmet = errors.New("the site has not met the client")

// meeting looks for the client of a new token that the site has not met.
type meeting func(ctx context.Context, broker string, t *protocol.TokenIssued) (*trust.Client, error)

// tokenIssued takes a new token, or refuses it.
func (s *Site) tokenIssued(ctx context.Context, id store.Event, t *protocol.TokenIssued, issuedAt int64, meet meeting) error {
	token := store.Token{
		Hash: t.TokenHash, Broker: id.Broker, Grant: t.Grant, Code: t.CodeJTI, ClientID: t.ClientID, Scope: t.Scope,
		JKT: t.JKT, Subject: t.Subject, Uses: t.Uses, IssuedAt: issuedAt, ExpiresAt: t.ExpiresAt,
	}
	var met *trust.Client
	judge := func(now store.Situation) (home string, err error) {
		client := met
		if client == nil {
			if now.Client == nil {
				return "", errUnmet
			}
			if client, err = s.trust.Recall(*now.Client); err != nil {
				return "", err
			}
		}
		return client.Home, s.judgeToken(&token, client, now)
	}
	err := s.store.Accept(ctx, id, token, judge)
	if errors.Is(err, errUnmet) {
		if met, err = meet(ctx, id.Broker, t); err == nil {
			err = s.store.Accept(ctx, id, token, judge)
		}
	}
	if errors.Is(err, registry.ErrConflict) {
		return refuse400(protocol.ErrInvalidGrant, "this token is known already, or was revoked")
	}
	return err
}

// meet asks the broker for the client of a new token. For a grant of this site
// the client was verified at the consent.
func (s *Site) meet(ctx context.Context, broker string, t *protocol.TokenIssued) (*trust.Client, error) {
	if t.Grant != "" && t.Subject == "" {
		return nil, refuse400(protocol.ErrInvalidGrant, "no user of this site has allowed this client anything")
	}
	if err := s.optedIn(broker, t.ClientID, t.Scope, t.Subject); err != nil {
		return nil, err
	}
	client, err := s.client(ctx, broker, t.ClientID)
	switch {
	case errors.Is(err, registry.ErrStale):
		return nil, refuse400(protocol.ErrStale, "%v", err)
	case errors.Is(err, registry.ErrRevoked) || errors.Is(err, registry.ErrNotFound) || errors.Is(err, ErrDenied):
		return nil, refuse400(protocol.ErrAccessDenied, "%v", err)
	}
	return client, err
}

// optedIn judges a token that no user of this site has allowed: the owner has
// opted in to those of programs, or to those of people whom the broker knows.
func (s *Site) optedIn(broker, client, scope, subject string) error {
	allow, what := s.config.AllowClientCredentials, "without a grant"
	if subject != "" {
		allow, what = s.config.AllowBrokerUsers, "for people of this broker"
	}
	if allow == nil || !allow(broker, client, scope) {
		return refuse400(protocol.ErrAccessDenied, "this site takes no tokens %s", what)
	}
	return nil
}

// judgeToken says what is against a new token; the order is from what the site
// knows of the world to what it knows of the grant.
func (s *Site) judgeToken(t *store.Token, client *trust.Client, now store.Situation) error {
	if err := s.trust.Fresh(); err != nil {
		return refuse400(protocol.ErrStale, "%v", err)
	}
	if err := s.trust.Alive(t.Broker, client.ID, client.Home, t.IssuedAt); err != nil {
		return refuse400(protocol.ErrAccessDenied, "%v", err)
	}
	if err := s.apps.judge(t.Broker, client.ID, client.Home); err != nil {
		return refuse400(protocol.ErrAccessDenied, "%v", err)
	}
	clock := s.config.Now().Unix()
	switch {
	case now.Stopped:
		return refuse400(protocol.ErrAccessDenied, "the app is stopped")
	case t.IssuedAt <= now.Cutoff:
		return refuse400(protocol.ErrAccessDenied, "tokens issued up to %d are revoked", now.Cutoff)
	case t.ExpiresAt <= clock:
		return refuse400(protocol.ErrInvalidRequest, "the token has expired; do the clocks differ?")
	case t.ExpiresAt > clock+int64(maxTokenLife/time.Second):
		return refuse400(protocol.ErrInvalidRequest, "the token lives for longer than 30 days")
	case client.DPoPBound && t.JKT == "":
		return refuse400(protocol.ErrAccessDenied, "the client has registered to use DPoP tokens alone")
	case t.Grant != "" && t.Subject == "":
		return judgeGrant(t, now.Grant, clock)
	}
	return s.judgeWithoutGrant(t)
}

// judgeGrant compares a token with the grant that it names.
func judgeGrant(t *store.Token, g *store.Grant, clock int64) error {
	refused := ""
	switch {
	case g == nil || g.Broker != t.Broker || g.ClientID != t.ClientID:
		refused = "there is no such grant for this broker and client"
	case g.EndedAt != 0:
		refused = "the user has ended this grant"
	case t.Scope == "" || !protocol.ScopeSubset(t.Scope, g.Scope):
		refused = "the scope is wider than the user has allowed"
	case g.JKT != "" && t.JKT != g.JKT:
		refused = "the token is not bound to the key that the grant is pinned to"
	case t.Code == "" && g.UsedAt == 0:
		refused = "the grant's code was not redeemed yet"
	case t.Code != "" && t.Code != g.Code:
		refused = "the code is not the one of this grant"
	case t.Code != "" && clock > g.CodeExpiresAt+redeemGrace:
		refused = "the code has expired"
	}
	if refused != "" {
		return refuse400(protocol.ErrInvalidGrant, "%s", refused)
	}
	return nil
}

// judgeWithoutGrant: only where the site has opted in, only known scopes.
func (s *Site) judgeWithoutGrant(t *store.Token) error {
	if err := s.optedIn(t.Broker, t.ClientID, t.Scope, t.Subject); err != nil {
		return err
	}
	for _, word := range strings.Fields(t.Scope) {
		if _, known := s.config.Scopes[word]; !known {
			return refuse400(protocol.ErrAccessDenied, "unknown scope %s", word)
		}
	}
	return nil
}
