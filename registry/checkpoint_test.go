// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-network/comity/registry"
)

const origin = "broker.example/federation/log"

func checkpoint(t testing.TB, k registry.SigningKey, size int64, root registry.Hash) *registry.Checkpoint {
	t.Helper()
	c, err := registry.SignCheckpoint(k, origin, size, root)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheckpointRoundTrip(t *testing.T) {
	k := fixedKey(1)
	for _, size := range []int64{0, 1, 923748, registry.MaxLogSize} {
		root := registry.LeafHash("root")
		if size == 0 {
			root = registry.EmptyRoot()
		}
		c := checkpoint(t, k, size, root)
		got, err := registry.OpenCheckpoint(c.Raw, origin, k.Public())
		if err != nil {
			t.Fatal(err)
		}
		if got.Origin != origin || got.Size != size || got.Root != root || got.KeyID != k.ID() || !bytes.Equal(got.Raw, c.Raw) {
			t.Errorf("size %d: got %+v", size, got)
		}
	}
}

// The note package of Go, which knows nothing of us, reads our checkpoints.
func TestCheckpointIsSignedNote(t *testing.T) {
	k := fixedKey(1)
	c := checkpoint(t, k, 7, registry.LeafHash("root"))
	vkey, err := note.NewEd25519VerifierKey(origin, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(c.Raw, note.VerifierList(verifier)); err != nil {
		t.Error(err)
	}
}

func TestCheckpointEveryPrefixAndFlip(t *testing.T) {
	k := fixedKey(1)
	raw := checkpoint(t, k, 923748, registry.LeafHash("root")).Raw
	for i := range raw {
		if _, err := registry.OpenCheckpoint(raw[:i], origin, k.Public()); !errors.Is(err, registry.ErrForm) && !errors.Is(err, registry.ErrSignature) {
			t.Errorf("prefix of %d bytes: %v", i, err)
		}
		for bit := range 8 {
			flipped := bytes.Clone(raw)
			flipped[i] ^= 1 << bit
			if _, err := registry.OpenCheckpoint(flipped, origin, k.Public()); !errors.Is(err, registry.ErrForm) && !errors.Is(err, registry.ErrSignature) {
				t.Errorf("bit %d of byte %d (%q) flipped: %v", bit, i, flipped[i], err)
			}
		}
	}
}

// noteOf signs any text as the log would, bypassing all checks.
func noteOf(t testing.TB, k registry.SigningKey, name, text string) []byte {
	t.Helper()
	raw, err := note.Sign(&note.Note{Text: text}, rawSigner{k, name})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// rawSigner signs notes with a key under any name.
type rawSigner struct {
	key  registry.SigningKey
	name string
}

func (s rawSigner) Name() string { return s.name }

func (s rawSigner) KeyHash() uint32 {
	vkey, err := note.NewEd25519VerifierKey(s.name, s.key.Public())
	if err != nil {
		panic(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		panic(err)
	}
	return v.KeyHash()
}

func (s rawSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key.Private(), msg), nil }

func checkpointFaults(t testing.TB) []documentFault {
	k, other := fixedKey(1), fixedKey(2)
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	good := noteOf(t, k, origin, origin+"\n7\n"+root+"\n")
	if _, err := registry.OpenCheckpoint(good, origin, k.Public()); err != nil {
		t.Fatal(err)
	}
	line := string(good[bytes.Index(good, []byte("\n\n"))+2:])
	strayed := strings.Replace(line, "=\n", "", 1)
	strayed = strayed[:len(strayed)-1] + string(rune(strayed[len(strayed)-1]+1)) + "=\n"
	return []documentFault{
		{"another key", noteOf(t, other, origin, origin+"\n7\n"+root+"\n"), "signature"},
		{"another log", noteOf(t, k, "evil.example/federation/log", "evil.example/federation/log\n7\n"+root+"\n"), "signature"},
		{"another origin under the right name", noteOf(t, k, origin, "evil.example/federation/log\n7\n"+root+"\n"), "value:origin"},
		{"extension line", noteOf(t, k, origin, origin+"\n7\n"+root+"\nmore\n"), "value:text"},
		{"no root", noteOf(t, k, origin, origin+"\n7\n"), "value:text"},
		{"size with a zero before it", noteOf(t, k, origin, origin+"\n07\n"+root+"\n"), "value:size"},
		{"size with a sign", noteOf(t, k, origin, origin+"\n+7\n"+root+"\n"), "value:size"},
		{"negative size", noteOf(t, k, origin, origin+"\n-7\n"+root+"\n"), "value:size"},
		{"size of nobody's log", noteOf(t, k, origin, origin+"\n281474976710657\n"+root+"\n"), "value:size"},
		{"size beyond 64 bits", noteOf(t, k, origin, origin+"\n9223372036854775808\n"+root+"\n"), "value:size"},
		{"short root", noteOf(t, k, origin, origin+"\n7\n"+root[:40]+"\n"), "value:root"},
		{"root with stray bits", noteOf(t, k, origin, origin+"\n7\n"+root[:42]+"B=\n"), "value:root"},
		{"root of an empty log", noteOf(t, k, origin, origin+"\n0\n"+root+"\n"), "value:root"},
		{"signature line twice", append(bytes.Clone(good), line...), "duplicate:signature"},
		{"signature with stray bits", append(bytes.TrimSuffix(bytes.Clone(good), []byte(line)), strayed...), "base64:signature"},
		{"no note", []byte("hello\n"), "value:note"},
		{"too long", append(bytes.Clone(good), bytes.Repeat([]byte("x"), registry.MaxCheckpointBytes)...), "size"},
	}
}

func TestCheckpointRefusals(t *testing.T) {
	k := fixedKey(1)
	for _, test := range checkpointFaults(t) {
		t.Run(test.name, func(t *testing.T) {
			_, err := registry.OpenCheckpoint(test.raw, origin, k.Public())
			if err == nil || registry.Slug(err) != test.slug {
				t.Errorf("got %v (%s), want %s", err, registry.Slug(err), test.slug)
			}
		})
	}
}

func TestCheckpointWithCosignatures(t *testing.T) {
	k := fixedKey(1)
	c := checkpoint(t, k, 7, registry.LeafHash("root"))
	opened, err := note.Open(c.Raw, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		t.Fatal(opened, err)
	}
	n := unverified.Note
	for i := range registry.MaxCosignatures + 1 {
		raw, err := note.Sign(&note.Note{Text: n.Text, UnverifiedSigs: n.UnverifiedSigs}, rawSigner{fixedKey(byte(10 + i)), "witness.example"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = registry.OpenCheckpoint(raw, origin, k.Public())
		if want := i < registry.MaxCosignatures; (err == nil) != want {
			t.Fatalf("%d cosignatures: %v", i+1, err)
		}
		_, err = note.Open(raw, note.VerifierList())
		errors.As(err, &unverified)
		n = unverified.Note
	}
}

func TestSignCheckpointRefusesWhatCannotBe(t *testing.T) {
	k := fixedKey(1)
	for name, err := range map[string]error{
		"origin with a space": second(registry.SignCheckpoint(k, "a b", 1, registry.Hash{})),
		"origin with a plus":  second(registry.SignCheckpoint(k, "a+b", 1, registry.Hash{})),
		"negative size":       second(registry.SignCheckpoint(k, origin, -1, registry.Hash{})),
		"empty log with root": second(registry.SignCheckpoint(k, origin, 0, registry.Hash{1})),
	} {
		if err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}
