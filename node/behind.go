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
	// How long members beyond a quorum are waited for: those that are not
	// connected, and those that are, and have more than is here.
	meetWait    = 2 * time.Second
	catchUpWait = 5 * time.Second
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
// be older than a stop that their authors have on their disks by now. So it
// first holds all that the connected members hold: of as many as make a quorum
// with it in any case, and of the others for a moment, since one that is down,
// or claims more than there is, must not stop everybody.
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
	level, ahead, err := n.network.Compare()
	if err != nil {
		return fmt.Errorf("%w: catching up: %w", registry.ErrStale, err)
	}
	chain, waited := n.replica.Chain(), now.Sub(b.waited)
	need, others := chain.ViewQuorum()-1, len(chain.ActiveMembers())-1
	switch {
	case len(level) < need,
		len(level)+len(ahead) < others && waited < meetWait,
		len(ahead) > 0 && waited < catchUpWait:
		err := fmt.Errorf("%w: catching up: all that %d of %d other members hold is here, %d needed", registry.ErrStale, len(level), others, need)
		if len(ahead) > 0 {
			err = fmt.Errorf("%w; ahead are: %s", err, strings.Join(ahead, ", "))
		}
		return err
	}
	b.done = true
	return nil
}
