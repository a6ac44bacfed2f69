// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"
	"time"

	"github.com/comity-network/comity/registry"
)

// maySign says why this broker may sign nothing, or returns nil.
func (r *Replica) maySign() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.silent()
}

// silent is maySign for those who hold mu.
func (r *Replica) silent() error {
	m, _ := r.chain.Member(r.issuer)
	switch {
	case r.doubled != nil:
		return r.doubled
	case r.ahead != nil:
		return fmt.Errorf("%w: others have %d entries of the log of this broker, signed with its key, and here are %d: another process signs with this key, or this data directory was set back. Stop the other process, or restore the newest backup; nothing is signed until then",
			registry.ErrFork, r.ahead.Size, r.heads[r.log].Size)
	case r.state != nil && r.state.Brokers[r.issuer].Status == registry.BrokerForked:
		return fmt.Errorf("%w: two histories were signed with the key of this broker, which is proven and cannot be undone: stop the other process that has this key; the members must give this broker a new key",
			registry.ErrFork)
	case lastKey(m).Until != nil:
		return fmt.Errorf("%w: this broker is not a member of the federation any more: comity federation create begins one of its own, and keeps its apps", registry.ErrConflict)
	}
	return nil
}

// mayMint says why nothing may be minted however fresh the stop list is, or is
// nil.
func (r *Replica) mayMint(now time.Time) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if err := r.silent(); err != nil {
		return fmt.Errorf("%w: %w", registry.ErrStale, err)
	}
	if status := r.state.Brokers[r.issuer].Status; status != registry.BrokerActive {
		return fmt.Errorf("%w: this broker is %s", registry.ErrStale, status)
	}
	if err := r.checkClock(now); err != nil {
		return err
	}
	if lag, others := r.lag(now); lag > 0 {
		return fmt.Errorf("%w: the clock of this machine is %d s behind the clocks of %d other members: set it", registry.ErrStale, int64(lag.Seconds()), others)
	}
	return nil
}

// acceptOwn looks at the own log as others have it. What they have was signed
// here: else somebody else has the key (fault 67).
func (r *Replica) acceptOwn(ctx context.Context, p *piece, h *head) (Outcome, error) {
	if p.head.Size <= h.Size {
		return r.compare(ctx, p, h)
	}
	if r.ahead == nil || r.ahead.Size < p.head.Size {
		e := Evidence{Kind: EvidenceAhead, Subject: h.Origin, A: string(p.head.Raw)}
		if err := r.settle(ctx, &intake{Update: Update{Evidence: []Evidence{e}}}); err != nil {
			return Known, err
		}
		r.mu.Lock()
		r.ahead = p.head
		r.mu.Unlock()
		r.logger.Error("this broker stops signing", "error", r.maySign())
	}
	return Known, fmt.Errorf("%w: %w", registry.ErrConflict, r.maySign())
}

// loadAhead finds out whether a head of the own log that others had is still
// ahead of the stored one.
func (r *Replica) loadAhead(ctx context.Context, k *known) error {
	own := k.heads[r.log]
	if k.ahead == nil || k.ahead.Size > own.Size {
		return nil
	}
	root, err := r.rootAt(ctx, r.log, k.ahead.Size)
	if err == nil && root == k.ahead.Root {
		k.ahead = nil // the newer backup was restored
	}
	return err
}

// acceptOwnView looks at a view by this broker's own key. One that is newer
// than the newest that was signed here, and than this process, was signed by
// another process. Older ones, which are not remembered, tell how far the log had
// come.
func (r *Replica) acceptOwnView(ctx context.Context, v *registry.Record) (Outcome, error) {
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	h, last := r.heads[r.log], r.views[r.issuer]
	newest := r.opened
	if last != nil {
		newest = max(newest, last.IssuedAt)
	}
	if v.IssuedAt <= newest && v.View.LogSize <= h.Size {
		return Known, nil
	}
	if r.doubled == nil {
		r.mu.Lock()
		r.doubled = fmt.Errorf("%w: a view was signed with the key of this broker, at %d over %d log entries, and not here: another process has this key, or this data directory was set back. Stop the other process, or restore the newest backup; nothing is signed until then",
			registry.ErrFork, v.IssuedAt, v.View.LogSize)
		r.mu.Unlock()
		r.logger.Error("this broker stops signing", "error", r.doubled)
	}
	return Known, fmt.Errorf("%w: %w", registry.ErrConflict, r.doubled)
}
