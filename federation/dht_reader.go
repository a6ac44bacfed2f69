// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/registry"
)

// readerLookups is how many logs are looked up at a time when a reader begins.
const readerLookups = 8

// LightReaderConfig is what a LightReader needs. Host, Federation and Peers are required.
type LightReaderConfig struct {
	Host       host.Host
	Federation string // the CID of its first charter
	// Charter, if not empty, is the CID of a later charter that must be in the
	// chain: nobody can show this reader an older state of the federation.
	Charter string
	// Peers are some peers of members, to begin with.
	Peers []peer.AddrInfo
	// Addresses, if not nil, leaves out addresses that must not be dialled.
	Addresses func([]ma.Multiaddr) []ma.Multiaddr
}

// LightReader reads the DHT of a federation without being a member and without a
// replica. It verifies all that it returns, from the federation id on; that
// something is missing means nothing. Nobody can ask it to store anything.
type LightReader struct {
	cfg   LightReaderConfig
	check *dhtValidator
	dht   *dht.IpfsDHT

	mu      sync.Mutex
	chain   *registry.Chain
	members map[peer.ID]bool // those given, and those that verified broker records name
	lookups map[dhtKey][]*dhtLookup
}

// dhtLookup collects every value that is offered for one key, not the one that the
// DHT would select: each may hold a stop that the others leave out.
type dhtLookup struct{ found []*dhtFinding }

// NewLightReader connects to the given peers and reads from them the charters, and
// the log and the peers of each member. Then it asks these, too, and never any
// other peer. The error is registry.ErrNotFound when the federation or the
// pinned charter was not found.
func NewLightReader(ctx context.Context, cfg LightReaderConfig) (*LightReader, error) {
	r := &LightReader{cfg: cfg, members: map[peer.ID]bool{}, lookups: map[dhtKey][]*dhtLookup{}}
	for _, p := range cfg.Peers {
		r.members[p.ID] = true
	}
	r.check = &dhtValidator{federation: cfg.Federation, chain: r.Chain, seen: r.collect}
	store := dssync.MutexWrap(datastore.NewMapDatastore())
	var err error
	r.dht, err = dht.New(cfg.Host, append(dhtOptions(r.check, store, dht.ModeClient, r.asks), dht.AddressFilter(cfg.Addresses))...)
	if err != nil {
		return nil, fmt.Errorf("read the DHT: %w", err)
	}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(err, r.dht.Close())
	}
	return r, nil
}

// Close leaves the DHT; the host stays open.
func (r *LightReader) Close() error { return r.dht.Close() }

func (r *LightReader) begin(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	if err := r.Follow(ctx); err != nil {
		return err
	}
	if pinned := r.cfg.Charter; pinned != "" && r.Chain().ByCID(pinned) == nil {
		return fmt.Errorf("%w: charter %s is not among the %d that the DHT shows: they are older, or another federation's", registry.ErrNotFound, pinned, r.Chain().Latest().Version)
	}
	return r.meet(ctx)
}

// connect waits until one of the first peers answers.
func (r *LightReader) connect(ctx context.Context) error {
	var failed error
	for _, p := range r.cfg.Peers {
		failed = errors.Join(failed, r.cfg.Host.Connect(ctx, p))
	}
	for tick := time.NewTicker(10 * time.Millisecond); r.dht.RoutingTable().Size() == 0; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("no peer of federation %s answers: %w", r.cfg.Federation, errors.Join(ctx.Err(), failed))
		case <-tick.C:
		}
	}
	return nil
}

// asks says which peers are asked: those given by name, and those of members
// as soon as they are known.
func (r *LightReader) asks(p peer.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[p]
}

// Chain returns the charters read so far; nil before the first.
func (r *LightReader) Chain() *registry.Chain {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chain
}

// Follow reads the charters that are newer than those known. The error is
// registry.ErrConflict when there are two valid successors of one version.
func (r *LightReader) Follow(ctx context.Context) error {
	for {
		next := dhtKey{space: spaceCharter, name: r.cfg.Federation, version: 1}
		chain := r.Chain()
		if chain != nil {
			next.version = chain.Latest().Version + 1
		}
		found, err := r.lookup(ctx, next)
		if errors.Is(err, registry.ErrNotFound) && chain != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("charter version %d: %w", next.version, err)
		}
		for _, f := range found {
			if chain == nil {
				chain, err = registry.NewChain(f.charter)
			} else {
				chain, err = chain.Extend(f.charter)
			}
			if err != nil {
				return fmt.Errorf("charter version %d: %w", next.version, err)
			}
		}
		r.mu.Lock()
		r.chain = chain
		r.mu.Unlock()
	}
}

