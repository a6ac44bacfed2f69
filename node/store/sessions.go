// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
)

// StartSession implements accounts.Sessions.
func (s *Store) StartSession(ctx context.Context, session accounts.Session, previous string, max int) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		// This statement decides: the account is as it was when the password was judged.
		err := one(ctx, tx, fmt.Errorf("account: %w", registry.ErrNotFound),
			`UPDATE users SET last_login = $1 WHERE id = $2 AND version = $3 AND disabled = 0`,
			session.AuthTime, session.User.ID, session.User.Version)
		if err != nil {
			return err
		}
		if err := exec(ctx, tx, `DELETE FROM user_sessions WHERE hash = $1`, previous); err != nil {
			return err
		}
		err = exec(ctx, tx, `
			INSERT INTO user_sessions (hash, user_id, auth_time, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			session.Hash, session.User.ID, session.AuthTime, session.SeenAt, session.ExpiresAt)
		if err != nil {
			return err
		}
		return exec(ctx, tx, `
			DELETE FROM user_sessions WHERE user_id = $1 AND hash <> $2 AND hash NOT IN (
				SELECT hash FROM user_sessions WHERE user_id = $1 AND hash <> $2
				ORDER BY seen_at DESC, auth_time DESC, hash LIMIT $3)`,
			session.User.ID, session.Hash, max-1)
	})
}

// SessionByHash implements accounts.Sessions.
func (s *Store) SessionByHash(ctx context.Context, hash string, now, seenSince int64) (accounts.Session, error) {
	var found accounts.Session
	err := s.reader.QueryRowContext(ctx, `
		SELECT s.hash, s.auth_time, s.seen_at, s.expires_at, `+userColumns+`
		FROM user_sessions s JOIN users u ON u.id = s.user_id
		WHERE s.hash = $1 AND s.expires_at > $2 AND s.seen_at > $3 AND u.disabled = 0`, hash, now, seenSince).
		Scan(append([]any{&found.Hash, &found.AuthTime, &found.SeenAt, &found.ExpiresAt}, userFields(&found.User)...)...)
	return found, notFound("session", err)
}

// TouchSession implements accounts.Sessions.
func (s *Store) TouchSession(ctx context.Context, hash string, now int64) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		return exec(ctx, tx, `UPDATE user_sessions SET seen_at = $1 WHERE hash = $2 AND seen_at < $1`, now, hash)
	})
}

// EndSession implements accounts.Sessions.
func (s *Store) EndSession(ctx context.Context, hash string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		return exec(ctx, tx, `DELETE FROM user_sessions WHERE hash = $1`, hash)
	})
}

// PurgeSessions implements accounts.Sessions.
func (s *Store) PurgeSessions(ctx context.Context, now, seenSince int64) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		return exec(ctx, tx, `DELETE FROM user_sessions WHERE expires_at <= $1 OR seen_at <= $2`, now, seenSince)
	})
}
