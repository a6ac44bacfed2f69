// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/comity-network/comity/internal/durable"
)

// ensure makes a new database where there is none, and looks at an existing
// one before SQLite does, which would take an empty file for a new database.
func ensure(ctx context.Context, path string) error {
	err := durable.CheckSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		return create(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	return checkHeader(path)
}

// create builds the database under another name and moves it to its place when
// it is complete: a crash leaves a whole database or none, so an empty file is
// always damage.
func create(ctx context.Context, path string) error {
	for _, rest := range []string{"-wal", ".head"} {
		if _, err := os.Lstat(path + rest); err == nil {
			return fmt.Errorf("%w: %s is missing, though %s is there; restore the newest backup of the whole data directory",
				ErrDamaged, path, path+rest)
		}
	}
	temp := path + ".new"
	for _, left := range []string{temp, temp + "-wal", temp + "-shm"} { // by a crash in here
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("create database: %w", err)
		}
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w (user %d must be able to write in %s)", err, os.Geteuid(), filepath.Dir(path))
	}
	f.Close()
	s, err := open(ctx, temp)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil { // which moves the journal into the file, and syncs
		return s.explain("create", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

// A SQLite file begins with a magic string; its page size is at byte 16 and its
// number of pages at byte 28, both big-endian.
const (
	sqliteMagic  = "SQLite format 3\x00"
	sqliteHeader = 100
)

// checkHeader refuses a file that is no SQLite database, or that was cut off.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer f.Close()
	header := make([]byte, sqliteHeader)
	if _, err := io.ReadFull(f, header); err != nil || string(header[:len(sqliteMagic)]) != sqliteMagic {
		return fmt.Errorf("%w: %s is not a SQLite database; restore the newest backup of the whole data directory", ErrDamaged, path)
	}
	page, pages := int64(binary.BigEndian.Uint16(header[16:])), int64(binary.BigEndian.Uint32(header[28:]))
	if page == 1 {
		page = 65536
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	// With a journal, later pages may be there and not yet here.
	if journal, err := os.Stat(path + "-wal"); err == nil && journal.Size() > 0 {
		return nil
	}
	if info.Size() < page*pages {
		return fmt.Errorf("%w: %s has %d bytes, its header says %d: it was cut off; restore the newest backup of the whole data directory",
			ErrDamaged, path, info.Size(), page*pages)
	}
	return nil
}

// pagesAtOpen is up to which size Open checks every page. It takes about 1.3 ms
// a megabyte, and a node should be ready in 300 ms. CheckStructure checks
// larger ones.
const pagesAtOpen = 64 << 20

// checkPages makes sure that the database can be written, and looks for damaged
// pages in one that is not too large for it. What the pages hold is checked
// where it is used: records by their CID, heads by signature and hashes.
func (s *Store) checkPages(ctx context.Context) error {
	tx, err := s.writer.BeginTx(ctx, nil) // takes the write lock
	if err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return err
	}
	if info, err := os.Stat(s.path); err != nil || info.Size() > pagesAtOpen {
		return err
	}
	var verdict string
	if err := s.reader.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, verdict)
	}
	return nil
}
