// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a node of a Merkle tree hashed as RFC 6962, section 2.1 says.
type Hash = tlog.Hash

// HashReader reads hashes that StoredHashes gave, by their storage index. Log
// functions ask for all that they need in one call.
type HashReader = tlog.HashReader

// logPath follows the host (and path) of an issuer in the origin of its log.
const logPath = "/federation/log"

// Origin is the name of the log of issuer, which is also the name of the key
// in its checkpoints: the issuer without its scheme, and "/federation/log".
func Origin(issuer string) string {
	if _, rest, ok := strings.Cut(issuer, "://"); ok {
		issuer = rest
	}
	return issuer + logPath
}

// LeafHash is the hash of a record as a leaf: over its exact bytes.
func LeafHash(raw string) Hash { return tlog.RecordHash([]byte(raw)) }

// EmptyRoot is the root of a log of size 0: SHA-256 of nothing.
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// StoredHashes gives the hashes to store when raw becomes the entry at index,
// beginning at the storage index tlog.StoredHashIndex(0, index). r reads the
// hashes stored before.
func StoredHashes(index int64, raw string, r HashReader) ([]Hash, error) {
	if index < 0 {
		return nil, fmt.Errorf("%w: log index %d", ErrForm, index)
	}
	return tlog.StoredHashesForRecordHash(index, LeafHash(raw), r)
}

// TreeRoot is the root over the first size entries.
func TreeRoot(size int64, r HashReader) (Hash, error) {
	if size < 0 {
		return Hash{}, fmt.Errorf("%w: log size %d", ErrForm, size)
	}
	return tlog.TreeHash(size, r)
}

// ProveInclusion gives the audit path of the entry at index in the log of that
// size (RFC 6962, section 2.1.1), lowest level first.
func ProveInclusion(size, index int64, r HashReader) ([]Hash, error) {
	if index < 0 || index >= size {
		return nil, fmt.Errorf("%w: entry %d of a log of size %d", ErrNotFound, index, size)
	}
	return tlog.ProveRecord(size, index, r)
}

// CheckInclusion reports whether proof shows that leaf is the entry at index
// of the log with that size and root. The error is ErrSignature: a signed root
// vouches for nothing that is not under it.
func CheckInclusion(proof []Hash, size int64, root Hash, index int64, leaf Hash) error {
	if index < 0 || index >= size {
		return fmt.Errorf("%w: entry %d is outside of a log of size %d", ErrSignature, index, size)
	}
	if err := tlog.CheckRecord(proof, size, root, index, leaf); err != nil {
		return fmt.Errorf("%w: inclusion of entry %d in a log of size %d: %v", ErrSignature, index, size, err)
	}
	return nil
}

// ProveConsistency gives the proof that the log of size newSize begins with
// the log of size oldSize (RFC 6962, section 2.1.2). It is empty when oldSize
// is 0 or newSize.
func ProveConsistency(oldSize, newSize int64, r HashReader) ([]Hash, error) {
	if oldSize < 0 || oldSize > newSize {
		return nil, fmt.Errorf("%w: a log of size %d does not begin with one of size %d", ErrForm, newSize, oldSize)
	}
	if oldSize == 0 {
		return []Hash{}, nil
	}
	return tlog.ProveTree(newSize, oldSize, r)
}

// CheckConsistency reports whether proof shows that the log with newSize and
// newRoot begins with the one with oldSize and oldRoot. The error is
// ErrSignature. It says that the proof is no good; that the log itself is
// forked is what CheckFork and ProveFork are for.
func CheckConsistency(proof []Hash, oldSize int64, oldRoot Hash, newSize int64, newRoot Hash) error {
	switch {
	case oldSize < 0 || oldSize > newSize:
		return fmt.Errorf("%w: a log of size %d does not begin with one of size %d", ErrSignature, newSize, oldSize)
	case oldSize == 0:
		if len(proof) != 0 || oldRoot != EmptyRoot() || newSize == 0 && newRoot != EmptyRoot() {
			return fmt.Errorf("%w: consistency with the empty log", ErrSignature)
		}
		return nil
	}
	if err := tlog.CheckTree(proof, newSize, newRoot, oldSize, oldRoot); err != nil {
		return fmt.Errorf("%w: consistency of sizes %d and %d: %v", ErrSignature, oldSize, newSize, err)
	}
	return nil
}
