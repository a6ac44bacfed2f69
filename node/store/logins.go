// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

// AddCode implements oauth.Logins.
func (s *Store) AddCode(ctx context.Context, c oauth.IssuedCode) error {
	document, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		return exec(tx, `INSERT INTO issued_codes (hash, document, expires_at) VALUES ($1, $2, $3)`,
			c.Hash, string(document), c.ExpiresAt)
	})
}

// Code implements oauth.Logins.
func (s *Store) Code(ctx context.Context, hash string) (c oauth.IssuedCode, err error) {
	c.Hash = hash
	var document string
	err = s.reader.QueryRowContext(ctx, `SELECT document FROM issued_codes WHERE hash = $1`, hash).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return c, registry.ErrNotFound
	}
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal([]byte(document), &c)
}

// RevokeGrant implements oauth.Logins.
func (s *Store) RevokeGrant(ctx context.Context, grant string, at int64, reason string, message func(oauth.Token) notify.Message) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		err := exec(tx, `
			UPDATE families SET revoked_at = $1, reason = $2 WHERE grant_id = $3 AND subject <> '' AND revoked_at = 0`, at, reason, grant)
		if err != nil {
			return err
		}
		dead, err := s.revoke(tx, at, reason, `grant_id = $3 AND subject <> '' AND expires_at > $1`, grant)
		if err != nil {
			return err
		}
		queue := make([]notify.Message, 0, len(dead))
		for _, t := range dead {
			queue = append(queue, message(t))
		}
		return s.enqueue(tx, queue...)
	})
}
