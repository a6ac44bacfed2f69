// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

const tokenColumns = `key, type, jkt, client, home, site, scope, family, grant_id, issued_at, expires_at, state, revoked_at, reason, subject, uses`

func scanToken(row scanner) (t oauth.Token, err error) {
	err = row.Scan(&t.Key, &t.Type, &t.JKT, &t.ClientID, &t.Home, &t.Site, &t.Scope, &t.Family, &t.Grant,
		&t.IssuedAt, &t.ExpiresAt, &t.State, &t.RevokedAt, &t.Reason, &t.Subject, &t.Uses)
	return t, err
}

// Token implements oauth.Reader. Released tokens are kept in memory: nearly all
// that is asked about is released, and asked about again. Like Client it does
// not watch ctx.
func (s *Store) Token(ctx context.Context, key string) (oauth.Token, error) {
	return s.tokens.value(key, func() (oauth.Token, bool, error) {
		query, err := s.prepared(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE key = $1`)
		if err != nil {
			return oauth.Token{}, false, err
		}
		t, err := scanToken(query.QueryRowContext(context.WithoutCancel(ctx), key))
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("token: %w", registry.ErrNotFound)
		}
		return t, t.State == oauth.TokenReleased, err
	})
}

// Refresh implements oauth.Reader. Like Client it does not watch ctx.
func (s *Store) Refresh(ctx context.Context, key string) (r oauth.Refresh, f oauth.Family, err error) {
	query, err := s.prepared(ctx, `
		SELECT r.key, r.family, r.issued_at, r.expires_at,
			r.used_by = '' AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.key = r.token AND t.released_ms = 0),
			f.id, f.client, f.home, f.site, f.grant_id, f.scope, f.jkt, f.created_at, f.expires_at, f.revoked_at, f.reason, f.subject
		FROM refresh_tokens r JOIN families f ON f.id = r.family WHERE r.key = $1`)
	if err != nil {
		return r, f, err
	}
	err = query.QueryRowContext(context.WithoutCancel(ctx), key).Scan(
		&r.Key, &r.Family, &r.IssuedAt, &r.ExpiresAt, &r.Live,
		&f.ID, &f.ClientID, &f.Home, &f.Site, &f.Grant, &f.Scope, &f.JKT, &f.CreatedAt, &f.ExpiresAt, &f.RevokedAt, &f.Reason, &f.Subject)
	if errors.Is(err, sql.ErrNoRows) {
		return r, f, fmt.Errorf("refresh token: %w", registry.ErrNotFound)
	}
	return r, f, err
}
