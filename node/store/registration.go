// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
)

var _ registration.Store = (*Store)(nil)

const initialTokenColumns = `id, hash, uses, used, created_at, expires_at`

// AddInitialToken implements registration.Store.
func (s *Store) AddInitialToken(ctx context.Context, t registration.InitialToken) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		if err := exec(tx, `DELETE FROM initial_tokens WHERE expires_at <= $1`, t.CreatedAt); err != nil {
			return err
		}
		return exec(tx, `INSERT INTO initial_tokens (`+initialTokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
			t.ID, t.Hash, t.Uses, t.Used, t.CreatedAt, t.ExpiresAt)
	})
}

// InitialTokens implements registration.Store.
func (s *Store) InitialTokens(ctx context.Context, now int64) ([]registration.InitialToken, error) {
	return collect[registration.InitialToken](s.reader.QueryContext(ctx,
		`SELECT `+initialTokenColumns+` FROM initial_tokens WHERE expires_at > $1 ORDER BY created_at, id`, now))(
		func(row scanner) (t registration.InitialToken, err error) {
			err = row.Scan(&t.ID, &t.Hash, &t.Uses, &t.Used, &t.CreatedAt, &t.ExpiresAt)
			return t, err
		})
}

// EndInitialToken implements registration.Store.
func (s *Store) EndInitialToken(ctx context.Context, id string) error {
	return s.change(ctx, `DELETE FROM initial_tokens WHERE id = $1`, id)
}

// UseInitialToken implements registration.Store.
func (s *Store) UseInitialToken(ctx context.Context, hash string, now int64) (id string, err error) {
	err = s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		return found(tx.QueryRow(`
			UPDATE initial_tokens SET used = used + 1 WHERE hash = $1 AND used < uses AND expires_at > $2 RETURNING id`,
			hash, now).Scan(&id))
	})
	return id, err
}

// ReturnInitialToken implements registration.Store.
func (s *Store) ReturnInitialToken(ctx context.Context, id string) error {
	return s.change(ctx, `UPDATE initial_tokens SET used = used - 1 WHERE id = $1 AND used > 0`, id)
}

// SetManager implements registration.Store.
func (s *Store) SetManager(ctx context.Context, client, hash string) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error { return setManager(tx, client, hash) })
}

func setManager(tx *groupcommit.Tx, client, hash string) error {
	return exec(tx, `
		INSERT INTO registration_tokens (client, hash) VALUES ($1, $2)
		ON CONFLICT (client) DO UPDATE SET hash = excluded.hash`, client, hash)
}

// Manager implements registration.Store.
func (s *Store) Manager(ctx context.Context, client string) (hash string, err error) {
	err = found(s.reader.QueryRowContext(ctx, `SELECT hash FROM registration_tokens WHERE client = $1`, client).Scan(&hash))
	return hash, err
}

// change runs one statement that must change a row.
func (s *Store) change(ctx context.Context, query string, args ...any) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		result, err := tx.Exec(query, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			return registry.ErrNotFound
		}
		return err
	})
}

// found makes the absence of a row registry.ErrNotFound.
func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: no such row", registry.ErrNotFound)
	}
	return err
}
