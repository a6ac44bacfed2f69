// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// presence is a node's part in what belongs to one federation, by its name: the
// topic and the DHT.
type presence struct {
	federation string
	topic      *pubsub.Topic
	leave      context.CancelFunc
}

// join enters the topic and the DHT of the federation, once that has several
// members. A broker that was admitted to another federation changes over.
func (n *Network) join() error {
	chain := n.replica.Chain()
	federation := chain.Federation()
	if len(chain.ActiveMembers()) < 2 {
		federation = ""
	}
	if n.presence.federation == federation {
		return nil
	}
	n.leave()
	if federation == "" {
		return nil
	}
	ctx, cancel := context.WithCancel(n.ctx)
	topic, err := n.subscribe(ctx, topicName(federation))
	if err != nil {
		cancel()
		return fmt.Errorf("join gossip: %w", err)
	}
	n.presence = presence{federation: federation, topic: topic, leave: cancel}
	return n.serve(ctx)
}

// serve joins the DHT, if there is a place to keep its values.
func (n *Network) serve(ctx context.Context) error {
	if n.cfg.Datastore == nil {
		return nil
	}
	d, err := NewDirectory(DirectoryConfig{
		Host: n.host, Replica: n.replica, Datastore: n.cfg.Datastore, Log: n.log,
		Member:    func(p peer.ID) bool { return n.members.has(p, "") },
		Addresses: n.members.policy.filter,
	})
	if err != nil {
		return err
	}
	n.directory.Store(d)
	n.goes(func() {
		if err := d.Run(ctx); err != nil {
			n.log.Error("DHT", "error", err)
		}
	})
	return nil
}

// leave ends all of it.
func (n *Network) leave() {
	if n.presence.leave != nil {
		n.presence.leave()
	}
	if d := n.directory.Swap(nil); d != nil {
		if err := d.Close(); err != nil {
			n.log.Warn("leave the DHT", "error", err)
		}
	}
	n.presence = presence{}
}

// filter leaves out the addresses that are not dialled.
func (p addressPolicy) filter(all []ma.Multiaddr) []ma.Multiaddr {
	var some []ma.Multiaddr
	for _, a := range all {
		if p.dials(a) == nil {
			some = append(some, a)
		}
	}
	return some
}
