// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"github.com/comity-network/comity/federation"
)

const mbit = 1_000_000

// weather is a simulated network between the nodes of a cluster: links with
// latency and bandwidth, and packets that are lost. It runs in the bubble of a
// test, on virtual time.
type weather struct {
	*simnet.Simnet
	mu   sync.Mutex
	loss float64
	cut  func(from, to int) bool // nil: nothing
}

// simulate makes a cluster on a simulated network with links of 50 ± 10 ms one
// way and 100 Mbit/s.
//
// One processor is faster than two: in a bubble hardly anything happens at the
// same time, and with the race detector every hand-over is dear.
func simulate(t testing.TB, n int) (*cluster, *weather) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	w := &weather{Simnet: &simnet.Simnet{LatencyFunc: latency}}
	w.Start()
	c := newCluster(t, n, bubbleNow)
	t.Cleanup(w.Close)
	c.configure = w.configure
	return c, w
}

// size is how many nodes a test has: with the race detector, which makes them
// six times as dear, without it, and in the long form.
func size(race, plain, long int) int {
	switch {
	case os.Getenv("COMITY_LONG") != "":
		return long
	case raceEnabled:
		return race
	}
	return plain
}

// latency is the same for all packets of one link, either way.
func latency(p *simnet.Packet) time.Duration {
	return link(p.From.(*net.UDPAddr), p.To.(*net.UDPAddr))
}

func link(a, b *net.UDPAddr) time.Duration {
	h := fnv.New32a()
	fmt.Fprint(h, min(a.String(), b.String()), max(a.String(), b.String()))
	return 40*time.Millisecond + time.Duration(h.Sum32()%20_000)*time.Microsecond
}

func address(i int) *net.UDPAddr { return &net.UDPAddr{IP: simnet.IntToPublicIPv4(i), Port: 4001} }

func (w *weather) configure(n *clusterNode, config *federation.NetworkConfig) {
	config.Listen = []string{fmt.Sprintf("/ip4/%s/udp/4001/quic-v1", address(n.i).IP)}
	config.Transport = []libp2p.Option{
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.QUICReuse(closedWithHost,
			quicreuse.OverrideListenUDP(func(string, *net.UDPAddr) (net.PacketConn, error) { return w.endpoint(n.i), nil }),
			quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source(n.i), nil })),
	}
}

// closedWithHost does what libp2p does for the manager that it makes itself.
func closedWithHost(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
	m, err := quicreuse.NewConnManager(reset, token, opts...)
	if err == nil {
		l.Append(fx.StopHook(m.Close))
	}
	return m, err
}

// source is the number of a node, which has one address alone.
type source int

func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return address(int(s)).IP, nil
}

func (w *weather) endpoint(i int) net.PacketConn {
	link := simnet.LinkSettings{BitsPerSecond: 100 * mbit}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &weatherConn{SimConn: w.NewEndpoint(address(i), simnet.NodeBiDiLinkSettings{Uplink: link, Downlink: link}), w: w, from: i}
}

// weatherConn loses packets; simnet itself does not.
type weatherConn struct {
	*simnet.SimConn
	w    *weather
	from int
}

func (c *weatherConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.w.loses(c.from, to.(*net.UDPAddr)) {
		return len(p), nil
	}
	return c.SimConn.WriteTo(p, to)
}

func (w *weather) loses(from int, to *net.UDPAddr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ip := to.IP.To4()
	i := (int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])) - 1
	return w.cut != nil && w.cut(from, i) || w.loss > 0 && rand.Float64() < w.loss
}

func (w *weather) set(loss float64, cut func(from, to int) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss, w.cut = loss, cut
}
