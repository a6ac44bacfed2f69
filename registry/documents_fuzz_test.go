// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// seed adds the objects of all test vectors of a kind.
func seed(f *testing.F, kind string) {
	for _, v := range readVectors(f) {
		if v.kind == kind {
			f.Add(v.object)
		}
	}
}

// FuzzParseCharter: what is read can be read again, and gives the same charter.
func FuzzParseCharter(f *testing.F) {
	seed(f, "charter")
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := registry.ParseCharter(raw)
		if err != nil {
			return
		}
		if merged, err := s.Merge(s); err != nil || merged.CID != s.CID {
			t.Fatal(err)
		}
		if _, err := json.Marshal(s.Charter); err != nil || len(s.Signers) == 0 {
			t.Fatal(err)
		}
	})
}

// FuzzOpenCheckpoint: nothing but what the key signed is opened.
func FuzzOpenCheckpoint(f *testing.F) {
	seed(f, "checkpoint")
	key := fixedKey(1).Public()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := registry.OpenCheckpoint(raw, origin, key); err != nil {
			return
		}
		text, lines, _ := bytes.Cut(raw, []byte("\n\n"))
		if !signedBy(key, append(text, '\n'), string(lines)) {
			t.Fatalf("opened %q", raw)
		}
	})
}

// signedBy looks for a signature line of the log that verifies.
func signedBy(key ed25519.PublicKey, text []byte, lines string) bool {
	for line := range strings.Lines(lines) {
		encoded, ours := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— "+origin+" ")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if ours && err == nil && len(signature) > 4 && ed25519.Verify(key, text, signature[4:]) {
			return true
		}
	}
	return false
}

// FuzzParseStopList: a list has one text.
func FuzzParseStopList(f *testing.F) {
	seed(f, "stoplist")
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := registry.ParseStopList(text)
		if err != nil {
			return
		}
		if !bytes.Equal(list.Bytes(), text) || int(list.Count()) != len(list.Lines()) {
			t.Fatalf("%q is read as %q", text, list.Bytes())
		}
	})
}

// FuzzParseTilePath: a tile has one path.
func FuzzParseTilePath(f *testing.F) {
	seed(f, "tile-path")
	f.Fuzz(func(t *testing.T, path []byte) {
		tile, err := registry.ParseTilePath(string(path))
		if err == nil && tile.Path() != string(path) {
			t.Fatalf("%q is read as %q", path, tile.Path())
		}
	})
}

// FuzzParseEntryBundle: a bundle has one encoding.
func FuzzParseEntryBundle(f *testing.F) {
	seed(f, "entry-bundle")
	f.Fuzz(func(t *testing.T, data []byte) {
		raws, err := registry.ParseEntryBundle(data)
		if err == nil && !bytes.Equal(registry.EntryBundle(raws), data) {
			t.Fatalf("%q is read as %q", data, raws)
		}
	})
}

// FuzzParseFork: what is read is a fork.
func FuzzParseFork(f *testing.F) {
	proof := fork(f, fixedKey(1), origin)
	file, err := proof.Document(fixedKey(1).JWK())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, err := registry.ParseFork(raw); err == nil && (got.Check() != nil || got.String() == "") {
			t.Fatalf("%+v", got)
		}
	})
}
