// SPDX-License-Identifier: Apache-2.0

package groupcommit

import "database/sql"

// Tx is a transaction as one caller sees it, good until its function returns.
// Statements are prepared once and kept, so their texts must be few.
type Tx struct {
	tx         *sql.Tx
	writer     *Writer
	ended      []func()
	statements map[string]*sql.Stmt // of tx, by their text
	fresh      []string             // those that the writer has not kept yet
}

// Exec executes a statement that returns no rows.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	statement, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	return statement.Exec(args...)
}

// Query executes a statement that returns rows. They must be read or closed
// before the next statement.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	statement, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	return statement.Query(args...)
}

// QueryRow executes a statement that returns one row at most.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	statement, err := t.prepared(query)
	if err != nil {
		return t.tx.QueryRow(query, args...) // which has the same error
	}
	return statement.QueryRow(args...)
}

// Ended calls f when the transaction has ended, in whatever way, and before
// anybody returns who wrote in it. It is for what must follow what is stored.
func (t *Tx) Ended(f func()) { t.ended = append(t.ended, f) }

func (t *Tx) prepared(query string) (*sql.Stmt, error) {
	if statement, ok := t.statements[query]; ok {
		return statement, nil
	}
	if kept, ok := t.writer.statements[query]; ok {
		t.statements[query] = t.tx.Stmt(kept)
		return t.statements[query], nil
	}
	statement, err := t.tx.Prepare(query)
	if err == nil {
		t.statements[query] = statement
		t.fresh = append(t.fresh, query)
	}
	return statement, err
}

// keep prepares for the following transactions what was new in this one: only
// now is a connection free to do so.
func (t *Tx) keep() {
	for _, query := range t.fresh {
		if statement, err := t.writer.cfg.DB.Prepare(query); err == nil {
			t.writer.statements[query] = statement
		}
	}
}
