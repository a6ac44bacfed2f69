// SPDX-License-Identifier: Apache-2.0

// Package store keeps what a site must not forget, in the site's own SQL
// database: what it knows of the federation, grants, token hashes, and which
// one-time things were used.
//
// What it promises: a method that returned nil has its effect as durably as
// the database commits; each one-time thing (a consent, an event, a DPoP
// proof) is claimed by one unique insert; nothing in it can be used as a token
// or a code. It trusts the database and its owner. One SQL text serves SQLite
// and PostgreSQL; several processes of one site may share the database.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
)

// Errors of the one-time things.
var (
	// ErrUsed: it was claimed before.
	ErrUsed = errors.New("used before")
	// ErrReused: the same identifier stood for something else before.
	ErrReused = errors.New("identifier used twice for different things")
)

// Store is one site's tables. It is safe for concurrent use.
type Store struct {
	db     *sql.DB
	writes *groupcommit.Writer
	lookup *sql.Stmt
	fact   *sql.Stmt
	ends   *sql.Stmt
}

// Open brings the tables in db to this version. The database stays the
// caller's.
func Open(ctx context.Context, db *sql.DB) (*Store, error) {
	if err := migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("prepare the tables comity_*: %w", err)
	}
	lookup, err := db.PrepareContext(ctx, lookupSQL)
	if err != nil {
		return nil, err
	}
	fact, err := db.PrepareContext(ctx, factSQL)
	if err != nil {
		return nil, errors.Join(err, lookup.Close())
	}
	ends, err := db.PrepareContext(ctx, endsSQL)
	if err != nil {
		return nil, errors.Join(err, lookup.Close(), fact.Close())
	}
	return &Store{db: db, writes: groupcommit.New(groupcommit.Config{DB: db}), lookup: lookup, fact: fact, ends: ends}, nil
}

// Close frees what was prepared. It does not close the database.
func (s *Store) Close() error {
	return errors.Join(s.writes.Close(), s.lookup.Close(), s.fact.Close(), s.ends.Close())
}

// write runs f in a transaction, which it may share with others who write at
// the same time. When f returns an error, nothing of it is kept. The first
// statement of f writes, so that SQLite takes its lock at once.
func (s *Store) write(ctx context.Context, f func(*groupcommit.Tx) error) error {
	return s.writes.Write(ctx, f)
}

// claim runs an insert that must add one row; ErrUsed when the row is there.
func claim(tx *groupcommit.Tx, insert string, args ...any) error {
	result, err := tx.Exec(insert, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrUsed
}

// Purge forgets what cannot matter any more at the time now: expired tokens
// and tombstones, used proofs, events, grants whose code was never redeemed,
// and cutoffs. Those of clients that the site has met stay, since credentials
// of the site's own do not expire.
func (s *Store) Purge(ctx context.Context, now int64) error {
	const day = 24 * 60 * 60
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		for _, q := range []struct {
			statement string
			before    int64
		}{
			{`DELETE FROM comity_tokens WHERE expires_at < $1`, now - day},
			{`DELETE FROM comity_proofs WHERE expires_at < $1`, now},
			{`DELETE FROM comity_events WHERE received_at < $1`, now - 7*day},
			{`DELETE FROM comity_stops WHERE lifted_at <> 0 AND lifted_at < $1`, now - 31*day},
			{`DELETE FROM comity_cutoffs WHERE cutoff < $1 AND subject <> 'client:' AND NOT (subject LIKE 'client:%' AND EXISTS
				(SELECT 1 FROM comity_facts WHERE kind = 'client' AND name = SUBSTR(subject, 8)))`, now - 31*day},
			{`DELETE FROM comity_grants WHERE used_at = 0 AND code_expires_at < $1`, now - day},
			{`DELETE FROM comity_grants WHERE ended_at <> 0 AND ended_at < $1`, now - 31*day},
		} {
			if _, err := tx.Exec(q.statement, q.before); err != nil {
				return err
			}
		}
		return nil
	})
}
