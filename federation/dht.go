// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"github.com/comity-network/comity/registry"
)

// DirectoryConfig is what a Directory needs. Host, Replica and Member are
// required.
type DirectoryConfig struct {
	Host    host.Host
	Replica *Replica
	// Member says whether a peer is one that a member's broker record names
	// now. No other peer is ever asked, or named to others.
	Member func(peer.ID) bool
	// Datastore keeps the values; in memory if nil.
	Datastore datastore.Batching
	// Addresses, if not nil, leaves out the addresses of other peers that must
	// not be remembered.
	Addresses func([]ma.Multiaddr) []ma.Multiaddr
	// Every is the least time between two puts; 250 ms if 0.
	Every time.Duration
	// Republish is how often all values of this broker are put again; 12 hours
	// if 0. Values do not expire, but the peers that should hold them change.
	Republish time.Duration
	Log       *slog.Logger // slog.Default if nil
}

// Directory is a member's part in the federation's DHT: it keeps and serves
// values for light readers and newcomers, and puts those of its own broker. It
// returns nothing to act upon: whether a put reached anybody is unknown (the
// DHT says nil when all refuse), and acknowledgements come from the members'
// heads alone. docs/spec/dht.md is the specification.
type Directory struct {
	cfg    DirectoryConfig
	values dhtValues
	check  *dhtValidator
	store  *checkedDatastore
	local  *records.ValueStore // reads what the DHT keeps in store
	dht    *dht.IpfsDHT
	log    *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	news   chan Inbound // what values of others held and the replica lacks
	wake   chan struct{}
	queue  *dhtQueue
	fills  *rate.Limiter // of values that are stored since somebody asked
}

// NewDirectory joins the DHT: as a server when this broker is an active member
// of its federation, else as a client. Nothing is put before Run.
func NewDirectory(cfg DirectoryConfig) (*Directory, error) {
	if cfg.Datastore == nil {
		cfg.Datastore = dssync.MutexWrap(datastore.NewMapDatastore())
	}
	if cfg.Every == 0 {
		cfg.Every = 250 * time.Millisecond
	}
	if cfg.Republish == 0 {
		cfg.Republish = 12 * time.Hour
	}
	d := &Directory{
		cfg: cfg, values: dhtValues{cfg.Replica}, log: cfg.Log,
		news: make(chan Inbound, 64), wake: make(chan struct{}, 1), fills: rate.NewLimiter(dhtFillRate, dhtFillBurst),
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	chain := cfg.Replica.Chain()
	d.queue = newDHTQueue(d)
	d.check = &dhtValidator{federation: chain.Federation(), chain: cfg.Replica.Chain, judge: d.judge}
	d.store = newCheckedDatastore(cfg.Datastore, d.check, d.learn)
	d.local = records.NewValueStore(d.store, d.check, 0)
	mode := dht.ModeClient
	if m, ok := chain.Member(cfg.Replica.issuer); ok && m.State == registry.MemberActive {
		mode = dht.ModeServer
	}
	var err error
	d.dht, err = dht.New(cfg.Host, append(dhtOptions(d.check, d.store, mode, cfg.Member),
		dht.AddressFilter(cfg.Addresses), dht.OnRequestHook(d.asked))...)
	if err != nil {
		d.cancel()
		return nil, fmt.Errorf("join the DHT: %w", err)
	}
	return d, nil
}

// dhtOptions are those of members and readers alike. Each default that is
// replaced here would be a fault: see docs/spec/dht.md.
func dhtOptions(check *dhtValidator, store datastore.Batching, mode dht.ModeOpt, member func(peer.ID) bool) []dht.Option {
	return []dht.Option{
		dht.ProtocolPrefix(dhtPrefix(check.federation)),
		dht.Validator(check),
		dht.Datastore(store),
		dht.Mode(mode),
		dht.MaxRecordAge(0),
		dht.DisableProviders(),
		dht.RoutingTableFilter(func(_ any, p peer.ID) bool { return member(p) }),
		dht.QueryFilter(func(_ any, p peer.AddrInfo) bool { return member(p.ID) }),
	}
}

// dhtPrefix keeps the DHTs of federations apart, and all of them from others.
func dhtPrefix(federation string) protocol.ID { return protocol.ID("/comity/" + federation) }

// Run puts values until ctx ends, and returns nil then.
func (d *Directory) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	d.cfg.Replica.Follow(func(News) { d.poke() })
	var group sync.WaitGroup
	group.Go(func() { d.accept(ctx) })
	jobs := make(chan dhtKey)
	for range dhtWorkers {
		group.Go(func() {
			for key := range jobs {
				d.put(ctx, key)
			}
		})
	}
	d.work(ctx, jobs)
	close(jobs)
	group.Wait()
	return nil
}

