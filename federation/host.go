// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/gologshim"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/registry"
)

// dialTimeout bounds one attempt to connect: a handshake takes four one-way
// trips, and what is lost is sent again within a second.
const dialTimeout = 5 * time.Second

// newHost makes a host for a server: TCP and QUIC, no relay, no hole punching,
// no finding out of its own address by asking others, and nothing that gives up
// on whole protocols because some peers were away.
func newHost(cfg NetworkConfig, g connmgr.ConnectionGater) (host.Host, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("peer key: %w", err)
	}
	announce, err := parseAddresses(cfg.Announce)
	if err != nil {
		return nil, fmt.Errorf("addresses to announce: %w", err)
	}
	if _, err := parseAddresses(cfg.Listen); err != nil {
		return nil, fmt.Errorf("addresses to listen on: %w", err)
	}
	resources, err := newResourceManager()
	if err != nil {
		return nil, err
	}
	options := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(cfg.Listen...),
		libp2p.AddrsFactory(announcedAddresses(announce, addressPolicy{allowPrivate: cfg.AllowPrivate})),
		libp2p.ConnectionGater(g),
		libp2p.ResourceManager(resources),
		// The gater bounds the strangers, the charter the members. A manager
		// that trims connections would tear holes into a full mesh.
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.DisableRelay(),
		libp2p.ForceReachabilityPublic(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.Ping(false),
		libp2p.DisableMetrics(),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.UserAgent("comity"),
	}
	// What is worth an operator's while is an error or in our log.
	gologshim.SetDefaultHandler(slog.DiscardHandler)
	if cfg.Transport != nil {
		options = append(options, cfg.Transport...)
	} else {
		options = append(options, libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(libp2pquic.NewTransport))
	}
	return libp2p.New(options...)
}

func parseAddresses(texts []string) ([]ma.Multiaddr, error) {
	var all []ma.Multiaddr
	for _, s := range texts {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		if _, rest := ma.SplitFirst(a); !usable(rest) {
			return nil, fmt.Errorf("%q: want /ip4/…/tcp/PORT or /ip4/…/udp/PORT/quic-v1", s)
		}
		all = append(all, a)
	}
	return all, nil
}

// announcedAddresses chooses what others are told: what the operator says, else what is
// listened on and others may dial.
func announcedAddresses(chosen []ma.Multiaddr, policy addressPolicy) func([]ma.Multiaddr) []ma.Multiaddr {
	return func(listening []ma.Multiaddr) []ma.Multiaddr {
		if len(chosen) > 0 {
			return chosen
		}
		var public []ma.Multiaddr
		for _, a := range listening {
			if policy.dials(a) == nil && len(public) < registry.MaxPeers {
				public = append(public, a)
			}
		}
		return public
	}
}

// Limits of the host. The default ones, 252 connections on a large machine and
// 8 for each address, are those of one peer among millions; a broker has a
// connection to each of up to 1,000 members, and some are behind one address.
const (
	maxConns       = 4096
	maxHandshakes  = 512 // connections whose other side has not said who it is
	maxPeerConns   = 8
	maxPeerStreams = 256
	maxIPConns     = 32
	connsPerSecond = 8 // from and to one address, with bursts of twice maxIPConns
)

func newResourceManager() (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: maxConns, ConnsInbound: maxConns, ConnsOutbound: maxConns, FD: maxConns,
			Streams: 32 * maxConns, StreamsInbound: 16 * maxConns, StreamsOutbound: 16 * maxConns,
			Memory: 1 << 30,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: 2 * maxHandshakes, ConnsInbound: maxHandshakes, ConnsOutbound: maxHandshakes, FD: maxHandshakes,
			Streams: 2 * maxConns, StreamsInbound: maxConns, StreamsOutbound: maxConns,
			Memory: 256 << 20,
		},
		ServiceDefault:      rcmgr.ResourceLimits{Streams: 16 * maxConns, StreamsInbound: 8 * maxConns, StreamsOutbound: 8 * maxConns},
		ProtocolDefault:     rcmgr.ResourceLimits{Streams: 16 * maxConns, StreamsInbound: 8 * maxConns, StreamsOutbound: 8 * maxConns},
		ProtocolPeerDefault: rcmgr.ResourceLimits{Streams: maxPeerStreams, StreamsInbound: 64, StreamsOutbound: 128},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: maxPeerConns, ConnsInbound: maxPeerConns, ConnsOutbound: maxPeerConns, FD: maxPeerConns,
			Streams: maxPeerStreams, StreamsInbound: maxPeerStreams / 2, StreamsOutbound: maxPeerStreams,
			Memory: 32 << 20,
		},
	}.Build(rcmgr.DefaultLimits.AutoScale())
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: maxIPConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: maxIPConns}, {PrefixLength: 48, ConnCount: 8 * maxIPConns}},
		),
		rcmgr.WithConnRateLimiters(connRates()),
	)
	if err != nil {
		return nil, fmt.Errorf("resource manager: %w", err)
	}
	return manager, nil
}

// connRates bounds new connections from one address. It counts those to it as
// well, so that the default of one in five seconds would slow our redialling.
// Loopback is free: those who are there have other means.
func connRates() *rate.Limiter {
	each := rate.Limit{RPS: connsPerSecond, Burst: 2 * maxIPConns}
	limiter := &rate.Limiter{SubnetRateLimiter: rate.SubnetLimiter{
		IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: each}},
		IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: each}},
		GracePeriod:      time.Minute,
	}}
	for _, p := range loopback {
		limiter.NetworkPrefixLimits = append(limiter.NetworkPrefixLimits, rate.PrefixLimit{Prefix: p})
	}
	return limiter
}
