// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/comity-network/comity/internal/strictjson"
)

// Fork is the proof that one broker signed two histories, in either of two
// forms: two checkpoints of one size with different roots; or one of size m and
// a larger one with a consistency proof that shows that the first m entries of
// the larger have another root than the smaller says. It needs no other party
// and no network to be checked.
//
// A fork is of the key that signed both checkpoints, and is held against the
// broker as long as that key is its current one. Who finds an old key that the
// charter has ended can sign anything with it.
type Fork struct {
	Origin string
	A, B   *Checkpoint // A.Size ≤ B.Size, signed by the same key
	Prefix Hash        // A.Size < B.Size: root of the first A.Size entries of B
	Proof  []Hash      // A.Size < B.Size: consistency of Prefix with B.Root
}

// ForkError is ErrFork and carries the proof.
type ForkError struct{ Fork Fork }

func (e *ForkError) Error() string { return "registry: " + e.Fork.String() }

// Unwrap returns ErrFork.
func (e *ForkError) Unwrap() error { return ErrFork }

// CheckFork compares two checkpoints of one log. It returns nil when they do
// not contradict each other by themselves, and a *ForkError when they have the
// same size, the same key and different roots.
func CheckFork(a, b *Checkpoint) error {
	if a.Origin != b.Origin || a.KeyID != b.KeyID || a.Size != b.Size || a.Root == b.Root {
		return nil
	}
	if bytes.Compare(a.Root[:], b.Root[:]) > 0 {
		a, b = b, a // the same proof, whichever was seen first
	}
	return &ForkError{Fork{Origin: a.Origin, A: a, B: b}}
}

// ProveFork compares an older checkpoint of a log with a newer one whose hashes
// r reads. It returns nil when the newer log begins with the older one, a
// *ForkError when it does not (and one key signed both), and another error when
// r fails or is not the log of the newer checkpoint.
func ProveFork(older, newer *Checkpoint, r HashReader) error {
	if older.Origin != newer.Origin || older.Size > newer.Size {
		return fmt.Errorf("%w: checkpoint of %s, size %d, is not older than that of %s, size %d", ErrForm, older.Origin, older.Size, newer.Origin, newer.Size)
	}
	if older.Size == newer.Size || older.Size == 0 {
		return CheckFork(older, newer)
	}
	prefix, err := TreeRoot(older.Size, r)
	if err != nil {
		return err
	}
	proof, err := ProveConsistency(older.Size, newer.Size, r)
	if err != nil {
		return err
	}
	if err := CheckConsistency(proof, older.Size, prefix, newer.Size, newer.Root); err != nil {
		return err
	}
	if prefix == older.Root {
		return nil
	}
	if older.KeyID != newer.KeyID {
		return fmt.Errorf("%w: the log %s of size %d does not begin with its checkpoint of size %d, which another key signed", ErrFork, newer.Origin, newer.Size, older.Size)
	}
	return &ForkError{Fork{Origin: older.Origin, A: older, B: newer, Prefix: prefix, Proof: proof}}
}

// Check reports whether the two checkpoints and the proof are a fork: nil when
// they are. It trusts the checkpoints to be opened; ParseFork opens them.
func (f Fork) Check() error {
	switch {
	case f.A == nil || f.B == nil || f.A.Origin != f.Origin || f.B.Origin != f.Origin || f.A.KeyID != f.B.KeyID:
		return fmt.Errorf("%w: not two checkpoints of one log by one key", ErrForm)
	case f.A.Size == f.B.Size && f.A.Root == f.B.Root:
		return fmt.Errorf("%w: the two checkpoints are the same", ErrForm)
	case f.A.Size == f.B.Size:
		return nil
	case f.A.Size < 1 || f.A.Size > f.B.Size || f.Prefix == f.A.Root:
		return fmt.Errorf("%w: the two checkpoints do not contradict each other", ErrForm)
	}
	return CheckConsistency(f.Proof, f.A.Size, f.Prefix, f.B.Size, f.B.Root)
}

// String says in one line what happened.
func (f Fork) String() string {
	if f.A.Size == f.B.Size {
		return fmt.Sprintf("log %s is forked: key %s signed the roots %v and %v for size %d", f.Origin, f.A.KeyID, f.A.Root, f.B.Root, f.A.Size)
	}
	return fmt.Sprintf("log %s is forked: key %s signed the root %v for size %d, and a log of size %d that has %v there", f.Origin, f.A.KeyID, f.A.Root, f.A.Size, f.B.Size, f.Prefix)
}

// forkDocument is the file that carries a fork.
type forkDocument struct {
	Origin string `json:"origin"`
	Key    JWK    `json:"key"`
	A      string `json:"a"`
	B      string `json:"b"`
	Prefix *Hash  `json:"prefix,omitempty"`
	Proof  []Hash `json:"proof,omitempty"`
}

// Document gives the proof as a file, with the key that signed. It fails when
// the key is another one.
func (f Fork) Document(key JWK) ([]byte, error) {
	doc := forkDocument{Origin: f.Origin, Key: key, A: string(f.A.Raw), B: string(f.B.Raw)}
	if f.A.Size != f.B.Size {
		doc.Prefix, doc.Proof = &f.Prefix, f.Proof
	}
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode fork: %w", err)
	}
	if _, err := ParseFork(raw); err != nil {
		return nil, err
	}
	return append(raw, '\n'), nil
}

// ParseFork reads such a file and checks all of it by itself. Whose key it is,
// f.A.KeyID, must be looked up in the charter (Chain.MemberByKey).
func ParseFork(raw []byte) (Fork, error) {
	if len(raw) > MaxForkBytes {
		return Fork{}, wrong(classSize, "", "fork of %d bytes, at most %d are allowed", len(raw), MaxForkBytes)
	}
	var doc forkDocument
	if err := strictjson.Unmarshal(raw, &doc); err != nil {
		return Fork{}, lower(err)
	}
	key, err := doc.Key.PublicKey()
	if err != nil {
		return Fork{}, err
	}
	f := Fork{Origin: doc.Origin, Proof: doc.Proof}
	if doc.Prefix != nil {
		f.Prefix = *doc.Prefix
	}
	if f.A, err = OpenCheckpoint([]byte(doc.A), doc.Origin, key); err != nil {
		return Fork{}, err
	}
	if f.B, err = OpenCheckpoint([]byte(doc.B), doc.Origin, key); err != nil {
		return Fork{}, err
	}
	return f, f.Check()
}
