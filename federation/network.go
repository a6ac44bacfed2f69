// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
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
	// Datastore keeps the values of the DHT. nil: the node takes no part in it.
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
	serving *turnstile
	news    *newsQueue
	records *rate.Limiter // registrations in gossip
	shares  shares
	lost    chan struct{} // a peer is gone: look whom to dial. Capacity 1
	vector  atomic.Pointer[Vector]

	directory atomic.Pointer[Directory] // nil: not in the DHT

	// Only Run touches it, and Close after that.
	presence presence

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	working sync.WaitGroup
	closing sync.Mutex
	closed  bool // guarded by closing

	mu       sync.Mutex
	sessions map[peer.ID]*session
	heard    map[string]map[string]int64 // what members acknowledged: size by issuer and log
	progress chan struct{}               // closed and replaced at every change
}

// Peer is one libp2p host of a member.
type Peer struct {
	ID        string
	Issuer    string
	Connected bool // a connection is open, and it says what it holds
}

// NewNetwork makes the host and listens. Nobody is dialled before Run.
func NewNetwork(ctx context.Context, cfg NetworkConfig) (*Network, error) {
	n := &Network{
		cfg: cfg, replica: cfg.Replica, now: cfg.Now, log: cfg.Log,
		sessions: map[peer.ID]*session{}, heard: map[string]map[string]int64{}, progress: make(chan struct{}),
		news: newNewsQueue(), records: rate.NewLimiter(registrationsPerSecond, gossipBurst), lost: make(chan struct{}, 1),
		serving: newTurnstile(maxServed, maxServedPeer),
	}
	if n.now == nil {
		n.now = time.Now
	}
	if n.log == nil {
		n.log = slog.Default()
	}
	own, err := PeerID(cfg.Key)
	if err != nil {
		return nil, err
	}
	vector := n.replica.Vector()
	n.vector.Store(&vector)
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
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
	n.replica.Follow(n.news.add)
	return n, nil
}

// Run keeps the connections to the other members, publishes what is new in the
// replica and pulls what is missing from it, until ctx ends. It returns nil
// then.
func (n *Network) Run(ctx context.Context) error {
	n.follow(nil)
	var loops sync.WaitGroup
	loops.Go(func() { n.redial(ctx) })
	loops.Go(func() { n.refresh(ctx) })
	for {
		select {
		case <-ctx.Done():
			loops.Wait()
			return nil
		case <-n.news.kick:
			n.follow(n.news.take())
		}
	}
}

// follow takes what is new in the replica to the members.
func (n *Network) follow(news []News) {
	vector := n.replica.Vector()
	n.vector.Store(&vector)
	if n.members.update() {
		n.enforce()
		wake(n.lost)
	}
	if err := n.join(); err != nil {
		n.log.Error("peer-to-peer network", "error", err)
	}
	n.publish(news)
	n.kick()
	n.tell()
}

// enter begins work that Close waits for, unless Close was called. It ends with
// working.Done.
func (n *Network) enter() bool {
	n.closing.Lock()
	defer n.closing.Unlock()
	if n.closed {
		return false
	}
	n.working.Add(1)
	return true
}

// goes starts work that Close waits for.
func (n *Network) goes(work func()) {
	if !n.enter() {
		return
	}
	go func() {
		defer n.working.Done()
		work()
	}()
}

// Close disconnects from everybody. Run has returned, or was never called.
func (n *Network) Close() error {
	n.closing.Lock()
	n.closed = true
	n.closing.Unlock()
	n.cancel()
	err := n.host.Close()
	n.leave()
	n.working.Wait()
	return err
}

// Addresses are the multiaddrs that this host can be reached at, as broker
// records name them.
func (n *Network) Addresses() []string {
	all := []string{}
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
		peers[i].Connected = err == nil && n.sessions[id] != nil && n.sessions[id].online()
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
	maps.Copy(sizes, n.heard[issuer])
	return sizes
}

// Acknowledged returns the issuers of the active members that have stored the
// first size entries of a log, this broker among them.
func (n *Network) Acknowledged(log string, size int64) []string {
	own := n.replica.Vector()
	var have []string
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.replica.Chain().ActiveMembers() {
		at := n.heard[m.Issuer][log]
		if m.Issuer == n.replica.issuer {
			at = own.Logs[log].Size
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
	n.changed()
}

// changed is tell; mu is held.
func (n *Network) changed() {
	close(n.progress)
	n.progress = make(chan struct{})
}
