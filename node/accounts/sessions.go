// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// Session is a login that lasts.
type Session struct {
	Hash      string // of its token; names the session and opens nothing
	User      User
	AuthTime  int64 // when the password was typed, seconds since 1970 (auth_time of OpenID Connect)
	SeenAt    int64 // when it was last used, seconds since 1970, by at most a minute too early
	ExpiresAt int64 // when it ends in any case, seconds since 1970
}

// touchAfter is how old SeenAt may be, in seconds: a page is not a write.
const touchAfter = 60

const tokenBytes = 32

// Start begins a session for a person whom Authenticate has just returned, and
// returns the token for the browser, 43 characters. previous is the token that
// the browser came with, if any: it ends, so that nobody shares a session whose
// token he has planted (session fixation). A second login within a session is
// Start again, with that as previous. ErrNoSession: the account was changed
// since Authenticate; ask for the password again.
func (a *Accounts) Start(ctx context.Context, u User, previous string) (token string, s Session, err error) {
	token = jws.Base64.EncodeToString(random(tokenBytes))
	now := a.now()
	s = Session{
		Hash: hashToken(token), User: u,
		AuthTime: now.Unix(), SeenAt: now.Unix(), ExpiresAt: now.Add(SessionLife).Unix(),
	}
	old := ""
	if previous != "" {
		old = hashToken(previous)
	}
	err = a.store.StartSession(ctx, s, old, MaxSessions)
	if errors.Is(err, registry.ErrNotFound) {
		return "", Session{}, ErrNoSession
	}
	if err != nil {
		return "", Session{}, err
	}
	return token, s, nil
}

// Session returns the session of a token that a browser sent. ErrNoSession: it
// has none, or it has ended.
func (a *Accounts) Session(ctx context.Context, token string) (Session, error) {
	if !isToken(token) {
		return Session{}, ErrNoSession
	}
	now := a.now()
	s, err := a.store.SessionByHash(ctx, hashToken(token), now.Unix(), now.Add(-SessionIdle).Unix())
	if errors.Is(err, registry.ErrNotFound) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, err
	}
	if now.Unix()-s.SeenAt >= touchAfter {
		// A full disk does not log people out before their time.
		if err := a.store.TouchSession(ctx, s.Hash, now.Unix()); err != nil {
			a.log.WarnContext(ctx, "the use of a session is not noted", "error", err)
		}
	}
	return s, nil
}

// End ends a session: a logout. It is no error that there is none.
func (a *Accounts) End(ctx context.Context, token string) error {
	if !isToken(token) {
		return nil
	}
	return a.store.EndSession(ctx, hashToken(token))
}

// Purge deletes sessions that have ended.
func (a *Accounts) Purge(ctx context.Context) error {
	now := a.now()
	return a.store.PurgeSessions(ctx, now.Unix(), now.Add(-SessionIdle).Unix())
}

func isToken(token string) bool { return len(token) == jws.Base64.EncodedLen(tokenBytes) }

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return jws.Base64.EncodeToString(sum[:])
}
