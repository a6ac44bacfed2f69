// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Three brokers over a simulated network: what one of them signs is with the
// others after the time of the slowest link, and they say so.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 3)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		a := c.nodes[0]
		id := a.register("App")
		c.until(70*time.Millisecond, "the registration is everywhere", func() bool { return same(c.nodes) })
		c.until(150*time.Millisecond, "all have acknowledged it", func() bool {
			return len(a.Acknowledged(a.key.ID(), 2)) == 3
		})
		if got := a.Acknowledged(a.key.ID(), 3); len(got) != 0 {
			t.Errorf("%v have acknowledged what is not there", got)
		}
		if heads := a.Heads(c.nodes[1].issuer); heads[a.key.ID()] != 2 {
			t.Errorf("heads of another member: %v", heads)
		}
		changed := a.Network.Changed()
		c.nodes[1].stop()
		<-changed
		c.until(time.Second, "one is offline", func() bool { return len(a.Online()) == 1 })
		if got := a.Acknowledged(a.key.ID(), 2); len(got) != 3 {
			t.Errorf("after one went away %v have acknowledged", got)
		}
		a.revoke(id)
		c.until(150*time.Millisecond, "those online have acknowledged", func() bool {
			return len(a.Acknowledged(a.key.ID(), 3)) == 2
		})
		c.nodes[1].restart()
		c.until(2*time.Second, "it is back and knows", func() bool { return same(c.nodes) && meshed(c.nodes) })
		if peers := a.Peers(); len(peers) != 2 || !peers[0].Connected || peers[0].ID != c.nodes[1].peerID || peers[0].Issuer != c.nodes[1].issuer {
			t.Errorf("peers %+v", peers)
		}
	})
}

// Views travel as records do, so that a federation is fresh as long as a quorum
// of it is connected, and stale when it is not (fault 54: all of a broker's
// peers are evil, or gone: it finds out by itself).
func TestFault54Freshness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := simulate(t, 5)
		c.start()
		c.until(3*time.Second, "all are fresh", c.fresh)
		for range 13 { // that is longer than max_age
			time.Sleep(10 * time.Second)
			if !c.fresh() {
				t.Fatal("stale without a reason")
			}
		}
		w.set(0, func(from, to int) bool { return (from == 0) != (to == 0) })
		time.Sleep(155 * time.Second) // max_age, and the age of the last views
		for i, n := range c.nodes {
			if err := n.Fresh(n.c.now()); (err != nil) != (i == 0) {
				t.Errorf("node %d: %v", i, err)
			}
		}
		if online := c.nodes[0].Online(); len(online) != 0 {
			t.Errorf("cut off, and online are %v", online)
		}
		w.set(0, nil)
		took := c.until(3*time.Second, "the one that was cut off is fresh again", c.fresh)
		t.Logf("fresh %v after the link was back", took)
	})
}

func (c *cluster) fresh() bool {
	return !slices.ContainsFunc(c.nodes, func(n *clusterNode) bool { return n.Fresh(c.now()) != nil })
}

// Fault 55: a partition into two halves for a minute, with stops on both sides;
// before that, a fifth of all packets is lost.
func TestFault55Partition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := size(6, 30, 60)
		c, w := simulate(t, n)
		c.start()
		c.until(2*time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		clients := c.registerEach()
		c.until(time.Second, "the registrations are everywhere", func() bool { return same(c.nodes) })

		w.set(0.2, nil)
		for i, node := range c.nodes[:n/4] {
			node.revoke(clients[i])
		}
		took := c.until(5*time.Second, "nothing is missing", func() bool { return same(c.nodes) })
		t.Logf("20 %% loss: %d stops everywhere after %v", n/4, took)
		// Now and then all that one of the 870 streams carries in four seconds is
		// lost. That does no harm; several at a time would say that members are
		// taken for offline too soon.
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if count := apart(c.nodes); count > 3 {
				t.Fatalf("20 %% loss: members seem to be offline %d times", count)
			}
		}

		left, right := c.nodes[:n/2], c.nodes[n/2:]
		w.set(0, func(from, to int) bool { return from < n/2 != (to < n/2) })
		time.Sleep(20 * time.Second)
		left[n/2-1].revoke(clients[n/2-1])
		right[1].revoke(clients[n/2+1])
		left[0].suspend(clients[n-1]) // of the other side
		right[2].suspend(clients[n/4])
		time.Sleep(time.Second)
		if l, r := left[0].StopList().Count(), right[0].StopList().Count(); l != int64(n/4)+2 || r != int64(n/4)+2 {
			t.Errorf("the sides have %d and %d stops", l, r)
		}
		time.Sleep(39 * time.Second)
		stopped := c.stopped()
		w.set(0, nil)
		took = c.until(2*time.Second, "all hold the same", func() bool {
			stopped.stillAre(t)
			return same(c.nodes)
		})
		t.Logf("%d nodes hold the same %v after the link was back", n, took)
		if stops := c.nodes[0].StopList().Count(); stops != int64(n/4)+4 {
			t.Errorf("%d stops", stops)
		}
		c.until(3*time.Second, "all are connected and fresh", func() bool { return meshed(c.nodes) && c.fresh() })
		stopped.stillAre(t)
	})
}

