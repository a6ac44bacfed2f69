// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/registry"
)

// Store is where a Replica keeps everything that must survive the process. It
// knows nothing of signatures: the replica checks before it writes. It must
// be safe for concurrent use. Package storetest is its conformance suite,
// memstore the engine for tests, node/store the one for real.
//
// A log is named by the thumbprint of its broker's first record key, whatever
// keys follow that one.
type Store interface {
	// Load returns what the replica holds in memory. A store that was never
	// written to returns an empty snapshot. Load fails when the store is
	// damaged, or older than a head of the own log that it acknowledged.
	Load(ctx context.Context) (*Snapshot, error)

	// Write stores all of u or nothing of it, and returns nil only when it
	// is durable. After an error the caller must take either as possible,
	// except for the following, which mean that nothing was stored:
	// registry.ErrConflict when the log has not u.Before entries (somebody
	// else writes); registry.ErrStale when a checkpoint is smaller than the
	// stored one, or a view not newer than the stored view of its log;
	// registry.ErrFork when a checkpoint has the stored size and another
	// root. Stored views, charters, proposals, heard records and evidence
	// that are offered again, byte for byte, are no error. A heard record
	// goes when the head of its log comes to cover it.
	Write(ctx context.Context, u Update) error

	// Client returns every record about one client, in logs (staged entries
	// included) and heard, in any order. None is not an error.
	Client(ctx context.Context, id string) ([]Row, error)

	// Clients returns the ids of clients in the store that are greater than
	// after, in ascending order, at most limit.
	Clients(ctx context.Context, after string, limit int) ([]string, error)

	// Rows returns the entries of a log from the index from up to but
	// without the index to, in order, staged ones included. The result is
	// shorter where the log ends. Hashes are filled.
	Rows(ctx context.Context, log string, from, to int64) ([]Row, error)

	// Hashes returns the Merkle hashes of a log at the given storage indexes
	// (registry.StoredHashes), in their order. registry.ErrNotFound when one
	// is absent.
	Hashes(ctx context.Context, log string, indexes []int64) ([]registry.Hash, error)
}

// Row is one record as a store keeps it.
type Row struct {
	Log    string
	Index  int64 // place in the log; -1: heard before the log entry that holds it
	CID    string
	Kind   registry.Kind
	Client string // "" when the record is about no client
	Stops  bool   // the record can put its client on the stop list
	Raw    string
	Hashes []registry.Hash // the Merkle hashes that the entry completes; none when heard
}

// Update is one transaction. Empty parts are left alone.
type Update struct {
	Log    string // the log that Before, Rows, Checkpoint and Discard are about
	Before int64  // how many entries it has before, staged ones included
	Rows   []Row  // its new entries, from index Before on
	// Checkpoint is the new head of the log. Entries beyond it are staged:
	// they are stored, and wait for a head that covers them. Without a
	// checkpoint all Rows are staged.
	Checkpoint *registry.Checkpoint
	// Discard drops the staged entries of the log, before anything else.
	Discard bool
	// Own says that the log is the one that this broker writes. The store
	// remembers its head a second time, outside of the database, so that it
	// can tell when the database was set back.
	Own bool

	Heard     []Row // stops that arrived before their log entry
	Views     []View
	Charters  []*registry.SignedCharter
	Proposals []*registry.SignedCharter // charters that lack approvals
	Withdrawn []string                  // CIDs of proposals that are none any more
	Evidence  []Evidence
	// Replace drops all that was stored before, but for the entries, the head
	// and the view of Log, and for EvidenceAhead: this broker goes to another
	// federation, with its own log.
	Replace bool
}

// Grows reports whether u is about entries or the head of a log.
func (u Update) Grows() bool { return u.Checkpoint != nil || len(u.Rows) > 0 }

