// SPDX-License-Identifier: Apache-2.0

package accounts

import "context"

// Store keeps accounts. Every method that returns nil has its whole effect on
// disk, and one that returns an error has none. Times are seconds since 1970.
// registry.ErrNotFound: there is no such user, session or grant.
type Store interface {
	Users
	Sessions
	Grants
}

// Users are the accounts themselves.
type Users interface {
	// AddUser stores a new account and the hash of its password.
	// registry.ErrConflict: the name is taken.
	AddUser(ctx context.Context, u User, hash string) error
	// UserByName returns an account, disabled or not, and its password's hash.
	UserByName(ctx context.Context, name string) (u User, hash string, err error)
	// ListUsers returns accounts by their name, those after the given one.
	ListUsers(ctx context.Context, after string, limit int) ([]User, error)
	// ChangeUser stores Disabled and PasswordAt of u, and a new hash unless
	// hash is empty, adds one to Version, and ends all sessions.
	// registry.ErrConflict: the account was changed or removed since u was
	// read (its Version is another one), and stays as it is.
	ChangeUser(ctx context.Context, u User, hash string) error
	// Rehash replaces a hash by another one of the same password, if it is
	// still the stored one. Nothing else changes.
	Rehash(ctx context.Context, id, old, hash string) error
	// RemoveUser deletes an account with its sessions and grants.
	RemoveUser(ctx context.Context, id string) error
}

// Sessions are logins that last.
type Sessions interface {
	// StartSession stores s for its user, ends the session with the hash
	// previous, if that is not empty, and those beyond max that were used
	// longest ago. registry.ErrNotFound: the account was disabled, removed or
	// changed since s.User was read (its Version is another one).
	StartSession(ctx context.Context, s Session, previous string, max int) error
	// SessionByHash returns the session with its user, as that is now.
	// registry.ErrNotFound also where it has expired, was last seen before
	// the given time, or its user is disabled.
	SessionByHash(ctx context.Context, hash string, now, seenSince int64) (Session, error)
	// TouchSession notes that the session was used. It never goes back.
	TouchSession(ctx context.Context, hash string, now int64) error
	// EndSession deletes a session. It is no error that there is none.
	EndSession(ctx context.Context, hash string) error
	// PurgeSessions deletes those that SessionByHash does not return any more.
	PurgeSessions(ctx context.Context, now, seenSince int64) error
}

// Grants are what people have allowed apps.
type Grants interface {
	// AddGrant stores g and returns what is stored: where its user has a grant
	// for the same client and resource, that one, with the scopes of both
	// (MergeScope). registry.ErrLimit: the user has max grants.
	// registry.ErrNotFound: there is no such user, or it is disabled.
	AddGrant(ctx context.Context, g Grant, max int) (Grant, error)
	// GrantByID returns the grant with its user. registry.ErrNotFound also
	// where the user is disabled.
	GrantByID(ctx context.Context, id string) (Grant, User, error)
	// GrantsOf returns the grants of a user, the newest first.
	GrantsOf(ctx context.Context, user string) ([]Grant, error)
	// EndGrant deletes a grant of that user and returns it.
	EndGrant(ctx context.Context, user, id string) (Grant, error)
}
