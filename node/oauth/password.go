// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"

	"github.com/comity-network/comity/node/accounts"
)

// passwordGrant takes the password of somebody with an account here (RFC 6749,
// section 4.3). RFC 9700, section 2.4, forbids it: people learn to type their
// password into apps. It is there for apps that cannot be changed yet. Both the
// operator and the client's registration must have opted in, and each use is in
// the audit log.
func (s *Server) passwordGrant(ctx context.Context, x exchange) (*offer, error) {
	name, err := x.form.need("username")
	if err != nil {
		return nil, err
	}
	password, err := x.form.need("password")
	if err != nil {
		return nil, err
	}
	q, err := s.directAsk(ctx, x)
	if err != nil {
		return nil, err
	}
	a, err := s.cfg.People.LogIn(ctx, LogIn{
		Name: name, Password: password, Remote: x.remote, ClientID: q.ClientID, Resource: q.Resource, Scope: q.Scope,
	})
	again := (*accounts.TryAgainError)(nil)
	switch {
	case errors.Is(err, accounts.ErrCredentials):
		return nil, invalidGrant("name or password is wrong")
	case errors.As(err, &again):
		return nil, tooMany(again.After)
	case err != nil:
		return nil, err
	}
	s.audit(ctx, "an app has sent the password of a person; it should use authorization codes",
		"event", "password-grant", "client", x.client.ID, "site", q.Resource, "user", a.User)
	return s.allowed(ctx, x, q, a, nil)
}

// directAsk reads what a client asks for in a person's name without any
// browser: a scope at one resource, which is this broker when it names none.
func (s *Server) directAsk(ctx context.Context, x exchange) (Ask, error) {
	q := Ask{ClientID: x.client.ID, Resource: x.form["resource"], Scope: x.form["scope"], MaxAge: -1}
	if q.Resource == "" {
		q.Resource = s.cfg.Issuer
	}
	if err := scopeWithin(q.Scope, x.client); err != nil {
		return q, err
	}
	if err := bound(x.client, x.proof, ""); err != nil {
		return q, err
	}
	if err := s.localOnly(x.client.ID, q.Resource); err != nil {
		return q, err
	}
	site, err := s.site(ctx, q.Resource, invalidTarget)
	if err != nil {
		return q, err
	}
	q.Scope = s.withoutUnserved(site, q.Scope)
	return q, s.scopeAt(site, q.Scope)
}
