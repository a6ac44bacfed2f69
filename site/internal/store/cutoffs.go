// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"maps"
	"slices"

	"github.com/comity-network/comity/internal/groupcommit"
)

const endsSQL = `SELECT
	(SELECT COUNT(*) FROM comity_stops WHERE client_id = $1 AND lifted_at = 0 AND (until_at = 0 OR until_at > $2)),
	(SELECT COALESCE(MAX(cutoff), 0) FROM comity_cutoffs WHERE broker IN ($3, '') AND subject IN ($4, 'client:'))`

// Ends is what ends credentials that the site gave a client itself, through
// broker: whether a stop was heard of and holds, and the second up to which
// they are dead; 0: none.
func (s *Store) Ends(ctx context.Context, broker, client string, now int64) (stopped bool, cutoff int64, err error) {
	var stops int64
	err = s.ends.QueryRowContext(ctx, client, now, broker, "client:"+client).Scan(&stops, &cutoff)
	return stops > 0, cutoff, err
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