// registerEach registers a client with every broker.
func (c *cluster) registerEach() []string {
	var ids []string
	for i, n := range c.nodes {
		ids = append(ids, n.register(fmt.Sprintf("App %d", i)))
	}
	return ids
}

func (n *clusterNode) suspend(id string) {
	n.c.t.Helper()
	n.append(revocation(id, registry.Suspend))
}

// stops are the clients that are stopped at each node.
type stops map[*clusterNode][]string

func (c *cluster) stopped() stops {
	all := stops{}
	for _, n := range c.nodes {
		states, err := n.Clients(c.t.Context(), "", 1000)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, s := range states {
			if s.Status != registry.ClientActive {
				all[n] = append(all[n], s.ID)
			}
		}
	}
	return all
}

func (s stops) stillAre(t *testing.T) {
	t.Helper()
	for n, ids := range s {
		for _, id := range ids {
			if state, err := n.Replica.Client(t.Context(), id); err != nil || state.Status == registry.ClientActive {
				t.Errorf("at node %d the stopped client %s is %q, %v", n.i, id, state.Status, err)
			}
		}
	}
}

// A node is stopped and started again every ten seconds, another one each time,
// while all others go on; all see everything within a second or when they are
// back.
func TestRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, size(5, 8, 16))
		c.start()
		c.until(2*time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		for round := range c.nodes {
			down := c.nodes[round]
			down.stop()
			rest := slices.DeleteFunc(slices.Clone(c.nodes), func(n *clusterNode) bool { return n == down })
			for _, n := range rest[:4] {
				n.revoke(n.register("App"))
				c.until(time.Second, "those that run hold the same", func() bool { return same(rest) })
				time.Sleep(time.Second)
			}
			down.restart()
			took := c.until(2*time.Second, "the one that is back holds the same", func() bool { return same(c.nodes) })
			t.Logf("complete %v after the start", took)
			time.Sleep(5 * time.Second)
			if !meshed(c.nodes) {
				t.Error("some are not connected")
			}
		}
	})
}

// A node that is killed says no goodbye, so the others take it for connected
// for a while. When it is back within that time they find each other at once.
func TestKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := simulate(t, 3)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		for _, down := range c.nodes {
			time.Sleep(5 * time.Second)
			w.set(0, func(from, to int) bool { return from == down.i || to == down.i })
			down.stop()
			w.set(0, nil)
			down.restart()
			took := c.until(900*time.Millisecond, "all are connected", func() bool { return meshed(c.nodes) })
			t.Logf("connected after %v", took)
			down.revoke(down.register("App"))
			c.until(300*time.Millisecond, "the stop is everywhere", func() bool { return same(c.nodes) })
			if n := down.Conns(); n > 4 {
				t.Errorf("%d connections", n)
			}
		}
		last := c.nodes[2]
		w.set(0, func(from, to int) bool { return from == last.i || to == last.i })
		took := c.until(5*time.Second, "it is offline", func() bool { return len(c.nodes[0].Online()) == 1 })
		t.Logf("offline after %v", took)
		w.set(0, nil)
		c.until(2*time.Second, "it is online", func() bool { return meshed(c.nodes) })
	})
}

// A member that starts late, knows nothing and is known to nobody, but has the
// address of one other, soon has everything and is connected to all.
func TestLateJoiner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 6)
		late := c.nodes[5]
		early := c.nodes[:5]
		for _, n := range early {
			n.listen()
		}
		introduce(t, early...)
		for _, n := range early {
			n.run()
		}
		t.Cleanup(c.close)
		for _, n := range early {
			for range 20 {
				n.revoke(n.register("App"))
			}
		}
		time.Sleep(10 * time.Second)
		late.listen()
		hand(t, c.nodes[2], late)
		late.run()
		took := c.until(2*time.Second, "the late one holds the same", func() bool { return same(c.nodes) })
		t.Logf("complete after %v", took)
		c.until(2*time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		c.until(2*time.Second, "all are fresh", c.fresh)
	})
}

