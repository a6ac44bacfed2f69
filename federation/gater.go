// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// maxStrangers is how many peers of no member may be connected at a time, to
// read the DHT or to say who they are.
const maxStrangers = 64

// gater decides who may connect, and whom this host dials: members, at the
// addresses of their broker records, and nobody else.
type gater struct {
	members *members
	faults  *offences

	mu        sync.Mutex
	strangers map[peer.ID]int // connections of each
}

func newGater(m *members, o *offences) *gater {
	return &gater{members: m, faults: o, strangers: map[peer.ID]int{}}
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.members.has(p, "") && !g.faults.banned(p) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool { return g.members.dials(p, a) }

// InterceptAccept implements connmgr.ConnectionGater. Nobody has said yet who
// it is; the resource manager counts.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	if g.faults.banned(p) || g.members.expelled(p) {
		return false
	}
	if g.members.has(p, "") {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.strangers) < maxStrangers && g.strangers[p] < 2
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// connected counts a connection of a stranger; disconnected takes it back.
func (g *gater) connected(p peer.ID) {
	if g.members.has(p, "") {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strangers[p]++
}

func (g *gater) disconnected(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strangers[p]--; g.strangers[p] <= 0 {
		delete(g.strangers, p)
	}
}
