// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"errors"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"
)

// What one peer may send by gossip: 1,000 members sign 33 views a second, of
// which a peer passes on each once.
const (
	rpcsPerSecond = 200
	rpcBurst      = 2000
	// maxUnsent is how many messages a peer may be too slow for.
	maxUnsent = 64
)

var errFlood = errors.New("too much gossip")

// inspect drops what a peer sends beyond its share, before anything is verified,
// and whoever has nothing to say here: of those nothing is remembered, since
// peer IDs cost nothing.
func (n *Network) inspect(from peer.ID, rpc *pubsub.RPC) error {
	if (strangers{n}).Contains(from) {
		// pubsub waits for nobody, and so this must not wait for the host.
		n.goes(func() { _ = n.host.Network().ClosePeer(from) })
		return errFlood
	}
	if n.shares.allow(from, cost(rpc)) {
		return nil
	}
	n.faults.charge(from, 1, errFlood.Error())
	return errFlood
}

// cost of an RPC: its messages, and the message IDs that it makes us look up.
func cost(rpc *pubsub.RPC) int {
	control := rpc.GetControl()
	ids := 0
	for _, have := range control.GetIhave() {
		ids += len(have.GetMessageIDs())
	}
	for _, want := range control.GetIwant() {
		ids += len(want.GetMessageIDs())
	}
	for _, not := range control.GetIdontwant() {
		ids += len(not.GetMessageIDs())
	}
	return 1 + len(rpc.GetPublish()) + len(rpc.GetSubscriptions()) + len(control.GetGraft()) + len(control.GetPrune()) + ids/16
}

// shares are the token buckets of the peers.
type shares struct {
	mu    sync.Mutex
	peers map[peer.ID]*rate.Limiter
}

func (s *shares) allow(p peer.ID, cost int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.peers[p]
	if l == nil {
		if s.peers == nil {
			s.peers = map[peer.ID]*rate.Limiter{}
		}
		l = rate.NewLimiter(rpcsPerSecond, rpcBurst)
		s.peers[p] = l
	}
	return l.AllowN(time.Now(), min(cost, rpcBurst))
}

func (s *shares) forget(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.peers[p]; l != nil && l.Tokens() >= rpcBurst {
		delete(s.peers, p)
	}
}

// gossipTracer hears from pubsub what peers did wrong.
type gossipTracer struct{ *Network }

var _ pubsub.RawTracer = (*gossipTracer)(nil)

// RejectMessage implements pubsub.RawTracer: an honest peer passes on nothing
// that it did not verify.
func (t *gossipTracer) RejectMessage(m *pubsub.Message, reason string) {
	switch reason {
	case pubsub.RejectValidationFailed, pubsub.RejectInvalidSignature, pubsub.RejectMissingSignature,
		pubsub.RejectUnexpectedSignature, pubsub.RejectUnexpectedAuthInfo:
		t.faults.charge(m.ReceivedFrom, 1, "gossip: "+reason)
	}
}

// DropRPC implements pubsub.RawTracer. The queue of a peer is full, or there is
// none since it did not read for 30 s (fault 62). That is no offence, but it is
// better off without this connection: on the next it pulls what it missed.
func (t *gossipTracer) DropRPC(_ *pubsub.RPC, p peer.ID) {
	t.mu.Lock()
	s := t.sessions[p]
	slow := s != nil && s.unsent == maxUnsent
	if s != nil {
		s.unsent++
	}
	t.mu.Unlock()
	if slow {
		t.goes(func() { t.drop(p, "it does not read what it is sent") })
	}
}

// The rest of pubsub.RawTracer is of no interest.

func (t *gossipTracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (t *gossipTracer) OnClosedOutboundStream(peer.ID)           {}
func (t *gossipTracer) Join(string)                              {}
func (t *gossipTracer) Leave(string)                             {}
func (t *gossipTracer) Graft(peer.ID, string)                    {}
func (t *gossipTracer) Prune(peer.ID, string)                    {}
func (t *gossipTracer) ValidateMessage(*pubsub.Message)          {}
func (t *gossipTracer) DeliverMessage(*pubsub.Message)           {}
func (t *gossipTracer) DuplicateMessage(*pubsub.Message)         {}
func (t *gossipTracer) ThrottlePeer(peer.ID)                     {}
func (t *gossipTracer) RecvRPC(*pubsub.RPC)                      {}
func (t *gossipTracer) SendRPC(*pubsub.RPC, peer.ID)             {}
func (t *gossipTracer) UndeliverableMessage(*pubsub.Message)     {}
