// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/marcopolo/simnet"
	"google.golang.org/protobuf/proto"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// besieged is a simulated cluster whose last nodes are intruders. The honest
// ones run and know all addresses.
func besieged(t *testing.T, honest, intruders int) (*cluster, *weather, []*intruder) {
	c, w := simulate(t, honest+intruders)
	good, bad := c.nodes[:honest], c.nodes[honest:]
	for _, n := range good {
		n.listen()
	}
	var all []*intruder
	for _, n := range bad {
		i := newIntruder(t, n)
		n.announce(i.addresses())
		all = append(all, i)
	}
	introduce(t, c.nodes...)
	for _, n := range good {
		n.run()
	}
	t.Cleanup(c.close)
	return c, w, all
}

// Sixty of a hundred members accept everything and pass nothing on, neither by
// gossip nor when asked; and the one that speaks cannot reach some of the
// others by itself.
func TestSilentMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		honest := size(4, 12, 20)
		c, w, silent := besieged(t, honest, honest*3/2)
		good := c.nodes[:honest]
		for _, i := range silent {
			i.gossip(nil)
			i.SetStreamHandler(federation.PullProtocol, func(s network.Stream) { _, _ = ended(s) })
			i.behave(good, good[0].Vector) // "I have it too"
		}
		c.until(3*time.Second, "all are connected", func() bool {
			return meshed(good) && len(good[0].Online()) == len(c.nodes)-1
		})
		for round := range 3 {
			speaker := good[2+round%(honest-2)]
			w.set(0, func(from, to int) bool { return from == speaker.i && to < 2 || to == speaker.i && from < 2 })
			id := speaker.register("App")
			took := c.until(2*time.Second, "the registration is with all honest members", func() bool { return knowAll(good, id) })
			t.Logf("round %d: %v", round, took)
			w.set(0, nil)
			time.Sleep(15 * time.Second)
		}
	})
}

func knowAll(nodes []*clusterNode, id string) bool {
	return !slices.ContainsFunc(nodes, func(n *clusterNode) bool {
		_, err := n.Replica.Client(n.c.t.Context(), id)
		return err != nil
	})
}

// A member answers pulls with something else than the log. It is found out by
// the root, nothing of it is kept, and the log is pulled from somebody else.
func TestWrongRecords(t *testing.T) {
	replace := func(s *federation.Suffix, i int, raw string) {
		s.Raws = slices.Clone(s.Raws)
		s.Raws[i] = raw
	}
	tests := map[string]func(s *federation.Suffix, w io.Writer) error{
		"altered": func(s *federation.Suffix, w io.Writer) error {
			replace(s, 5, strings.Replace(s.Raws[5], ".", "x.", 1))
			return write(w, map[string]any{"suffix": s})
		},
		"another in its place": func(s *federation.Suffix, w io.Writer) error {
			replace(s, 5, s.Raws[6])
			return write(w, map[string]any{"suffix": s})
		},
		"missing": func(s *federation.Suffix, w io.Writer) error {
			s.Raws = slices.Delete(slices.Clone(s.Raws), 5, 6)
			return write(w, map[string]any{"suffix": s})
		},
		"last one missing": func(s *federation.Suffix, w io.Writer) error {
			s.Raws = s.Raws[:len(s.Raws)-1]
			return write(w, map[string]any{"suffix": s})
		},
		"nothing": func(*federation.Suffix, io.Writer) error { return nil },
		"half a frame": func(_ *federation.Suffix, w io.Writer) error {
			_, err := w.Write([]byte{0, 0, 1, 0, '{'})
			return err
		},
		"a giant frame": func(_ *federation.Suffix, w io.Writer) error {
			_, err := w.Write([]byte{0xff, 0xff, 0xff, 0xff, '{'})
			return err
		},
		"no JSON": func(_ *federation.Suffix, w io.Writer) error { return federation.WriteFrame(w, []byte("{]")) },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testWrongRecords(t, answer) })
		})
	}
}

