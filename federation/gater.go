// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Strangers, peers of no member, may connect to read the DHT, or to say who
// they are: so many at a time, and for so long.
const (
	maxStrangers = 64
	strangerTime = 2 * time.Minute
)

// gater decides who may connect, and whom this host dials: members, at the
// addresses of their broker records, and nobody else.
type gater struct {
	members *members
	faults  *offences

	mu        sync.Mutex
	strangers map[network.Conn]time.Time // since when
}

func newGater(m *members, o *offences) *gater {
	return &gater{members: m, faults: o, strangers: map[network.Conn]time.Time{}}
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
	if g.faults.banned(p) {
		return false
	}
	if g.members.has(p, "") {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.strangers) < maxStrangers
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// connected counts the connection if it is a stranger's.
func (g *gater) connected(c network.Conn) {
	if g.members.has(c.RemotePeer(), "") {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strangers[c] = time.Now()
}

func (g *gater) disconnected(c network.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.strangers, c)
}

// outdated are the connections that were let in for something that they no
// longer are: strangers that stayed too long, strangers that turned out to be
// members and must begin anew as such, and the expelled.
func (g *gater) outdated(all []network.Conn) []network.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	var old []network.Conn
	for _, c := range all {
		since, stranger := g.strangers[c]
		member := g.members.has(c.RemotePeer(), "")
		if stranger == member || stranger && time.Since(since) > strangerTime {
			old = append(old, c)
		}
	}
	return old
}
