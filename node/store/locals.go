// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/registry"
)

const localColumns = `id, token, metadata, promoted, fetched_at, created_at, expires_at`

// AddLocal implements registration.Store.
func (s *Store) AddLocal(ctx context.Context, l registration.Local, most int) error {
	document, err := l.Metadata.Document()
	if err != nil {
		return err
	}
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		if err := exec(tx, `DELETE FROM local_clients WHERE expires_at <= $1`, l.CreatedAt); err != nil {
			return err
		}
		result, err := tx.Exec(`
			INSERT INTO local_clients (`+localColumns+`)
			SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM local_clients) < $8`,
			l.ID, l.Token, string(document), l.Promoted, l.FetchedAt, l.CreatedAt, l.ExpiresAt, most)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			return fmt.Errorf("%w: %d local clients are stored", registry.ErrLimit, most)
		}
		return err
	})
}

// Local implements registration.Store.
func (s *Store) Local(ctx context.Context, id string, now int64) (registration.Local, error) {
	l, err := scanLocal(s.reader.QueryRowContext(ctx,
		`SELECT `+localColumns+` FROM local_clients WHERE id = $1 AND expires_at > $2`, id, now))
	return l, found(err)
}

// Locals implements registration.Store.
func (s *Store) Locals(ctx context.Context, after string, limit int, now int64) ([]registration.Local, error) {
	return collect[registration.Local](s.reader.QueryContext(ctx,
		`SELECT `+localColumns+` FROM local_clients WHERE id > $1 AND expires_at > $2 ORDER BY id LIMIT $3`, after, now, limit))(scanLocal)
}

func scanLocal(row scanner) (l registration.Local, err error) {
	var document string
	if err := row.Scan(&l.ID, &l.Token, &document, &l.Promoted, &l.FetchedAt, &l.CreatedAt, &l.ExpiresAt); err != nil {
		return l, err
	}
	l.Metadata, err = registry.ParseMetadata([]byte(document))
	return l, err
}

// ReplaceLocal implements registration.Store.
func (s *Store) ReplaceLocal(ctx context.Context, id string, m registry.ClientMetadata, now int64) error {
	document, err := m.Document()
	if err != nil {
		return err
	}
	return s.change(ctx, `UPDATE local_clients SET metadata = $1 WHERE id = $2 AND promoted = '' AND expires_at > $3`,
		string(document), id, now)
}

// PromoteLocal implements registration.Store.
func (s *Store) PromoteLocal(ctx context.Context, id, client string, now int64) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		var token string
		err := found(tx.QueryRow(`
			UPDATE local_clients SET promoted = $1 WHERE id = $2 AND promoted = '' AND expires_at > $3 RETURNING token`,
			client, id, now).Scan(&token))
		if err != nil {
			return err
		}
		return setManager(tx, client, token)
	})
}

// FetchedLocal implements registration.Store.
func (s *Store) FetchedLocal(ctx context.Context, id string, now int64) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		return exec(tx, `UPDATE local_clients SET fetched_at = $1 WHERE id = $2 AND promoted <> '' AND fetched_at = 0`, now, id)
	})
}

// RemoveLocal implements registration.Store.
func (s *Store) RemoveLocal(ctx context.Context, id string) error {
	return s.change(ctx, `DELETE FROM local_clients WHERE id = $1`, id)
}
