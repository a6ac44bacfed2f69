// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// What gossip brought while a member was cut off, and what stands in no log,
// proposals and charters, it learns from the heads of the others.
func TestMissedCharter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := simulate(t, 3)
		c.start()
		c.until(time.Second, "all are connected", func() bool { return meshed(c.nodes) })
		away := func(do func()) {
			w.set(0, func(from, to int) bool { return (from == 2) != (to == 2) })
			do()
			time.Sleep(20 * time.Second) // the connections are closed, and gossip has forgotten it
			w.set(0, nil)
		}
		draft := c.nodes[0].Chain().Latest().Charter
		draft.MaxAge++
		var proposal *registry.SignedCharter
		away(func() {
			var err error
			if proposal, err = c.nodes[0].Propose(t.Context(), draft); err != nil {
				t.Fatal(err)
			}
		})
		c.until(2*time.Second, "the proposal is everywhere", func() bool { return same(c.nodes) && len(c.nodes[2].Proposals()) == 1 })
		away(func() {
			if _, err := c.nodes[1].Approve(t.Context(), proposal.CID); err != nil {
				t.Fatal(err)
			}
		})
		c.until(2*time.Second, "the charter is everywhere", func() bool { return same(c.nodes) && c.nodes[2].Vector().Charter.Version == 2 })
	})
}

// passive is an intruder that the others are connected to, and that does nothing
// by itself.
func passive(t *testing.T, honest int) (*cluster, *intruder) {
	c, all := passives(t, honest, 1)
	return c, all[0]
}

func passives(t *testing.T, honest, intruders int) (*cluster, []*intruder) {
	c, _, all := besieged(t, honest, intruders)
	for _, evil := range all {
		evil.SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) { _, _ = ended(s) })
		evil.SetStreamHandler(federation.PullProtocol, func(s network.Stream) { _ = s.Reset() })
	}
	for _, evil := range all {
		c.until(3*time.Second, "connected", func() bool { return len(evil.Network().Peers()) == honest })
	}
	return c, all
}

// headOf says that the log of a node has so many entries.
func headOf(n *clusterNode, size int64) map[string]any {
	return map[string]any{"logs": map[string]federation.LogHead{n.key.ID(): {Size: size, Root: registry.LeafHash("x")}}}
}

// asked counts the pulls that ask an intruder for something, which it answers so.
func (i *intruder) asked(what string, answer func(network.Stream)) *atomic.Int64 {
	n := new(atomic.Int64)
	i.SetStreamHandler(federation.PullProtocol, func(s network.Stream) {
		if raw, err := federation.ReadFrame(s, federation.MaxMessage); err == nil && bytes.Contains(raw, []byte(what)) {
			n.Add(1)
		}
		answer(s)
	})
	return n
}

func reset(s network.Stream) { _ = s.Reset() }

// A member that says the hello of another one acknowledges nothing in its name.
func TestHelloOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 2)
		one, other := c.nodes[0], c.nodes[1]
		record, err := other.BrokerRecord(t.Context(), other.key.ID())
		if err != nil {
			t.Fatal(err)
		}
		heads := map[string]any{"logs": map[string]federation.LogHead{other.key.ID(): {Size: 100}}}
		stream := evil.open(one, federation.HeadsProtocol, map[string]string{"broker": record.Raw}, heads)
		if n, err := ended(stream); err == nil || n > 0 {
			t.Errorf("it was answered with %d bytes", n)
		}
		if heads := one.Heads(other.issuer); heads[other.key.ID()] == 100 {
			t.Errorf("heads of the other one: %v", heads)
		}
		if slices.Contains(one.Online(), evil.node.issuer) {
			t.Error("it is online")
		}
	})
}

// fault 45: a member whose heads are no heads is disconnected, and after the
// third time not let in again for a minute.
func TestFault45WrongHeads(t *testing.T) {
	logs := map[string]federation.LogHead{}
	for i := range registry.MaxMembers + 1 {
		logs[fmt.Sprint(i)] = federation.LogHead{Size: 1}
	}
	for name, frame := range map[string]any{
		"no object": "well met", "no logs": map[string]any{"logs": 1}, "too many logs": map[string]any{"logs": logs},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, evil := passive(t, 1)
				good := c.nodes[0]
				for range 3 {
					time.Sleep(time.Second)
					c.until(5*time.Second, "connected", func() bool { return good.Conns() == 1 })
					if n, err := ended(evil.open(good, federation.HeadsProtocol, evil.hello(), frame)); err == nil || n > 0 {
						t.Errorf("it was answered with %d bytes", n)
					}
				}
				time.Sleep(50 * time.Second)
				if good.MayDial(evil.node.peerID, evil.Addrs()[0]) {
					t.Error("it may be dialled")
				}
				if good.Conns() > 0 || evil.connect(good) == nil && good.Conns() > 0 {
					t.Error("it is back within the minute")
				}
				c.until(2*time.Minute, "it is let in again", func() bool { return good.Conns() == 1 })
			})
		})
	}
}

