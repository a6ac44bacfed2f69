// SPDX-License-Identifier: Apache-2.0

// Package membership is how a broker comes into a federation, how members
// approve that together, and how a membership ends (docs/spec/membership.md).
//
// A membership is a line of the charter, and nothing else: everything here
// ends in a charter that enough members have signed, or in nothing.
//
//	applicant                            member                        operator of the member
//	POST /federation/requests  ────────▶ request, waiting
//	  its broker record                                       ◀──────  comity federation approve ID
//	                           ◀──────── GET <issuer>/federation/brokers/<key>: the same key?
//	                                     charter n+1, signed  ───────▶ other members, by gossip
//	GET …/requests/ID          ────────▶ proposed, charter
//	POST …/requests/ID         ────────▶ the applicant's signature
//	GET …/requests/ID          ────────▶ admitted
//	charters 1 … n+1, then the logs
//
// # What it promises
//
// A request is durable when it was answered with 202. There are at most
// MaxRequests, one for each issuer, and each ends after RequestLife; those of
// hosts that do not answer for themselves fill no more than half of it. Nobody is
// admitted whose issuer URL does not itself hand out a broker record with the
// key that asks. A member signs one successor of each charter version, because
// two valid successors freeze a federation; approvals that come meanwhile wait
// for their turn.
//
// # Whom it trusts
//
// Its operator. Of an applicant it takes a signed broker record that was made
// within the last RecordAge, so that a record from a public log is no request.
// What an applicant reads from the member that it asks is checked from the
// first charter on; the federation's id is pinned at the first contact.
package membership

import (
	"context"
	"time"
)

// Bounds of requests.
const (
	MaxRequests    = 100                // that wait at one member
	MaxUnconfirmed = 50                 // beyond which a request is only taken when its issuer's URL confirms it
	RequestLife    = 7 * 24 * time.Hour // after which a request is forgotten
	RecordAge      = 10 * time.Minute   // of the broker record in a new request
	maxReason      = 200                // bytes of a refusal's reason
)

// State is where a request stands.
type State string

// States of a request. Only the first three are stored: the others follow from
// the charters.
const (
	Waiting  State = "waiting"  // for an operator
	Approved State = "approved" // by this broker's operator; its turn comes when no other charter is pending
	Refused  State = "refused"
	Proposed State = "proposed" // a charter that admits it has signatures, and needs more
	Admitted State = "admitted"
)

// Request is one broker's wish to become a member.
type Request struct {
	ID         string // CID of Record
	Issuer     string
	Key        string // thumbprint of its record key
	Record     string // the signed broker record
	ReceivedAt int64
	ExpiresAt  int64
	State      State
	Reason     string // of a refusal
}

// Store keeps requests and what this broker has signed. node/store implements
// it; every method that returned nil is durable.
type Store interface {
	// AddRequest stores r. A request of the same issuer and key is replaced,
	// and its state stays. When another key of that issuer has a request, it
	// is replaced where confirmed says that r has the right one, and otherwise
	// the error is registry.ErrConflict. registry.ErrLimit: there are max
	// others. Requests that were refused, or have expired at now, do not count.
	AddRequest(ctx context.Context, r Request, now int64, max int, confirmed bool) error
	// Request returns a request that has not expired; registry.ErrNotFound.
	Request(ctx context.Context, id string, now int64) (Request, error)
	// Requests returns all that have not expired, the oldest first.
	Requests(ctx context.Context, now int64) ([]Request, error)
	// DecideRequest sets the state of a request; registry.ErrNotFound.
	DecideRequest(ctx context.Context, id string, state State, reason string) error
}
