// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"

	"github.com/comity-network/comity/registry"
)

// InitialToken lets whoever has it register clients (RFC 7591, section 1.2). It
// is stored without its characters.
type InitialToken struct {
	ID        string // by which the operator names it
	Hash      string // protocol.TokenHash of it
	Uses      int64  // how many clients it may register
	Used      int64  // how many it has registered
	CreatedAt int64  // seconds since 1970
	ExpiresAt int64  // seconds since 1970
}

// Local is a client that registered itself at this broker and is in no log.
type Local struct {
	ID        string // begins with oauth.LocalPrefix
	Token     string // protocol.TokenHash of its registration access token
	Metadata  registry.ClientMetadata
	Promoted  string // its client_id in the log; empty: the operator has not promoted it
	FetchedAt int64  // when it heard of that, seconds since 1970; 0: it has not
	CreatedAt int64  // seconds since 1970
	ExpiresAt int64  // when it is forgotten, seconds since 1970
}

// Store keeps tokens and local clients. A method that returns nil has its
// effect on disk, and one that returns an error has none. registry.ErrNotFound:
// there is no such thing. A local client whose time is over is none, whether or
// not it is still stored.
type Store interface {
	// AddInitialToken stores a token, and forgets those that have expired.
	AddInitialToken(ctx context.Context, t InitialToken) error
	// InitialTokens lists the tokens that have not expired, the oldest first.
	InitialTokens(ctx context.Context, now int64) ([]InitialToken, error)
	EndInitialToken(ctx context.Context, id string) error
	// UseInitialToken takes one use of a token and returns its id. Of any
	// number of concurrent calls as many succeed as it has uses.
	// registry.ErrNotFound: none is left, or it is unknown or expired.
	UseInitialToken(ctx context.Context, hash string, now int64) (id string, err error)
	// ReturnInitialToken gives a use back.
	ReturnInitialToken(ctx context.Context, id string) error

	// SetManager makes the token with that hash the one that manages a client
	// in the log; the one before ends.
	SetManager(ctx context.Context, client, hash string) error
	Manager(ctx context.Context, client string) (hash string, err error)

	// AddLocal stores a local client, and forgets those whose time is over.
	// registry.ErrLimit: there are most already.
	AddLocal(ctx context.Context, l Local, most int) error
	Local(ctx context.Context, id string, now int64) (Local, error)
	// Locals returns local clients by their ids, beginning after the one given.
	Locals(ctx context.Context, after string, limit int, now int64) ([]Local, error)
	// ReplaceLocal replaces the metadata of a client that is not promoted.
	ReplaceLocal(ctx context.Context, id string, m registry.ClientMetadata, now int64) error
	// PromoteLocal notes which client in the log a local one has become; its
	// token then manages that client too.
	PromoteLocal(ctx context.Context, id, client string, now int64) error
	// FetchedLocal notes that the client has heard of that. A second call
	// changes nothing.
	FetchedLocal(ctx context.Context, id string, now int64) error
	RemoveLocal(ctx context.Context, id string) error
}
