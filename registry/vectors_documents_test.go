// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// documentReaders read what is not a record: charters, checkpoints, stop
// lists, paths of tiles and entry bundles.
var documentReaders = map[string]func(vector) error{
	"charter": func(v vector) error {
		s, err := registry.ParseCharter(v.object)
		if err == nil && v.header["cid"] != s.CID {
			return fmt.Errorf("the CID is %s", s.CID)
		}
		return err
	},
	"checkpoint": func(v vector) error {
		var key registry.JWK
		if err := json.Unmarshal([]byte(v.header["key"]), &key); err != nil {
			return err
		}
		pub, err := key.PublicKey()
		if err != nil {
			return err
		}
		_, err = registry.OpenCheckpoint(v.object, v.header["origin"], pub)
		return err
	},
	"stoplist": func(v vector) error {
		list, err := registry.ParseStopList(v.object)
		if err == nil && v.header["about"] != "SHA-256 "+list.Hash() {
			return fmt.Errorf("the hash is %s", list.Hash())
		}
		return err
	},
	"tile-path": func(v vector) error {
		_, err := registry.ParseTilePath(string(v.object))
		return err
	},
	"entry-bundle": func(v vector) error {
		_, err := registry.ParseEntryBundle(v.object)
		return err
	},
}

func documentVectors(t testing.TB) []vector {
	return slices.Concat(charterVectors(t), checkpointVectors(t), stopListVectors(t), tileVectors())
}

// fileName makes the name of a vector from a sentence.
func fileName(kind, sentence string) string {
	var words []string
	for word := range strings.FieldsFuncSeq(strings.ToLower(sentence), func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_", r)
	}) {
		words = append(words, word)
	}
	return kind + "-" + strings.Join(words, "-")
}

// spoiled makes an invalid vector.
func spoiled(kind, name, slug string, object []byte, header map[string]string) vector {
	prefix, _, _ := strings.Cut(kind, "-")
	return vector{
		name: fileName(strings.Replace(prefix, "entry", "tile-bundle", 1), name), kind: kind, expect: slug,
		why: strings.ToUpper(name[:1]) + name[1:] + ".", header: header, object: object,
	}
}

func charterVectors(t testing.TB) []vector {
	var all []vector
	valid := func(name string, s *registry.SignedCharter) {
		all = append(all, vector{name: "charter-" + name, kind: "charter", expect: "valid", header: map[string]string{"cid": s.CID}, object: s.Raw})
	}
	one, five := signCharter(t, charterOf(1), 1), longAgo(t)
	valid("of-one", one)
	valid("of-five", five.Latest())
	valid("rotated-key", extend(t, five, rotate(0, 11), 5).Latest())
	valid("expelled-member", extend(t, five, expel(1, 9), 3, 5).Latest())
	explicit := charterOf(3)
	explicit.Threshold, explicit.ViewQuorum, explicit.BanThreshold, explicit.MaxAge = 2, 3, 2, registry.MinMaxAge
	valid("explicit-quorums", signCharter(t, explicit, 1, 2, 3))
	byDefault := charterOf(3)
	byDefault.Threshold = 0
	valid("threshold-by-default", signCharter(t, byDefault, 1, 2))
	later, err := registry.ParseCharter(resign(t, strings.Replace(payloadOf(t, one.Raw), `{"name"`, `{"later":{"a":[1]},"name"`, 1), 1))
	if err != nil {
		t.Fatal(err)
	}
	valid("unknown-member", later)
	for _, f := range charterFaults() {
		c := charterOf(3)
		f.change(&c)
		payload, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, spoiled("charter", f.name, f.slug, resign(t, string(payload), 1), nil))
	}
	for _, f := range charterDocumentFaults(t) {
		if f.slug != "size" { // a megabyte of spaces needs no file
			all = append(all, spoiled("charter", f.name, f.slug, f.raw, nil))
		}
	}
	return all
}

func checkpointVectors(t testing.TB) []vector {
	key, err := json.Marshal(fixedKey(1).JWK())
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{"key": string(key), "origin": origin}
	var all []vector
	for _, size := range []int64{0, 1, 923748} {
		root := registry.EmptyRoot()
		if size > 0 {
			root = registry.LeafHash("root")
		}
		all = append(all, vector{name: fmt.Sprintf("checkpoint-size-%d", size), kind: "checkpoint", expect: "valid", header: header, object: checkpoint(t, fixedKey(1), size, root).Raw})
	}
	for _, f := range checkpointFaults(t) {
		all = append(all, spoiled("checkpoint", f.name, f.slug, f.raw, header))
	}
	return all
}

func stopListVectors(t testing.TB) []vector {
	var all []vector
	valid := func(name string, text []byte) {
		list, err := registry.ParseStopList(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, vector{name: "stoplist-" + name, kind: "stoplist", expect: "valid", header: map[string]string{"about": "SHA-256 " + list.Hash()}, object: text})
	}
	valid("empty", nil)
	lines := []string{
		"broker https://m1.example expelled\n", "broker https://m2.example suspended\n", "broker https://m3.example forked\n",
		"client " + idA + " revoked - - malicious\n", "client " + idB + " suspended 1790000000 1790003600 policy\n",
		"client " + registry.CID([]byte("c")) + " disputed - - -\n",
		"credentials " + registry.CID([]byte("d")) + " 7\n", "cutoff " + registry.CID([]byte("e")) + " 1790000000\n",
	}
	slices.Sort(lines)
	valid("every-line", []byte(strings.Join(lines, "")))
	for _, f := range stopListFaults() {
		all = append(all, spoiled("stoplist", f.name, f.slug, []byte(f.text), nil))
	}
	return all
}

func tileVectors() []vector {
	var all []vector
	for _, path := range []string{"tile/0/000", "tile/1/x001/234.p/17", "tile/entries/x001/x234/067"} {
		all = append(all, vector{name: fileName("tile", strings.TrimPrefix(path, "tile/")), kind: "tile-path", expect: "valid", object: []byte(path)})
	}
	for _, f := range []struct{ name, path string }{
		{"level 6", "tile/6/000"}, {"two digits", "tile/0/00"}, {"a group of zeros in front", "tile/0/x000/001"},
		{"no x before the first group", "tile/0/001/002"}, {"width 0", "tile/0/000.p/0"}, {"width 256", "tile/0/000.p/256"},
		{"height in the path", "tile/8/0/000"}, {"data for entries", "tile/data/000"}, {"two dots", "tile/0/../0/000"},
	} {
		all = append(all, spoiled("tile-path", f.name, "value:path", []byte(f.path), nil))
	}
	small := registry.EntryBundle([]string{"first", "second"})
	all = append(all,
		vector{name: "tile-bundle-of-two", kind: "entry-bundle", expect: "valid", object: small},
		spoiled("entry-bundle", "nothing", "missing:entry", nil, nil),
		spoiled("entry-bundle", "the last entry is cut", "value:length", small[:len(small)-1], nil),
		spoiled("entry-bundle", "the last length is cut", "value:length", append(bytes.Clone(small), 0), nil),
		spoiled("entry-bundle", "an empty entry", "value:length", []byte{0, 0}, nil),
	)
	return all
}

// The file of the checkpoint of C2SP's text is what any base64 decoder reads.
func TestCheckpointVectorIsPlain(t *testing.T) {
	for _, v := range checkpointVectors(t)[:3] {
		lines := strings.Split(string(v.object), "\n")
		if root, err := base64.StdEncoding.DecodeString(lines[2]); err != nil || len(root) != 32 || lines[0] != origin {
			t.Errorf("%s: %q, %v", v.name, lines, err)
		}
	}
}
