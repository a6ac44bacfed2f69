// SPDX-License-Identifier: Apache-2.0

// Package store keeps everything that a node must remember, in one SQL
// database. It implements the small interfaces that federation, sites, notify
// and oauth declare; each lives in a file of its own here and owns the tables
// of one migration.
//
// What it promises: a method that returned nil has its effect on disk (SQLite
// in WAL mode with synchronous=FULL); every one-time thing is claimed in one
// statement; nothing secret is stored in clear, since callers pass hashes. It
// trusts its file: a damaged database is reported with the file's name and is
// never repaired in silence.
package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is one open database. It is safe for concurrent use.
type Store struct {
	path   string
	writer *sql.DB // one connection: SQLite has one writer
	reader *sql.DB

	committed chan struct{} // sent to after each commit, with room for one: see QueueChanged
}

// Open opens the SQLite database at path, creating it if it is absent, and
// brings its schema to this version.
func Open(ctx context.Context, path string) (*Store, error) {
	s := &Store{path: path, committed: make(chan struct{}, 1)}
	var err error
	if s.writer, err = openSQLite(path, "immediate", 1); err != nil {
		return nil, err
	}
	if s.reader, err = openSQLite(path, "deferred", 8); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return s, nil
}

func openSQLite(path, lock string, conns int) (*sql.DB, error) {
	query := url.Values{
		"_txlock": {lock},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, dir)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// Close waits for running statements and closes the database.
func (s *Store) Close() error {
	err := s.reader.Close()
	if e := s.writer.Close(); err == nil {
		err = e
	}
	return err
}

// write runs f in one transaction. When f returns an error, nothing of it is
// kept.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	select {
	case s.committed <- struct{}{}:
	default:
	}
	return nil
}
