// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/registry"
)

// website is the HTTP side of a broker, as far as other brokers ask it where
// its peers are.
type website struct {
	*httptest.Server
	mu    sync.Mutex
	node  *clusterNode
	lie   []byte // served in place of the record
	asked atomic.Int64
}

func newWebsite(t testing.TB) *website {
	w := new(website)
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

// serves sets what it shows: the records of a node, or a lie.
func (w *website) serves(n *clusterNode, lie []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.node, w.lie = n, lie
}

func (w *website) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lie != nil {
		_, _ = rw.Write(w.lie)
		return
	}
	if w.node == nil {
		http.Error(rw, "down", http.StatusServiceUnavailable)
		return
	}
	record, err := w.node.BrokerRecord(r.Context(), path.Base(r.URL.Path))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	_, _ = rw.Write([]byte(record.Raw))
}

// onLoopback makes a cluster of real hosts, TCP and QUIC, with a website each.
func onLoopback(t testing.TB, n int) (*cluster, []*website) {
	var sites []*website
	var issuers []string
	for range n {
		w := newWebsite(t)
		sites, issuers = append(sites, w), append(issuers, w.URL)
	}
	c := newClusterOf(t, time.Now, issuers...)
	client := guard.New(guard.Config{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	c.configure = func(_ *clusterNode, config *federation.NetworkConfig) {
		config.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
		config.AllowPrivate = true
		config.HTTP = client
	}
	for i, w := range sites {
		w.serves(c.nodes[i], nil)
	}
	t.Cleanup(c.close)
	return c, sites
}

// Members that know of each other from the charter alone ask the issuers for
// the rest. After that each finds the others again wherever it has moved; when
// all have moved at the same time, the issuers know.
func TestLoopback(t *testing.T) {
	c, sites := onLoopback(t, 3)
	for _, n := range c.nodes {
		n.listen()
		n.run()
	}
	c.until(5*time.Second, "all are connected", func() bool { return meshed(c.nodes) && same(c.nodes) })
	id := c.nodes[0].register("App")
	c.until(time.Second, "the registration is everywhere", func() bool { return same(c.nodes) })

	asked := func() (sum int64) {
		for _, w := range sites {
			sum += w.asked.Load()
		}
		return sum
	}
	before := asked()
	for _, n := range c.nodes {
		addresses := n.Addresses()
		n.stop()
		n.restart()
		if slices.Equal(addresses, n.Addresses()) {
			t.Fatal("the node has not moved")
		}
		took := c.until(3*time.Second, "the one that moved is connected again", func() bool { return meshed(c.nodes) && same(c.nodes) })
		t.Logf("connected again after %v", took)
	}
	if n := asked() - before; n != 0 {
		t.Logf("the issuers were asked %d times although peers knew", n)
	}
	for _, n := range c.nodes {
		n.stop()
	}
	before = asked()
	for _, i := range []int{2, 0, 1} {
		c.nodes[i].restart()
	}
	took := c.until(10*time.Second, "all are connected after all have moved", func() bool { return meshed(c.nodes) && same(c.nodes) })
	t.Logf("connected after %v, with %d questions", took, asked()-before)
	if asked() == before {
		t.Error("no issuer was asked")
	}
	c.nodes[1].suspend(id)
	c.until(time.Second, "the stop is everywhere", func() bool { return same(c.nodes) })
	c.until(3*time.Second, "all are fresh", c.fresh)
}

// fault 61: all others are down, and what their names lead to lies. The broker
// serves what it has, and finds the others when they are there.
func TestFault61AllDown(t *testing.T) {
	c, sites := onLoopback(t, 3)
	a := c.nodes[0]
	other, err := registry.SignBroker(registry.GenerateSigningKey(), registry.Broker{
		Claims: registry.Claims{Issuer: sites[2].URL, IssuedAt: time.Now().Unix()}, Organisation: "Liar",
		TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
		Peers:     []registry.Peer{{ID: c.nodes[1].peerID, Addresses: []string{"/ip4/127.0.0.1/tcp/1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sites[1].serves(nil, nil)
	sites[2].serves(nil, []byte(other.Raw))
	a.listen()
	sites[1].serves(a, nil) // the record of another broker
	a.run()
	c.until(5*time.Second, "the liar was asked", func() bool { return sites[2].asked.Load() > 0 && sites[1].asked.Load() > 0 })
	id := a.register("App")
	if state, err := a.Replica.Client(t.Context(), id); err != nil || state.Status != registry.ClientActive {
		t.Errorf("client %+v, %v", state, err)
	}
	if err := a.Fresh(time.Now()); !errors.Is(err, registry.ErrStale) {
		t.Errorf("alone of three: %v", err)
	}
	if len(a.Online()) != 0 || len(a.Peers()) != 0 {
		t.Errorf("peers of liars: %+v", a.Peers())
	}
	for i, n := range c.nodes[1:] {
		n.listen()
		sites[i+1].serves(n, nil)
		n.run()
	}
	took := c.until(10*time.Second, "all are connected", func() bool { return meshed(c.nodes) && same(c.nodes) })
	t.Logf("connected after %v", took)
}

// fault 60: nobody makes a broker connect to the inside of its network, by the
// broker record or by what a peer says of itself; and an address that only the
// peer says is never dialled.
func TestFault60Spy(t *testing.T) {
	for _, allow := range []bool{false, true} {
		t.Run(fmt.Sprintf("AllowPrivate=%v", allow), func(t *testing.T) {
			spy := listenTCP(t)
			c, _ := onLoopback(t, 2)
			before := c.configure
			c.configure = func(n *clusterNode, config *federation.NetworkConfig) {
				before(n, config)
				config.AllowPrivate, config.HTTP = allow, nil
			}
			a, evil := c.nodes[0], c.nodes[1]
			a.listen()
			if got := len(a.Addresses()); (got > 0) != allow {
				t.Errorf("%d loopback addresses are announced", got)
			}
			evil.announce([]string{spy.address})
			hand(t, evil, a)
			a.run()
			c.until(10*time.Second, "the member was dialled", func() bool {
				return c.logged.count("cannot connect") > 2 || spy.n.Load() > 0
			})
			if (spy.n.Load() > 0) != allow {
				t.Errorf("%d connections to the spy", spy.n.Load())
			}
		})
	}
}

// spy counts the connections that it gets.
type spy struct {
	address string
	n       atomic.Int64
}

func listenTCP(t *testing.T) *spy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &spy{address: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.n.Add(1)
			_ = c.Close()
		}
	}()
	return s
}

// fault 60: what a connected peer says of its addresses is no reason to dial
// them.
func TestFault60Identify(t *testing.T) {
	spy := listenTCP(t)
	c, _ := onLoopback(t, 2)
	a := c.nodes[0]
	a.listen()
	evil := newIntruder(t, c.nodes[1], spy.address)
	a.run()
	if err := evil.connect(a); err != nil {
		t.Fatal(err)
	}
	evil.node.announce([]string{"/ip4/127.0.0.1/tcp/9"})
	hand(t, evil.node, a)
	c.until(10*time.Second, "the member was dialled", func() bool { return c.logged.count("cannot connect") > 3 })
	if n := spy.n.Load(); n != 0 {
		t.Errorf("%d connections to an address that is in no broker record", n)
	}
}

// grow adds registrations to the log of a node as if it had made them.
func (n *clusterNode) grow(count int) {
	n.c.t.Helper()
	log := storetest.NewLog(n.c.t, n.issuer, n.key)
	if err := n.store.Write(n.c.t.Context(), log.Register(count)); err != nil {
		n.c.t.Fatal(err)
	}
	n.openReplica()
}

// away is a cluster of two of which one misses count records. It returns how
// long it takes that one until it has them, from its start.
func away(t testing.TB, count int) time.Duration {
	c, _ := onLoopback(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	a.grow(count)
	a.listen()
	a.run()
	b.listen()
	hand(t, b, a)
	log := a.key.ID()
	start := time.Now()
	b.run()
	c.until(time.Minute, "it has everything", func() bool { return b.Vector().Logs[log] == a.Vector().Logs[log] })
	took := time.Since(start)
	if b.Registered() != int64(count) {
		t.Errorf("%d clients, want %d", b.Registered(), count)
	}
	return took
}

// A node that was away for many records has them soon, checked by the root.
func TestAway(t *testing.T) {
	count := size(2000, 10_000, 100_000)
	t.Logf("%d records after %v", count, away(t, count))
}

func BenchmarkAway10000(b *testing.B) {
	for b.Loop() {
		took := away(b, 10_000)
		b.ReportMetric(took.Seconds(), "s/complete")
		b.ReportMetric(10_000/took.Seconds(), "records/s")
	}
}
