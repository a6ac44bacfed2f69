// SPDX-License-Identifier: Apache-2.0

package filelock_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/filelock"
)

// TestMain lets the test binary run again as the other process: it takes the
// lock of the named directory, says so, and keeps it until its input ends.
func TestMain(m *testing.M) {
	dir := os.Getenv("FILELOCK_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	lock, err := filelock.Acquire(dir)
	fmt.Println(err)
	bufio.NewReader(os.Stdin).ReadString('\n')
	lock.Close()
}

// TestFault67TwoProcesses is the first half of fault 67: a second process on
// one data directory refuses and names the first; when the first is killed,
// the directory is free.
func TestFault67TwoProcesses(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "FILELOCK_TEST_DIR="+dir)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	_, err = filelock.Acquire(dir)
	holder := fmt.Sprintf("(process %d)", other.Process.Pid)
	if !errors.Is(err, filelock.ErrLocked) || !strings.Contains(err.Error(), holder) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error %v; want one that names %s and %s", err, dir, holder)
	}

	other.Process.Kill()
	other.Wait()
	lock, err := filelock.Acquire(dir)
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	defer lock.Close()
	if pid, _ := os.ReadFile(filepath.Join(dir, "lock")); string(pid) != fmt.Sprintln(os.Getpid()) {
		t.Fatalf("the lock file names %q", pid)
	}
}

func TestAcquireInOneProcess(t *testing.T) {
	dir := t.TempDir()
	first, err := filelock.Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Acquire(dir); !errors.Is(err, filelock.ErrLocked) {
		t.Fatalf("taken twice: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := filelock.Acquire(dir)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	second.Close()
}

func TestAcquireNamesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	if _, err := filelock.Acquire(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error %v; want one that names %s", err, dir)
	}
}
