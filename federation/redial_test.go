// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Who takes every connection and ends it at once is dialled about once a second,
// as one who takes none.
func TestHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, evil := passive(t, 1)
		var dialled atomic.Int64
		evil.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
			dialled.Add(1)
			go c.Close()
		}})
		_ = evil.Network().ClosePeer(evil.Network().Peers()[0])
		time.Sleep(20 * time.Second)
		if n := dialled.Load(); n < 10 || n > 50 {
			t.Errorf("it was dialled %d times in 20 s", n)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A member that is down, and whose website is, too, is asked less and less where
// it is.
func TestAskedWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 2)
		var asked atomic.Int64
		before := c.configure
		c.configure = func(n *clusterNode, config *federation.NetworkConfig) {
			before(n, config)
			config.HTTP = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				asked.Add(1)
				return nil, http.ErrServerClosed
			})}
		}
		c.nodes[0].listen()
		c.nodes[0].run()
		t.Cleanup(c.close)
		time.Sleep(10 * time.Minute)
		if n := asked.Load(); n < 5 || n > 12 {
			t.Errorf("it was asked %d times in ten minutes", n)
		}
	})
}

// moves signs a broker record that names a new peer, and returns it with the ID.
func (n *clusterNode) moves() (*registry.Record, string) {
	n.c.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		n.peerID, err = federation.PeerID(key)
	}
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.announce([]string{"/ip4/1.2.3.4/tcp/4001"})
	return n.record(), n.peerID
}

// record is the newest one of a node.
func (n *clusterNode) record() *registry.Record {
	n.c.t.Helper()
	record, err := n.BrokerRecord(n.c.t.Context(), n.key.ID())
	if err != nil {
		n.c.t.Fatal(err)
	}
	return record
}

// Where a member is, the newest of its broker records says: that of its log, or a
// later one, also of the same second, that was handed out; never one that others
// signed, or one from the future.
func TestNewestAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good, log := c.nodes[0], evil.node
		at := func(want string) {
			t.Helper()
			if peers := good.Peers(); len(peers) != 1 || peers[0].ID != want {
				t.Errorf("peers %+v, want %s", peers, want)
			}
		}
		tell := func(r *registry.Record) {
			t.Helper()
			c.until(10*time.Second, "connected", func() bool { return evil.connect(good) == nil })
			_, _ = ended(evil.open(good, federation.HeadsProtocol, map[string]string{"broker": r.Raw}))
		}
		first := log.record()
		at(first.Broker.Peers[0].ID)
		second, peer := log.moves()
		if second.IssuedAt != first.IssuedAt {
			t.Fatal("the second is over")
		}
		tell(second)
		at(peer)
		time.Sleep(time.Minute)
		third, peer := log.moves()
		hand(t, log, good)
		time.Sleep(time.Second)
		at(peer)
		tell(second) // again
		at(peer)
		forged := *third.Broker
		forged.IssuedAt, forged.Peers = forged.IssuedAt+5, first.Broker.Peers
		other := registry.GenerateSigningKey()
		forged.RecordKey = other.JWK()
		record, err := registry.SignBroker(other, forged)
		if err != nil {
			t.Fatal(err)
		}
		tell(record)
		at(peer)
		forged.RecordKey = log.key.JWK()
		forged.IssuedAt += 3600
		if record, err = registry.SignBroker(log.key, forged); err != nil {
			t.Fatal(err)
		}
		tell(record)
		at(peer)
		time.Sleep(time.Minute)
		fourth, peer := log.moves()
		tell(fourth)
		at(peer)
		tell(third) // again, and it is not in the log that is held here that a later one is
		at(peer)
		time.Sleep(time.Minute)
		log.peerID = good.peerID
		log.announce([]string{"/ip4/1.2.3.4/tcp/4001"})
		hand(t, log, good)
		time.Sleep(time.Second)
		if peers := good.Peers(); len(peers) > 0 {
			t.Errorf("a member has named the peer of another: %+v", peers)
		}
	})
}

// fault 60: a peer is dialled at the addresses that its broker record names for
// it, or that a name in it stands for, if those are public.
func TestFault60Names(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good, n := c.nodes[0], evil.node
		_, other := n.moves()
		_, one := n.moves()
		broker := *n.record().Broker
		broker.Peers = []registry.Peer{
			{ID: one, Addresses: []string{"/ip4/1.2.3.4/tcp/4001", "/dns4/one.example/udp/4001/quic-v1"}},
			{ID: other, Addresses: []string{"/ip4/1.2.3.4/tcp/4002"}},
		}
		n.append(federation.Draft{Broker: &broker})
		hand(t, n, good)
		time.Sleep(time.Second)
		for _, test := range []struct {
			peer, address string
			want          bool
		}{
			{one, "/ip4/1.2.3.4/tcp/4001", true},
			{one, "/ip4/5.6.7.8/udp/4001/quic-v1", true}, // what the name may stand for
			{one, "/ip4/10.0.0.1/udp/4001/quic-v1", false},
			{one, "/ip4/127.0.0.1/udp/4001/quic-v1", false},
			{one, "/ip4/5.6.7.8/udp/4002/quic-v1", false},
			{one, "/ip4/5.6.7.8/tcp/4001", false},
			{one, "/ip4/1.2.3.4/tcp/4002", false},
			{other, "/ip4/1.2.3.4/tcp/4002", true},
			{other, "/ip4/1.2.3.4/tcp/4001", false},
			{good.peerID, "/ip4/1.2.3.4/tcp/4001", false},
		} {
			if got := good.MayDial(test.peer, ma.StringCast(test.address)); got != test.want {
				t.Errorf("%s at %s: %v", test.peer, test.address, got)
			}
		}
	})
}

// A broker that knows that it was expelled dials nobody.
func TestExpelledDialsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		draft := good.Chain().Latest().Charter
		draft.Members = slices.Clone(draft.Members)
		end := good.Vector().Logs[good.key.ID()].Size
		draft.Members[0].State = registry.MemberExpelled
		draft.Members[0].Keys = []registry.MemberKey{{Key: good.key.JWK(), Until: &end}}
		draft.Version, draft.Previous, draft.IssuedAt = 2, good.Chain().Latest().CID, c.now().Unix()
		next, err := registry.NewCharter(draft, evil.node.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := good.Accept(t.Context(), federation.Inbound{Charter: next.Raw}); err != nil {
			t.Fatal(err)
		}
		_ = good.Drop(evil.node.peerID)
		time.Sleep(10 * time.Second)
		if n := good.Conns(); n > 0 {
			t.Errorf("%d connections", n)
		}
	})
}
