// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// tolerance is how many offences a peer may commit before it is dropped;
	// one is forgiven every forgiveEvery.
	tolerance    = 20
	forgiveEvery = time.Second
	// A dropped peer is refused for a minute, and for twice as long each time
	// it comes back to offend, up to maxBan: a member that was repaired must
	// not be kept out.
	minBan = time.Minute
	maxBan = 10 * time.Minute
)

// offences counts what peers did that no honest one does: signatures that do
// not verify, frames that are no frames, floods. Only members are counted: who
// is nobody comes back under another name.
type offences struct {
	drop func(peer.ID, string)

	mu    sync.Mutex
	peers map[peer.ID]*offender
}

type offender struct {
	count float64
	last  time.Time // of the count
	until time.Time // banned
	ban   time.Duration
}

func newOffences(drop func(peer.ID, string)) *offences {
	return &offences{drop: drop, peers: map[peer.ID]*offender{}}
}

// charge notes offences of a peer, and drops it when there are too many.
func (o *offences) charge(p peer.ID, weight float64, why string) {
	now := time.Now()
	o.mu.Lock()
	o.forget(now)
	f := o.peers[p]
	if f == nil {
		f = &offender{last: now}
		o.peers[p] = f
	}
	f.count = max(0, f.count-float64(now.Sub(f.last))/float64(forgiveEvery)) + weight
	if now.Sub(f.last) > 2*maxBan {
		f.ban = 0
	}
	f.last = now
	drop := f.count > tolerance && now.After(f.until)
	if drop {
		f.ban = min(max(minBan, 2*f.ban), maxBan)
		f.until = now.Add(f.ban)
		f.count = 0
	}
	o.mu.Unlock()
	if drop {
		o.drop(p, why)
	}
}

func (o *offences) banned(p peer.ID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.peers[p]
	return f != nil && time.Now().Before(f.until)
}

// forget drops old offenders when there are many; mu is held.
func (o *offences) forget(now time.Time) {
	if len(o.peers) < 4096 {
		return
	}
	for p, f := range o.peers {
		if now.Sub(f.last) > maxBan && now.After(f.until) {
			delete(o.peers, p)
		}
	}
}
