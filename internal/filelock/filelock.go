// SPDX-License-Identifier: Apache-2.0

// Package filelock makes sure that one process uses a data directory at a
// time. The lock is an advisory flock on the file "lock" in it, which the
// kernel gives back when the process ends, however it ends. The file itself
// stays; it holds the process number of the last owner, for the message that
// the next one prints. It guards against mistakes, not against attackers, and
// only within one machine.
package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked means that another process holds the lock.
var ErrLocked = errors.New("in use by another process")

// Lock is a held lock.
type Lock struct {
	file *os.File
}

// Acquire takes the lock of the directory without waiting. The error is
// ErrLocked, and names the holder, when another process has it.
func Acquire(dir string) (*Lock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w (this process, user %d, must be able to write in %s)", err, os.Geteuid(), dir)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is %w%s: stop that one, or choose another directory", dir, ErrLocked, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := sign(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Lock{file: f}, nil
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// sign notes who holds the lock.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder reads who holds the lock; it may not have written that yet.
func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// Close gives the lock back. The file stays: removing it would let two
// processes lock two files of one name.
func (l *Lock) Close() error {
	return l.file.Close()
}
