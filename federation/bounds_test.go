// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/comity-network/comity/federation"
)

// fault 58: a stranger that gossips, or says something else than hello, is
// disconnected, and nothing is remembered of it: its name costs nothing.
func TestFault58NothingRemembered(t *testing.T) {
	says := map[string]func(s *intruder, victim *clusterNode) network.Stream{
		"gossip": func(s *intruder, victim *clusterNode) network.Stream {
			at, _ := peer.Decode(victim.peerID)
			stream, err := s.NewStream(s.ctx, at, gossipProtocol)
			if err != nil {
				s.t.Fatal(err)
			}
			name, yes := federation.TopicName(victim.Chain().Federation()), true
			if err := rpc(stream, &pb.RPC{Subscriptions: []*pb.RPC_SubOpts{{Subscribe: &yes, Topicid: &name}}}); err != nil {
				s.t.Fatal(err)
			}
			return stream
		},
		"no hello": func(s *intruder, victim *clusterNode) network.Stream {
			return s.open(victim, federation.HeadsProtocol, "well met")
		},
	}
	for name, say := range says {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := simulate(t, 2)
				c.start()
				c.until(time.Second, "the members are connected", func() bool { return meshed(c.nodes) })
				victim := c.nodes[0]
				for range 3 {
					n := c.add("https://stranger.example")
					n.openReplica()
					s := newIntruder(t, n)
					s.SetStreamHandler(gossipProtocol, func(network.Stream) { t.Error("a stranger is gossiped to") })
					if err := s.connect(victim); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
					began := time.Now()
					if n, err := ended(say(s, victim)); err == nil || n > 0 || time.Since(began) > time.Second {
						t.Errorf("a stranger got %d bytes in %v", n, time.Since(began))
					}
					c.until(time.Second, "it is disconnected", func() bool { return victim.Conns() == 1 })
				}
				if n := victim.Remembered(); n > 1 { // the other member
					t.Errorf("%d peers are remembered", n)
				}
				c.nodes[1].stop()
				c.until(time.Second, "the member is forgotten", func() bool { return victim.Remembered() == 0 })
			})
		})
	}
}

// fault 57: a member that says what it holds again and again is read at a bounded
// rate; it stays online, and the others are not slower for it.
func TestFault57HeadsFlood(t *testing.T) {
	logs := map[string]federation.LogHead{}
	for i := range 100 {
		logs[fmt.Sprint(i)] = federation.LogHead{Size: 1}
	}
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 2, 1)
		good, evil := c.nodes[:2], intruders[0]
		evil.SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) { _, _ = ended(s) })
		c.until(3*time.Second, "connected", func() bool { return meshed(good) && len(evil.Network().Peers()) == 2 })
		stream := evil.open(good[0], federation.HeadsProtocol, evil.hello())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for write(stream, map[string]any{"logs": logs}) == nil {
			}
		}()
		end, read := time.After(time.Second), 0
		for over := false; !over; {
			select {
			case <-good[0].Network.Changed():
				read++
			case <-end:
				over = true
			}
		}
		if read < 50 || read > 300 {
			t.Errorf("%d frames were read in a second", read)
		}
		if len(good[0].Online()) != 2 {
			t.Error("it is not online")
		}
		id := good[1].register("App")
		c.until(200*time.Millisecond, "the others go on", func() bool { return knowAll(good, id) })
		_ = stream.Reset()
		<-done
	})
}

// gatedStore holds writes up once its gate is closed.
type gatedStore struct {
	federation.Store
	gate   atomic.Pointer[chan struct{}]
	inside atomic.Int64
}

func (s *gatedStore) Write(ctx context.Context, u federation.Update) error {
	if gate := s.gate.Load(); gate != nil {
		s.inside.Add(1)
		defer s.inside.Add(-1)
		<-*gate
	}
	return s.Store.Write(ctx, u)
}

// After Close nothing is written any more: it waits for what has begun.
func TestCloseWaits(t *testing.T) {
	c, _ := onLoopback(t, 2)
	one, other := c.nodes[0], c.nodes[1]
	store := &gatedStore{Store: one.store}
	one.store = store
	one.openReplica()
	one.listen()
	other.listen()
	introduce(t, c.nodes...)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- one.Network.Run(ctx) }()
	other.run()
	c.until(5*time.Second, "they are connected", func() bool { return meshed(c.nodes) })
	gate := make(chan struct{})
	store.gate.Store(&gate)
	other.register("App")
	c.until(5*time.Second, "a record came in", func() bool { return store.inside.Load() > 0 })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { close(gate) })
	if err := one.Network.Close(); err != nil {
		t.Error(err)
	}
	if n := store.inside.Load(); n > 0 {
		t.Errorf("%d writes go on after Close", n)
	}
}

// Close may come at any time, before Run and after it, more than once, and while
// records come in by gossip or by a pull. That nothing is left behind, the
// bubble sees to.
func TestClose(t *testing.T) {
	for _, wait := range []time.Duration{-1, 0, 250 * time.Millisecond, 600 * time.Millisecond} {
		t.Run(wait.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testClose(t, wait) })
		})
	}
}

func testClose(t *testing.T, wait time.Duration) {
	c, _ := simulate(t, 2)
	one, other := c.nodes[0], c.nodes[1]
	for range 50 {
		other.register("App")
	}
	one.listen()
	other.listen()
	introduce(t, c.nodes...)
	if wait >= 0 {
		one.run()
	}
	other.run()
	t.Cleanup(c.close)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 40 {
			other.revoke(other.register("App"))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	time.Sleep(wait)
	if one.stop != nil {
		one.stop()
	}
	for range 2 {
		if err := one.Network.Close(); err != nil {
			t.Error(err)
		}
	}
	<-done
	c.until(6*time.Second, "the other one has noticed", func() bool { return len(other.Online()) == 0 })
}
