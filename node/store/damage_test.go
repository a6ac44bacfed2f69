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

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
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
		{"written by a newer version", func(t *testing.T, path string) {
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
		later           bool // not looked at when it is opened; a check finds it
	}{
		{name: "head of a copy", statement: `UPDATE heads SET checkpoint = $1`, args: []any{other}},
		{name: "last entry", statement: `UPDATE records SET raw = (SELECT raw FROM records WHERE position = 2) WHERE position = 5`},
		{name: "early entry", statement: `UPDATE records SET raw = (SELECT raw FROM records WHERE position = 5) WHERE position = 2`, later: true},
		{name: "hash", statement: `UPDATE records SET hashes = substr(hashes, 44) || substr(hashes, 1, 43) WHERE position = 3`},
		{name: "last entry missing", statement: `DELETE FROM records WHERE position = 5`},
		{name: "early entry missing", statement: `DELETE FROM records WHERE position = 0`, later: true},
		{name: "entry too many", statement: `INSERT INTO records SELECT log, 6, cid, kind, client, stops, hashes, raw FROM records WHERE position = 5`},
		{name: "charter missing", statement: `DELETE FROM charters`},
		{name: "head missing", statement: `DELETE FROM heads`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := original.copyOf()
			b.t = t
			execute(t, b.path(), test.statement, test.args...)
			for _, headFile := range []bool{true, false} { // the replica's own defence, too
				if !headFile {
					check(t, os.Remove(b.path()+".head"))
				}
				err := b.open()
				switch {
				case err == nil && !test.later:
					t.Error("it was opened")
				case err == nil && len(b.problems()) == 0:
					t.Error("the check of the database found nothing")
				case err != nil && !strings.Contains(strings.ToLower(err.Error()), "restore"):
					t.Errorf("error %v; want one that says what to restore", err)
				}
			}
		})
	}
}

// TestFault66SwappedRecord: a stored record in the place of another, though
// signed and about the same client, is not used.
func TestFault66SwappedRecord(t *testing.T) {
	b := newBroker(t, 1)
	id := b.register()
	for range 3 {
		b.append(federation.Draft{Registration: &registry.Registration{Client: id, ClientMetadata: storetest.Metadata("App")}})
	}
	b.close()
	execute(t, b.path(), `UPDATE records SET raw = (SELECT raw FROM records WHERE position = 3) WHERE position = 4`)
	b.mustOpen()
	if state, err := b.Client(t.Context(), id); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("client at seq %d, %v", state.Sequence, err)
	}
	if _, err := b.Tile(t.Context(), "", registry.Tile{Level: registry.EntriesLevel, Width: 5}); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("the entries were given out: %v", err)
	}
}

// TestFault66DamagedPage: a page that no lookup of the start would touch.
func TestFault66DamagedPage(t *testing.T) {
	b := newBroker(t, 3)
	b.close()
	db, err := sql.Open("sqlite", "file:"+b.path())
	check(t, err)
	var page int64
	check(t, db.QueryRowContext(t.Context(), `SELECT rootpage FROM sqlite_master WHERE name = 'records_broker'`).Scan(&page))
	check(t, db.Close())
	data, err := os.ReadFile(b.path())
	check(t, err)
	data[(page-1)*4096+4] ^= 0x01 // the number of entries on it
	check(t, os.WriteFile(b.path(), data, 0o600))
	if err := b.open(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), b.path()) || !strings.Contains(err.Error(), "restore") {
		t.Errorf("error %v", err)
	}
}

// TestDurability: what a commit means is a setting, whose absence shows only
// when the power fails.
func TestDurability(t *testing.T) {
	b := newBroker(t, 0)
	for setting, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		check(t, b.store.Writer().QueryRowContext(t.Context(), `PRAGMA `+setting).Scan(&got))
		if got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	for _, name := range []string{"", ".head"} {
		check(t, durable.CheckSecret(b.path()+name))
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