func testWrongRecords(t *testing.T, answer func(*federation.Suffix, io.Writer) error) {
	c, w, intruders := besieged(t, 2, 1)
	a, b, evil := c.nodes[0], c.nodes[1], intruders[0]
	w.set(0, func(from, to int) bool { return from < 2 && to < 2 }) // A and B do not see each other
	for range 10 {
		a.register("App")
	}
	var asked atomic.Int64
	evil.SetStreamHandler(federation.PullProtocol, func(s network.Stream) {
		asked.Add(1)
		suffix, err := a.Since(t.Context(), a.key.ID(), 1, 1<<20)
		if err == nil {
			err = answer(suffix, s)
		}
		if err != nil {
			_ = s.Reset()
		}
		_ = s.CloseWrite()
	})
	evil.behave(c.nodes[:2], a.Vector)
	time.Sleep(20 * time.Second)
	if n := asked.Load(); n == 0 || n > 10 {
		t.Errorf("the intruder was asked %d times", n)
	}
	if head := b.Vector().Logs[a.key.ID()]; head.Size != 1 {
		t.Errorf("B has a head of size %d", head.Size)
	}
	if b.Registered() != 0 {
		t.Errorf("B has %d clients", b.Registered())
	}
	w.set(0, nil)
	took := c.until(3*time.Second, "B has the log from A", func() bool { return b.Vector().Logs[a.key.ID()] == a.Vector().Logs[a.key.ID()] })
	t.Logf("complete after %v", took)
}

// fault 56: a member floods the topic with messages that look right and are
// signed badly. It is dropped after twenty, and the rest of the federation
// goes on.
func TestFault56Spam(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 3, 1)
		good, evil := c.nodes[:3], intruders[0]
		topic := evil.gossip(nil)
		evil.behave(good, good[0].Vector)
		c.until(3*time.Second, "all are connected", func() bool { return meshed(good) && len(good[0].Online()) == 3 })
		evil.SetStreamHandler(federation.PullProtocol, func(s network.Stream) { _ = s.Reset() })
		view := *good[0].Replica.Views()[0].View
		view.IssuedAt++ // so that it would be new
		signed, err := registry.SignView(good[0].key, view)
		if err != nil {
			t.Fatal(err)
		}
		unsigned := signed.Raw[:len(signed.Raw)-8]
		rejected := 0
		start := time.Now()
		for i := range 2000 {
			spam := fmt.Sprintf(`{"view":"%s%07dA"}`, unsigned, i)
			_ = topic.Publish(t.Context(), []byte(spam))
			if i%5 == 4 {
				time.Sleep(time.Millisecond)
			}
			if i%100 == 99 && rejected == 0 && !slices.Contains(good[0].Online(), evil.node.issuer) {
				rejected = i
			}
		}
		if rejected == 0 || rejected > 700 { // of which most were on their way

			t.Errorf("the spammer was dropped after %d messages", rejected)
		}
		t.Logf("dropped after at most %d messages, %v", rejected, time.Since(start))
		if n := c.logged.count("gossip rejected"); n < 20 || n > 1000 {
			t.Errorf("%d messages were judged", n)
		}
		log := good[1].key.ID()
		good[1].register("App")
		c.until(time.Second, "the others hold the same", func() bool { return good[0].Vector().Logs[log] == good[1].Vector().Logs[log] })
		time.Sleep(30 * time.Second)
		if err := evil.connect(good[0]); err == nil && slices.Contains(good[0].Online(), evil.node.issuer) {
			t.Error("the spammer is back within the minute")
		}
	})
}

// rpc writes an RPC of gossipsub as a peer does.
func rpc(w io.Writer, r *pb.RPC) error {
	raw, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.AppendUvarint(nil, uint64(len(raw))), raw...))
	return err
}

