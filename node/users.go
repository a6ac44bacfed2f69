// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/admin"
)

// AddUser implements admin.Operations.
func (n *Node) AddUser(ctx context.Context, d admin.UserDraft) (admin.User, error) {
	return shownUser(n.people.Add(ctx, accounts.Draft{Name: d.Name, DisplayName: d.DisplayName, Password: d.Password}))
}

// ListUsers implements admin.Operations.
func (n *Node) ListUsers(ctx context.Context, page admin.Page) (admin.UserList, error) {
	limit := page.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	users, err := n.people.List(ctx, page.After, limit+1)
	if err != nil {
		return admin.UserList{}, err
	}
	list := admin.UserList{Users: []admin.User{}}
	for _, u := range users[:min(limit, len(users))] {
		shown, _ := shownUser(u, nil)
		list.Users = append(list.Users, shown)
	}
	if len(users) > limit {
		list.Next = users[limit-1].Name
	}
	return list, nil
}

// SetUserPassword implements admin.Operations.
func (n *Node) SetUserPassword(ctx context.Context, change admin.UserPassword) (admin.User, error) {
	return shownUser(n.people.SetPassword(ctx, change.Name, change.Password))
}

// DisableUser implements admin.Operations. What apps got in the person's name
// is dead when it returns; called again, it finishes what a crash has left.
func (n *Node) DisableUser(ctx context.Context, name admin.UserName) (admin.User, error) {
	u, err := n.people.Disable(ctx, name.Name)
	if err == nil {
		err = n.endGrantsOf(ctx, u)
	}
	return shownUser(u, err)
}

// endGrantsOf kills what was minted in the name of somebody who may not give
// grants any more: whatever is minted meanwhile is not released.
func (n *Node) endGrantsOf(ctx context.Context, u accounts.User) error {
	grants, err := n.people.Grants(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := n.oauth.EndGrant(ctx, g.ID); err != nil {
			return err
		}
	}
	return nil
}

// EnableUser implements admin.Operations.
func (n *Node) EnableUser(ctx context.Context, name admin.UserName) (admin.User, error) {
	return shownUser(n.people.Enable(ctx, name.Name))
}

// RemoveUser implements admin.Operations. The account is disabled first, so that
// a crash in between leaves nothing alive.
func (n *Node) RemoveUser(ctx context.Context, name admin.UserName) (admin.User, error) {
	if _, err := n.DisableUser(ctx, name); err != nil {
		return admin.User{}, err
	}
	shown, err := shownUser(n.people.Remove(ctx, name.Name))
	shown.State = "removed"
	return shown, err
}

// shownUser is what the operator sees of an account.
func shownUser(u accounts.User, err error) (admin.User, error) {
	if err != nil {
		return admin.User{}, err
	}
	state := "active"
	if u.Disabled {
		state = "disabled"
	}
	return admin.User{
		ID: u.ID, Name: u.Name, DisplayName: u.DisplayName, State: state,
		CreatedAt: u.CreatedAt, PasswordAt: u.PasswordAt, LastLogin: u.LastLogin,
	}, nil
}
