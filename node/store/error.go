// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors that callers tell apart, beside those of the interfaces that the
// store implements.
var (
	// ErrDamaged: the database is not what was written. Only a backup helps.
	ErrDamaged = errors.New("database is damaged")
	// ErrNewer: a newer version of this program has used the database.
	ErrNewer = errors.New("database is of a newer version")
	// ErrDisk: the disk failed during a write, so what is on it is unknown.
	// The process must end; every further write is refused.
	ErrDisk = errors.New("disk failed")
	// ErrFull: there is no space. Nothing was written, and reading goes on.
	ErrFull = errors.New("disk is full")
)

// IsDisk reports whether err means that the disk failed (fault 65).
func IsDisk(err error) bool { return errors.Is(classify(err), ErrDisk) }

// IsFull reports whether err means that the disk is full (fault 64).
func IsFull(err error) bool { return errors.Is(classify(err), ErrFull) }

// IsDamaged reports whether err means that the database is damaged (fault 66).
func IsDamaged(err error) bool { return errors.Is(classify(err), ErrDamaged) }

// classify finds the sentinel for what SQLite or the system reports; it returns
// err as it is when there is none.
func classify(err error) error {
	for _, known := range []error{ErrDamaged, ErrNewer, ErrDisk, ErrFull} {
		if err == nil || errors.Is(err, known) {
			return err
		}
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	var failed *sqlite.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch code := failed.Code(); {
	case code&0xff == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_IOERR_SHMSIZE:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case code&0xff == sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: %w", ErrDisk, err)
	case code&0xff == sqlite3.SQLITE_CORRUPT, code&0xff == sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// remedy is what the operator can do.
func (s *Store) remedy(err error) string {
	switch {
	case errors.Is(err, ErrDamaged):
		return "; restore the newest backup of the whole data directory"
	case errors.Is(err, ErrFull):
		return "; free some space"
	case errors.Is(err, ErrDisk):
		return "; check the disk, then start again"
	}
	var failed *sqlite.Error
	if errors.As(err, &failed) {
		switch failed.Code() & 0xff {
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			return fmt.Sprintf("; user %d must be able to write in its folder: chown the whole data directory, or mount it writable", syscall.Geteuid())
		}
	}
	return ""
}

// explain names the database and the remedy. nil stays nil.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: database %s: %w%s", doing, s.path, oneLine{classify(err)}, s.remedy(classify(err)))
}

// oneLine is an error whose text has no line breaks: SQLite's page check has.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }

// spoils reports whether nothing may be kept of the transaction in which err
// came. After the disk failed once the store refuses to write: a second attempt
// may seem to work while the first is lost.
func (s *Store) spoils(err error) bool {
	err = classify(err)
	if errors.Is(err, ErrDisk) {
		s.fail.Do(func() { close(s.failed) })
	}
	return errors.Is(err, ErrDisk) || errors.Is(err, ErrFull)
}

// failure is explain for a write.
func (s *Store) failure(err error) error {
	err = classify(err)
	s.spoils(err)
	if s.remedy(err) != "" {
		return s.explain("write", err)
	}
	return err
}

// Failed is closed when the disk failed during a write. The process must end.
func (s *Store) Failed() <-chan struct{} { return s.failed }
