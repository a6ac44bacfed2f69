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
	// registry.ErrConflict when the log has not the size u.Before (somebody
	// else writes); registry.ErrStale when a checkpoint is smaller than the
	// stored one, or a view not newer than the stored view of its log;
	// registry.ErrFork when a checkpoint has the stored size and another
	// root. Stored views, charters, heard records and evidence that are
	// offered again, byte for byte, are no error.
	Write(ctx context.Context, u Update) error

	// Client returns every record about one client, in logs and heard, in any
	// order. None is not an error.
	Client(ctx context.Context, id string) ([]Row, error)

	// Clients returns the ids of clients in the store that are greater than
	// after, in ascending order, at most limit.
	Clients(ctx context.Context, after string, limit int) ([]string, error)

	// Rows returns the entries of a log from the index from up to but
	// without the index to, in order. The result is shorter where the log
	// ends. Hashes are filled.
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
	Log        string // the log that grows, when Checkpoint is set
	Before     int64  // its size before
	Rows       []Row  // its new entries, from index Before on
	Checkpoint *registry.Checkpoint
	// Own says that the log is the one that this broker writes. The store
	// remembers its head a second time, outside of the database, so that it
	// can tell when the database was set back.
	Own bool

	Heard    []Row // stops that arrived before their log entry
	Views    []View
	Charters []*registry.SignedCharter
	Evidence []Evidence
}

// Follows says whether the checkpoint of u may be stored over the head h (the
// zero Head when there is none), as Store.Write promises: the error is
// registry.ErrConflict, ErrStale or ErrFork.
func (u Update) Follows(h Head) error {
	c := u.Checkpoint
	switch {
	case c.Size < h.Size:
		return fmt.Errorf("%w: checkpoint of %s for size %d, one for size %d is stored", registry.ErrStale, c.Origin, c.Size, h.Size)
	case c.Size == h.Size && len(h.Checkpoint) > 0 && c.Root != h.Root:
		return fmt.Errorf("%w: two checkpoints of %s for size %d", registry.ErrFork, c.Origin, c.Size)
	case u.Before != h.Size:
		return fmt.Errorf("%w: the log of %s has %d entries, not %d: another process writes it", registry.ErrConflict, c.Origin, h.Size, u.Before)
	case c.Size != u.Before+int64(len(u.Rows)):
		return fmt.Errorf("%w: %d entries after %d do not make a log of size %d", registry.ErrConflict, len(u.Rows), u.Before, c.Size)
	}
	return nil
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
	Subject string // the client, the log's origin, or the federation
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
	// EvidenceCharters: two valid successors of one charter version.
	EvidenceCharters EvidenceKind = "charters"
)

// Head is the newest checkpoint of a log.
type Head struct {
	Log        string
	Size       int64
	Root       registry.Hash
	Clients    int64 // how many clients the log registers: rows whose CID is their Client
	Checkpoint []byte
}

// Snapshot is what Load returns.
type Snapshot struct {
	Charters [][]byte // by version
	Heads    []Head
	Views    []string // the views, as signed
	Stops    []Row    // every record about every client of which some record has Stops or is heard
	Brokers  []Row    // the newest broker record of each log
	Evidence []Evidence
}

// Empty reports whether nothing was ever stored.
func (s *Snapshot) Empty() bool {
	return len(s.Charters) == 0 && len(s.Heads) == 0 && len(s.Views) == 0 &&
		len(s.Stops) == 0 && len(s.Brokers) == 0 && len(s.Evidence) == 0
}

// newRow describes a record of log at index.
func newRow(log string, index int64, r *registry.Record) Row {
	return Row{
		Log: log, Index: index, CID: r.CID, Kind: r.Kind, Client: r.ClientID(), Raw: r.Raw,
		Stops: r.Revocation != nil || r.Registration != nil && r.Registration.Compromised,
	}
}
