// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/registry"
)

const (
	// staleEvery is how often it is looked whether this broker is stale.
	staleEvery = 250 * time.Millisecond
	// catchUpWait bounds the wait for members beyond a quorum.
	catchUpWait = 2 * time.Second
)

// watchFreshness notices when this broker becomes stale, though nobody may ask.
func (n *Node) watchFreshness(ctx context.Context) error {
	tick := time.NewTicker(staleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.fresh()
		}
	}
}

// backlog remembers that this broker was stale, or down, and has yet to catch
// up. The zero value says that it has not.
type backlog struct {
	mu     sync.Mutex
	done   bool
	waited time.Time // since when a quorum confirms the stop list again
}

func (b *backlog) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done, b.waited = false, time.Time{}
}

// caughtUp returns nil when this broker, which was down or cut off before, may
// act on the stop list that a quorum has confirmed. The views that did so may
// be a second older than a stop that their authors have on their disks by now.
// So it first holds all that the connected members hold: of as many as make a
// quorum with it in any case, and of the others for catchUpWait, since one that
// claims more than there is must not stop everybody.
func (n *Node) caughtUp() error {
	b := &n.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return nil
	}
	now := time.Now()
	if b.waited.IsZero() {
		b.waited = now
	}
	need, have := n.replica.Chain().ViewQuorum()-1, 0
	var missing []string
	for _, issuer := range n.network.Online() {
		switch {
		case n.replica.BrokerStatus(issuer) != registry.BrokerActive:
		case n.covers(issuer):
			have++
		default:
			missing = append(missing, issuer)
		}
	}
	if have < need || len(missing) > 0 && now.Sub(b.waited) < catchUpWait {
		return fmt.Errorf("%w: catching up: all records of %d other members are here, %d needed; behind %s",
			registry.ErrStale, have, need, strings.Join(missing, ", "))
	}
	b.done = true
	return nil
}

// covers reports whether this replica holds all that a member has said that it
// holds.
func (n *Node) covers(issuer string) bool {
	own, heads := n.replica.Vector().Logs, n.network.Heads(issuer)
	for log, size := range heads {
		if own[log].Size < size {
			return false
		}
	}
	return len(heads) > 0
}