// fault 57: a member repeats old messages, and asks and tells about messages
// without end. What it sends beyond its share is not looked at, then it is
// dropped.
func TestFault57Floods(t *testing.T) {
	id := func(i int) string { return fmt.Sprintf("%032d", i) }
	ids := func(n, from int) (all []string) {
		for i := range n {
			all = append(all, id(from+i))
		}
		return all
	}
	tests := map[string]func(topic string, message *pb.Message, i int) *pb.RPC{
		"RPC":    func(string, *pb.Message, int) *pb.RPC { return &pb.RPC{Control: &pb.ControlMessage{}} },
		"replay": func(_ string, m *pb.Message, _ int) *pb.RPC { return &pb.RPC{Publish: []*pb.Message{m}} },
		"IHAVE": func(topic string, _ *pb.Message, i int) *pb.RPC {
			return &pb.RPC{Control: &pb.ControlMessage{Ihave: []*pb.ControlIHave{{TopicID: &topic, MessageIDs: ids(1000, i*1000)}}}}
		},
		"IWANT": func(_ string, _ *pb.Message, i int) *pb.RPC {
			return &pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{{MessageIDs: ids(1000, 0)}}}}
		},
		"IDONTWANT": func(_ string, _ *pb.Message, i int) *pb.RPC {
			return &pb.RPC{Control: &pb.ControlMessage{Idontwant: []*pb.ControlIDontWant{{MessageIDs: ids(1000, i*1000)}}}}
		},
		"GRAFT": func(topic string, _ *pb.Message, _ int) *pb.RPC {
			return &pb.RPC{Control: &pb.ControlMessage{Graft: slices.Repeat([]*pb.ControlGraft{{TopicID: &topic}}, 50)}}
		},
		"PRUNE": func(topic string, _ *pb.Message, _ int) *pb.RPC {
			return &pb.RPC{Control: &pb.ControlMessage{Prune: slices.Repeat([]*pb.ControlPrune{{TopicID: &topic}}, 50)}}
		},
	}
	for name, flood := range tests {
		t.Run(name, func(t *testing.T) {
			most := 500 // of what is dear
			if name == "RPC" || name == "replay" {
				most = 5000
			}
			synctest.Test(t, func(t *testing.T) { testFlood(t, flood, most) })
		})
	}
}

func testFlood(t *testing.T, flood func(string, *pb.Message, int) *pb.RPC, most int) {
	c, _, intruders := besieged(t, 2, 1)
	good, evil := c.nodes[:2], intruders[0]
	evil.behave(good, good[0].Vector)
	evil.SetStreamHandler(gossipProtocol, func(s network.Stream) { _, _ = ended(s) })
	evil.SetStreamHandler(federation.PullProtocol, func(s network.Stream) { _ = s.Reset() })
	c.until(3*time.Second, "all are connected", func() bool { return meshed(good) && len(good[0].Online()) == 2 })
	name := federation.TopicName(good[0].Chain().Federation())
	message := &pb.Message{From: []byte(evil.ID()), Data: []byte(`{"view":"x"}`), Seqno: []byte("12345678"), Topic: &name, Signature: []byte("x")}
	at, _ := peer.Decode(good[0].peerID)
	stream, err := evil.NewStream(t.Context(), at, gossipProtocol)
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; sent < most && err == nil; sent++ {
		err = rpc(stream, flood(name, message, sent))
		if sent%20 == 19 {
			time.Sleep(time.Millisecond)
		}
	}
	if err == nil {
		t.Errorf("the peer was not dropped after %d messages", sent)
	}
	t.Logf("dropped after %d messages", sent)
	good[1].register("App")
	log := good[1].key.ID()
	c.until(time.Second, "the others go on", func() bool { return good[0].Vector().Logs[log] == good[1].Vector().Logs[log] })
}

const gossipProtocol = "/meshsub/1.2.0"

// fault 57: an RPC larger than any message ends the stream before it is read.
func TestFault57GiantRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 1, 1)
		good, evil := c.nodes[0], intruders[0]
		evil.behave(c.nodes[:1], good.Vector)
		c.until(3*time.Second, "connected", func() bool { return len(good.Online()) == 1 })
		at, _ := peer.Decode(good.peerID)
		stream, err := evil.NewStream(t.Context(), at, gossipProtocol)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Write(binary.AppendUvarint(nil, 1<<30))
		sent := 0
		for ; sent < 1024 && err == nil; sent++ {
			_, err = stream.Write(make([]byte, 16<<10))
			time.Sleep(time.Millisecond)
		}
		if err == nil {
			t.Error("16 MiB of a giant RPC were taken")
		}
	})
}

