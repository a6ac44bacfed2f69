// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// TileWidth is the number of hashes, or of entries, in a full tile.
const TileWidth = 256

// EntriesLevel is the Level of an entry bundle.
const EntriesLevel = -1

// tileHeight is how many levels of the tree one tile spans.
const tileHeight = 8

// maxTileLevel is the highest level of C2SP tlog-tiles; it covers 2^48 entries.
const maxTileLevel = 5

// Tile names a part of a log as C2SP tlog-tiles does: TileWidth hashes of one
// level of the tree, or TileWidth entries. The last of a level may be partial.
type Tile struct {
	Level int   // 0 to 5, or EntriesLevel
	Index int64 // counted within the level
	Width int   // 1 to TileWidth
}

// Path is the tile's place below the log's URL: "tile/0/x001/234",
// "tile/1/000.p/17", "tile/entries/x001/234.p/5". The index is written in
// groups of three digits, all but the last begin with "x".
func (t Tile) Path() string {
	level := "entries"
	if t.Level != EntriesLevel {
		level = strconv.Itoa(t.Level)
	}
	index := fmt.Sprintf("%03d", t.Index%1000)
	for n := t.Index / 1000; n > 0; n /= 1000 {
		index = fmt.Sprintf("x%03d/%s", n%1000, index)
	}
	path := "tile/" + level + "/" + index
	if t.Width < TileWidth {
		path += ".p/" + strconv.Itoa(t.Width)
	}
	return path
}

// ParseTilePath reads a path that Path writes, and no other spelling. The
// error is ErrForm.
func ParseTilePath(path string) (Tile, error) {
	bad := wrong(classValue, "path", "%.100q is not the path of a tile", path)
	if len(path) > maxTilePath {
		return Tile{}, bad
	}
	rest, ok := strings.CutPrefix(path, "tile/")
	level, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return Tile{}, bad
	}
	t := Tile{Level: EntriesLevel, Width: TileWidth}
	var err error
	if level != "entries" {
		if t.Level, err = strconv.Atoi(level); err != nil {
			return Tile{}, bad
		}
	}
	index, width, partial := strings.Cut(rest, ".p/")
	if partial {
		if t.Width, err = strconv.Atoi(width); err != nil || t.Width == TileWidth {
			return Tile{}, bad
		}
	}
	for group := range strings.SplitSeq(index, "/") {
		n, err := strconv.ParseUint(strings.TrimPrefix(group, "x"), 10, 10)
		if err != nil {
			return Tile{}, bad
		}
		t.Index = t.Index*1000 + int64(n)
	}
	// One spelling each: whatever was read leniently above is caught here.
	if t.check() != nil || t.Path() != path {
		return Tile{}, bad
	}
	return t, nil
}

// maxTilePath is the length of the longest path: five groups of an index.
const maxTilePath = len("tile/entries/x281/x474/x976/x710/656.p/255")

func (t Tile) check() error {
	if t.Level < EntriesLevel || t.Level > maxTileLevel || t.Width < 1 || t.Width > TileWidth ||
		t.Index < 0 || t.Index >= MaxLogSize>>(tileHeight*(max(t.Level, 0)+1)) {
		return wrong(classValue, "tile", "no log has a tile %+v", t)
	}
	return nil
}

// Within reports whether the log of that size has the tile, all of its Width.
func (t Tile) Within(size int64) bool {
	if t.check() != nil {
		return false
	}
	return t.Index*TileWidth+int64(t.Width) <= size>>(tileHeight*max(t.Level, 0))
}

// Entries are the first index and the one after the last of an entry bundle.
func (t Tile) Entries() (from, to int64) {
	return t.Index * TileWidth, t.Index*TileWidth + int64(t.Width)
}

// TileHashes is the content of a tile of hashes, 32 bytes each.
func TileHashes(t Tile, r HashReader) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t.Level == EntriesLevel {
		return nil, wrong(classValue, "tile", "an entry bundle holds no hashes")
	}
	return tlog.ReadTileData(tlog.Tile{H: tileHeight, L: t.Level, N: t.Index, W: t.Width}, r)
}

// EntryBundle is the content of a tile of entries: each record after its
// length in two bytes, big-endian. Records are bounded by MaxRecordBytes; a
// string that does not fit its prefix panics.
func EntryBundle(raws []string) []byte {
	var out []byte
	for _, raw := range raws {
		if len(raw) > 1<<16-1 {
			panic("registry: an entry longer than its length prefix can say")
		}
		out = binary.BigEndian.AppendUint16(out, uint16(len(raw)))
		out = append(out, raw...)
	}
	return out
}

// ParseEntryBundle is the reverse of EntryBundle: 1 to TileWidth entries, each
// of 1 to MaxRecordBytes bytes. They are not yet parsed as records, and not yet
// known to be in a log. The error is ErrForm or ErrLimit.
func ParseEntryBundle(data []byte) ([]string, error) {
	var raws []string
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, wrong(classValue, "length", "the entry bundle ends inside of a length")
		}
		n := int(binary.BigEndian.Uint16(data))
		data = data[2:]
		switch {
		case n > MaxRecordBytes || len(raws) == TileWidth:
			return nil, wrong(classLimit, "entry", "entry %d of a bundle has %d bytes", len(raws), n)
		case n == 0 || n > len(data):
			return nil, wrong(classValue, "length", "entry %d of a bundle says %d bytes, %d follow", len(raws), n, len(data))
		}
		raws = append(raws, string(data[:n]))
		data = data[n:]
	}
	if raws == nil {
		return nil, wrong(classMissing, "entry", "the entry bundle is empty")
	}
	return raws, nil
}
