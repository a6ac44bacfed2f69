// SPDX-License-Identifier: Apache-2.0

package store

import "database/sql"

// Writer is the connection that writes, for tests that fill the disk.
func (s *Store) Writer() *sql.DB { return s.writer }

// Waiting is how many writes wait for the next transaction.
func (s *Store) Waiting() int { return s.writes.Waiting() }

// Memory is a memory of numbers.
type Memory struct{ memory[int] }

// Remembered bounds a memory, in values.
const Remembered = remembered

// Value is memory.value.
func (m *Memory) Value(key string, load func() (int, bool, error)) (int, error) {
	return m.value(key, load)
}

// Change is memory.change.
func (m *Memory) Change(keys ...string) (ended func()) { return m.change(keys...) }

// Len is how many values are kept.
func (m *Memory) Len() int { return len(m.young) + len(m.old) }