// heavy is a client with so many redirect URIs that its record has 14 KB.
func heavy(i int) registry.ClientMetadata {
	m := storetest.Metadata(fmt.Sprintf("Heavy %d", i))
	for len(m.RedirectURIs) < registry.MaxRedirectURIs {
		m.RedirectURIs = append(m.RedirectURIs, fmt.Sprintf("https://app.example/%d/%s", len(m.RedirectURIs), strings.Repeat("x", 230)))
	}
	return m
}

func (n *clusterNode) registerHeavy(count int) {
	n.c.t.Helper()
	for i := range count {
		n.append(federation.Draft{Registration: &registry.Registration{ClientMetadata: heavy(i)}})
	}
}

// fault 62: a member that asks for much and does not read it is left after a
// while, and cannot keep more than a few answers waiting.
func TestFault62SlowPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 1, 1)
		good, evil := c.nodes[0], intruders[0]
		good.registerHeavy(120)
		evil.behave(c.nodes[:1], good.Vector)
		c.until(3*time.Second, "connected", func() bool { return len(good.Online()) == 1 })
		ask := map[string]any{"logs": []any{map[string]any{"log": good.key.ID(), "from": 0}}}
		var streams []network.Stream
		for range 6 {
			streams = append(streams, evil.open(good, federation.PullProtocol, ask))
			time.Sleep(time.Second)
		}
		for _, s := range streams[4:] {
			if n, err := ended(s); err == nil || n > 0 {
				t.Errorf("a fifth pull at a time was answered with %d bytes", n)
			}
		}
		time.Sleep(time.Minute)
		for _, s := range streams[:4] {
			if n, err := ended(s); err == nil {
				t.Errorf("after a minute of not reading, all %d bytes were there", n)
			}
		}
		again := evil.open(good, federation.PullProtocol, ask)
		if n, err := ended(again); err != nil || n < 1<<20 {
			t.Errorf("a pull that is read: %d bytes, %v", n, err)
		}
	})
}

// fault 62: a member that says nothing for four seconds is not online, and is
// when it speaks again; after ten seconds its connection is closed.
func TestFault62SilentHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 1, 1)
		good, evil := c.nodes[0], intruders[0]
		evil.SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) {})
		for range 3 {
			time.Sleep(3 * time.Second) // to be dialled again
			c.until(5*time.Second, "connected", func() bool { return len(evil.Network().Peers()) == 1 })
			stream := evil.open(good, federation.HeadsProtocol, evil.hello(), map[string]any{})
			for range 2 {
				c.until(time.Second, "online", func() bool { return len(good.Online()) == 1 })
				changed := good.Network.Changed()
				took := c.until(6*time.Second, "offline", func() bool { return len(good.Online()) == 0 })
				if took < 3*time.Second || took > 5*time.Second {
					t.Errorf("offline after %v", took)
				}
				<-changed
				time.Sleep(3 * time.Second)
				if err := write(stream, map[string]any{}); err != nil {
					t.Fatal(err)
				}
			}
			took := c.until(12*time.Second, "disconnected", func() bool { return good.Conns() == 0 })
			if took < 8*time.Second {
				t.Errorf("disconnected after %v", took)
			}
		}
	})
}

