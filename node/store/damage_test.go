// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

// TestFault66Refused: damage that is plain at the first look.
func TestFault66Refused(t *testing.T) {
	whole := newBroker(t, 3)
	whole.close()
	tests := []struct {
		name   string
		damage func(t *testing.T, path string)
		want   error
		text   string
	}{
		{"empty after a power loss", truncate(0), durable.ErrUnsafe, "restore it from a backup"},
		{"shorter than a header", truncate(60), store.ErrDamaged, "restore the newest backup"},
		{"first page only", truncate(4096), store.ErrDamaged, "cut off"},
		{"last byte missing", truncate(-1), store.ErrDamaged, "cut off"},
		{"last page missing", truncate(-4096), store.ErrDamaged, "cut off"},
		{"not a database", overwrite("hello"), store.ErrDamaged, "not a SQLite database"},
		{"no database, though its head was signed", func(t *testing.T, path string) { check(t, os.Remove(path)) }, store.ErrDamaged, "is missing"},
		{"readable by others (fault 77)", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o644)) }, durable.ErrUnsafe, "chmod 600"},
		{"symbolic link", func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"))
			check(t, os.Symlink(path+".real", path))
		}, durable.ErrUnsafe, "symbolic link"},
		{"written by a newer version (fault 72)", func(t *testing.T, path string) {
			execute(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		}, store.ErrNewer, "use the newer program"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := whole.copyOf()
			test.damage(t, b.path())
			before, _ := os.ReadFile(b.path())
			err := b.open()
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), b.path()) || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("error %v; want one that names the file and says %q", err, test.text)
			}
			if after, _ := os.ReadFile(b.path()); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestFault66FlippedBits flips single bits of the database: in the header, and
// in pages here and there. The damage is refused, or found by the check of the database, or
// it is in a place that means nothing.
func TestFault66FlippedBits(t *testing.T) {
	whole := newBroker(t, 12)
	want, err := whole.testimony()
	check(t, err)
	whole.close()
	data, err := os.ReadFile(whole.path())
	check(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 66))
	const page = 4096
	offsets := []int{0, 16, 28, 40, 56, 100, 105} // in the header, and of the first page
	for range 12 {
		start := page * random.IntN(len(data)/page)
		offsets = append(offsets, start, start+page-1-random.IntN(page/2))
	}
	refused := 0
	for _, at := range offsets {
		b := whole.copyOf()
		damaged := bytes.Clone(data)
		damaged[at] ^= 1 << random.IntN(8)
		check(t, os.WriteFile(b.path(), damaged, 0o600))
		if err := b.open(); err != nil {
			refused++
			if !strings.Contains(err.Error(), b.path()) && !strings.Contains(err.Error(), "restore") {
				t.Errorf("flip at %d: error %v names no remedy", at, err)
			}
			continue
		}
		got, err := b.testimony()
		if problems := b.problems(); err == nil && got != want && len(problems) == 0 {
			t.Errorf("flip at %d changed what the replica says, and nothing noticed it", at)
		}
		b.close()
	}
	if refused < len(offsets)/4 {
		t.Errorf("of %d damaged databases %d were refused at once", len(offsets), refused)
	}
}

// TestFault66Journal damages the journal of a database that was not closed, as
// a failing disk may after a power loss. SQLite drops the end of such a journal
// without a word; we must not sign a second history.
func TestFault66Journal(t *testing.T) {
	whole := newBroker(t, 6)
	want, err := whole.testimony()
	check(t, err)
	files := whole.copyOf()
	journal, err := os.ReadFile(files.path() + "-wal")
	check(t, err)
	const frame = 4096 + 24
	damaged := map[string][]byte{
		"gone":               nil,
		"header only":        journal[:32],
		"half":               journal[:len(journal)/2],
		"last frame missing": journal[:len(journal)-frame],
		"last byte missing":  journal[:len(journal)-1],
		"header flipped":     flip(journal, 9),
		"first frame":        flip(journal, 32+100),
		"frame in the midst": flip(journal, 32+frame*(len(journal)/frame/2)+500),
		"last frame flipped": flip(journal, len(journal)-100),
	}
	for name, data := range damaged {
		t.Run(name, func(t *testing.T) {
			b := files.copyOf()
			b.t = t
			check(t, os.WriteFile(b.path()+"-wal", data, 0o600))
			err := b.open()
			if err == nil {
				t.Fatal("the database was opened without its newest entries")
			}
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), b.path()) || !strings.Contains(err.Error(), "backup") {
				t.Fatalf("error %v; want one that names the file and the remedy", err)
			}
		})
	}
	b := files.copyOf()
	b.mustOpen()
	if got, err := b.testimony(); err != nil || got != want {
		t.Errorf("with the whole journal the replica says %s, %v", got, err)
	}
}

