// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// dhtWorld is a federation whose members have a replica and a part in the DHT
// and nothing else: no gossip, no sync. What a replica holds is written into
// its store by hand. The hosts are real, the network between them is in memory.
type dhtWorld struct {
	t       testing.TB
	net     mocknet.Mocknet
	now     time.Time
	charter registry.Charter
	members []*dhtMember
	places  int
	// anybody switches the member filter off.
	anybody  bool
	expelled atomic.Pointer[dhtMember] // its peer is a member's no more
	// loopback has hosts of its own kind: real ones, on TCP.
	loopback bool
	// configure changes a directory that is about to be made.
	configure func(*federation.DirectoryConfig)
}

type dhtMember struct {
	*federation.Replica
	w      *dhtWorld
	issuer string
	key    registry.SigningKey
	store  *memstore.Store
	host   host.Host
	data   datastore.Batching
	dir    *federation.Directory
	stop   func()
}

func newDHTWorld(t testing.TB, n int) *dhtWorld {
	return (&dhtWorld{t: t}).populate(n)
}

func (w *dhtWorld) populate(n int) *dhtWorld {
	t := w.t
	w.net, w.now = mocknet.New(), time.Unix(1_800_000_000, 0)
	t.Cleanup(func() { w.net.Close() })
	w.charter = federation.DefaultCharter()
	w.charter.Version, w.charter.IssuedAt = 1, w.now.Unix()
	var keys []registry.SigningKey
	for i := range n {
		m := &dhtMember{
			w: w, issuer: fmt.Sprintf("https://m%d.example", i), key: registry.GenerateSigningKey(), store: new(memstore.Store),
			host: w.host(newPeerKey(t)), data: dssync.MutexWrap(datastore.NewMapDatastore()),
		}
		w.members = append(w.members, m)
		keys = append(keys, m.key)
		w.charter.Members = append(w.charter.Members, registry.Member{
			Issuer: m.issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: m.key.JWK()}},
		})
	}
	first, err := registry.NewCharter(w.charter, keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range w.members {
		own, err := registry.SignCheckpoint(m.key, registry.Origin(m.issuer), 0, registry.EmptyRoot())
		if err != nil {
			t.Fatal(err)
		}
		m.write(federation.Update{Log: m.key.ID(), Own: true, Checkpoint: own, Charters: []*registry.SignedCharter{first}})
		m.open()
		var addrs []string
		for _, a := range m.host.Addrs() {
			addrs = append(addrs, a.String())
		}
		m.append(federation.Draft{Broker: &registry.Broker{
			Organisation: "Member", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
			Peers: []registry.Peer{{ID: m.host.ID().String(), Addresses: addrs}},
		}})
	}
	w.share()
	return w
}

func newPeerKey(t testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// host adds a host that is linked to all others and connected to none.
func (w *dhtWorld) host(key ed25519.PrivateKey) host.Host {
	w.t.Helper()
	private, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.loopback {
		h, err := libp2p.New(libp2p.Identity(private), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { h.Close() })
		return h
	}
	w.places++
	h, err := w.net.AddPeer(private, ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 10_000+w.places)))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, other := range w.net.Peers() {
		if _, err := w.net.LinkPeers(h.ID(), other); err != nil && other != h.ID() {
			w.t.Fatal(err)
		}
	}
	return h
}

func (w *dhtWorld) federation() string { return w.members[0].Chain().Federation() }

func (w *dhtWorld) isMember(p peer.ID) bool {
	if out := w.expelled.Load(); out != nil && out.host.ID() == p {
		return false
	}
	return w.anybody || slices.ContainsFunc(w.members, func(m *dhtMember) bool { return m.host.ID() == p })
}

// share writes every log into every store, as sync would, and opens the
// replicas that are not in use again.
func (w *dhtWorld) share() {
	w.t.Helper()
	for _, to := range w.members {
		for _, from := range w.members {
			if to != from {
				to.copy(from)
			}
		}
		if to.dir == nil {
			to.open()
		}
	}
}

func (m *dhtMember) copy(from *dhtMember) {
	m.w.t.Helper()
	var have int64
	snapshot, err := m.store.Load(m.w.t.Context())
	if err != nil {
		m.w.t.Fatal(err)
	}
	for _, h := range snapshot.Heads {
		if h.Log == from.key.ID() {
			have = h.Size
		}
	}
	head := from.head()
	rows, err := from.store.Rows(m.w.t.Context(), from.key.ID(), have, head.Size)
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.write(federation.Update{Log: from.key.ID(), Before: have, Rows: rows, Checkpoint: head})
}

