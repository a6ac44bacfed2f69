// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// A broker that was away compares itself with those that are connected. None of
// them counts before all is here that it holds, in logs or not; a member that
// claims what does not exist never does, and keeps nobody else from it; what
// nobody may take, as of a log with two histories, stands in nobody's way.
func TestCompare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 3, 1)
		a, b, d, liar := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
		good := c.nodes[:3]
		intruders[0].behave(good, func() federation.Vector {
			return federation.Vector{Logs: map[string]federation.LogHead{b.key.ID(): {Size: 1000}, liar.key.ID(): {Size: 1000}}}
		})
		id, other := b.register("App"), b.register("Other")
		level := func(n *clusterNode, want ...*clusterNode) bool {
			t.Helper()
			level, ahead, err := n.Compare()
			if err != nil {
				t.Fatal(err)
			}
			forked := n.BrokerStatus(liar.issuer) == registry.BrokerForked // then it counts no more at all
			return len(level) == len(want) && (forked || slices.Equal(ahead, []string{liar.issuer})) &&
				!slices.ContainsFunc(want, func(m *clusterNode) bool { return !slices.Contains(level, m.issuer) })
		}
		c.until(10*time.Second, "all are level but the liar", func() bool {
			return level(a, b, d) && level(b, a, d) && level(d, a, b)
		})
		a.stop()

		// While a is away: a stop in a log, one that only b has heard, and a log
		// of the liar with two histories.
		b.revoke(id)
		f := &forger{t: t, issuer: liar.issuer, key: liar.key, at: c.now().Unix()}
		whole, err := liar.Since(t.Context(), liar.key.ID(), 0, 1<<20)
		f.check(err)
		f.add(whole.Raws...)
		heard := f.revocation(other, registry.Suspend, b.Chain().Latest().CID, func(v *registry.Revocation) { v.Until = v.IssuedAt + 3600 })
		stage := func(n *clusterNode, in federation.Inbound) {
			t.Helper()
			if _, err := n.Accept(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		stage(b, federation.Inbound{Heard: heard.Raw})
		one, two := f.branch(), f.branch()
		one.add(f.registration(nil).Raw)
		two.add(f.registration(nil).Raw, f.registration(nil).Raw)
		stage(b, federation.Inbound{Suffix: one.piece(f.size(), one.size())})
		stage(d, federation.Inbound{Suffix: two.piece(f.size(), two.size())})
		catchUp := func(knows func() bool) {
			t.Helper()
			a.restart()
			for start := time.Now(); !level(a, b, d); time.Sleep(20 * time.Millisecond) {
				got, ahead, err := a.Compare()
				if err != nil || slices.Contains(got, b.issuer) && !knows() || time.Since(start) > 20*time.Second {
					t.Fatalf("after %v: level with %v, behind %v, %v", time.Since(start), got, ahead, err)
				}
			}
		}
		catchUp(func() bool { return a.StopList().Count() >= 2 }) // the revoked client, and the forked broker
		a.stop()
		next := successorOf(b.Chain())
		next.Version, next.Previous, next.MaxAge = 2, b.Chain().Latest().CID, 121
		charter, err := registry.NewCharter(next, a.key, b.key, d.key, liar.key)
		f.check(err)
		stage(b, federation.Inbound{Charter: charter.Raw})
		stage(d, federation.Inbound{Charter: charter.Raw})
		catchUp(func() bool { return a.Chain().Latest().CID == charter.CID })
		if a.BrokerStatus(liar.issuer) != registry.BrokerForked {
			t.Errorf("the liar is %s", a.BrokerStatus(liar.issuer))
		}
	})
}

// Digests of what stands in no log may differ for good, since no replica keeps
// all that a liar tells it. A member is level when all that it has was looked at.
func TestCompareDigestsThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 2, 1)
		a, odd := c.nodes[0], c.nodes[2]
		asked := make(chan struct{})
		answer := make(chan struct{})
		intruders[0].SetStreamHandler(federation.PullProtocol, func(s network.Stream) {
			asked <- struct{}{}
			<-answer
			_ = s.Close()
		})
		intruders[0].SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) { _, _ = io.Copy(io.Discard, s) })
		id, err := peer.Decode(a.peerID)
		if err != nil {
			t.Fatal(err)
		}
		c.until(10*time.Second, "the intruder is connected", func() bool {
			return intruders[0].Network().Connectedness(id) == network.Connected
		})
		intruders[0].open(a, federation.HeadsProtocol, intruders[0].hello(), map[string]any{"rest": "odd", "views": map[string]int64{a.issuer: 1}})
		<-asked
		if level, ahead, err := a.Compare(); err != nil || slices.Contains(level, odd.issuer) || !slices.Contains(ahead, odd.issuer) {
			t.Errorf("before it has answered: level with %v, behind %v, %v", level, ahead, err)
		}
		close(answer)
		c.until(5*time.Second, "all of it was looked at", func() bool {
			level, _, err := a.Compare()
			return err == nil && slices.Contains(level, odd.issuer)
		})
	})
}
