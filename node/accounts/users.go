// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"fmt"

	"github.com/comity-network/comity/registry"
)

// User is one person, without anything secret.
type User struct {
	ID          string // 128 random bits, the same for ever; no app and no site is told it
	Name        string // typed at the login; see parseName
	DisplayName string // for people
	Disabled    bool
	CreatedAt   int64 // seconds since 1970
	PasswordAt  int64 // when the password was set, seconds since 1970
	LastLogin   int64 // seconds since 1970; 0: never
	Version     int64 // counts changes that end what was begun before them
}

// Draft is an account to be made.
type Draft struct {
	Name        string
	DisplayName string // default: the name
	Password    string
}

// Add makes an account. registry.ErrConflict: the name is taken.
func (a *Accounts) Add(ctx context.Context, d Draft) (User, error) {
	name, err := parseName(d.Name)
	if err != nil {
		return User{}, err
	}
	if d.DisplayName == "" {
		d.DisplayName = name
	}
	if err := registry.CheckName("display name", d.DisplayName); err != nil {
		return User{}, err
	}
	now := a.now().Unix()
	u := User{ID: registry.NewID(), Name: name, DisplayName: d.DisplayName, CreatedAt: now, PasswordAt: now}
	hash, err := a.newHash(ctx, u, d.Password)
	if err != nil {
		return User{}, err
	}
	if err := a.store.AddUser(ctx, u, hash); err != nil {
		if errors.Is(err, registry.ErrConflict) {
			return User{}, fmt.Errorf("%w: there is an account %s already", registry.ErrConflict, name)
		}
		return User{}, err
	}
	a.audit(ctx, "account added", "user-added", u)
	return u, nil
}

// Find returns the account of that name. registry.ErrNotFound: there is none.
func (a *Accounts) Find(ctx context.Context, name string) (User, error) {
	folded, err := parseName(name)
	if err != nil {
		return User{}, err
	}
	u, _, err := a.store.UserByName(ctx, folded)
	if errors.Is(err, registry.ErrNotFound) {
		return User{}, fmt.Errorf("%w: there is no account %s", registry.ErrNotFound, folded)
	}
	return u, err
}

// List returns up to limit accounts by their name, those after the given one.
func (a *Accounts) List(ctx context.Context, after string, limit int) ([]User, error) {
	return a.store.ListUsers(ctx, after, limit)
}

// SetPassword gives an account a new password and ends all its sessions. The
// caller has made sure that it may: by the operator's socket, or by
// Authenticate with the old one.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) (User, error) {
	return a.change(ctx, name, "password changed", "user-password-changed", func(u *User) (string, error) {
		u.PasswordAt = a.now().Unix()
		return a.newHash(ctx, *u, password)
	})
}

// Disable ends all sessions of an account and refuses new ones. Its grants
// stay and do not stand until it is enabled.
func (a *Accounts) Disable(ctx context.Context, name string) (User, error) {
	return a.change(ctx, name, "account disabled", "user-disabled", func(u *User) (string, error) {
		u.Disabled = true
		return "", nil
	})
}

// Enable ends Disable.
func (a *Accounts) Enable(ctx context.Context, name string) (User, error) {
	return a.change(ctx, name, "account enabled", "user-enabled", func(u *User) (string, error) {
		u.Disabled = false
		return "", nil
	})
}

func (a *Accounts) change(ctx context.Context, name, message, event string, apply func(*User) (hash string, err error)) (User, error) {
	u, err := a.Find(ctx, name)
	if err != nil {
		return u, err
	}
	hash, err := apply(&u)
	if err != nil {
		return u, err
	}
	if err := a.store.ChangeUser(ctx, u, hash); err != nil {
		if errors.Is(err, registry.ErrConflict) {
			return u, fmt.Errorf("%w: the account %s was changed by somebody else at the same time: look, then try again", registry.ErrConflict, u.Name)
		}
		return u, err
	}
	a.audit(ctx, message, event, u)
	u.Version++
	return u, nil
}

// Remove deletes an account with its sessions and grants. A new one of the
// same name is another person to every app.
func (a *Accounts) Remove(ctx context.Context, name string) (User, error) {
	u, err := a.Find(ctx, name)
	if err != nil {
		return u, err
	}
	if err := a.store.RemoveUser(ctx, u.ID); err != nil {
		return u, err
	}
	a.audit(ctx, "account removed", "user-removed", u)
	return u, nil
}

// operator is the address of those who set passwords. They share its places.
const operator = ""

// newHash computes the hash of a new password of u.
func (a *Accounts) newHash(ctx context.Context, u User, password string) (string, error) {
	password, err := choosePassword(u, password)
	if err != nil {
		return "", err
	}
	leave, err := a.gate.enter(ctx, operator, true)
	if err != nil {
		return "", err
	}
	defer leave()
	return a.cost.hash(password), nil
}
