// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
)

// Since returns the entries of a log from the index from on, as many as fit in
// maxBytes but at least one where there is one, with checkpoint and proofs. At
// the end of the log it has the checkpoint alone. The error is
// registry.ErrNotFound when no head of the log was verified, or when it does
// not reach from.
func (r *Replica) Since(ctx context.Context, log string, from int64, maxBytes int) (*Suffix, error) {
	return nil, errors.ErrUnsupported
}

// HeardStops returns the stops that stand in no verified log so far.
func (r *Replica) HeardStops() []string { return nil }

// EvidenceDocuments returns all evidence, as Accept takes it.
func (r *Replica) EvidenceDocuments() [][]byte { return nil }

// Charters returns the charters from that version on, the oldest first, then a
// rival of one of them if there is one, then all proposals.
func (r *Replica) Charters(from int64) [][]byte { return nil }