func (m *dhtMember) head() *registry.Checkpoint {
	m.w.t.Helper()
	raw, err := m.Checkpoint(m.w.t.Context(), "")
	if err != nil {
		m.w.t.Fatal(err)
	}
	c, err := registry.OpenCheckpoint(raw, registry.Origin(m.issuer), m.key.Public())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return c
}

func (m *dhtMember) write(u federation.Update) {
	m.w.t.Helper()
	if err := m.store.Write(m.w.t.Context(), u); err != nil {
		m.w.t.Fatal(err)
	}
}

// forget begins with a replica that has the charter alone.
func (m *dhtMember) forget() {
	m.w.t.Helper()
	first := m.Chain().Version(1)
	own, err := registry.SignCheckpoint(m.key, registry.Origin(m.issuer), 0, registry.EmptyRoot())
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.store = new(memstore.Store)
	m.write(federation.Update{Log: m.key.ID(), Own: true, Checkpoint: own, Charters: []*registry.SignedCharter{first}})
	m.open()
}

func (m *dhtMember) open() {
	m.w.t.Helper()
	r, err := federation.Open(m.w.t.Context(), federation.Config{
		Store: m.store, Key: m.key, Issuer: m.issuer, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return m.w.now },
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.Replica = r
}

func (m *dhtMember) append(d federation.Draft) *registry.Record {
	m.w.t.Helper()
	r, _, err := m.Append(m.w.t.Context(), d)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return r
}

func (m *dhtMember) register(name string) string {
	m.w.t.Helper()
	return m.append(federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata(name)}}).CID
}

func (m *dhtMember) value(key string) []byte {
	m.w.t.Helper()
	v, err := federation.DHTValue(m.w.t.Context(), m.Replica, key)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return v
}

// join makes the member's directory; nothing is put by itself.
func (m *dhtMember) join() {
	m.w.t.Helper()
	cfg := federation.DirectoryConfig{
		Host: m.host, Replica: m.Replica, Member: m.w.isMember, Datastore: m.data,
		Every: time.Millisecond, Log: slog.New(slog.DiscardHandler),
	}
	if m.w.configure != nil {
		m.w.configure(&cfg)
	}
	dir, err := federation.NewDirectory(cfg)
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.dir = dir
	m.stop = func() {}
	m.w.t.Cleanup(m.leave)
}

// run lets the member put by itself.
func (m *dhtMember) run() {
	ctx, cancel := context.WithCancel(m.w.t.Context())
	done := make(chan error)
	go func() { done <- m.dir.Run(ctx) }()
	m.stop = func() { cancel(); <-done }
}

func (m *dhtMember) leave() {
	if m.dir != nil {
		m.stop()
		m.dir.Close()
		m.dir = nil
	}
}

// start has all members join and connects them.
func (w *dhtWorld) start() {
	w.t.Helper()
	for _, m := range w.members {
		m.join()
	}
	for i, m := range w.members {
		for _, other := range w.members[:i] {
			w.connect(m.host, other.host)
		}
	}
	for _, m := range w.members {
		eventually(w.t, "all members are in the routing table", func() bool {
			return m.dir.DHT().RoutingTable().Size() == len(w.members)-1
		})
	}
}

func (w *dhtWorld) connect(a, b host.Host) {
	w.t.Helper()
	if err := a.Connect(w.t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		w.t.Fatal(err)
	}
}

// reader is a light reader that knows one member.
func (w *dhtWorld) reader(change func(*federation.LightReaderConfig)) (*federation.LightReader, error) {
	cfg := federation.LightReaderConfig{
		Host: w.host(newPeerKey(w.t)), Federation: w.federation(),
		Peers: []peer.AddrInfo{{ID: w.members[0].host.ID(), Addrs: w.members[0].host.Addrs()}},
	}
	if change != nil {
		change(&cfg)
	}
	patience := 20 * time.Second
	if cfg.Federation != w.federation() {
		patience = 300 * time.Millisecond // nobody will answer
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	r, err := federation.NewLightReader(ctx, cfg)
	if err == nil {
		w.t.Cleanup(func() { r.Close() })
	}
	return r, err
}

// eventually polls, as what it waits for happens in other goroutines.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in 20 s it did not happen that %s", what)
		}
	}
}

func (w *dhtWorld) protocol() protocol.ID {
	return protocol.ID("/comity/" + w.federation() + "/kad/1.0.0")
}

func clientKey(id string) string { return "/client/" + id }
func logKey(m *dhtMember) string { return "/log/" + m.key.ID() }
