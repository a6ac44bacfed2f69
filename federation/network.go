// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// NetworkConfig is what a Network needs. Replica and Key are required.
type NetworkConfig struct {
	Replica *Replica
	Key     ed25519.PrivateKey // the peer key, see PeerID
	// Listen are the multiaddrs to listen on, TCP and QUIC.
	Listen []string
	// Announce are the addresses that others are told, when they are not
	// those that are listened on: behind a translation of addresses, say.
	Announce []string
	// HTTP fetches the broker records of members that cannot be reached at
	// their known addresses; it must be guarded, since members choose where
	// it goes. nil: nothing is fetched.
	HTTP *http.Client
	// Datastore keeps the records of the DHT; in memory if nil.
	Datastore datastore.Batching
	Now       func() time.Time // time.Now if nil
	Log       *slog.Logger     // slog.Default if nil
	// AllowPrivate dials and announces loopback and private addresses too.
	AllowPrivate bool
	// Transport replaces the transports, TCP and QUIC, in simulations.
	Transport []libp2p.Option
}

// Network connects a replica with those of the other members. It is safe for
// concurrent use.
type Network struct {
	cfg     NetworkConfig
	replica *Replica
	now     func() time.Time
	log     *slog.Logger

	host    host.Host
	members *members
	gater   *gater
	faults  *offences
	pulls   *puller
	gossip  gossip

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu       sync.Mutex
	sessions map[peer.ID]*session
	heard    map[string]map[string]Point // heads that members acknowledged: issuer, log
	progress chan struct{}               // closed and replaced at every change
}

// Point is a place in a log: its size and the root of that many entries.
type Point struct {
	Size int64  `json:"size"`
	Root string `json:"root"` // base64url
}

// Peer is one libp2p host of a member.
type Peer struct {
	ID        string
	Issuer    string
	Connected bool // a connection is open and heads are exchanged
}

// NewNetwork makes the host and listens. Nobody is dialled before Run.
func NewNetwork(ctx context.Context, cfg NetworkConfig) (*Network, error) {
	n := &Network{
		cfg: cfg, replica: cfg.Replica, now: cfg.Now, log: cfg.Log,
		sessions: map[peer.ID]*session{}, heard: map[string]map[string]Point{}, progress: make(chan struct{}),
	}
	if n.now == nil {
		n.now = time.Now
	}
	if n.log == nil {
		n.log = slog.Default()
	}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	own, err := PeerID(cfg.Key)
	if err != nil {
		return nil, err
	}
	n.members = newMembers(cfg.Replica, own, addressPolicy{allowPrivate: cfg.AllowPrivate}, n.log)
	n.faults = newOffences(n.drop)
	n.gater = newGater(n.members, n.faults)
	n.pulls = newPuller(n)
	if n.host, err = newHost(cfg, n.gater); err != nil {
		n.cancel()
		return nil, fmt.Errorf("open the peer-to-peer host: %w", err)
	}
	n.host.Network().Notify(n.notifee())
	n.host.SetStreamHandler(headsProtocol, n.handleHeads)
	n.host.SetStreamHandler(pullProtocol, n.handlePull)
	return n, nil
}

// Run keeps the connections to the other members, publishes what is new in the
// replica and pulls what is missing from it, until ctx ends. It returns nil
// then.
func (n *Network) Run(ctx context.Context) error {
	changed, stop := n.replica.watch()
	defer stop()
	n.goes(func() { n.redial(ctx) })
	for {
		if err := n.follow(ctx); err != nil {
			n.log.Error("peer-to-peer network", "error", err)
		}
		select {
		case <-ctx.Done():
			n.leave()
			return nil
		case <-changed:
		}
	}
}

// follow takes what is new in the replica to the members.
func (n *Network) follow(ctx context.Context) error {
	if n.members.update() {
		n.enforce()
	}
	err := n.join(ctx)
	n.publish()
	n.kick()
	n.tell()
	return err
}

// goes starts work that Close waits for.
func (n *Network) goes(work func()) {
	n.working.Add(1)
	go func() {
		defer n.working.Done()
		work()
	}()
}

// Close disconnects from everybody. Run has returned, or was never called.
func (n *Network) Close() error {
	n.cancel()
	n.leave()
	err := n.host.Close()
	n.working.Wait()
	return err
}

// Addresses are the multiaddrs that this host can be reached at, as broker
// records name them.
func (n *Network) Addresses() []string {
	var all []string
	for _, a := range n.host.Addrs() {
		all = append(all, a.String())
	}
	slices.Sort(all)
	return all
}

// Peers returns the hosts of the other members.
func (n *Network) Peers() []Peer {
	peers := n.members.list()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, p := range peers {
		id, err := peer.Decode(p.ID)
		peers[i].Connected = err == nil && n.sessions[id] != nil && n.sessions[id].greeted
	}
	slices.SortFunc(peers, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.ID, b.ID))
	})
	return peers
}

// Online returns the issuers of the members, without this broker, that are
// connected now.
func (n *Network) Online() []string {
	var online []string
	for _, p := range n.Peers() {
		if p.Connected && !slices.Contains(online, p.Issuer) {
			online = append(online, p.Issuer)
		}
	}
	return online
}

// Heads returns how much of each log a member has acknowledged: it sent that
// head after it had stored all entries below. Members that are away keep what
// they acknowledged before.
func (n *Network) Heads(issuer string) map[string]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	sizes := make(map[string]int64, len(n.heard[issuer]))
	for log, p := range n.heard[issuer] {
		sizes[log] = p.Size
	}
	return sizes
}

// Acknowledged returns the issuers of the active members that have stored the
// first size entries of a log, this broker among them.
func (n *Network) Acknowledged(log string, size int64) []string {
	vector := n.replica.vector()
	var have []string
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.replica.Chain().ActiveMembers() {
		at := n.heard[m.Issuer][log].Size
		if m.Issuer == n.replica.issuer {
			at = vector.Heads[log].Size
		}
		if at >= size {
			have = append(have, m.Issuer)
		}
	}
	return have
}

// Changed returns a channel that is closed at the next change of what Peers,
// Heads and Acknowledged say.
func (n *Network) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.progress
}

// tell wakes those who wait for Changed.
func (n *Network) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.progress)
	n.progress = make(chan struct{})
}