// fault 62: a member that does not read the gossip it subscribed to costs a
// bounded queue, and is dropped when that is full.
func TestFault62SlowGossip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, intruders := besieged(t, 1, 1)
		good, evil := c.nodes[0], intruders[0]
		evil.SetStreamHandler(gossipProtocol, func(s network.Stream) {}) // never reads
		evil.SetStreamHandler(federation.PullProtocol, func(s network.Stream) { _ = s.Reset() })
		evil.behave(c.nodes[:1], good.Vector)
		c.until(3*time.Second, "connected", func() bool { return len(good.Online()) == 1 })
		name, yes := federation.TopicName(good.Chain().Federation()), true
		at, _ := peer.Decode(good.peerID)
		stream, err := evil.NewStream(t.Context(), at, gossipProtocol)
		if err != nil {
			t.Fatal(err)
		}
		if err := rpc(stream, &pb.RPC{Subscriptions: []*pb.RPC_SubOpts{{Subscribe: &yes, Topicid: &name}}}); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for ; sent < 3000 && len(good.Online()) == 1; sent += 10 {
			good.registerHeavy(10)
			time.Sleep(500 * time.Millisecond)
		}
		t.Logf("dropped after %d records", sent)
		if sent >= 3000 {
			t.Error("the slow reader was never dropped")
		}
	})
}

// fault 60: a member names the address of somebody else as its own, so that
// all the others would knock there. They do, as they must to find out, but
// rarely, and the connection is not taken for the member.
func TestFault60Reflection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w, intruders := besieged(t, 1, 1)
		good, evil := c.nodes[0], intruders[0]
		evil.Close()
		victim := w.NewEndpoint(&net.UDPAddr{IP: simnet.IntToPublicIPv4(77), Port: 443}, simnet.NodeBiDiLinkSettings{
			Uplink: simnet.LinkSettings{BitsPerSecond: mbit}, Downlink: simnet.LinkSettings{BitsPerSecond: mbit}})
		evil.node.announce([]string{fmt.Sprintf("/ip4/%s/udp/443/quic-v1", simnet.IntToPublicIPv4(77))})
		hand(t, evil.node, good)
		time.Sleep(10 * time.Minute)
		packets := 0
		for {
			_ = victim.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, _, err := victim.ReadFrom(make([]byte, 2000)); errors.Is(err, simnet.ErrDeadlineExceeded) {
				break
			}
			packets++
		}
		if packets == 0 || packets > 3000 {
			t.Errorf("%d packets in ten minutes", packets)
		}
		t.Logf("%d packets in ten minutes", packets)
	})
}

// fault 58, 59: peers of nobody may connect, a bounded number of them and for a
// bounded time, and get nothing of what members exchange.
func TestFault58Strangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := simulate(t, 2)
		c.start()
		c.until(time.Second, "the members are connected", func() bool { return meshed(c.nodes) })
		victim := c.nodes[0]
		victim.register("App")
		var strangers []*intruder
		for range federation.MaxStrangers + 6 {
			n := c.add("https://stranger.example")
			n.openReplica()
			i := newIntruder(t, n)
			strangers = append(strangers, i)
			_ = i.connect(victim)
		}
		time.Sleep(time.Second)
		if n := victim.Conns(); n != federation.MaxStrangers+1 {
			t.Errorf("%d connections", n)
		}
		first := strangers[0]
		ask := map[string]any{"logs": []any{map[string]any{"log": victim.key.ID(), "from": 0}}}
		if n, err := ended(first.open(victim, federation.PullProtocol, ask)); err == nil || n != 0 {
			t.Errorf("a stranger pulled %d bytes", n)
		}
		first.node.announce(first.addresses()) // in a federation of its own
		if n, err := ended(first.open(victim, federation.HeadsProtocol, first.hello(), victim.Vector())); err == nil || n != 0 {
			t.Errorf("a stranger got %d bytes of heads", n)
		}
		var heard atomic.Int64
		strangers[1].gossip(func(*pubsub.Message) { heard.Add(1) })
		time.Sleep(5 * time.Second)
		c.nodes[1].register("Another")
		c.until(time.Second, "members go on", func() bool { return same(c.nodes[:2]) })
		time.Sleep(5 * time.Second)
		if n := heard.Load(); n > 0 {
			t.Errorf("a stranger heard %d messages", n)
		}
		c.nodes[1].stop()
		c.nodes[1].restart()
		c.until(2*time.Second, "a member comes in", func() bool { return meshed(c.nodes[:2]) })
		time.Sleep(3 * time.Minute)
		if n := victim.Conns(); n > 2 { // the member may have two
			t.Errorf("%d connections after three minutes", n)
		}
	})
}
