// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

// AddDevice implements oauth.Devices.
func (s *Store) AddDevice(ctx context.Context, d oauth.Device) error {
	ask, err := json.Marshal(d.Ask)
	if err != nil {
		return err
	}
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		result, err := tx.Exec(`
			INSERT INTO devices (hash, user_code, ask, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			d.Hash, d.UserCode, string(ask), d.ExpiresAt)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			return registry.ErrConflict
		}
		return err
	})
}

const deviceColumns = `hash, user_code, ask, answer, expires_at`

// DeviceByCode implements oauth.Devices.
func (s *Store) DeviceByCode(ctx context.Context, userCode string, now int64) (oauth.Device, error) {
	return scanDevice(s.reader.QueryRowContext(ctx,
		`SELECT `+deviceColumns+` FROM devices WHERE user_code = $1 AND answer = '' AND expires_at > $2`, userCode, now))
}

// Device implements oauth.Devices.
func (s *Store) Device(ctx context.Context, hash string) (oauth.Device, error) {
	return scanDevice(s.reader.QueryRowContext(ctx, `SELECT `+deviceColumns+` FROM devices WHERE hash = $1`, hash))
}

func scanDevice(row *sql.Row) (d oauth.Device, err error) {
	var ask, answer string
	err = row.Scan(&d.Hash, &d.UserCode, &ask, &answer, &d.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return d, registry.ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(ask), &d.Ask)
	}
	if err == nil && answer != "" {
		d.Answer = new(oauth.Answer)
		err = json.Unmarshal([]byte(answer), d.Answer)
	}
	return d, err
}

// AnswerDevice implements oauth.Devices.
func (s *Store) AnswerDevice(ctx context.Context, hash string, a oauth.Answer, now int64) error {
	answer, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		result, err := tx.Exec(`UPDATE devices SET answer = $1 WHERE hash = $2 AND answer = '' AND expires_at > $3`,
			string(answer), hash, now)
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
