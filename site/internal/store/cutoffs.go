// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"maps"
	"slices"

	"github.com/comity-network/comity/internal/groupcommit"
)

// Cutoff is the second up to which what the site gave a client itself, through
// this broker, is dead; 0: none.
func (s *Store) Cutoff(ctx context.Context, broker, client string) (int64, error) {
	var cutoff int64
	err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(cutoff), 0) FROM comity_cutoffs
		WHERE broker IN ($1, '') AND subject IN ($2, 'client:')`, broker, "client:"+client).Scan(&cutoff)
	return cutoff, err
}

// Cut remembers cutoffs out of a stop list, which itself forgets them; under
// the empty name, one for all clients.
func (s *Store) Cut(ctx context.Context, cutoffs map[string]int64) error {
	if len(cutoffs) == 0 {
		return nil
	}
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		for _, client := range slices.Sorted(maps.Keys(cutoffs)) { // in one order, or two processes lock each other out
			if err := putCutoff(tx, allOfFederation, "client:"+client, cutoffs[client]); err != nil {
				return err
			}
		}
		return nil
	})
}
