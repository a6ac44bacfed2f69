// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxGossip   = 64 << 10
	gossipQueue = 1024
	// gossipBurst is how many records one after the other are worth gossip;
	// more are pulled.
	gossipBurst = 64
)

// topicName is where the members of a federation gossip.
func topicName(federation string) string { return "/comity/" + federation + "/1" }

func (n *Network) subscribe(ctx context.Context, name string) (*pubsub.Topic, error) {
	ps, err := pubsub.NewGossipSub(ctx, n.host, n.gossipOptions(name)...)
	if err != nil {
		return nil, err
	}
	if err := ps.RegisterTopicValidator(name, n.validate, pubsub.WithValidatorConcurrency(gossipQueue)); err != nil {
		return nil, err
	}
	topic, err := ps.Join(name)
	if err != nil {
		return nil, err
	}
	// The validator has done all that is to be done; a topic that nobody
	// reads has no mesh.
	subscription, err := topic.Subscribe(pubsub.WithBufferSize(gossipQueue))
	if err != nil {
		return nil, err
	}
	n.goes(func() {
		for {
			if _, err := subscription.Next(ctx); err != nil {
				return
			}
		}
	})
	return topic, nil
}

// gossipOptions are measured: with the defaults a message takes two and a half
// times as long to the last of 50 members, and queues of 32 drop what is
// published in one go.
func (n *Network) gossipOptions(topic string) []pubsub.Option {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dlazy, p.Dout, p.Dscore = 12, 10, 24, 12, 4, 8
	p.HeartbeatInterval = 300 * time.Millisecond
	return []pubsub.Option{
		pubsub.WithGossipSubParams(p),
		pubsub.WithFloodPublish(true),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(maxGossip),
		pubsub.WithPeerOutboundQueueSize(gossipQueue),
		pubsub.WithValidateQueueSize(gossipQueue),
		pubsub.WithBlacklist(strangers{n}),
		pubsub.WithPeerFilter(func(p peer.ID, _ string) bool { return n.members.has(p, "") }),
		pubsub.WithSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(topic)),
		pubsub.WithAppSpecificRpcInspector(n.inspect),
		pubsub.WithPeerScore(scoring(topic)),
		pubsub.WithRawTracer(&gossipTracer{n}),
	}
}

// messageID names a message by what it says, whoever says it.
func messageID(m *pb.Message) string {
	sum := sha256.Sum256(m.GetData())
	return string(sum[:])
}

// scoring is the penalty for invalid messages alone. The topic is quiet, so
// that counting deliveries would punish everybody.
func scoring(topic string) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	params := &pubsub.PeerScoreParams{
		SkipAtomicValidation: true,
		Topics: map[string]*pubsub.TopicScoreParams{topic: {
			SkipAtomicValidation: true, TopicWeight: 1, TimeInMeshQuantum: time.Second, // a divisor
			InvalidMessageDeliveriesWeight: -1, InvalidMessageDeliveriesDecay: 0.9,
		}},
		DecayInterval: time.Second, DecayToZero: 0.1, RetainScore: maxBan,
	}
	return params, &pubsub.PeerScoreThresholds{GossipThreshold: -100, PublishThreshold: -200, GraylistThreshold: -2 * tolerance * tolerance}
}

// strangers is the blacklist: everybody but members that behave. Nobody is put
// on it, so that who becomes a member is off it.
type strangers struct{ *Network }

// Add implements pubsub.Blacklist.
func (s strangers) Add(peer.ID) bool { return false }

// Contains implements pubsub.Blacklist.
func (s strangers) Contains(p peer.ID) bool {
	return p != s.host.ID() && (!s.members.has(p, "") || s.faults.banned(p))
}

// validate judges a message before it is passed on: replica.Accept does.
func (n *Network) validate(ctx context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if from == n.host.ID() {
		return pubsub.ValidationAccept
	}
	if !n.enter() {
		return pubsub.ValidationIgnore
	}
	defer n.working.Done()
	in, err := decodeMessage(m.GetData())
	if errors.Is(err, errUnknownKind) {
		return pubsub.ValidationIgnore
	}
	if err != nil {
		return n.reject(from, err)
	}
	outcome, err := n.accept(ctx, in)
	switch {
	case err != nil && wrong(err) && !n.newerCharter(from):
		return n.reject(from, err)
	case err != nil:
		n.log.Warn("gossip was not taken", "peer", from, "error", err)
	case outcome == New:
		return pubsub.ValidationAccept
	}
	return pubsub.ValidationIgnore
}

func (n *Network) reject(from peer.ID, err error) pubsub.ValidationResult {
	n.log.Info("gossip rejected", "peer", from, "error", err)
	return pubsub.ValidationReject
}

// newerCharter says whether a peer goes by a charter that is not known here
// yet, and may know keys that are not.
func (n *Network) newerCharter(p peer.ID) bool {
	own := n.replica.Chain().Latest().Version
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sessions[p]
	return s != nil && s.holds.Charter.Version > own
}