// A member that acknowledges logs which do not exist, others each time, is
// believed a bounded number of them.
func TestAcknowledgementsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		for round := range 3 {
			logs := map[string]federation.LogHead{}
			for i := range 900 {
				logs[fmt.Sprintf("%s%03d", strings.Repeat(string('a'+rune(round)), 40), i)] = federation.LogHead{Size: 1}
			}
			evil.open(good, federation.HeadsProtocol, evil.hello(), map[string]any{"logs": logs})
			time.Sleep(time.Second)
			if n := len(good.Heads(evil.node.issuer)); n < 900 || n > registry.MaxMembers {
				t.Errorf("%d heads are remembered in round %d", n, round)
			}
			c.until(5*time.Second, "connected", func() bool { return good.Conns() == 1 })
		}
	})
}

// What a member has acknowledged stays acknowledged, whatever it says later; of
// another history nothing is.
func TestAcknowledgementsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		log := good.key.ID()
		say := func(size int64) any { return map[string]any{"logs": map[string]federation.LogHead{log: {Size: size}}} }
		stream := evil.open(good, federation.HeadsProtocol, evil.hello())
		for _, step := range []struct{ says, acknowledged int64 }{
			{good.Vector().Logs[log].Size, 0}, {7, 7}, {5, 7},
		} {
			if err := write(stream, say(step.says)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
			if got := good.Heads(evil.node.issuer)[log]; got != step.acknowledged {
				t.Errorf("it says %d, acknowledged are %d", step.says, got)
			}
		}
	})
}

// A member that is there anew at another address, without having said goodbye,
// is not kept waiting by the connection that it had.
func TestFormerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		evil.open(good, federation.HeadsProtocol, evil.hello(), headOf(evil.node, 5))
		c.until(time.Second, "online", func() bool { return len(good.Online()) == 1 })
		moved := *evil.node
		moved.i = 9
		twin := newIntruder(t, &moved)
		twin.SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) { _, _ = ended(s) })
		if err := twin.connect(good); err != nil {
			t.Fatal(err)
		}
		asked := twin.asked("", reset)
		stream := twin.open(good, federation.HeadsProtocol, twin.hello(), map[string]any{})
		c.until(time.Second, "the former connection is closed", func() bool { return len(evil.Network().Peers()) == 0 })
		if good.Conns() != 1 || len(good.Online()) != 1 {
			t.Errorf("%d connections, online are %v", good.Conns(), good.Online())
		}
		for range 30 {
			if err := write(stream, map[string]any{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := asked.Load(); n > 0 {
			t.Errorf("it was asked %d times for what it had before", n)
		}
	})
}

// On a heads stream come the hello, everything that is held, and then each change
// alone.
func TestHeadsFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		frames := make(chan map[string]json.RawMessage, 100)
		evil.SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) {
			for {
				raw, err := federation.ReadFrame(s, federation.MaxMessage)
				if err != nil {
					return
				}
				var f map[string]json.RawMessage
				if err := json.Unmarshal(raw, &f); err != nil {
					t.Error(err)
				}
				frames <- f
			}
		})
		_ = evil.Network().ClosePeer(evil.Network().Peers()[0]) // it speaks anew then
		want := func(members ...string) {
			t.Helper()
			if got := slices.Sorted(maps.Keys(<-frames)); !slices.Equal(got, members) {
				t.Errorf("a frame of %v, want %v", got, members)
			}
		}
		want("broker")
		want("charter", "logs", "rest", "views")
		want() // it is still there
		good.register("App")
		want("logs")
		draft := good.Chain().Latest().Charter
		draft.MaxAge++
		if _, err := good.Propose(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		want("charter", "rest") // one of two is enough
	})
}

// A member that has more, as it says, and does not hand it out is asked again
// after a while, and after a long while if it hands out something wrong.
func TestAskedAgain(t *testing.T) {
	for name, answer := range map[string]struct {
		give        func(network.Stream)
		least, most int
	}{
		"nothing": {reset, 4, 5},
		"empty":   {func(s network.Stream) { _ = s.Close() }, 4, 5},
		"wrong":   {func(s network.Stream) { _ = federation.WriteFrame(s, []byte("{]")); _ = s.Close() }, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, evil := passive(t, 1)
				log := evil.node.key.ID()
				asked := evil.asked(log, answer.give)
				stream := evil.open(c.nodes[0], federation.HeadsProtocol, evil.hello(), headOf(evil.node, 5))
				for i := range 450 { // it says something else all the time
					other := map[string]any{"other": federation.LogHead{Size: int64(i)}}
					if err := write(stream, map[string]any{"logs": other}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := int(asked.Load()); n < answer.least || n > answer.most {
					t.Errorf("it was asked %d times in 45 s", n)
				}
			})
		})
	}
}

