// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/comity-network/comity/registry"
)

// maxFindings bounds the remembered verdicts. A value passes the validator
// several times on its way, and each time would cost its signatures.
const maxFindings = 256

// dhtValidator judges the values of the DHT; it implements the Validator of
// go-libp2p-record. It accepts what verifyValue accepts and, at a member, what
// does not say less than the member's own replica knows.
type dhtValidator struct {
	federation string
	chain      func() *registry.Chain // nil while none is known
	// judge, if not nil, has the last word on a verified value.
	judge func(dhtKey, *dhtFinding) error
	// seen, if not nil, is told of each value that was offered and verified.
	seen func(dhtKey, *dhtFinding)

	mu    sync.Mutex
	known map[findingKey]*dhtFinding
}

type findingKey struct {
	value   [sha256.Size]byte // of key and value
	charter string            // CID of the newest charter by which it was judged
}

// Validate implements record.Validator.
func (v *dhtValidator) Validate(key string, value []byte) error {
	_, _, err := v.check(key, value)
	return err
}

// check is Validate and returns what the value says.
func (v *dhtValidator) check(key string, value []byte) (dhtKey, *dhtFinding, error) {
	k, f, err := v.verify(key, value)
	if err != nil {
		return k, nil, err
	}
	if v.seen != nil {
		v.seen(k, f)
	}
	if v.judge != nil {
		if err := v.judge(k, f); err != nil {
			return k, nil, err
		}
	}
	return k, f, nil
}

// Select implements record.Validator: the value of the highest rank, and of two
// of one rank the one whose bytes come first, so that the order in which they
// came never matters. Values that do not verify lose against any other; that a
// value was once stored proves nothing about it.
func (v *dhtValidator) Select(key string, values [][]byte) (int, error) {
	best, first := -1, error(nil)
	ranks := make([]dhtRank, len(values))
	for i, value := range values {
		_, f, err := v.verify(key, value)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		ranks[i] = f.rank
		if best < 0 || better(ranks[i], value, ranks[best], values[best]) {
			best = i
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("no value of %.100q verifies: %w", key, first)
	}
	return best, nil
}

func better(a dhtRank, aValue []byte, b dhtRank, bValue []byte) bool {
	if order := a.compare(b); order != 0 {
		return order > 0
	}
	return bytes.Compare(aValue, bValue) < 0
}

// verify is verifyValue with a memory.
func (v *dhtValidator) verify(key string, value []byte) (dhtKey, *dhtFinding, error) {
	k, err := parseDHTKey(key, v.federation)
	if err != nil {
		return k, nil, err
	}
	if len(value) > registry.MaxCharterBytes { // the longest of all values
		return k, nil, fmt.Errorf("%w: %w: a value of %d bytes", registry.ErrForm, registry.ErrLimit, len(value))
	}
	chain := v.chain()
	id := findingKey{value: sha256.Sum256(append([]byte(key+"\n"), value...))}
	if chain != nil {
		id.charter = chain.Latest().CID
	}
	v.mu.Lock()
	f := v.known[id]
	v.mu.Unlock()
	if f != nil {
		return k, f, nil
	}
	if f, err = verifyValue(chain, v.federation, k, value); err != nil {
		return k, nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil || len(v.known) >= maxFindings {
		v.known = make(map[findingKey]*dhtFinding)
	}
	v.known[id] = f
	return k, f, nil
}
