// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// session is what goes on with one connected peer of a member.
type session struct {
	peer   peer.ID
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	kick   chan struct{} // something changed here: tell the peer. Capacity 1
	whole  chan struct{} // tell the peer everything. Capacity 1
	errand chan struct{} // look what the peer has that we lack. Capacity 1

	// What follows is guarded by Network.mu.
	issuer  string
	greeted bool           // the peer has said what it holds
	stream  network.Stream // on which it did
	last    time.Time      // when it last said something
	silence *time.Timer    // tells when that is long ago
	holds   Vector
	rested  string               // the Rest of which all was taken
	views   map[string]int64     // times of views that it holds
	urgent  bool                 // do not wait for gossip to bring what is missing
	bad     map[string]time.Time // logs that it should not be asked for until then
	unsent  int                  // gossip that it did not read in time
	blocked bool                 // something that it has is being pulled from another peer
}

// begin starts over with what a peer says in its first frame.
func (s *session) begin(issuer string, stream network.Stream) {
	if s.stream != nil {
		_ = s.stream.Reset()
	}
	s.issuer, s.stream, s.greeted = issuer, stream, true
	s.holds, s.views, s.urgent = Vector{}, nil, true
}

// online: the peer has said what it holds, and still speaks.
func (s *session) online() bool { return s.greeted && time.Since(s.last) < headsSilence }

// study has a frame looked at.
func (s *session) study(f headsFrame, first bool) {
	if f.Views != nil {
		s.views = f.Views
		s.urgent = true
	}
	if first || !f.empty() {
		wake(s.errand)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait returns when there is something to tell, not before the pause has passed,
// and whether it is everything. The error is that of the session that ended.
func (s *session) wait(atMost, pause time.Duration) (whole bool, err error) {
	if err := sleep(s.ctx, pause); err != nil {
		return false, err
	}
	timer := time.NewTimer(max(0, atMost-pause))
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return false, s.ctx.Err()
	case <-s.whole:
		return true, nil
	case <-s.kick:
	case <-timer.C:
	}
	return false, nil
}

// sleep waits, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// jittered is between half of d and d.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// notifee follows the connections of the host.
func (n *Network) notifee() network.Notifiee {
	return &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			n.gater.connected(c)
			if n.members.has(c.RemotePeer(), "") {
				n.open(c.RemotePeer())
			}
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			n.gater.disconnected(c)
			n.end(c.RemotePeer())
		},
	}
}

// open begins a session with a peer unless there is one.
func (n *Network) open(p peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sessions[p] != nil || n.ctx.Err() != nil {
		return
	}
	s := &session{
		peer: p, kick: make(chan struct{}, 1), whole: make(chan struct{}, 1), errand: make(chan struct{}, 1),
		bad: map[string]time.Time{}, silence: time.AfterFunc(headsSilence, n.tell),
	}
	s.ctx, s.cancel = context.WithCancel(n.ctx)
	n.sessions[p] = s
	n.goes(func() { n.speaking(s) })
	n.goes(func() { n.errands(s) })
}

// speaking speaks again when a stream broke and the connection did not.
func (n *Network) speaking(s *session) {
	for s.ctx.Err() == nil {
		if err := n.speak(s.ctx, s); err != nil && s.ctx.Err() == nil {
			n.log.Debug("cannot tell heads to a peer", "peer", s.peer, "error", err)
		}
		_ = sleep(s.ctx, jittered(speakAgain))
	}
}

// end ends the session with a peer unless another connection is open.
func (n *Network) end(p peer.ID) {
	n.mu.Lock()
	s := n.sessions[p]
	if s != nil && n.host.Network().Connectedness(p) != network.Connected {
		delete(n.sessions, p)
		s.cancel()
		n.shares.forget(p)
		n.changed()
	}
	n.mu.Unlock()
	wake(n.lost)
}

// kick has every peer told of what changed here.
func (n *Network) kick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		wake(s.kick)
	}
}

// refresh sends everything to one peer every now and then: whatever went wrong
// between any two members is found within a few rounds.
func (n *Network) refresh(ctx context.Context) {
	for sleep(ctx, jittered(wholeEvery)) == nil {
		n.enforce()
		n.mu.Lock()
		all := make([]*session, 0, len(n.sessions))
		for _, s := range n.sessions {
			all = append(all, s)
		}
		n.mu.Unlock()
		if len(all) > 0 {
			wake(all[rand.IntN(len(all))].whole)
		}
	}
}

// enforce closes the connections that the charter does not allow any more.
func (n *Network) enforce() {
	for _, c := range n.gater.outdated(n.host.Network().Conns()) {
		n.log.Info("connection closed", "peer", c.RemotePeer(), "member", n.members.has(c.RemotePeer(), ""))
		_ = c.Close()
	}
	if d := n.directory.Load(); d != nil {
		d.Enforce()
	}
}

// drop closes the connections of a peer that did what no honest one does.
func (n *Network) drop(p peer.ID, why string) {
	n.log.Warn("peer dropped", "peer", p, "issuers", n.members.issuers(p), "reason", why)
	_ = n.host.Network().ClosePeer(p)
}