// Follows says whether the log of u, whose head is h (the zero Head when there
// is none), may grow by it as Store.Write promises: the error is
// registry.ErrConflict, ErrStale or ErrFork.
func (u Update) Follows(h Head) error {
	c, entries := u.Checkpoint, u.Before+int64(len(u.Rows))
	switch {
	case c != nil && c.Size < h.Size:
		return fmt.Errorf("%w: checkpoint of %s for size %d, one for size %d is stored", registry.ErrStale, c.Origin, c.Size, h.Size)
	case c != nil && c.Size == h.Size && len(h.Checkpoint) > 0 && c.Root != h.Root:
		return fmt.Errorf("%w: two checkpoints of %s for size %d", registry.ErrFork, c.Origin, c.Size)
	case u.Before != h.Entries:
		return fmt.Errorf("%w: log %s has %d entries, not %d: another process writes it", registry.ErrConflict, u.Log, h.Entries, u.Before)
	case c != nil && (c.Size > entries || u.Own && c.Size < entries):
		return fmt.Errorf("%w: %d entries after %d do not make a log of size %d", registry.ErrConflict, len(u.Rows), u.Before, c.Size)
	}
	return nil
}

// Head returns the head h (the zero Head when there is none) as it is after u.
func (u Update) Head(h Head) Head {
	h.Log, h.Entries = u.Log, u.Before+int64(len(u.Rows))
	for _, row := range u.Rows {
		if row.CID == row.Client {
			h.Clients++
		}
	}
	if c := u.Checkpoint; c != nil {
		h.Size, h.Root, h.Checkpoint = c.Size, c.Root, c.Raw
	}
	return h
}

// View is the newest view of the broker with that log.
type View struct {
	Log    string
	Record *registry.Record
}

// Evidence is a pair of signed statements of one author that contradict each
// other, kept for ever.
type Evidence struct {
	Kind    EvidenceKind
	Subject string // the client; the log's origin and the key; or the federation
	A, B    string
}

// EvidenceKind says what A and B are.
type EvidenceKind string

// The kinds of evidence.
const (
	// EvidenceRecords: two different records with one (client, seq).
	EvidenceRecords EvidenceKind = "records"
	// EvidenceFork: A is the document of a registry.Fork, B is empty.
	EvidenceFork EvidenceKind = "fork"
	// EvidenceCharters: two valid successors of one charter version. A is
	// the one in the chain.
	EvidenceCharters EvidenceKind = "charters"
	// EvidenceAhead: A is a checkpoint of the own log that this broker does
	// not remember to have signed, and B is empty.
	EvidenceAhead EvidenceKind = "ahead"
)

// Head is the newest checkpoint of a log, and what is stored of it.
type Head struct {
	Log        string
	Size       int64
	Root       registry.Hash
	Checkpoint []byte // empty, and Size 0, when all entries are staged
	Entries    int64  // how many are stored; those from Size on are staged
	Clients    int64  // how many clients the entries register: rows whose CID is their Client
}

// Snapshot is what Load returns.
type Snapshot struct {
	Charters  [][]byte // by version
	Proposals [][]byte // by CID
	Heads     []Head
	Views     []string // the views, as signed
	Stops     []Row    // every record about every client of which some record has Stops or is heard, or is evidence
	Brokers   []Row    // the newest broker record of each log that its head covers
	Evidence  []Evidence
}

// Empty reports whether nothing was ever stored.
func (s *Snapshot) Empty() bool {
	return len(s.Charters) == 0 && len(s.Heads) == 0 && len(s.Views) == 0 &&
		len(s.Stops) == 0 && len(s.Brokers) == 0 && len(s.Evidence) == 0 && len(s.Proposals) == 0
}

// newRow describes a record of log at index.
func newRow(log string, index int64, r *registry.Record) Row {
	return Row{
		Log: log, Index: index, CID: r.CID, Kind: r.Kind, Client: r.ClientID(), Raw: r.Raw,
		Stops: r.Revocation != nil || r.Registration != nil && r.Registration.Compromised,
	}
}
