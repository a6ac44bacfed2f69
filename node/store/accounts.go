// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
)

// The people of the organisation: accounts and grants are here, sessions in
// sessions.go.
var _ accounts.Store = (*Store)(nil)

const userColumns = `u.id, u.name, u.display_name, u.disabled, u.created_at, u.password_at, u.last_login, u.version`

// userFields are where userColumns go.
func userFields(u *accounts.User) []any {
	return []any{&u.ID, &u.Name, &u.DisplayName, &u.Disabled, &u.CreatedAt, &u.PasswordAt, &u.LastLogin, &u.Version}
}

func scanUser(row scanner) (u accounts.User, err error) {
	err = row.Scan(userFields(&u)...)
	return u, err
}

// notFound is registry.ErrNotFound for no row.
func notFound(what string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", what, registry.ErrNotFound)
	}
	return err
}

// one executes a statement that must change a row, else it fails with missing.
func one(ctx context.Context, tx *sql.Tx, missing error, query string, args ...any) error {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return missing
	}
	return err
}

// AddUser implements accounts.Users.
func (s *Store) AddUser(ctx context.Context, u accounts.User, hash string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		return one(ctx, tx, registry.ErrConflict, `
			INSERT INTO users (id, name, display_name, password, created_at, password_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING`,
			u.ID, u.Name, u.DisplayName, hash, u.CreatedAt, u.PasswordAt)
	})
}

// UserByName implements accounts.Users.
func (s *Store) UserByName(ctx context.Context, name string) (u accounts.User, hash string, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT `+userColumns+`, u.password FROM users u WHERE u.name = $1`, name).
		Scan(append(userFields(&u), &hash)...)
	return u, hash, notFound("account", err)
}

// ListUsers implements accounts.Users.
func (s *Store) ListUsers(ctx context.Context, after string, limit int) ([]accounts.User, error) {
	return collect[accounts.User](s.reader.QueryContext(ctx,
		`SELECT `+userColumns+` FROM users u WHERE u.name > $1 ORDER BY u.name LIMIT $2`, after, limit))(scanUser)
}

// ChangeUser implements accounts.Users.
func (s *Store) ChangeUser(ctx context.Context, u accounts.User, hash string) error {
	disabled := 0
	if u.Disabled {
		disabled = 1
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		err := one(ctx, tx, registry.ErrConflict, `
			UPDATE users SET disabled = $1, password_at = $2, version = version + 1,
				password = CASE WHEN $3 = '' THEN password ELSE $3 END
			WHERE id = $4 AND version = $5`, disabled, u.PasswordAt, hash, u.ID, u.Version)
		if err != nil {
			return err
		}
		return exec(ctx, tx, `DELETE FROM user_sessions WHERE user_id = $1`, u.ID)
	})
}

// Rehash implements accounts.Users.
func (s *Store) Rehash(ctx context.Context, id, old, hash string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		return exec(ctx, tx, `UPDATE users SET password = $1 WHERE id = $2 AND password = $3`, hash, id, old)
	})
}

// RemoveUser implements accounts.Users.
func (s *Store) RemoveUser(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if err := one(ctx, tx, fmt.Errorf("account: %w", registry.ErrNotFound), `DELETE FROM users WHERE id = $1`, id); err != nil {
			return err
		}
		if err := exec(ctx, tx, `DELETE FROM user_sessions WHERE user_id = $1`, id); err != nil {
			return err
		}
		return exec(ctx, tx, `DELETE FROM user_grants WHERE user_id = $1`, id)
	})
}

const grantColumns = `g.id, g.user_id, g.client, g.resource, g.scope, g.created_at`

func grantFields(g *accounts.Grant) []any {
	return []any{&g.ID, &g.UserID, &g.ClientID, &g.Resource, &g.Scope, &g.CreatedAt}
}

func scanGrant(row scanner) (g accounts.Grant, err error) {
	err = row.Scan(grantFields(&g)...)
	return g, err
}

// AddGrant implements accounts.Grants.
func (s *Store) AddGrant(ctx context.Context, g accounts.Grant, max int) (stored accounts.Grant, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		// The row is written first, so that nobody disables the user meanwhile.
		err := one(ctx, tx, fmt.Errorf("account: %w", registry.ErrNotFound),
			`UPDATE users SET version = version WHERE id = $1 AND disabled = 0`, g.UserID)
		if err != nil {
			return err
		}
		stored, err = scanGrant(tx.QueryRowContext(ctx, `
			SELECT `+grantColumns+` FROM user_grants g WHERE g.user_id = $1 AND g.client = $2 AND g.resource = $3`,
			g.UserID, g.ClientID, g.Resource))
		if errors.Is(err, sql.ErrNoRows) {
			stored = g
			return insertGrant(ctx, tx, g, max)
		}
		if err != nil {
			return err
		}
		if stored.Scope, err = accounts.MergeScope(stored.Scope, g.Scope); err != nil {
			return err
		}
		return exec(ctx, tx, `UPDATE user_grants SET scope = $1 WHERE id = $2`, stored.Scope, stored.ID)
	})
	return stored, err
}

func insertGrant(ctx context.Context, tx *sql.Tx, g accounts.Grant, max int) error {
	var have int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM user_grants WHERE user_id = $1`, g.UserID).Scan(&have); err != nil {
		return err
	}
	if have >= max {
		return fmt.Errorf("%w: %d apps are connected already: end the connection of one first", registry.ErrLimit, have)
	}
	return exec(ctx, tx, `
		INSERT INTO user_grants (id, user_id, client, resource, scope, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, g.ID, g.UserID, g.ClientID, g.Resource, g.Scope, g.CreatedAt)
}

// GrantByID implements accounts.Grants.
func (s *Store) GrantByID(ctx context.Context, id string) (g accounts.Grant, u accounts.User, err error) {
	err = s.reader.QueryRowContext(ctx, `
		SELECT `+grantColumns+`, `+userColumns+`
		FROM user_grants g JOIN users u ON u.id = g.user_id WHERE g.id = $1 AND u.disabled = 0`, id).
		Scan(append(grantFields(&g), userFields(&u)...)...)
	return g, u, notFound("grant", err)
}

// GrantsOf implements accounts.Grants.
func (s *Store) GrantsOf(ctx context.Context, user string) ([]accounts.Grant, error) {
	return collect[accounts.Grant](s.reader.QueryContext(ctx, `
		SELECT `+grantColumns+` FROM user_grants g WHERE g.user_id = $1 ORDER BY g.created_at DESC, g.id`, user))(scanGrant)
}

// EndGrant implements accounts.Grants.
func (s *Store) EndGrant(ctx context.Context, user, id string) (g accounts.Grant, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		g, err = scanGrant(tx.QueryRowContext(ctx, `
			DELETE FROM user_grants WHERE id = $1 AND user_id = $2
			RETURNING id, user_id, client, resource, scope, created_at`, id, user))
		return notFound("grant", err)
	})
	return g, err
}