// A member is asked for nothing that both hold, and for the rest when that
// differs.
func TestAskedForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		asked := evil.asked("", func(s network.Stream) { _ = s.CloseWrite() })
		v := good.Vector()
		say := func(rest string) map[string]any {
			return map[string]any{"logs": v.Logs, "charter": v.Charter, "rest": rest, "views": map[string]int64{good.issuer: 1}}
		}
		stream := evil.open(good, federation.HeadsProtocol, evil.hello(), say(v.Rest))
		time.Sleep(2 * time.Second)
		if n := asked.Load(); n > 0 {
			t.Errorf("it was asked %d times for what is here", n)
		}
		if err := write(stream, say("other")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n := asked.Load(); n != 1 {
			t.Errorf("it was asked %d times for the rest", n)
		}
	})
}

// fault 45: a member that asks for what cannot be asked for is not let in for a
// minute after the fifth time.
func TestFault45WrongRequests(t *testing.T) {
	var many []map[string]any
	for i := range registry.MaxMembers + 1 {
		many = append(many, map[string]any{"log": fmt.Sprint(i), "from": 0})
	}
	for name, ask := range map[string]any{"no object": "well met", "too many logs": map[string]any{"logs": many}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, evil := passive(t, 1)
				good := c.nodes[0]
				for range 5 {
					if n, err := ended(evil.open(good, federation.PullProtocol, ask)); err == nil || n > 0 {
						t.Errorf("it was answered with %d bytes", n)
					}
				}
				time.Sleep(30 * time.Second)
				if good.Conns() > 0 {
					t.Error("it is connected")
				}
			})
		})
	}
}

// Who says that it has a newer charter, or another one of our version, and does
// not hand it out, is asked again after half a second, whatever it says
// meanwhile.
func TestAskedForCharters(t *testing.T) {
	for name, test := range map[string]struct {
		head        federation.CharterHead
		least, most int
	}{
		"newer":   {federation.CharterHead{Version: 3, CID: "x"}, 15, 31},
		"another": {federation.CharterHead{Version: 2, CID: "x"}, 15, 31},
		"older":   {federation.CharterHead{Version: 1, CID: "x"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, evil := passive(t, 1)
				draft := c.nodes[0].Chain().Latest().Charter
				draft.MaxAge++
				if _, err := c.nodes[0].Propose(t.Context(), draft); err != nil { // one of two is enough
					t.Fatal(err)
				}
				asked := evil.asked("charters", reset)
				says := map[string]any{"charter": test.head}
				stream := evil.open(c.nodes[0], federation.HeadsProtocol, evil.hello(), says)
				for range 150 {
					if err := write(stream, says); err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := int(asked.Load()); n < test.least || n > test.most {
					t.Errorf("it was asked %d times in 15 s", n)
				}
			})
		})
	}
}

// What a member may answer to a request that is not for logs has an end.
func TestEndlessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		good := c.nodes[0]
		time.Sleep(5 * time.Second)
		sent := 0
		done := make(chan struct{})
		evil.asked("charters", func(s network.Stream) {
			for known := map[string]any{"view": good.Replica.Views()[0].Raw}; sent < 8000 && write(s, known) == nil; {
				if sent++; sent%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			reset(s)
			close(done)
		})
		newer := map[string]any{"charter": federation.CharterHead{Version: 2, CID: "x"}}
		evil.open(good, federation.HeadsProtocol, evil.hello(), newer)
		<-done
		if sent >= 8000 || sent < 4000 {
			t.Errorf("%d documents were taken", sent)
		}
	})
}

// Of a log of which one piece is wrong the rest is not looked at, and not held
// against whoever sent it.
func TestOneOffence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		log := evil.node.key.ID()
		asked := evil.asked(log, func(s network.Stream) {
			for range 10 {
				_ = write(s, map[string]any{"suffix": map[string]any{"log": log, "from": 1, "raws": []string{"x"}, "checkpoint": []byte("x")}})
			}
			_ = s.Close()
		})
		stream := evil.open(c.nodes[0], federation.HeadsProtocol, evil.hello(), headOf(evil.node, 500))
		for range 5 {
			if err := write(stream, map[string]any{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if len(c.nodes[0].Online()) != 1 || asked.Load() != 1 {
			t.Errorf("it was asked %d times, and online are %v", asked.Load(), c.nodes[0].Online())
		}
	})
}

