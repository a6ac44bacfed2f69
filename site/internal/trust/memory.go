// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"

	"github.com/comity-network/comity/registry"
)

// Memory is the durable memory of a Federation.
type Memory interface {
	// Facts returns all facts of one kind, by position.
	Facts(ctx context.Context, kind string) ([]Fact, error)
	// Fact returns one; registry.ErrNotFound if there is none.
	Fact(ctx context.Context, kind, name string) (Fact, error)
	// Remember stores f durably, unless a fact of its kind and name with the
	// same or a higher position is there, and returns the one that is there
	// afterwards. Atomic.
	Remember(ctx context.Context, f Fact) (Fact, error)
	// Heard returns the stops in force at the time now: of one client, or of
	// all when client is empty.
	Heard(ctx context.Context, client string, now int64) ([]Stop, error)
	// Lift ends the stop that the record with this CID made.
	Lift(ctx context.Context, record string, now int64) error
	// Cut remembers, for what lives longer than a stop list tells of cutoffs,
	// up to which second what was issued to a client is dead; under the empty
	// name, to any client. One that is not later than the known one changes
	// nothing. Durable, atomic.
	Cut(ctx context.Context, cutoffs map[string]int64) error
	// Kill makes tokens dead for good: cutoff tells, for a client that holds
	// some, up to which second of issue; 0 for none.
	Kill(ctx context.Context, now int64, cutoff func(client string) int64) error
}

// Fact is one verified thing, with a position that never goes back.
type Fact struct {
	Kind, Name string
	Position   int64
	Value      string
}

// Kinds of facts: what name and position are.
const (
	kindHead   = "head"   // origin, size: the checkpoint
	kindFork   = "fork"   // origin and size, size: two checkpoints that exclude each other
	kindBroker = "broker" // issuer, iat: the broker record
	KindClient = "client" // client_id, seq of the registration: a knownClient; see Recall

	// These are of one federation: see Federation.kind.
	kindCharter   = "charter"   // version, version: the signed charter
	kindHandful   = "handful"   // current, charter version: issuers, one a line
	kindView      = "view"      // issuer, iat: the view
	kindList      = "stoplist"  // current, when it was certified: the text
	kindCertified = "certified" // current, when: the hash of the list

	current = "current"
)

// kind keeps what is known of one federation apart from what is known of
// another: a broker may join another one, and the site's owner pins that. What
// was learnt of the former stays, and holds again when it is pinned again.
func (f *Federation) kind(of string) string { return of + " " + f.ID }

// Stop is a stop of a client that an event told of.
type Stop struct {
	Record   string // CID of the record
	ClientID string
	Issuer   string // who signed it
	Sequence int64  // in the home broker's history; 0 from other members
	Status   registry.ClientStatus
	Reason   string
	Since    int64 // iat
	Until    int64 // when it ends by itself; 0: when it is lifted
	Cutoff   int64 // tokens issued up to this second are dead for good; 0: none
	HeardAt  int64
	// LiftAfter: a list certified at this second or later, that does not hold
	// the client, lifts the stop.
	LiftAfter int64
}
