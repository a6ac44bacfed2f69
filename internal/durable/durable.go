// SPDX-License-Identifier: Apache-2.0

// Package durable writes small files so that they survive a crash whole, and
// keeps secrets in files that nobody else can read.
//
// A file is first written under a temporary name in the same folder, synced,
// moved to its place in one step, and then the folder is synced. After a
// crash, at any point, the place holds the old bytes or the new ones, never a
// part; at worst a file named ".new-…" is left beside it.
//
// A secret is created once: CreateSecret never replaces a file. ReadSecret
// refuses a file that others can read, that belongs to somebody else, that is
// a link, or that is empty or longer than the caller allows. Nothing is ever
// made anew because the old one cannot be used: every error names the file and
// what its owner should do. The package trusts the file system to keep what it
// has synced, and the superuser.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path by data, with the given permission bits.
// When it returns nil, the new content survives a power loss.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return explain("write", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return explain("write", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// writeTemp writes and syncs data in a new file beside path.
func writeTemp(path string, data []byte, perm os.FileMode) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-"+filepath.Base(path)+"-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return f.Name(), err
}

// SyncDir makes the names in a folder durable: files that were created, moved
// or removed in it.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return explain("sync folder", dir, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return explain("sync folder", dir, err)
	}
	return nil
}

// explain names the file and, where the cause is plain, the remedy.
func explain(doing, path string, err error) error {
	var inner *os.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	hint := ""
	switch {
	case errors.Is(err, os.ErrPermission):
		hint = fmt.Sprintf(": user %d needs write permission in %s (chown it to this user, or run as its owner)", os.Geteuid(), filepath.Dir(path))
	case errors.Is(err, errReadOnly):
		hint = ": the file system is mounted read-only; mount it writable or choose another directory"
	case errors.Is(err, errNoSpace):
		hint = ": the disk is full; free some space"
	}
	return fmt.Errorf("%s %s: %w%s", doing, path, err, hint)
}