// What gossip cannot bring because there is too much of it is pulled, and stops
// do not wait for that.
func TestBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 3)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		a := c.nodes[0]
		first := a.register("First")
		for range 200 {
			a.register("App")
		}
		a.revoke(first)
		c.until(300*time.Millisecond, "the stop is everywhere", func() bool {
			return c.nodes[1].StopList().Count() == 1 && c.nodes[2].StopList().Count() == 1
		})
		c.until(2*time.Second, "all hold the same", func() bool { return same(c.nodes) })
	})
}

// Members follow the charter: who is expelled is disconnected at once, and a
// stranger from then on.
func TestExpelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 4)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		draft := c.nodes[0].Chain().Latest().Charter
		draft.Members = slices.Clone(draft.Members)
		draft.Members[3].State = registry.MemberExpelled
		draft.Members[3].Keys = slices.Clone(draft.Members[3].Keys)
		end := c.nodes[0].Vector().Logs[c.nodes[3].key.ID()].Size
		draft.Members[3].Keys[0].Until = &end
		var keys []registry.SigningKey
		for _, n := range c.nodes[:3] {
			keys = append(keys, n.key)
		}
		draft.Version, draft.Previous, draft.IssuedAt = 2, c.nodes[0].Chain().Latest().CID, c.now().Unix()
		next, err := registry.NewCharter(draft, keys...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.nodes[0].Accept(t.Context(), federation.Inbound{Charter: next.Raw}); err != nil {
			t.Fatal(err)
		}
		rest := c.nodes[:3]
		c.until(time.Second, "the charter is everywhere", func() bool { return same(rest) && rest[0].Vector().Charter.Version == 2 })
		c.until(time.Second, "it is alone", func() bool { return len(c.nodes[3].Online()) == 0 })
		for _, n := range rest {
			if len(n.Peers()) != 2 {
				t.Errorf("node %d has peers %+v", n.i, n.Peers())
			}
		}
		time.Sleep(15 * time.Second)
		if online := c.nodes[3].Online(); len(online) != 0 {
			t.Errorf("the expelled one is connected to %v", online)
		}
		if !meshed(rest) || rest[0].Fresh(c.now()) != nil {
			t.Error("the others are not connected or not fresh")
		}
	})
}

// A broker that was alone is admitted to a federation that runs: it is let in
// as soon as both sides have the charter, and brings its clients.
func TestAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 3)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		old := slices.Clone(c.nodes)
		one := c.add("https://new.example")
		one.openReplica() // founds a federation of its own
		one.listen()
		id := one.register("Brought along")
		one.run()
		time.Sleep(5 * time.Second)
		if n := one.Conns(); n != 0 {
			t.Errorf("a stranger has %d connections", n)
		}

		draft := old[0].Chain().Latest().Charter
		draft.Members = append(slices.Clone(draft.Members), one.member())
		proposal, err := old[0].Propose(t.Context(), draft)
		if err != nil {
			t.Fatal(err)
		}
		c.until(time.Second, "the proposal is everywhere", func() bool { return len(old[1].Proposals())+len(old[2].Proposals()) == 2 })
		approved, err := old[1].Approve(t.Context(), proposal.CID)
		if err == nil {
			approved, err = approved.AddSignature(one.key) // the applicant agrees
		}
		if err == nil {
			_, err = old[2].Accept(t.Context(), federation.Inbound{Charter: approved.Raw})
		}
		if err != nil {
			t.Fatal(err)
		}
		c.until(time.Second, "the charter is everywhere", func() bool {
			return !slices.ContainsFunc(old, func(n *clusterNode) bool { return n.Chain().Latest().Version != 2 })
		})
		if err := one.Adopt(t.Context(), old[0].Charters(1)); err != nil {
			t.Fatal(err)
		}
		hand(t, old[1], one)
		took := c.until(3*time.Second, "all hold the same", func() bool { return meshed(c.nodes) && same(c.nodes) })
		t.Logf("complete after %v", took)
		if !knowAll(old, id) {
			t.Error("its client did not come along")
		}
		c.until(3*time.Second, "all are fresh", c.fresh)
	})
}
