// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// CheckStructure asks the database to check itself: pages, indexes, and rows
// against their constraints. It returns what it found, nothing when all is
// well.
func (s *Store) CheckStructure(ctx context.Context) ([]string, error) {
	found, err := collect[string](s.reader.QueryContext(ctx, `PRAGMA integrity_check(100)`))(scanString)
	if err != nil {
		return nil, s.explain("check", err)
	}
	if len(found) == 1 && found[0] == "ok" {
		return nil, nil
	}
	return found, nil
}