// TestFault67ForkedCopy is the second half of fault 67: a data directory was
// copied, both copies went on, and then the files came together again.
func TestFault67ForkedCopy(t *testing.T) {
	original := newBroker(t, 4)
	original.close()
	twin := original.copyOf()
	original.mustOpen()
	twin.mustOpen()
	for range 2 {
		original.register()
		twin.register()
	}
	original.close()
	head, err := os.ReadFile(original.path() + ".head")
	check(t, err)

	wantSetBack := func(name, text string) {
		t.Helper()
		mixed := twin.copyOf()
		check(t, os.WriteFile(mixed.path()+".head", head, 0o600))
		if err := mixed.open(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), mixed.path()) {
			t.Errorf("%s: error %v; want one that says %q", name, err, text)
		}
	}
	wantSetBack("as long, other entries", "not those that were signed")
	twin.register()
	wantSetBack("longer, other entries", "not those that were signed")

	// The other way round: the database is older than what was signed.
	old := original.copyOf()
	original.mustOpen()
	original.register()
	newer, err := os.ReadFile(original.path() + ".head")
	check(t, err)
	check(t, os.WriteFile(old.path()+".head", newer, 0o600))
	if err := old.open(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "ends at 7 entries, and 8 were signed") {
		t.Errorf("older database: %v", err)
	}
}

// TestFault67HeadAgainstHashes: a signed head that the stored entries do not
// have is not signed over.
func TestFault67HeadAgainstHashes(t *testing.T) {
	original := newBroker(t, 4)
	original.close()
	twin := original.copyOf()
	twin.mustOpen()
	twin.register()
	other, err := os.ReadFile(twin.path() + ".head")
	check(t, err)
	original.mustOpen()
	original.register()
	original.close()
	tests := []struct {
		name, statement string
		args            []any
		want            error
	}{
		{"head of a copy", `UPDATE heads SET checkpoint = $1`, []any{other}, nil},
		{"entry of a copy", `UPDATE records SET raw = raw || 'x' WHERE position = 2`, nil, nil},
		{"hash", `UPDATE records SET hashes = substr(hashes, 44) || substr(hashes, 1, 43) WHERE position = 3`, nil, registry.ErrFork},
		{"entry missing", `DELETE FROM records WHERE position = 5`, nil, nil},
		{"entry too many", `INSERT INTO records SELECT log, 6, cid, kind, client, stops, hashes, raw FROM records WHERE position = 5`, nil, nil},
		{"charter missing", `DELETE FROM charters`, nil, nil},
		{"head missing", `DELETE FROM heads`, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := original.copyOf()
			b.t = t
			execute(t, b.path(), test.statement, test.args...)
			for _, headFile := range []bool{true, false} { // each defence alone
				if !headFile {
					check(t, os.Remove(b.path()+".head"))
				}
				err := b.open()
				if err == nil && len(b.problems()) > 0 {
					continue // not near the end of the log: a check finds it
				}
				if err == nil || !strings.Contains(strings.ToLower(err.Error()), "restore") {
					t.Errorf("error %v; want one that says what to restore", err)
				}
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0x10
	return data
}

// truncate cuts a file to size, or by -size.
func truncate(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		to := size
		if size < 0 {
			info, err := os.Stat(path)
			check(t, err)
			to += info.Size()
		}
		check(t, os.Truncate(path, to))
	}
}

func overwrite(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) { check(t, os.WriteFile(path, bytes.Repeat([]byte(text), 1000), 0o600)) }
}

// execute changes the database behind the store's back.
func execute(t *testing.T, path, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	check(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statement, args...)
	check(t, err)
}
