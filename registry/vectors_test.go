// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

var update = flag.Bool("update", false, "write registry/testdata/vectors again")

const vectorDir = "testdata/vectors"

// vector is one file of testdata/vectors; docs/spec/vectors.md has the format.
type vector struct {
	name   string // of the file, without .txt
	kind   string
	expect string // valid, or a slug
	why    string // the sentence after the slug
	header map[string]string
	object []byte
}

// headerOrder is the order in which header lines are written.
var headerOrder = []string{"key", "origin", "cid", "client_id", "claims", "about"}

func (v vector) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "comity-vector: 1\nkind: %s\nexpect: %s\n", v.kind, strings.TrimSpace(v.expect+" "+v.why))
	for _, name := range headerOrder {
		if value := v.header[name]; value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteByte('\n')
	b.Write(v.object)
	return b.Bytes()
}

func readVector(t testing.TB, path string) vector {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, object, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		t.Fatalf("%s: no empty line", path)
	}
	v := vector{name: strings.TrimSuffix(filepath.Base(path), ".txt"), header: map[string]string{}, object: object}
	for line := range strings.Lines(string(head)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if _, twice := v.header[name]; !ok || twice {
			t.Fatalf("%s: header line %q", path, line)
		}
		v.header[name] = value
	}
	if v.header["comity-vector"] != "1" {
		t.Fatalf("%s: not in format 1", path)
	}
	v.kind = v.header["kind"]
	v.expect, v.why, _ = strings.Cut(v.header["expect"], " ")
	return v
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for _, path := range paths {
		all = append(all, readVector(t, path))
	}
	return all
}

// readers say how an object of each kind is read, signature included.
var readers = map[string]func(vector) error{
	"any":                             readRecord,
	string(registry.KindBroker):       readRecord,
	string(registry.KindRegistration): readRecord,
	string(registry.KindRevocation):   readRecord,
	string(registry.KindView):         readRecord,
	"cid":                             func(v vector) error { return registry.ParseCID(string(v.object)) },
	"redirect-uri":                    func(v vector) error { return registry.CheckRedirectURI(string(v.object), false) },
	"native-redirect-uri":             func(v vector) error { return registry.CheckRedirectURI(string(v.object), true) },
	"jwk": func(v vector) error {
		var j registry.JWK
		if err := json.Unmarshal(v.object, &j); err != nil {
			return err
		}
		_, err := j.PublicKey()
		return err
	},
}

func readRecord(v vector) error {
	var kinds []registry.Kind
	if v.kind != "any" {
		kinds = append(kinds, registry.Kind(v.kind))
	}
	if cid := v.header["cid"]; cid != "" {
		if err := registry.CheckCID(cid, v.object); err != nil {
			return err
		}
	}
	r, err := registry.ParseRecord(v.object, kinds...)
	if err != nil || v.header["key"] == "" {
		return err
	}
	var key registry.JWK
	if err := json.Unmarshal([]byte(v.header["key"]), &key); err != nil {
		return err
	}
	pub, err := key.PublicKey()
	if err != nil {
		return err
	}
	return r.Verify(pub)
}

// madeVectors are all files that the generator of this package writes.
func madeVectors(t testing.TB) []vector {
	all := slices.Concat(validVectors(t), formVectors(), claimVectors(), smallVectors(), documentVectors(t))
	seen := map[string]bool{}
	for _, v := range all {
		if seen[v.name] {
			t.Fatalf("two vectors are named %s", v.name)
		}
		seen[v.name] = true
	}
	return all
}

func TestVectors(t *testing.T) {
	for _, v := range madeVectors(t) {
		path := filepath.Join(vectorDir, v.name+".txt")
		if *update {
			if err := os.WriteFile(path, v.bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, _ := os.ReadFile(path); !bytes.Equal(have, v.bytes()) {
			t.Errorf("%s is not what the generator writes: look at the difference, then run with -update", path)
		}
	}
	invalid := 0
	for _, v := range readVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			read := readers[v.kind]
			if read == nil {
				read = documentReaders[v.kind]
			}
			if read == nil {
				t.Fatalf("no reader for kind %q", v.kind)
			}
			checkVector(t, v, read(v))
		})
		if _, err := registry.ParseRecord(v.object); err != nil && v.expect != "valid" {
			invalid++
		}
	}
	if invalid < 34 {
		t.Errorf("%d invalid records, at least 34 are needed", invalid)
	}
}

func checkVector(t *testing.T, v vector, err error) {
	switch {
	case v.expect == "valid" && err != nil:
		t.Fatalf("refused: %v", err)
	case v.expect == "valid":
		checkHeaders(t, v)
	case err == nil:
		t.Fatalf("accepted, expected was %s (%s)", v.expect, v.why)
	case registry.Slug(err) != v.expect:
		t.Fatalf("refused because of %q (%v), expected was %s (%s)", registry.Slug(err), err, v.expect, v.why)
	case v.why == "" || !strings.HasSuffix(v.why, "."):
		t.Error("the expect line has no sentence")
	}
}

// checkHeaders compares what a valid record's header lines say of it.
func checkHeaders(t *testing.T, v vector) {
	r, err := registry.ParseRecord(v.object)
	if err != nil {
		return // not a record
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(r.Raw, ".")[1])
	if err != nil || string(payload) != v.header["claims"] {
		t.Errorf("claims are %s", payload)
	}
	if r.CID != v.header["cid"] || r.ClientID() != v.header["client_id"] {
		t.Errorf("cid is %s, client_id %s", r.CID, r.ClientID())
	}
}

// Every slug in the specification has a vector, and the other way round.
func TestVectorSlugs(t *testing.T) {
	page, err := os.ReadFile("../docs/spec/vectors.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range readVectors(t) {
		class, _, _ := strings.Cut(v.expect, ":")
		seen[class] = true
	}
	for class := range seen {
		if class != "valid" && !bytes.Contains(page, []byte("| `"+class)) && !bytes.Contains(page, []byte(", `"+class)) {
			t.Errorf("slug %s is not in docs/spec/vectors.md", class)
		}
	}
	for line := range strings.Lines(string(page)) {
		if row, ok := strings.CutPrefix(line, "| `"); ok && strings.Contains(string(page), "## The slugs") {
			class := row[:strings.IndexAny(row, ":`")]
			if i := bytes.Index(page, []byte("## The slugs")); bytes.Index(page, []byte(line)) > i && !seen[class] {
				t.Errorf("no vector is refused because of %s", class)
			}
		}
	}
}
