// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-network/comity/registry"
)

func TestTilePaths(t *testing.T) {
	for _, test := range []struct {
		tile registry.Tile
		path string
	}{
		{registry.Tile{Level: 0, Index: 0, Width: 256}, "tile/0/000"},
		{registry.Tile{Level: 0, Index: 1, Width: 17}, "tile/0/001.p/17"},
		{registry.Tile{Level: 1, Index: 1234067, Width: 256}, "tile/1/x001/x234/067"},
		{registry.Tile{Level: 5, Index: 0, Width: 1}, "tile/5/000.p/1"},
		{registry.Tile{Level: registry.EntriesLevel, Index: 1000, Width: 256}, "tile/entries/x001/000"},
		{registry.Tile{Level: registry.EntriesLevel, Index: 999, Width: 255}, "tile/entries/999.p/255"},
		{registry.Tile{Level: 0, Index: 1<<40 - 1, Width: 255}, "tile/0/x001/x099/x511/x627/775.p/255"},
	} {
		if got := test.tile.Path(); got != test.path {
			t.Errorf("path of %+v is %s, want %s", test.tile, got, test.path)
		}
		if got, err := registry.ParseTilePath(test.path); err != nil || got != test.tile {
			t.Errorf("%s is read as %+v, %v", test.path, got, err)
		}
		other := tlog.Tile{H: 8, L: test.tile.Level, N: test.tile.Index, W: test.tile.Width}
		if got := torchwood.TilePath(other); got != test.path {
			t.Errorf("an independent implementation writes %s, we %s", got, test.path)
		}
	}
}

func TestTilePathRefusals(t *testing.T) {
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile//000",
		"tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000", "tile/0/x000/001", "tile/0/1000", "tile/0/001/002",
		"tile/0/x001/x002", "tile/0/-01", "tile/0/+01", "tile/0/00a", "tile/0/ 01", "tile/0/٠٠١",
		"tile/00/000", "tile/+0/000", "tile/-1/000", "tile/6/000", "tile/x/000", "tile/Entries/000", "tile/data/000", "tile/8/0/000",
		"tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/257", "tile/0/000.p/-1", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/000.p",
		"tile/0/000.p/1.p/1", "tile/0/000.p/1/", "tile/0/../0/000", "tile/0/000?x", "tile/0/000%2e",
		"tile/0/x001/x099/x511/x627/776", "tile/5/001", "tile/5/000/", "tile/0/x999/x999/x999/x999/x999/x999/999",
		"tile/0/" + strings.Repeat("x001/", 100) + "000",
	} {
		if got, err := registry.ParseTilePath(path); !errors.Is(err, registry.ErrForm) {
			t.Errorf("%q is read as %+v, %v", path, got, err)
		}
	}
}

func TestTileWithin(t *testing.T) {
	for _, test := range []struct {
		path string
		size int64
		want bool
	}{
		{"tile/0/000.p/1", 0, false},
		{"tile/0/000.p/1", 1, true},
		{"tile/0/000.p/2", 1, false},
		{"tile/0/000", 256, true},
		{"tile/0/000", 255, false},
		{"tile/1/000.p/1", 255, false},
		{"tile/1/000.p/1", 256, true},
		{"tile/1/000.p/2", 600, true},
		{"tile/1/000.p/3", 600, false},
		{"tile/entries/002.p/88", 600, true},
		{"tile/entries/002.p/89", 600, false},
	} {
		tile, err := registry.ParseTilePath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := tile.Within(test.size); got != test.want {
			t.Errorf("%s within a log of size %d: %v", test.path, test.size, got)
		}
	}
}

func TestEntryBundle(t *testing.T) {
	raws := []string{"a", strings.Repeat("b", registry.MaxRecordBytes), "ccc"}
	bundle := registry.EntryBundle(raws)
	got, err := registry.ParseEntryBundle(bundle)
	if err != nil || strings.Join(got, "|") != strings.Join(raws, "|") {
		t.Fatalf("read back %d entries, %v", len(got), err)
	}
	small := registry.EntryBundle([]string{"first", "second"})
	for i := range small {
		got, err := registry.ParseEntryBundle(small[:i])
		if whole := i == 2+len("first"); (err == nil) != whole {
			t.Errorf("prefix of %d bytes is read as %q, %v", i, got, err)
		}
	}
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"an empty entry":   {0, 0},
		"a long entry":     registry.EntryBundle([]string{strings.Repeat("x", registry.MaxRecordBytes+1)}),
		"too many entries": registry.EntryBundle(strings.Split(strings.Repeat("x ", 257)[:513], " ")),
		"bytes left over":  append(bytes.Clone(small), 0),
	} {
		if got, err := registry.ParseEntryBundle(data); !errors.Is(err, registry.ErrForm) {
			t.Errorf("%s is read as %d entries, %v", name, len(got), err)
		}
	}
}

// serve answers like a broker: checkpoint, tiles and entry bundles.
func serve(t *testing.T, l *memoryLog, head *registry.Checkpoint) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/log/")
		if path == "checkpoint" {
			w.Write(head.Raw)
			return
		}
		tile, err := registry.ParseTilePath(path)
		if err != nil || !tile.Within(head.Size) {
			http.NotFound(w, r)
			return
		}
		if tile.Level == registry.EntriesLevel {
			from, to := tile.Entries()
			w.Write(registry.EntryBundle(l.raws[from:to]))
			return
		}
		data, err := registry.TileHashes(tile, l)
		if err != nil {
			t.Error(err)
		}
		w.Write(data)
	}))
	t.Cleanup(server.Close)
	return server
}

// A client of C2SP tlog-tiles that is not ours reads a log of three levels:
// checkpoint, every entry, and the proof of some.
func TestIndependentClientReadsTheLog(t *testing.T) {
	const size = 66_000 // two full levels of tiles, and a third that has begun
	k := fixedKey(1)
	l := newLog(t, "entry", size)
	head := checkpoint(t, k, size, l.root(t, size))
	server := serve(t, l, head)

	ctx := context.Background()
	fetcher, err := torchwood.NewTileFetcher(server.URL + "/log")
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := torchwood.ParseCheckpoint(signed.Text)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Origin != origin || tree.N != size {
		t.Fatalf("checkpoint of %s, size %d", tree.Origin, tree.N)
	}
	next := int64(0)
	for i, entry := range client.AllEntries(ctx, tree.Tree, 0) {
		if i != next || string(entry) != l.raws[i] {
			t.Fatalf("entry %d is %q", i, entry)
		}
		next++
	}
	if client.Err() != nil || next != size {
		t.Fatalf("read %d of %d entries: %v", next, size, client.Err())
	}
	for _, index := range []int64{0, 255, 256, 65_535, 65_536, size - 1} {
		entry, proof, err := client.Entry(ctx, tree.Tree, index)
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.CheckInclusion(proof, size, head.Root, index, registry.LeafHash(string(entry))); err != nil {
			t.Error(err)
		}
	}
	response, err := server.Client().Get(server.URL + "/log/tile/0/258")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("a tile beyond the head: %s, %v", response.Status, err)
	}
}