// Close leaves the DHT. A request that is being answered may still read the
// datastore until the host is closed.
func (d *Directory) Close() error {
	d.cancel()
	d.hangUp()
	return d.dht.Close()
}

// hangUp ends what the DHT leaves behind when it is closed: its handler, and the
// streams on which others ask.
func (d *Directory) hangUp() {
	ours := func(p protocol.ID) bool {
		return strings.HasPrefix(string(p), string(dhtPrefix(d.check.federation))+"/kad/")
	}
	for _, p := range d.cfg.Host.Mux().Protocols() {
		if ours(p) {
			d.cfg.Host.RemoveStreamHandler(p)
		}
	}
	for _, c := range d.cfg.Host.Network().Conns() {
		for _, s := range c.GetStreams() {
			if ours(s.Protocol()) && s.Stat().Direction == network.DirInbound {
				_ = s.Reset()
			}
		}
	}
}

func (d *Directory) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Enforce takes peers out of the routing table that are no member's any more;
// the DHT asks the filter only when it lets a peer in.
func (d *Directory) Enforce() {
	table := d.dht.RoutingTable()
	for _, p := range table.ListPeers() {
		if !d.cfg.Member(p) {
			table.RemovePeer(p)
		}
	}
}

// judge is the replica's word on a value. A contradiction is handed to Accept,
// which makes the proof of it.
func (d *Directory) judge(key dhtKey, f *dhtFinding) error {
	err := d.values.behind(d.ctx, key, f)
	switch {
	case errors.Is(err, registry.ErrFork):
		d.tell(Inbound{Suffix: &Suffix{Log: key.name, From: f.log.Checkpoint.Size, Checkpoint: f.log.Checkpoint.Raw}})
	case errors.Is(err, registry.ErrConflict):
		d.tell(Inbound{Charter: f.charter.Raw})
	}
	return err
}

// learn hands what a new value says to the one way in.
func (d *Directory) learn(_ dhtKey, f *dhtFinding) {
	switch {
	case f.charter != nil:
		if d.cfg.Replica.Chain().ByCID(f.charter.CID) == nil {
			d.tell(Inbound{Charter: f.charter.Raw})
		}
	case f.client != nil:
		_, known, _ := d.values.facts(d.ctx, f.client.ID)
		for _, r := range f.client.Stops {
			if r.Revocation != nil && r.Revocation.Action != registry.Reinstate && !contains(known, r) {
				d.tell(Inbound{Heard: r.Raw})
			}
		}
	}
}

func contains(entries []registry.Entry, r *registry.Record) bool {
	for _, e := range entries {
		if e.Record.CID == r.CID {
			return true
		}
	}
	return false
}

// tell queues what the replica should see. It may be lost: gossip and sync
// bring it anyway.
func (d *Directory) tell(in Inbound) {
	select {
	case d.news <- in:
	default:
	}
}

func (d *Directory) accept(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-d.news:
			if _, err := d.cfg.Replica.Accept(ctx, in); err != nil {
				d.log.Debug("a value of the DHT was not taken", "error", err)
			}
		}
	}
}

// asked is told of each request before it is answered. A member that is asked
// for what it knows and does not hold takes it into its store, so that the
// answer has it, and puts it where others will look for it.
func (d *Directory) asked(ctx context.Context, _ network.Stream, m *pb.Message) {
	if m.GetType() != pb.Message_GET_VALUE {
		return
	}
	key, err := parseDHTKey(string(m.GetKey()), d.check.federation)
	if err != nil {
		return
	}
	held, err := d.held(ctx, key)
	if errors.Is(err, registry.ErrNotFound) && d.known(ctx, key) {
		if d.fills.Allow() {
			d.fill(ctx, key)
		}
	} else if err != nil || held.log == nil || !d.lags(held.log, key) {
		return
	}
	if d.queue.ask(key) {
		d.poke()
	}
}

// fill takes the replica's value of a key into the store.
func (d *Directory) fill(ctx context.Context, key dhtKey) {
	value, err := d.values.value(ctx, key)
	if err == nil {
		err = d.local.Put(ctx, key.String(), record.MakePutRecord(key.String(), value))
	}
	if err != nil {
		d.log.Debug("keep a value of the DHT", "key", key.String(), "error", err)
	}
}
