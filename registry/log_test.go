// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/comity-network/comity/registry"
)

// memoryLog is a log in memory: entries and the hashes that StoredHashes gave.
type memoryLog struct {
	raws   []string
	hashes []registry.Hash
}

func (l *memoryLog) ReadHashes(indexes []int64) ([]registry.Hash, error) {
	out := make([]registry.Hash, 0, len(indexes))
	for _, i := range indexes {
		if i < 0 || i >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("hash %d is not stored", i)
		}
		out = append(out, l.hashes[i])
	}
	return out, nil
}

func (l *memoryLog) append(t testing.TB, raw string) {
	t.Helper()
	hashes, err := registry.StoredHashes(int64(len(l.raws)), raw, l)
	if err != nil {
		t.Fatal(err)
	}
	l.raws = append(l.raws, raw)
	l.hashes = append(l.hashes, hashes...)
}

func (l *memoryLog) root(t testing.TB, size int64) registry.Hash {
	t.Helper()
	root, err := registry.TreeRoot(size, l)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// newLog makes a log of entries named after their index.
func newLog(t testing.TB, prefix string, size int) *memoryLog {
	t.Helper()
	l := new(memoryLog)
	for i := range size {
		l.append(t, fmt.Sprintf("%s %d", prefix, i))
	}
	return l
}

func TestOrigin(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://broker.example":        "broker.example/federation/log",
		"https://broker.example:8443/a": "broker.example:8443/a/federation/log",
		"http://127.0.0.1:8080":         "127.0.0.1:8080/federation/log",
	} {
		if got := registry.Origin(issuer); got != want {
			t.Errorf("Origin(%q) = %q, want %q", issuer, got, want)
		}
	}
}

func TestEmptyRoot(t *testing.T) {
	if got := new(memoryLog).root(t, 0); got != registry.EmptyRoot() {
		t.Errorf("root of nothing is %v, want %v", got, registry.EmptyRoot())
	}
}

// Every entry of every log up to a size that crosses several levels is proved,
// and every proof fails for all that it does not say.
func TestInclusionOfAllPairs(t *testing.T) {
	const most = 70
	l := newLog(t, "entry", most)
	for size := int64(1); size <= most; size++ {
		root := l.root(t, size)
		for index := range size {
			proof, err := registry.ProveInclusion(size, index, l)
			if err != nil {
				t.Fatal(err)
			}
			leaf := registry.LeafHash(l.raws[index])
			if err := registry.CheckInclusion(proof, size, root, index, leaf); err != nil {
				t.Fatalf("entry %d of %d: %v", index, size, err)
			}
			other := registry.LeafHash("another")
			for name, err := range map[string]error{
				"another leaf":  registry.CheckInclusion(proof, size, root, index, other),
				"another root":  registry.CheckInclusion(proof, size, other, index, leaf),
				"another index": registry.CheckInclusion(proof, size, root, (index+1)%(size+1), leaf),
				"a longer path": registry.CheckInclusion(append(proof[:len(proof):len(proof)], other), size, root, index, leaf),
			} {
				if !errors.Is(err, registry.ErrSignature) {
					t.Fatalf("entry %d of %d, %s: %v", index, size, name, err)
				}
			}
		}
	}
}

func TestConsistencyOfAllPairs(t *testing.T) {
	const most = 70
	l := newLog(t, "entry", most)
	for newSize := int64(0); newSize <= most; newSize++ {
		newRoot := l.root(t, newSize)
		for oldSize := range newSize + 1 {
			oldRoot := l.root(t, oldSize)
			proof, err := registry.ProveConsistency(oldSize, newSize, l)
			if err != nil {
				t.Fatal(err)
			}
			if err := registry.CheckConsistency(proof, oldSize, oldRoot, newSize, newRoot); err != nil {
				t.Fatalf("%d and %d: %v", oldSize, newSize, err)
			}
			other := registry.LeafHash("another")
			if err := registry.CheckConsistency(proof, oldSize, other, newSize, newRoot); !errors.Is(err, registry.ErrSignature) {
				t.Fatalf("%d and %d, another old root: %v", oldSize, newSize, err)
			}
			if oldSize > 0 && registry.CheckConsistency(proof, oldSize, oldRoot, newSize, other) == nil {
				t.Fatalf("%d and %d: another new root is accepted", oldSize, newSize)
			}
		}
	}
}

func TestImpossibleProofs(t *testing.T) {
	l := newLog(t, "entry", 3)
	for name, err := range map[string]error{
		"entry behind the end":   second(registry.ProveInclusion(3, 3, l)),
		"entry before the start": second(registry.ProveInclusion(3, -1, l)),
		"shrinking log":          second(registry.ProveConsistency(3, 2, l)),
		"negative size":          second(registry.TreeRoot(-1, l)),
		"negative index":         second(registry.StoredHashes(-1, "x", l)),
		"check behind the end":   registry.CheckInclusion(nil, 3, l.root(t, 3), 3, registry.Hash{}),
		"check shrinking":        registry.CheckConsistency(nil, 3, l.root(t, 3), 2, l.root(t, 2)),
		"junk with empty log":    registry.CheckConsistency([]registry.Hash{{}}, 0, registry.EmptyRoot(), 2, l.root(t, 2)),
		"false empty root":       registry.CheckConsistency(nil, 0, registry.Hash{}, 2, l.root(t, 2)),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
