// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// Grant is one person's consent to one app at one resource.
type Grant struct {
	ID        string // 128 random bits: the grant of families of tokens
	UserID    string
	ClientID  string
	Resource  string // the site, or the broker's issuer for what the broker itself says of the person
	Scope     string // everything allowed since CreatedAt
	CreatedAt int64  // seconds since 1970
}

// Grant records that a person has allowed an app these scopes at a resource.
// Where the app has a grant there, its scopes are added to it, and its id stays.
// registry.ErrNotFound: the account is gone, or disabled.
func (a *Accounts) Grant(ctx context.Context, user, client, resource, scope string) (Grant, error) {
	if client == "" || resource == "" {
		return Grant{}, fmt.Errorf("%w: a grant names a client and a resource", registry.ErrForm)
	}
	if _, err := protocol.ParseScope(scope); err != nil {
		return Grant{}, fmt.Errorf("%w: %w", registry.ErrForm, err)
	}
	return a.store.AddGrant(ctx, Grant{
		ID: registry.NewID(), UserID: user, ClientID: client, Resource: resource, Scope: scope, CreatedAt: a.now().Unix(),
	}, MaxGrants)
}

// FindGrant returns a grant that stands, and whose it is. Whatever is minted from a
// grant asks first, at each refresh too. registry.ErrNotFound: the grant has
// ended, or the account is gone or disabled.
func (a *Accounts) FindGrant(ctx context.Context, id string) (Grant, User, error) {
	return a.store.GrantByID(ctx, id)
}

// Grants lists what a person has allowed, the newest first.
func (a *Accounts) Grants(ctx context.Context, user string) ([]Grant, error) {
	return a.store.GrantsOf(ctx, user)
}

// EndGrant ends one grant of that person for good and returns it, so that the
// caller can revoke what was minted from it. registry.ErrNotFound: this person
// has no such grant.
func (a *Accounts) EndGrant(ctx context.Context, user, id string) (Grant, error) {
	g, err := a.store.EndGrant(ctx, user, id)
	if err != nil {
		return g, err
	}
	a.audit(ctx, "grant ended", "grant-ended", User{ID: user}, "client", g.ClientID, "resource", g.Resource)
	return g, nil
}

// MergeScope is the scope with the words of both, those of have first.
// registry.ErrLimit: that is too long for a scope.
func MergeScope(have, more string) (string, error) {
	words := strings.Fields(have)
	for _, w := range strings.Fields(more) {
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	merged := strings.Join(words, " ")
	if _, err := protocol.ParseScope(merged); err != nil {
		return "", fmt.Errorf("%w: with what was allowed before, the %w; end that grant first", registry.ErrLimit, err)
	}
	return merged, nil
}
