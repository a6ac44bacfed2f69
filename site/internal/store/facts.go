// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/trust"
)

// Facts returns all facts of one kind, by position.
func (s *Store) Facts(ctx context.Context, kind string) ([]trust.Fact, error) {
	rows, err := s.db.QueryContext(ctx,
		`SELECT name, position, value FROM comity_facts WHERE kind = $1 ORDER BY position, name`, kind)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var facts []trust.Fact
	for rows.Next() {
		f := trust.Fact{Kind: kind}
		if err := rows.Scan(&f.Name, &f.Position, &f.Value); err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, rows.Err()
}

const factSQL = `SELECT position, value FROM comity_facts WHERE kind = $1 AND name = $2`

// Fact returns one fact; registry.ErrNotFound if there is none.
func (s *Store) Fact(ctx context.Context, kind, name string) (trust.Fact, error) {
	f := trust.Fact{Kind: kind, Name: name}
	err := s.fact.QueryRowContext(ctx, kind, name).Scan(&f.Position, &f.Value)
	if errors.Is(err, sql.ErrNoRows) {
		return f, registry.ErrNotFound
	}
	return f, err
}

// Remember stores f unless a fact of its kind and name with the same or a
// higher position is there, and returns the one that is there afterwards.
func (s *Store) Remember(ctx context.Context, f trust.Fact) (trust.Fact, error) {
	kept := f
	err := s.write(ctx, func(tx *groupcommit.Tx) error {
		if _, err := tx.Exec(`INSERT INTO comity_facts (kind, name, position, value) VALUES ($1, $2, $3, $4)
			ON CONFLICT (kind, name) DO UPDATE SET position = excluded.position, value = excluded.value
			WHERE comity_facts.position < excluded.position`, f.Kind, f.Name, f.Position, f.Value); err != nil {
			return err
		}
		return tx.QueryRow(factSQL, f.Kind, f.Name).Scan(&kept.Position, &kept.Value)
	})
	return kept, err
}
