// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/registry"
)

var _ membership.Store = (*Store)(nil)

// AddRequest implements membership.Store.
func (s *Store) AddRequest(ctx context.Context, r membership.Request, now int64, max int, confirmed bool) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		if _, err := tx.Exec(`DELETE FROM membership_requests WHERE expires_at <= $1`, now); err != nil {
			return err
		}
		if confirmed {
			if _, err := tx.Exec(`DELETE FROM membership_requests WHERE issuer = $1 AND key <> $2`, r.Issuer, r.Key); err != nil {
				return err
			}
		}
		var others int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM membership_requests WHERE issuer <> $1 AND state <> $2`, r.Issuer, string(membership.Refused)).Scan(&others); err != nil {
			return err
		}
		if others >= max {
			return fmt.Errorf("%w: %d brokers ask for membership already", registry.ErrLimit, others)
		}
		added, err := tx.Exec(`
			INSERT INTO membership_requests (id, issuer, key, record, received_at, expires_at, state, reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (issuer) DO UPDATE
			SET id = excluded.id, record = excluded.record, received_at = excluded.received_at, expires_at = excluded.expires_at
			WHERE membership_requests.key = excluded.key`,
			r.ID, r.Issuer, r.Key, r.Record, r.ReceivedAt, r.ExpiresAt, string(r.State), r.Reason)
		if err != nil {
			return err
		}
		if n, err := added.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: another key of %s asks for membership", registry.ErrConflict, r.Issuer))
		}
		return nil
	})
}

const requestColumns = `id, issuer, key, record, received_at, expires_at, state, reason`

func scanRequest(row interface{ Scan(...any) error }) (membership.Request, error) {
	var r membership.Request
	err := row.Scan(&r.ID, &r.Issuer, &r.Key, &r.Record, &r.ReceivedAt, &r.ExpiresAt, &r.State, &r.Reason)
	return r, err
}

// Request implements membership.Store.
func (s *Store) Request(ctx context.Context, id string, now int64) (membership.Request, error) {
	r, err := scanRequest(s.reader.QueryRowContext(ctx, `
		SELECT `+requestColumns+` FROM membership_requests WHERE id = $1 AND expires_at > $2`, id, now))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%w: no request for membership %.70q", registry.ErrNotFound, id)
	}
	return r, err
}

// Requests implements membership.Store.
func (s *Store) Requests(ctx context.Context, now int64) ([]membership.Request, error) {
	rows, err := s.reader.QueryContext(ctx, `
		SELECT `+requestColumns+` FROM membership_requests WHERE expires_at > $1 ORDER BY received_at, id`, now)
	if err != nil {
		return nil, fmt.Errorf("requests for membership: %w", err)
	}
	defer rows.Close()
	var all []membership.Request
	for rows.Next() {
		r, err := scanRequest(rows)
		if err != nil {
			return nil, fmt.Errorf("requests for membership: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// DecideRequest implements membership.Store.
func (s *Store) DecideRequest(ctx context.Context, id string, state membership.State, reason string) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		decided, err := tx.Exec(`UPDATE membership_requests SET state = $2, reason = $3 WHERE id = $1`, id, string(state), reason)
		if err != nil {
			return err
		}
		if n, err := decided.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: no request for membership %.70q", registry.ErrNotFound, id))
		}
		return nil
	})
}
