// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/node/oauth"
)

var _ brokered.Store = (*Store)(nil)

// Nonce implements brokered.Store.
func (s *Store) Nonce(ctx context.Context, key string, until int64) (fresh bool, err error) {
	err = s.Claim(ctx, oauth.OneTime{Key: "oauth1:" + key, ExpiresAt: until})
	if errors.Is(err, oauth.ErrSeen) {
		return false, nil
	}
	return err == nil, err
}

// SaveConnection implements brokered.Store.
func (s *Store) SaveConnection(ctx context.Context, c brokered.Connection) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		return exec(tx, `
			INSERT INTO connections (client, site, name, through, resource, first_at, last_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (client, site) DO UPDATE
			SET name = excluded.name, through = excluded.through, resource = excluded.resource, last_at = excluded.last_at, told = ''`,
			c.ClientID, c.Site, c.Name, c.Through, c.Resource, c.FirstAt, c.LastAt)
	})
}

// Connections implements brokered.Store.
func (s *Store) Connections(ctx context.Context, clientID string) ([]brokered.Connection, error) {
	return collect[brokered.Connection](s.reader.QueryContext(ctx, `
		SELECT client, site, name, through, resource, first_at, last_at FROM connections WHERE client = $1 ORDER BY site`, clientID))(
		func(row scanner) (c brokered.Connection, err error) {
			err = row.Scan(&c.ClientID, &c.Site, &c.Name, &c.Through, &c.Resource, &c.FirstAt, &c.LastAt)
			return c, err
		})
}

// SetOAuth1Secret keeps the OAuth 1.0a secret of a client, sealed, in the place
// of the one before.
func (s *Store) SetOAuth1Secret(ctx context.Context, client, sealed string, at int64) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		return exec(tx, `
			INSERT INTO oauth1_secrets (client, sealed, created_at) VALUES ($1, $2, $3)
			ON CONFLICT (client) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at`, client, sealed, at)
	})
}

// OAuth1Secret returns what SetOAuth1Secret kept. registry.ErrNotFound: nothing.
func (s *Store) OAuth1Secret(ctx context.Context, client string) (sealed string, err error) {
	err = found(s.reader.QueryRowContext(ctx, `SELECT sealed FROM oauth1_secrets WHERE client = $1`, client).Scan(&sealed))
	return sealed, err
}

// HasOAuth1Secrets says whether any client has one.
func (s *Store) HasOAuth1Secrets(ctx context.Context) (has bool, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM oauth1_secrets)`).Scan(&has)
	return has, err
}
