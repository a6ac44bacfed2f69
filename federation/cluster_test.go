// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// cluster is a federation of brokers of which each has a replica and, while it
// runs, a network.
type cluster struct {
	t     testing.TB
	now   func() time.Time
	nodes []*clusterNode
	// configure completes the configuration of a network.
	configure func(*clusterNode, *federation.NetworkConfig)
	logged    tally
}

type clusterNode struct {
	*federation.Replica
	*federation.Network
	c       *cluster
	i       int
	issuer  string
	key     registry.SigningKey
	peerKey ed25519.PrivateKey
	peerID  string
	store   federation.Store
	stop    func()
}

// newCluster makes the keys and the charter of n brokers, and opens their
// replicas. Nothing is connected yet.
func newCluster(t testing.TB, n int, now func() time.Time) *cluster {
	var issuers []string
	for i := range n {
		issuers = append(issuers, fmt.Sprintf("https://b%d.example", i))
	}
	return newClusterOf(t, now, issuers...)
}

func newClusterOf(t testing.TB, now func() time.Time, issuers ...string) *cluster {
	c := &cluster{t: t, now: now}
	for _, issuer := range issuers {
		c.add(issuer)
	}
	n := len(issuers)
	charter := c.charter(n)
	for _, node := range c.nodes {
		node.found(charter)
		node.openReplica()
	}
	return c
}

// add makes the keys of one more broker.
func (c *cluster) add(issuer string) *clusterNode {
	_, peerKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	id, err := federation.PeerID(peerKey)
	if err != nil {
		c.t.Fatal(err)
	}
	n := &clusterNode{
		c: c, i: len(c.nodes), issuer: issuer, key: registry.GenerateSigningKey(),
		peerKey: peerKey, peerID: id, store: new(memstore.Store),
	}
	c.nodes = append(c.nodes, n)
	return n
}

// charter names the first n brokers.
func (c *cluster) charter(n int) *registry.SignedCharter {
	body := federation.DefaultCharter()
	body.Version, body.IssuedAt = 1, c.now().Unix()
	var keys []registry.SigningKey
	for _, node := range c.nodes[:n] {
		body.Members = append(body.Members, node.member())
		keys = append(keys, node.key)
	}
	charter, err := registry.NewCharter(body, keys...)
	if err != nil {
		c.t.Fatal(err)
	}
	return charter
}

func (n *clusterNode) member() registry.Member {
	return registry.Member{Issuer: n.issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: n.key.JWK()}}}
}

// found stores the charter and the head of the empty log.
func (n *clusterNode) found(charter *registry.SignedCharter) {
	own, err := registry.SignCheckpoint(n.key, registry.Origin(n.issuer), 0, registry.EmptyRoot())
	if err != nil {
		n.c.t.Fatal(err)
	}
	update := federation.Update{Log: n.key.ID(), Own: true, Checkpoint: own, Charters: []*registry.SignedCharter{charter}}
	if err := n.store.Write(n.c.t.Context(), update); err != nil {
		n.c.t.Fatal(err)
	}
}

func (n *clusterNode) openReplica() {
	r, err := federation.Open(n.c.t.Context(), federation.Config{
		Store: n.store, Key: n.key, Issuer: n.issuer, Now: n.c.now, Log: n.logger(),
	})
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.Replica = r
}

// logger is silent, unless COMITY_LOG says otherwise; messages are counted.
func (n *clusterNode) logger() *slog.Logger {
	log := slog.New(&n.c.logged)
	if os.Getenv("COMITY_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return log.With("node", n.i)
}

// tally counts log messages.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) Enabled(context.Context, slog.Level) bool { return true }

func (t *tally) Handle(_ context.Context, r slog.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[r.Message]++
	return nil
}

func (t *tally) WithAttrs([]slog.Attr) slog.Handler { return t }
func (t *tally) WithGroup(string) slog.Handler      { return t }

func (t *tally) count(message string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[message]
}

// announce appends the node's broker record, with these addresses.
func (n *clusterNode) announce(addresses []string) {
	_, token, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.append(federation.Draft{Broker: &registry.Broker{
		Organisation: fmt.Sprintf("Broker %d", n.i),
		Endpoints:    map[string]string{"token_endpoint": n.issuer + "/oauth/token"},
		TokenKeys:    []registry.JWK{registry.NewJWK(token.Public().(ed25519.PublicKey))},
		Peers:        []registry.Peer{{ID: n.peerID, Addresses: addresses}},
	}})
}

func (n *clusterNode) append(d federation.Draft) *registry.Record {
	n.c.t.Helper()
	record, _, err := n.Append(n.c.t.Context(), d)
	if err != nil {
		n.c.t.Fatal(err)
	}
	return record
}

func (n *clusterNode) register(name string) string {
	n.c.t.Helper()
	return n.append(federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata(name)}}).CID
}

