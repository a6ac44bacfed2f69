// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
)

// Accept is the one way in for everything that others signed. It returns when
// what was new is durable, and after OnChange and the followers were told. The
// errors tell whose fault it is:
//
//   - registry.ErrForm, ErrSignature, ErrLimit: the peer should not have sent
//     it, whoever made it. Nothing was stored.
//   - registry.ErrStale: it is older than what is held, or its time is more
//     than 10 s ahead of this clock. Ignore it.
//   - registry.ErrFork: it proves that a broker signed two histories. The proof
//     is stored, told to the followers, and counts.
//   - registry.ErrConflict: a second valid successor of a charter, kept as
//     evidence; or the own log as another process continued it, after which
//     this replica signs nothing any more.
//   - registry.ErrNotFound: it is of nobody and nothing that is known here.
//   - any other error is of the store; it may be tried again.
func (r *Replica) Accept(ctx context.Context, in Inbound) (Outcome, error) {
	return Known, errors.ErrUnsupported
}

// Follow registers f to be told of all that becomes durable here, by Accept and
// by this broker's own hand, in order. f is called under a lock: it must not
// block, and must not call what writes (Accept, Append, Propose, Approve,
// Adopt); it may read.
func (r *Replica) Follow(f func(News)) {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.followers = append(r.followers, f)
}
