// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/registry"
)

// Grant is one user's consent to one client.
type Grant struct {
	ID            string
	User          string
	ClientID      string
	Home          string // issuer of the client's home broker
	Broker        string // issuer of the broker that may mint for it
	Scope         string
	JKT           string // the one DPoP key that may use it, if pinned
	Code          string // jti of the code that carried it
	CodeExpiresAt int64
	CreatedAt     int64
	UsedAt        int64 // when the last token was issued; 0: none yet
	EndedAt       int64 // 0: alive
}

const grantColumns = `id, user_id, client_id, home, broker, scope, jkt, code, code_expires_at, created_at, used_at, ended_at`

type row interface{ Scan(...any) error }

func scanGrant(r row) (Grant, error) {
	var g Grant
	err := r.Scan(&g.ID, &g.User, &g.ClientID, &g.Home, &g.Broker, &g.Scope, &g.JKT, &g.Code, &g.CodeExpiresAt,
		&g.CreatedAt, &g.UsedAt, &g.EndedAt)
	if errors.Is(err, sql.ErrNoRows) {
		err = registry.ErrNotFound
	}
	return g, err
}

// AddGrant stores the grant that the decision consent made. ErrUsed when that
// decision has made one already.
func (s *Store) AddGrant(ctx context.Context, consent string, g Grant) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		return claim(tx, `INSERT INTO comity_grants (consent, `+grantColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0) ON CONFLICT DO NOTHING`,
			consent, g.ID, g.User, g.ClientID, g.Home, g.Broker, g.Scope, g.JKT, g.Code, g.CodeExpiresAt, g.CreatedAt)
	})
}

// Grants lists the grants of one user that are alive and were used, the newest
// first.
func (s *Store) Grants(ctx context.Context, user string) ([]Grant, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+grantColumns+` FROM comity_grants
		WHERE user_id = $1 AND ended_at = 0 AND used_at <> 0 ORDER BY created_at DESC, id`, user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var grants []Grant
	for rows.Next() {
		g, err := scanGrant(rows)
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	return grants, rows.Err()
}

// EndGrant ends a grant of user and kills its tokens. registry.ErrNotFound when
// the user has no such grant; ending it twice is no error.
func (s *Store) EndGrant(ctx context.Context, user, id string, now int64) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		_, err := tx.Exec(`UPDATE comity_grants SET ended_at = $1
			WHERE id = $2 AND user_id = $3 AND ended_at = 0`, now, id, user)
		if err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM comity_grants WHERE id = $1 AND user_id = $2`,
			id, user).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return registry.ErrNotFound
		}
		_, err = tx.Exec(`UPDATE comity_tokens SET revoked_at = $1 WHERE grant_id = $2 AND revoked_at = 0`, now, id)
		return err
	})
}
