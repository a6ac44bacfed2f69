// SPDX-License-Identifier: Apache-2.0

// Package store keeps everything that a node must remember, in one SQL
// database. It implements the small interfaces that federation, membership,
// sites, notify and oauth declare; each lives in a file of its own here and owns
// the tables of one migration.
//
// What it promises: a method that returned nil has its effect on disk (SQLite
// in WAL mode with synchronous=FULL); every one-time thing is claimed in one
// statement; nothing secret is stored in clear, since callers pass hashes or keys with hashes. It
// trusts its file: a damaged database is reported with the file's name and is
// never repaired in silence. Beside the database is the head file (".head"),
// the newest checkpoint of the own log: a database that is older than it, or
// another copy, is refused. A backup holds both, the head file copied first.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/sites"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is one open database. It is safe for concurrent use.
type Store struct {
	path   string
	writer *sql.DB // one connection: SQLite has one writer
	writes *groupcommit.Writer
	reader *sql.DB

	queued     chan struct{} // with room for one: see QueueChanged
	failed     chan struct{} // closed when the disk failed: see Failed
	fail       sync.Once
	statements sync.Map // of *sql.Stmt for reader, by their text

	tokens memory[oauth.Token] // released ones, by key
	rules  memory[sites.Rule]  // by resource
}

// Open opens the SQLite database at path, creating it if there is none, and
// brings its schema to this version. It refuses a database that is damaged
// (ErrDamaged), that a newer version wrote (ErrNewer), or that others may read
// or write (durable.ErrUnsafe), and changes nothing in it then.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := ensure(ctx, path); err != nil {
		return nil, err
	}
	return open(ctx, path)
}

func open(ctx context.Context, path string) (*Store, error) {
	s := &Store{path: path, queued: make(chan struct{}, 1), failed: make(chan struct{})}
	var err error
	if s.writer, err = openSQLite(path, "immediate", 1); err != nil {
		return nil, s.explain("open", err)
	}
	s.writes = groupcommit.New(groupcommit.Config{DB: s.writer, Ready: s.ready, Spoils: s.spoils})
	if s.reader, err = openSQLite(path, "deferred", 8); err != nil {
		s.writer.Close()
		return nil, s.explain("open", err)
	}
	for _, step := range []func(context.Context) error{s.checkPages, s.migrate} {
		if err := step(ctx); err != nil {
			s.Close()
			return nil, s.explain("open", err)
		}
	}
	return s, nil
}

// openSQLite opens the file. Its journal grows to 16 MB before what is in it is
// moved into the database, so that a page which many have written is moved once.
func openSQLite(path, lock string, conns int) (*sql.DB, error) {
	query := url.Values{
		"_txlock": {lock},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4000)", "foreign_keys(ON)", "temp_store(MEMORY)"},
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
	have, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > newest {
		return fmt.Errorf("%w: its schema is version %d and this program knows %d: use the newer program, or restore a backup of before the upgrade",
			ErrNewer, have, newest)
	}
	_, err = provider.Up(ctx)
	return err
}

// Close waits for running statements and closes the database.
func (s *Store) Close() error {
	return errors.Join(s.writes.Close(), s.reader.Close(), s.writer.Close())
}

// write runs f in a transaction, which it may share with others who write at
// the same time. When f returns an error, nothing of it is kept. Errors of the
// disk are ErrDisk and ErrFull, and are everybody's in that transaction; after
// the first ErrDisk every write fails.
func (s *Store) write(ctx context.Context, f func(*groupcommit.Tx) error) error {
	if err := s.writes.Write(ctx, f); err != nil {
		return s.failure(err)
	}
	return nil
}

// ready is nil until the disk fails.
func (s *Store) ready() error {
	select {
	case <-s.failed:
		return fmt.Errorf("%w before, and what is on it is unknown", ErrDisk)
	default:
		return nil
	}
}

// read runs f on one state of the database.
func (s *Store) read(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return f(tx)
}

// prepared returns the statement for a query that only reads, parsed once.
func (s *Store) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if known, ok := s.statements.Load(query); ok {
		return known.(*sql.Stmt), nil
	}
	stmt, err := s.reader.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if known, raced := s.statements.LoadOrStore(query, stmt); raced {
		stmt.Close()
		return known.(*sql.Stmt), nil
	}
	return stmt, nil
}
