// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/oauth"
)

// Claim implements oauth.Keeper.
func (s *Store) Claim(ctx context.Context, id oauth.OneTime) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error { return claimSeen(tx, id) })
}

func claimSeen(tx *groupcommit.Tx, id oauth.OneTime) error {
	fresh, err := changes(tx.Exec(`INSERT INTO seen (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id.Key, id.ExpiresAt))
	if err == nil && !fresh {
		return oauth.ErrSeen
	}
	return err
}

// Pending implements oauth.Keeper.
func (s *Store) Pending(ctx context.Context, before int64) ([]oauth.Token, error) {
	return collect[oauth.Token](s.reader.QueryContext(ctx,
		`SELECT `+tokenColumns+` FROM tokens WHERE state = 'pending' AND issued_at < $1 ORDER BY issued_at`, before))(scanToken)
}

// Holders implements oauth.Keeper.
func (s *Store) Holders(ctx context.Context, now int64) ([]string, error) {
	return collect[string](s.reader.QueryContext(ctx, `
		SELECT client FROM tokens WHERE expires_at > $1 AND state IN ('pending', 'released')
		UNION SELECT client FROM families WHERE expires_at > $1 AND revoked_at = 0
		UNION SELECT client FROM connections
		ORDER BY client`, now))(scanString)
}

// purges run in this order, each with now. A pending token stays until it is
// void, however old: its site must be told. A used refresh token stays until it
// would have expired or its family ends, since only what is remembered can be
// recognised when it is reused.
var purges = []string{
	`DELETE FROM seen WHERE expires_at < $1`,
	`DELETE FROM issued_codes WHERE expires_at < $1`,
	`DELETE FROM devices WHERE expires_at < $1`,
	`DELETE FROM pushed WHERE expires_at < $1`,
	`DELETE FROM codes WHERE key < printf('%012d', $1)`,
	`DELETE FROM tokens WHERE key < printf('%012x', 1000 * $1) AND expires_at < $1 AND state <> 'pending'`,
	`DELETE FROM refresh_tokens WHERE key < printf('%012x', 1000 * $1) AND expires_at < $1`,
	`DELETE FROM families WHERE expires_at < $1 OR revoked_at > 0`,
	`DELETE FROM refresh_tokens WHERE issued_at < $1 AND NOT EXISTS (SELECT 1 FROM families f WHERE f.id = refresh_tokens.family)`,
}

// Purge implements oauth.Keeper. Each statement is a transaction of its own,
// so that nobody waits for long.
func (s *Store) Purge(ctx context.Context, now int64) error {
	for _, query := range purges {
		if err := s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
			tx.Ended(s.tokens.change())
			return exec(tx, query, now)
		}); err != nil {
			return err
		}
	}
	return nil
}
