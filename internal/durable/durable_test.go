// SPDX-License-Identifier: Apache-2.0

package durable_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/durable"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "head")
	for _, content := range []string{"a long first content", "short"} {
		if err := durable.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	wantOnly(t, dir, "head")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestWriteFileLeavesOldContentOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("x"), 0o600); err == nil {
		t.Fatal("a folder was replaced by a file")
	}
	wantOnly(t, dir, "taken")
	err := durable.WriteFile(filepath.Join(dir, "absent", "f"), []byte("x"), 0o600)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join("absent", "f")) {
		t.Fatalf("error %v does not name the file", err)
	}
}

func TestCreateSecretNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	if err := durable.CreateSecret(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := durable.CreateSecret(path, []byte("second")); !errors.Is(err, os.ErrExist) {
		t.Fatalf("second creation: %v, want os.ErrExist", err)
	}
	if err := durable.CreateSecret(filepath.Join(dir, "none"), nil); err == nil {
		t.Fatal("an empty secret was created")
	}
	if got, err := durable.ReadSecret(path, 5); err != nil || string(got) != "first" {
		t.Fatalf("read %q, %v", got, err)
	}
	wantOnly(t, dir, "secret")
}

// TestFault77SecretFiles is the file half of fault 77, and fault 66 as far as
// files that are no database go: what must not be used is refused with the
// file's name and a remedy, and stays as it is.
func TestFault77SecretFiles(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, path string)
		want   string
	}{
		{"readable by all", chmod(0o644), "chmod 600"},
		{"readable by the group", chmod(0o640), "chmod 600"},
		{"writable by others", chmod(0o602), "chmod 600"},
		{"executable by the group", chmod(0o610), "chmod 600"},
		{"empty", func(t *testing.T, path string) { check(t, os.Truncate(path, 0)) }, "restore it from a backup"},
		{"too long", func(t *testing.T, path string) {
			check(t, os.WriteFile(path, make([]byte, 100), 0o600))
		}, "restore it from a backup"},
		{"symbolic link", func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"))
			check(t, os.Symlink(path+".real", path))
		}, "symbolic link"},
		{"folder", func(t *testing.T, path string) {
			check(t, os.Remove(path))
			check(t, os.Mkdir(path, 0o700))
		}, "not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record.key")
			check(t, durable.CreateSecret(path, []byte("thirty-two bytes of a secret....")))
			test.damage(t, path)
			before, _ := os.Lstat(path)
			_, err := durable.ReadSecret(path, 64)
			wantUnsafe(t, err, path, test.want)
			after, _ := os.Lstat(path)
			if before.Mode() != after.Mode() || before.Size() != after.Size() {
				t.Fatalf("the file was changed: %v then %v", before, after)
			}
		})
	}
}

func TestCheckSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	check(t, durable.CreateSecret(path, []byte("x")))
	check(t, durable.CheckSecret(path))
	chmod(0o604)(t, path)
	wantUnsafe(t, durable.CheckSecret(path), path, "chmod 600")
	check(t, os.Rename(path, path+".real"))
	check(t, os.Symlink(path+".real", path))
	wantUnsafe(t, durable.CheckSecret(path), path, "symbolic link")
	if err := durable.CheckSecret(path + ".absent"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("absent file: %v", err)
	}
}

// TestFault71WrongOwner needs no superuser: "/" belongs to somebody else than
// the one who runs the tests, unless that is the superuser, who may chown.
func TestFault71WrongOwner(t *testing.T) {
	dir, path := "/", ""
	if os.Geteuid() == 0 {
		dir = t.TempDir()
		path = filepath.Join(dir, "record.key")
		check(t, durable.CreateSecret(path, []byte("x")))
		check(t, os.Chown(path, 4321, 4321))
		check(t, os.Chown(dir, 4321, 4321))
		_, err := durable.ReadSecret(path, 64)
		wantUnsafe(t, err, path, "belongs to user 4321")
	}
	wantUnsafe(t, durable.PrivateDir(dir), dir, "belongs to user")
}

func TestPrivateDir(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a", "b")
	check(t, durable.PrivateDir(dir))
	wantMode(t, dir, 0o700)
	check(t, durable.PrivateDir(dir))

	// An empty folder that the operator made is taken over.
	check(t, os.Chmod(dir, 0o777))
	check(t, durable.PrivateDir(dir))
	wantMode(t, dir, 0o700)

	check(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	check(t, os.Chmod(dir, 0o755))
	check(t, durable.PrivateDir(dir))
	check(t, os.Chmod(dir, 0o775))
	wantUnsafe(t, durable.PrivateDir(dir), dir, "chmod 700")
	wantUnsafe(t, durable.PrivateDir(filepath.Join(dir, "f")), "f", "not a folder")
}

func chmod(perm os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { check(t, os.Chmod(path, perm)) }
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantUnsafe(t *testing.T, err error, path, text string) {
	t.Helper()
	if !errors.Is(err, durable.ErrUnsafe) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v; want one that names %s and says %q", err, path, text)
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Fatalf("%s has mode %v, %v; want %v", path, info.Mode(), err, want)
	}
}

func wantOnly(t *testing.T, dir, name string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 || names[0].Name() != name {
		t.Fatalf("the folder holds %v, %v; want only %s", names, err, name)
	}
}

func TestKeyRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.key")
	if _, err := durable.OpenKey(path, "record", false); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "restore it") {
		t.Fatalf("missing key: %v", err)
	}
	made, err := durable.OpenKey(path, "record", true)
	check(t, err)
	read, err := durable.OpenKey(path, "record", true)
	check(t, err)
	if !made.Equal(read) {
		t.Fatal("another key came back")
	}
	if _, err := durable.CreateKey(path, "record"); !errors.Is(err, os.ErrExist) {
		t.Fatalf("a key was replaced: %v", err)
	}
	_, err = durable.ReadKey(path, "peer") // fault 77: swapped files
	wantUnsafe(t, err, path, "COMITY RECORD PRIVATE KEY")
}

// TestFault66KeyFile tries every prefix of a key file and every flipped bit:
// none gives another key than the one stored, and none is repaired.
func TestFault66KeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.key")
	key, err := durable.CreateKey(path, "record")
	check(t, err)
	whole, err := os.ReadFile(path)
	check(t, err)
	try := func(data []byte) {
		t.Helper()
		check(t, os.WriteFile(path, data, 0o600))
		got, err := durable.OpenKey(path, "record", true)
		if err == nil && !got.Equal(key) {
			t.Fatalf("damaged file gave another key:\n%s", data)
		}
		if err != nil {
			wantUnsafe(t, err, path, "")
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, data) {
			t.Fatalf("the damaged file was rewritten:\n%s", now)
		}
	}
	for n := range len(whole) {
		try(whole[:n])
		if _, err := durable.ReadKey(path, "record"); err == nil && n < len(whole)-1 {
			t.Fatalf("a prefix of %d bytes was accepted", n)
		}
		for bit := range 8 {
			flipped := bytes.Clone(whole)
			flipped[n] ^= 1 << bit
			try(flipped)
		}
	}
}
