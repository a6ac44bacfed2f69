// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

const (
	errReadOnly = syscall.EROFS
	errNoSpace  = syscall.ENOSPC
)

// ErrUnsafe means that a file or folder is open to other users, or is not what
// it should be. It is never repaired by this program.
var ErrUnsafe = errors.New("unsafe file")

// CreateSecret creates the file at path with mode 0600 and the given content.
// The error is os.ErrExist when something has that name already; it is never
// replaced.
func CreateSecret(path string, data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("create %s: no content", path)
	}
	temp, err := writeTemp(path, data, 0o600)
	if err != nil {
		return explain("create", path, err)
	}
	defer os.Remove(temp)
	// A link, unlike a rename, fails when the name is taken.
	if err := os.Link(temp, path); err != nil {
		var inner *os.LinkError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return explain("create", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// ReadSecret reads a secret file of at most max bytes. The error is
// os.ErrNotExist when there is none, and ErrUnsafe when the file is a link or
// no regular file, belongs to another user, has permission bits for group or
// others, is empty, or is longer than max.
func ReadSecret(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link; put the file itself there", ErrUnsafe, path)
	}
	if err != nil {
		return nil, explain("read", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, explain("read", path, err)
	}
	if err := checkSecret(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, explain("read", path, err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes; restore it from a backup", ErrUnsafe, path, max)
	}
	return data, nil
}

// CheckSecret refuses what ReadSecret would refuse, without reading it. It is
// for files that another library opens, such as a database.
func CheckSecret(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return explain("read", path, err)
	}
	return checkSecret(path, info)
}

func checkSecret(path string, info os.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.Type() == os.ModeSymlink:
		return fmt.Errorf("%w: %s is a symbolic link; put the file itself there", ErrUnsafe, path)
	case !mode.IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("%w: %s has mode %04o, so other users can reach it; replace it if they may have, else run: chmod 600 %s",
			ErrUnsafe, path, mode.Perm(), path)
	case info.Size() == 0:
		return fmt.Errorf("%w: %s is empty (cut off by a crash or a full disk?); restore it from a backup", ErrUnsafe, path)
	}
	return checkOwner(path, info)
}

func checkOwner(path string, info os.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d and this process runs as user %d; run it as the owner, or chown the whole data directory",
			ErrUnsafe, path, stat.Uid, os.Geteuid())
	}
	return nil
}

// PrivateDir makes sure that dir is a folder for this user alone: it creates
// it with mode 0700, and gives an empty one of ours that mode. A folder with
// files in it is refused (ErrUnsafe) when it belongs to another user or when
// others may write in it, since they could put files of theirs in place.
func PrivateDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return createDir(dir)
	}
	if err != nil {
		return explain("open folder", dir, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a folder", ErrUnsafe, dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return explain("open folder", dir, err)
	}
	if len(names) == 0 && info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return explain("protect folder", dir, err)
		}
		return nil
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%w: other users can write in %s (mode %04o); check its files, then run: chmod 700 %s", ErrUnsafe, dir, perm, dir)
	}
	return nil
}

func createDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return explain("create folder", dir, err)
	}
	return SyncDir(filepath.Dir(filepath.Clean(dir)))
}