// fault 56: a member that answers with what is wrong, every time, is not let in
// for a while.
func TestFault56WrongAnswers(t *testing.T) {
	for name, answer := range map[string]string{"no frame": "{]", "no charter": `{"charter":"x"}`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, evil := passive(t, 1)
				good := c.nodes[0]
				evil.asked("charters", func(s network.Stream) {
					_ = federation.WriteFrame(s, []byte(answer))
					_ = s.Close()
				})
				newer := map[string]any{"charter": federation.CharterHead{Version: 2, CID: "x"}}
				rounds := 0
				for ; rounds < 10 && good.Conns() > 0; rounds++ {
					evil.open(good, federation.HeadsProtocol, evil.hello(), newer)
					time.Sleep(200 * time.Millisecond)
					_ = good.Drop(evil.node.peerID) // so that it is asked again at once
					for tries := 0; tries < 30 && good.Conns() == 0; tries++ {
						time.Sleep(50 * time.Millisecond)
					}
				}
				if rounds < 4 || rounds > 7 {
					t.Errorf("it was let in %d times", rounds)
				}
				time.Sleep(30 * time.Second)
				if good.Conns() > 0 {
					t.Error("it is connected")
				}
			})
		})
	}
}

// A log is pulled from one member at a time, and from the next one when the
// first does not answer in time.
func TestOnePullOfALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passives(t, 1, 2)
		log := evil[0].node.key.ID()
		var asked []*atomic.Int64
		for _, e := range evil {
			asked = append(asked, e.asked(log, func(s network.Stream) { _, _ = ended(s); e.pause(time.Minute) }))
			stream := e.open(c.nodes[0], federation.HeadsProtocol, e.hello(), headOf(evil[0].node, 500))
			go func() {
				for write(stream, map[string]any{}) == nil {
					e.pause(time.Second)
				}
			}()
		}
		time.Sleep(14 * time.Second)
		if n, m := asked[0].Load(), asked[1].Load(); n+m != 1 {
			t.Errorf("they were asked %d and %d times", n, m)
		}
		time.Sleep(3 * time.Second)
		if n, m := asked[0].Load(), asked[1].Load(); n != 1 || m != 1 {
			t.Errorf("after the first has failed they were asked %d and %d times", n, m)
		}
	})
}

// What a few heads tell of, gossip is waited for; not so when a connection is new,
// or when there is more than gossip brings.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passives(t, 1, 3)
		var took []time.Duration
		for i, e := range evil {
			seen := make(chan time.Time, 10)
			asked := e.asked("logs", func(s network.Stream) { seen <- time.Now(); reset(s) })
			stream := e.open(c.nodes[0], federation.HeadsProtocol, e.hello())
			if i > 0 {
				if err := write(stream, map[string]any{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			began := time.Now()
			if err := write(stream, headOf(e.node, []int64{2, 2, 500}[i])); err != nil {
				t.Fatal(err)
			}
			took = append(took, (<-seen).Sub(began))
			if asked.Load() != 1 {
				t.Error("asked more than once")
			}
		}
		for i, waits := range []bool{false, true, false} {
			if (took[i] > 250*time.Millisecond) != waits {
				t.Errorf("case %d: asked after %v", i, took[i])
			}
		}
	})
}

// A member has one stream for its heads; who opens another on the same connection
// begins anew.
func TestOneHeadsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, evil := passive(t, 1)
		first := evil.open(c.nodes[0], federation.HeadsProtocol, evil.hello(), map[string]any{})
		time.Sleep(time.Second)
		evil.open(c.nodes[0], federation.HeadsProtocol, evil.hello(), map[string]any{})
		began := time.Now()
		if _, err := ended(first); err == nil || time.Since(began) > time.Second {
			t.Errorf("the first stream ended after %v: %v", time.Since(began), err)
		}
	})
}

// Who goes by a charter that is newer, as it says, may know keys that are not
// known here: what does not verify is not held against it.
func TestGossipOfNewerCharter(t *testing.T) {
	for version, online := range map[int64]bool{1: false, 2: true} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, evil := passive(t, 1)
				good := c.nodes[0]
				topic := evil.gossip(nil)
				head := good.Vector().Charter
				head.Version = version
				says := map[string]any{"charter": head}
				stream := evil.open(good, federation.HeadsProtocol, evil.hello(), says)
				time.Sleep(2 * time.Second)
				raw := good.Replica.Views()[0].Raw
				for i := range 40 {
					_ = topic.Publish(t.Context(), fmt.Appendf(nil, `{"view":"%s%07dA"}`, raw[:len(raw)-8], i))
				}
				time.Sleep(time.Second)
				_ = write(stream, map[string]any{})
				time.Sleep(time.Second)
				if got := len(good.Online()) == 1; got != online {
					t.Errorf("online: %v", got)
				}
			})
		})
	}
}
