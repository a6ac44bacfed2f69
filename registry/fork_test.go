// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// fork gives two checkpoints of one size, as an evil broker signs them.
func fork(t testing.TB, k registry.SigningKey, name string) registry.Fork {
	t.Helper()
	var heads []*registry.Checkpoint
	for _, history := range []string{"for Alice", "for Bob"} {
		c, err := registry.SignCheckpoint(k, name, 3, newLog(t, history, 3).root(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, c)
	}
	var found *registry.ForkError
	if err := registry.CheckFork(heads[0], heads[1]); !errors.As(err, &found) {
		t.Fatal(err)
	}
	return found.Fork
}

// fault 50
func TestFault50Fork(t *testing.T) {
	k := fixedKey(1)
	f := fork(t, k, origin)
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(registry.CheckFork(f.B, f.A), registry.ErrFork) {
		t.Error("a fork in the other order is not found")
	}
	if !strings.Contains(f.String(), k.ID()) || !strings.Contains(f.String(), origin) {
		t.Errorf("the proof does not name log and key: %s", f)
	}
	file, err := f.Document(k.JWK())
	if err != nil {
		t.Fatal(err)
	}
	got, err := registry.ParseFork(file)
	if err != nil || got.A.KeyID != k.ID() || !bytes.Equal(got.B.Raw, f.B.Raw) {
		t.Fatalf("read back %+v, %v", got, err)
	}
	if _, err := f.Document(fixedKey(2).JWK()); err == nil {
		t.Error("a proof names a key that signed nothing")
	}
	for i := range file[:len(file)-2] {
		if _, err := registry.ParseFork(file[:i]); err == nil {
			t.Fatalf("a prefix of %d bytes is a proof", i)
		}
	}
}

func TestForkOfDifferentSizes(t *testing.T) {
	k := fixedKey(1)
	alice, bob := newLog(t, "for Alice", 20), newLog(t, "for Bob", 20)
	for small := int64(1); small < 20; small++ {
		a, b := checkpoint(t, k, small, alice.root(t, small)), checkpoint(t, k, 20, bob.root(t, 20))
		var found *registry.ForkError
		if err := registry.ProveFork(a, b, bob); !errors.As(err, &found) {
			t.Fatalf("sizes %d and 20: %v", small, err)
		}
		file, err := found.Fork.Document(k.JWK())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.ParseFork(file); err != nil {
			t.Fatalf("sizes %d and 20: %v", small, err)
		}
	}
}

func TestNoFork(t *testing.T) {
	k := fixedKey(1)
	l := newLog(t, "entry", 20)
	five, twenty := checkpoint(t, k, 5, l.root(t, 5)), checkpoint(t, k, 20, l.root(t, 20))
	other, err := registry.SignCheckpoint(k, "other.example/federation/log", 5, registry.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"the same":        registry.CheckFork(five, five),
		"two sizes":       registry.CheckFork(five, twenty),
		"two logs":        registry.CheckFork(five, other),
		"two keys":        registry.CheckFork(five, checkpoint(t, fixedKey(2), 5, registry.Hash{1})),
		"an honest log":   registry.ProveFork(five, twenty, l),
		"the empty log":   registry.ProveFork(checkpoint(t, k, 0, registry.EmptyRoot()), twenty, l),
		"the same size":   registry.ProveFork(five, five, l),
		"the same, again": registry.ProveFork(twenty, twenty, l),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nobody can frame an honest log: the proof must lead to its signed root.
	proof, err := registry.ProveConsistency(5, 20, l)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]registry.Fork{
		"an invented prefix": {Origin: origin, A: five, B: twenty, Prefix: registry.Hash{1}, Proof: proof},
		"the true prefix":    {Origin: origin, A: five, B: twenty, Prefix: five.Root, Proof: proof},
		"one checkpoint":     {Origin: origin, A: five, B: five},
		"another log":        {Origin: "other.example/federation/log", A: five, B: other},
		"wrong order":        {Origin: origin, A: twenty, B: five, Prefix: registry.Hash{1}},
		"nothing":            {Origin: origin},
	} {
		if f.Check() == nil {
			t.Errorf("%s is a proof", name)
		}
	}
	if err := registry.ProveFork(twenty, five, l); err == nil || errors.Is(err, registry.ErrFork) {
		t.Errorf("wrong order: %v", err)
	}
	if err := registry.ProveFork(five, twenty, newLog(t, "another", 20)); !errors.Is(err, registry.ErrSignature) {
		t.Errorf("hashes of another log: %v", err)
	}
	if err := registry.ProveFork(checkpoint(t, fixedKey(2), 5, registry.Hash{1}), twenty, l); !errors.Is(err, registry.ErrFork) {
		t.Errorf("an older key's checkpoint that does not fit: %v", err)
	}
}