func (n *clusterNode) revoke(id string) {
	n.c.t.Helper()
	n.append(revocation(id, registry.Revoke))
}

// listen opens the network of a node and brings its broker record up to date.
func (n *clusterNode) listen() {
	n.c.t.Helper()
	config := federation.NetworkConfig{Replica: n.Replica, Key: n.peerKey, Now: n.c.now, Log: n.logger()}
	n.c.configure(n, &config)
	network, err := federation.NewNetwork(n.c.t.Context(), config)
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.Network = network
	record, err := n.BrokerRecord(n.c.t.Context(), n.key.ID())
	if addresses := network.Addresses(); err != nil || !slices.Equal(record.Broker.Peers[0].Addresses, addresses) {
		n.announce(addresses)
	}
}

// run runs the replica and the network until stop is called.
func (n *clusterNode) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.check(n.Replica.Run(ctx)) })
	running.Go(func() { n.check(n.Network.Run(ctx)) })
	n.stop = func() {
		cancel()
		running.Wait()
		n.check(n.Network.Close())
		n.stop = func() {}
	}
}

func (n *clusterNode) check(err error) {
	if err != nil {
		n.c.t.Errorf("node %d: %v", n.i, err)
	}
}

// restart opens a node that was stopped again, on its store.
func (n *clusterNode) restart() {
	n.openReplica()
	n.listen()
	n.run()
}

// introduce tells every one of these nodes where all are, as if they had met
// before.
func introduce(t testing.TB, nodes ...*clusterNode) {
	for _, from := range nodes {
		for _, to := range nodes {
			if to != from {
				hand(t, from, to)
			}
		}
	}
}

// hand gives the log of one node to another.
func hand(t testing.TB, from, to *clusterNode) {
	t.Helper()
	suffix, err := from.Since(t.Context(), from.key.ID(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Accept(t.Context(), federation.Inbound{Suffix: suffix}); err != nil {
		t.Fatal(err)
	}
}

// start runs all nodes, which know each other, until the test ends.
func (c *cluster) start() {
	for _, n := range c.nodes {
		n.listen()
	}
	introduce(c.t, c.nodes...)
	for _, n := range c.nodes {
		n.run()
	}
	c.t.Cleanup(c.close)
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		if n.stop != nil {
			n.stop()
		}
	}
}

// until waits for a condition, and returns how long that took.
func (c *cluster) until(most time.Duration, what string, condition func() bool) time.Duration {
	c.t.Helper()
	start := time.Now()
	for !condition() {
		if time.Since(start) > most {
			c.t.Fatalf("not after %v: %s", most, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// meshed: every one of these nodes is connected to all others of them.
func meshed(nodes []*clusterNode) bool { return apart(nodes) == 0 }

// apart counts the nodes of these that others of them take for offline, once
// for each that does.
func apart(nodes []*clusterNode) (count int) {
	for _, n := range nodes {
		online := n.Online()
		for _, other := range nodes {
			if other != n && !slices.Contains(online, other.issuer) {
				count++
			}
		}
	}
	return count
}

// same: all of these nodes hold the same, and it is whole.
func same(nodes []*clusterNode) bool {
	first := nodes[0].Vector()
	for _, n := range nodes {
		v := n.Vector()
		if v.Charter != first.Charter || v.Rest != first.Rest || n.StopList().Hash() != nodes[0].StopList().Hash() {
			return false
		}
		for _, other := range nodes {
			log := other.key.ID()
			if v.Logs[log] != first.Logs[log] {
				return false
			}
		}
	}
	for _, n := range nodes {
		if log := n.key.ID(); first.Logs[log] != n.Vector().Logs[log] || first.Logs[log].Size == 0 {
			return false
		}
	}
	return true
}
