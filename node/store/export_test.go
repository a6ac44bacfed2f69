// SPDX-License-Identifier: Apache-2.0

package store

import "database/sql"

// Writer is the connection that writes, for tests that fill the disk.
func (s *Store) Writer() *sql.DB { return s.writer }
