// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"

	"github.com/comity-network/comity/node/oauth"
)

// Person implements oauth.People.
func (p *Pages) Person(ctx context.Context, grant string) (oauth.Person, error) {
	_, user, err := p.Accounts.FindGrant(ctx, grant)
	return oauth.Person{ID: user.ID, Name: user.Name, DisplayName: user.DisplayName}, err
}

// LogIn implements oauth.People.
func (p *Pages) LogIn(ctx context.Context, l oauth.LogIn) (oauth.Answer, error) {
	user, err := p.Accounts.Authenticate(ctx, l.Name, l.Password, l.Remote)
	if err != nil {
		return oauth.Answer{}, err
	}
	grant, err := p.Accounts.Grant(ctx, user.ID, l.ClientID, l.Resource, l.Scope)
	return oauth.Answer{User: user.ID, Grant: grant.ID, AuthTime: p.Now().Unix()}, err
}
