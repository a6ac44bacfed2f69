// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Conns is the number of open connections.
func (n *Network) Conns() int { return len(n.host.Network().Conns()) }

// Drop closes the connections of a peer.
func (n *Network) Drop(id string) error {
	p, err := peer.Decode(id)
	if err != nil {
		return err
	}
	return n.host.Network().ClosePeer(p)
}

// MayDial says whether a peer may be dialled at an address.
func (n *Network) MayDial(id string, a ma.Multiaddr) bool {
	p, err := peer.Decode(id)
	return err == nil && n.gater.InterceptPeerDial(p) && n.gater.InterceptAddrDial(p, a)
}

// Remembered is how many peers the network remembers something of.
func (n *Network) Remembered() int {
	n.shares.mu.Lock()
	defer n.shares.mu.Unlock()
	n.faults.mu.Lock()
	defer n.faults.mu.Unlock()
	return len(n.shares.peers) + len(n.faults.peers)
}

// Dials judges an address.
func Dials(allow bool, a ma.Multiaddr) error { return addressPolicy{allowPrivate: allow}.dials(a) }

// Offences is what a network counts of its peers.
type Offences struct{ *offences }

// NewOffences begins a count.
func NewOffences(drop func(peer.ID, string)) Offences { return Offences{newOffences(drop)} }

// Charge notes offences.
func (o Offences) Charge(p peer.ID, weight float64) { o.charge(p, weight, "test") }

// Banned says whether a peer is refused.
func (o Offences) Banned(p peer.ID) bool { return o.banned(p) }

// Len is how many peers are counted.
func (o Offences) Len() int { return len(o.peers) }

// Names and bounds that peers in tests go by.
const (
	MaxStrangers  = maxStrangers
	MaxMessage    = maxMessage
	PullProtocol  = pullProtocol
	HeadsProtocol = headsProtocol

	ConnectProtocol = connectProtocol
	MaxAskedPeer    = maxAskedPeer
)

// Parts that are tested by themselves.
var (
	WriteFrame         = writeFrame
	ReadFrame          = readFrame
	NewResourceManager = newResourceManager
	TopicName          = topicName
)

// Neighbours are the places in issuers of those that own connects to.
func Neighbours(own string, issuers []string, full, some int) []string {
	var all []memberPeers
	for _, issuer := range issuers {
		if issuer != own {
			all = append(all, memberPeers{issuer: issuer})
		}
	}
	var chosen []string
	for _, m := range neighbours(own, all, full, some) {
		chosen = append(chosen, m.issuer)
	}
	return chosen
}