// meet learns the peers of the members from their broker records.
func (r *LightReader) meet(ctx context.Context) error {
	members := map[peer.ID]bool{}
	var group sync.WaitGroup
	var mu sync.Mutex
	places := make(chan struct{}, readerLookups)
	for _, m := range r.Chain().ActiveMembers() {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			s, err := r.Log(ctx, m.Issuer)
			if err != nil || s.Broker == nil {
				return // its peers are not asked
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range r.peersOf(s.Broker) {
				members[p.ID] = true
				r.cfg.Host.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.RecentlyConnectedAddrTTL)
			}
		})
	}
	group.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.members, members)
	return ctx.Err()
}

func (r *LightReader) peersOf(record *registry.Record) []peer.AddrInfo {
	var peers []peer.AddrInfo
	for _, p := range record.Broker.Peers {
		id, err := peer.Decode(p.ID)
		if err != nil || id == r.cfg.Host.ID() {
			continue
		}
		at := peer.AddrInfo{ID: id}
		for _, s := range p.Addresses {
			if a, err := ma.NewMultiaddr(s); err == nil {
				at.Addrs = append(at.Addrs, a)
			}
		}
		if r.cfg.Addresses != nil {
			at.Addrs = r.cfg.Addresses(at.Addrs)
		}
		peers = append(peers, at)
	}
	return peers
}

// Log reads the longest head of a member's log, and the member's broker record.
// The error is registry.ErrNotFound, or registry.ErrFork with the proof when
// peers show two histories.
func (r *LightReader) Log(ctx context.Context, issuer string) (*LogSighting, error) {
	m, ok := r.Chain().Member(issuer)
	if !ok {
		return nil, fmt.Errorf("%w: %s is no member", registry.ErrNotFound, issuer)
	}
	found, err := r.lookup(ctx, dhtKey{space: spaceLog, name: logOf(m)})
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", issuer, err)
	}
	best := found[0]
	for _, f := range found {
		for _, other := range found {
			if fork := registry.CheckFork(f.log.Checkpoint, other.log.Checkpoint); fork != nil {
				return nil, fork
			}
		}
		if f.rank.compare(best.rank) > 0 {
			best = f
		}
	}
	return best.log, nil
}

// Client reads what the members show of a client. The error is
// registry.ErrNotFound when none shows anything, or registry.ErrFork.
func (r *LightReader) Client(ctx context.Context, id string) (*Sighting, error) {
	if err := registry.ParseCID(id); err != nil {
		return nil, fmt.Errorf("%w: client %.70q is no client_id", registry.ErrNotFound, id)
	}
	found, err := r.lookup(ctx, dhtKey{space: spaceClient, name: id})
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	var seen []*Sighting
	for _, f := range found {
		seen = append(seen, f.client)
	}
	return mergeSightings(seen)
}

// lookup asks the peers nearest to a key and returns all that they showed.
func (r *LightReader) lookup(ctx context.Context, key dhtKey) ([]*dhtFinding, error) {
	l := new(dhtLookup)
	r.mu.Lock()
	r.lookups[key] = append(r.lookups[key], l)
	r.mu.Unlock()
	_, err := r.dht.GetValue(ctx, key.String(), dht.Quorum(0))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups[key] = slices.DeleteFunc(r.lookups[key], func(other *dhtLookup) bool { return other == l })
	if len(r.lookups[key]) == 0 {
		delete(r.lookups, key)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(l.found) > 0:
		return l.found, nil
	case errors.Is(err, routing.ErrNotFound):
		return nil, fmt.Errorf("%w in the DHT", registry.ErrNotFound)
	}
	return nil, fmt.Errorf("the DHT does not answer: %w", err)
}

func (r *LightReader) collect(key dhtKey, f *dhtFinding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lookups[key] {
		if !slices.Contains(l.found, f) {
			l.found = append(l.found, f)
		}
	}
}
