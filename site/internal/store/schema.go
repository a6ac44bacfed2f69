// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations are the steps of the schema, oldest first; a step is never
// changed once it was released. Names start with comity_, so that the tables
// may live in the owner's own database. No column is ever NULL: 0 and the
// empty string mean "none". Times are seconds since 1970.
var migrations = [][]string{{
	// What the site knows of the federation. A fact is never replaced by one
	// with a lower position (an iat, a size, a version).
	`CREATE TABLE comity_facts (
		kind TEXT NOT NULL, name TEXT NOT NULL, position BIGINT NOT NULL, value TEXT NOT NULL,
		PRIMARY KEY (kind, name))`,
	// Stops that were heard of by event, by CID of the record; a lifted one
	// stays, so that the same record cannot stop the client twice.
	`CREATE TABLE comity_stops (
		record TEXT PRIMARY KEY, client_id TEXT NOT NULL, issuer TEXT NOT NULL, seq BIGINT NOT NULL,
		status TEXT NOT NULL, reason TEXT NOT NULL, since BIGINT NOT NULL, until_at BIGINT NOT NULL,
		heard_at BIGINT NOT NULL, lift_after BIGINT NOT NULL, lifted_at BIGINT NOT NULL)`,
	`CREATE INDEX comity_stops_client ON comity_stops (client_id)`,
	// consent is the one decision of the user that made the grant.
	`CREATE TABLE comity_grants (
		id TEXT PRIMARY KEY, consent TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, client_id TEXT NOT NULL,
		home TEXT NOT NULL, broker TEXT NOT NULL, scope TEXT NOT NULL, jkt TEXT NOT NULL,
		code TEXT NOT NULL UNIQUE, code_expires_at BIGINT NOT NULL,
		created_at BIGINT NOT NULL, used_at BIGINT NOT NULL, ended_at BIGINT NOT NULL)`,
	`CREATE INDEX comity_grants_user ON comity_grants (user_id)`,
	// A row with an empty client_id is a tombstone: the token was revoked
	// before the site heard of it.
	`CREATE TABLE comity_tokens (
		hash TEXT PRIMARY KEY, broker TEXT NOT NULL, grant_id TEXT NOT NULL, code TEXT NOT NULL,
		client_id TEXT NOT NULL, home TEXT NOT NULL, scope TEXT NOT NULL, jkt TEXT NOT NULL,
		subject TEXT NOT NULL, issued_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, revoked_at BIGINT NOT NULL)`,
	`CREATE INDEX comity_tokens_grant ON comity_tokens (grant_id)`,
	`CREATE INDEX comity_tokens_client ON comity_tokens (client_id)`,
	`CREATE INDEX comity_tokens_expiry ON comity_tokens (expires_at)`,
	// Tokens of one broker up to a cutoff are dead, also those still to come:
	// subject is grant:ID or client:ID.
	`CREATE TABLE comity_cutoffs (
		broker TEXT NOT NULL, subject TEXT NOT NULL, cutoff BIGINT NOT NULL, PRIMARY KEY (broker, subject))`,
	// Events that were acknowledged, with a digest of what they said.
	`CREATE TABLE comity_events (
		broker TEXT NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL, received_at BIGINT NOT NULL,
		PRIMARY KEY (broker, id))`,
	// DPoP proofs that were used.
	`CREATE TABLE comity_proofs (id TEXT PRIMARY KEY, expires_at BIGINT NOT NULL)`,
}, {
	// How often a token may be used, where that is limited, and when it was
	// used first.
	`ALTER TABLE comity_tokens ADD COLUMN uses TEXT NOT NULL DEFAULT ''`,
	`ALTER TABLE comity_tokens ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0`,
}}

// migrate brings the schema to this version, in one transaction.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS comity_schema (version BIGINT PRIMARY KEY)`); err != nil {
		return err
	}
	var version int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM comity_schema`).Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("the tables have version %d, this program knows up to %d: use a newer one", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		for _, statement := range migrations[version] {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("step %d: %w", version+1, err)
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO comity_schema (version) VALUES ($1)`, version+1); err != nil {
			return err
		}
	}
	return tx.Commit()
}
