// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/sites"
)

var _ sites.Store = (*Store)(nil)

// SiteRule implements sites.Store. Rules are kept in memory: they are asked for
// several times with each token.
func (s *Store) SiteRule(ctx context.Context, resource string) (sites.Rule, error) {
	return s.rules.value(resource, func() (rule sites.Rule, keep bool, err error) {
		err = s.reader.QueryRowContext(ctx, `SELECT rule FROM sites WHERE resource = $1`, resource).Scan(&rule)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", false, fmt.Errorf("sites: %w", err)
		}
		return rule, true, nil
	})
}

// SetSiteRule implements sites.Store.
func (s *Store) SetSiteRule(ctx context.Context, resource string, rule sites.Rule) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		tx.Ended(s.rules.change(resource))
		_, err := tx.Exec(`
			INSERT INTO sites (resource, rule) VALUES ($1, $2)
			ON CONFLICT (resource) DO UPDATE SET rule = excluded.rule`, resource, string(rule))
		if err != nil {
			return fmt.Errorf("sites: %w", err)
		}
		return nil
	})
}

// SiteSeen implements sites.Store.
func (s *Store) SiteSeen(ctx context.Context, resource string, at int64) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO sites (resource, first_seen, last_seen) VALUES ($1, $2, $2)
			ON CONFLICT (resource) DO UPDATE SET
				first_seen = CASE WHEN sites.first_seen = 0 THEN excluded.first_seen ELSE sites.first_seen END,
				last_seen = CASE WHEN sites.last_seen > excluded.last_seen THEN sites.last_seen ELSE excluded.last_seen END`,
			resource, at)
		if err != nil {
			return fmt.Errorf("sites: %w", err)
		}
		return nil
	})
}

// ListSites implements sites.Store.
func (s *Store) ListSites(ctx context.Context) ([]sites.Entry, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT resource, rule, first_seen, last_seen FROM sites ORDER BY resource`)
	if err != nil {
		return nil, fmt.Errorf("sites: %w", err)
	}
	defer rows.Close()
	all := []sites.Entry{}
	for rows.Next() {
		var e sites.Entry
		if err := rows.Scan(&e.Resource, &e.Rule, &e.FirstSeen, &e.LastSeen); err != nil {
			return nil, fmt.Errorf("sites: %w", err)
		}
		all = append(all, e)
	}
	return all, rows.Err()
}
