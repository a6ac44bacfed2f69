// SPDX-License-Identifier: Apache-2.0

package federation

import "github.com/comity-network/comity/registry"

// Inbound is something that another broker handed over, whichever way it came.
// Exactly one part is set.
type Inbound struct {
	// Suffix continues a member's log.
	Suffix *Suffix
	// Heard is a revocation that stands in no log that was verified here so
	// far. It counts on its signature.
	Heard string
	// View is a member's view.
	View string
	// Charter is the next version, more signatures of a known one, or a
	// proposal that still lacks approvals.
	Charter []byte
	// Evidence is the document of a registry.Fork or of a Contradiction.
	Evidence []byte
}

// Suffix is a piece of a log, and what proves that it is one. Replica.Since
// makes it. A piece that ends before the checkpoint needs Proof; one that comes
// alone, as a new record by gossip, has no proofs and ends where its checkpoint
// does.
type Suffix struct {
	Log        string   `json:"log"`  // thumbprint of the first record key of the broker
	From       int64    `json:"from"` // log index of Raws[0]
	Raws       []string `json:"raws,omitempty"`
	Checkpoint []byte   `json:"checkpoint"` // the note

	// Base is the root of the first From entries, and BaseProof shows that
	// the log of Checkpoint begins with them. Without it a log that does not
	// continue what is held cannot be proven to be a fork.
	Base      registry.Hash   `json:"base"`
	BaseProof []registry.Hash `json:"base_proof,omitempty"`
	// Proof shows that the log of Checkpoint begins with the first
	// From + len(Raws) entries, where that is less than its size.
	Proof []registry.Hash `json:"proof,omitempty"`
}

// Outcome says what became of an Inbound.
type Outcome int

// Outcomes of Replica.Accept without an error.
const (
	// Known: nothing of it is new.
	Known Outcome = iota
	// New: it is stored and counts. It should be passed on.
	New
	// Gap: something before it is missing here. Pull from whoever sent it.
	// Stops in it that count on their signature were taken all the same.
	Gap
)

func (o Outcome) String() string {
	switch o {
	case Known:
		return "known"
	case New:
		return "new"
	}
	return "gap"
}

// News is something that is durable here since just now. Its Inbound can be
// handed to any other replica's Accept. A Suffix is as long as it came; it also
// means that the head of its log is now the one of its checkpoint.
type News struct {
	Inbound
	Own bool // this broker signed it; what others sent is false
}
