// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/federation"
)

// intruder is a host with the keys of a member, or of nobody, that does what
// the test wants in place of what the protocol says.
type intruder struct {
	host.Host
	t    testing.TB
	node *clusterNode // whose keys it has
	ctx  context.Context
}

// newIntruder takes the place of a node that does not run. It may tell others
// addresses that are not its own.
func newIntruder(t testing.TB, n *clusterNode, tells ...string) *intruder {
	t.Helper()
	var config federation.NetworkConfig
	n.c.configure(n, &config)
	key, err := crypto.UnmarshalEd25519PrivateKey(n.peerKey)
	if err != nil {
		t.Fatal(err)
	}
	options := []libp2p.Option{
		libp2p.Identity(key), libp2p.ListenAddrStrings(config.Listen...), libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(), libp2p.ForceReachabilityPublic(), libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableMetrics(), libp2p.Ping(false), libp2p.UDPBlackHoleSuccessCounter(nil),
	}
	if len(tells) > 0 {
		options = append(options, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr {
			return []ma.Multiaddr{ma.StringCast(tells[0])}
		}))
	}
	h, err := libp2p.New(append(options, config.Transport...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &intruder{Host: h, t: t, node: n, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		_ = h.Close()
	})
	return i
}

// addresses are where it can be reached.
func (i *intruder) addresses() []string {
	var all []string
	for _, a := range i.Addrs() {
		all = append(all, a.String())
	}
	return all
}

func (i *intruder) connect(n *clusterNode) error {
	at := peer.AddrInfo{}
	at.ID, _ = peer.Decode(n.peerID)
	for _, s := range n.Addresses() {
		at.Addrs = append(at.Addrs, ma.StringCast(s))
	}
	ctx, cancel := context.WithTimeout(i.ctx, 5*time.Second)
	defer cancel()
	return i.Connect(ctx, at)
}

// open opens a stream and writes the documents as frames.
func (i *intruder) open(n *clusterNode, p protocol.ID, docs ...any) network.Stream {
	i.t.Helper()
	id, _ := peer.Decode(n.peerID)
	s, err := i.NewStream(i.ctx, id, p)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, doc := range docs {
		if err := write(s, doc); err != nil {
			i.t.Fatal(err)
		}
	}
	return s
}

func write(w io.Writer, doc any) error {
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return federation.WriteFrame(w, raw)
}

// hello is the first frame on a heads stream.
func (i *intruder) hello() any {
	record, err := i.node.BrokerRecord(i.ctx, i.node.key.ID())
	if err != nil {
		i.t.Fatal(err)
	}
	return map[string]string{"broker": record.Raw}
}

// behave makes it a member as far as heads go: it reads what the others hold,
// and tells them what vector says, every three seconds.
func (i *intruder) behave(nodes []*clusterNode, vector func() federation.Vector) {
	i.behaveAs(nodes, func() any { return vector() })
}

// behaveAs is behave with frames of another form.
func (i *intruder) behaveAs(nodes []*clusterNode, vector func() any) {
	i.SetStreamHandler(federation.HeadsProtocol, func(s network.Stream) { _, _ = io.Copy(io.Discard, s) })
	for _, n := range nodes {
		go func() {
			for i.ctx.Err() == nil {
				i.speak(n, vector)
				i.pause(time.Second)
			}
		}()
	}
}

func (i *intruder) speak(n *clusterNode, vector func() any) {
	id, _ := peer.Decode(n.peerID)
	s, err := i.NewStream(network.WithNoDial(i.ctx, "the others dial"), id, federation.HeadsProtocol)
	if err != nil {
		return
	}
	defer func() { _ = s.Reset() }()
	stop := context.AfterFunc(i.ctx, func() { _ = s.Reset() })
	defer stop()
	err = write(s, i.hello())
	for err == nil && i.ctx.Err() == nil {
		err = write(s, vector())
		i.pause(3 * time.Second)
	}
}

func (i *intruder) pause(d time.Duration) {
	select {
	case <-i.ctx.Done():
	case <-time.After(d):
	}
}

// gossip enters the topic of the federation. What comes in is judged by
// validate; nil: it is taken and never passed on.
func (i *intruder) gossip(validate func(*pubsub.Message)) *pubsub.Topic {
	i.t.Helper()
	params := pubsub.DefaultGossipSubParams()
	params.D, params.Dlo, params.Dhi = 12, 10, 24
	ps, err := pubsub.NewGossipSub(i.ctx, i.Host, pubsub.WithGossipSubParams(params), pubsub.WithFloodPublish(true),
		pubsub.WithMessageIdFn(func(m *pb.Message) string { return string(m.GetData()) }))
	if err != nil {
		i.t.Fatal(err)
	}
	name := federation.TopicName(i.node.Chain().Federation())
	err = ps.RegisterTopicValidator(name, func(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if from == i.ID() {
			return pubsub.ValidationAccept
		}
		if validate != nil {
			validate(m)
		}
		return pubsub.ValidationIgnore
	})
	if err != nil {
		i.t.Fatal(err)
	}
	topic, err := ps.Join(name)
	if err != nil {
		i.t.Fatal(err)
	}
	subscription, err := topic.Subscribe()
	if err != nil {
		i.t.Fatal(err)
	}
	go func() {
		for {
			if _, err := subscription.Next(i.ctx); err != nil {
				return
			}
		}
	}()
	return topic
}

// ended reads a stream to its end.
func ended(s network.Stream) (n int64, err error) {
	return io.Copy(io.Discard, s)
}
