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

// Push implements oauth.Pusher.
func (s *Store) Push(ctx context.Context, p oauth.Pushed) error {
	parameters, err := json.Marshal(p.Parameters)
	if err != nil {
		return err
	}
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		return exec(tx, `INSERT INTO pushed (hash, client, parameters, expires_at) VALUES ($1, $2, $3, $4)`,
			p.Hash, p.ClientID, string(parameters), p.ExpiresAt)
	})
}

// Pushed implements oauth.Pusher.
func (s *Store) Pushed(ctx context.Context, hash, clientID string, now int64) (oauth.Pushed, error) {
	p := oauth.Pushed{Hash: hash, ClientID: clientID}
	err := s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		var parameters string
		err := tx.QueryRow(
			`DELETE FROM pushed WHERE hash = $1 AND client = $2 AND expires_at > $3 RETURNING parameters, expires_at`,
			hash, clientID, now).Scan(&parameters, &p.ExpiresAt)
		if errors.Is(err, sql.ErrNoRows) {
			return registry.ErrNotFound
		}
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(parameters), &p.Parameters)
	})
	return p, err
}
