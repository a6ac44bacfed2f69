// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/comity-network/comity/node/oauth"
)

// writeTokens is write, and says oauth.ErrUnavailable when the database cannot
// write now but may later: the disk is full, read-only, or another process
// holds the lock for long (fault 64).
func (s *Store) writeTokens(ctx context.Context, f func(*sql.Tx) error) error {
	err := s.write(ctx, f)
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff { // the rest says more precisely where
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w: %s: %w", oauth.ErrUnavailable, s.path, err)
	}
	return err
}
