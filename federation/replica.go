// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/comity-network/comity/registry"
)

// Config is what a Replica needs. Store, Key and Issuer are required.
type Config struct {
	Store  Store
	Key    registry.SigningKey // the broker's record key
	Issuer string              // the broker's issuer URL
	// Found is the template of the first charter when the store is empty:
	// name and limits. Zero values are those of DefaultCharter; members,
	// version and time are set by Open.
	Found registry.Charter
	// Now is the clock, time.Now if nil. Its times should carry a monotonic
	// reading.
	Now func() time.Time
	Log *slog.Logger // slog.Default if nil
	// OnChange is told of every change, in order, after it is durable, by
	// whomever it was made. A change that neither stops nor enables is told
	// when it comes alone, and not in the middle of a long piece of a log.
	// OnChange may be told the same again, above all at the start of Run,
	// and must not call what writes.
	OnChange func(Change)
	// CacheSize bounds the cached states of clients that nothing stops; each
	// takes about 2 KB once it was asked for. 131,072 if 0.
	CacheSize int
}

// Change says what is no longer as it was.
type Change struct {
	Client  string               // the client that changed, or ""
	Broker  string               // issuer of the broker that changed, or ""
	Stopped bool                 // it is stopped now, or more tokens are dead than before
	Enabled bool                 // it was stopped and is active again
	State   registry.ClientState // of the client; when it is Enabled, Because is the reinstatement, if there is one
}

// DefaultCharter gives the limits of a new federation. A zero quorum or
// threshold means more than half of the active members.
func DefaultCharter() registry.Charter {
	return registry.Charter{
		Name: "comity", MaxSuspension: 24 * 3600, SuspensionQuota: 20,
		MaxAge: 120, ClientsPerMember: 1_000_000,
	}
}

// Replica is a broker's copy of its federation. It is safe for concurrent use.
type Replica struct {
	store    Store
	key      registry.SigningKey
	issuer   string
	origin   string
	log      string // of this broker
	now      func() time.Time
	logger   *slog.Logger
	onChange func(Change)
	kick     chan struct{} // wakes Run; capacity 1

	// writing is held while something is signed and stored, and while its
	// changes are told. It is taken before mu.
	writing   sync.Mutex
	unsure    bool // a write failed with unknown outcome: reload first
	announced announced
	followers []func(News)

	mu    sync.RWMutex
	known                 // guarded by mu
	skews map[string]skew // by issuer; guarded by mu
	// doubled is why nothing is signed after somebody else signed a view
	// with the own key; guarded by mu and writing.
	doubled error
	opened  int64 // when this process began; constant

	checked checked // signatures of registrations in others' logs
}

// known is all that a replica holds in memory.
type known struct {
	chain   *registry.Chain
	heads   map[string]*head
	views   map[string]*registry.Record // by issuer
	brokers map[string]*registry.Record // newest broker record, by log
	entries []registry.Entry            // of those, for the fold
	forks   []registry.Fork
	forked  map[string]int64 // by the thumbprint of a key with a fork: the log index from which it is valid

	heard     map[string]Row                     // stops that stand under no verified head, by CID
	evidence  map[string]Evidence                // by Evidence.key
	proposals map[string]*registry.SignedCharter // by CID
	ahead     *registry.Checkpoint               // of the own log, which this broker does not remember

	stops    map[string][]registry.Entry // all records about clients that some record stops
	state    *registry.State             // fold of stops
	owners   map[string]string           // ids of stopped clients by RedirectOwner; nil: to be made from stops
	list     *registry.StopList
	listHash string
	former   []formerList // the last lists, the current one at the end
	restless bool         // the list has changed since the own newest view
	deadline int64        // second at which state or list change by time alone

	cache      *lru
	generation int64 // counts invalidations of the cache

	certified certified
	viewed    time.Time // when the own newest view was signed, monotonic
	lastIAT   int64     // of what this broker signed
}

// head is the newest checkpoint of one log, and what is stored of the log.
type head struct {
	*registry.Checkpoint       // of size 0 and without Raw when all entries are staged
	entries              int64 // from Size on they are staged
	clients              int64 // that the entries register
}

// verified reports whether there is a head at all.
func (h *head) verified() bool { return h != nil && len(h.Raw) > 0 }

// setBroker takes a broker record in the place of the one before. mu is held.
func (k *known) setBroker(log string, e registry.Entry) {
	k.brokers[log] = e.Record
	others := slices.DeleteFunc(slices.Clone(k.entries), func(o registry.Entry) bool { return o.Record.Issuer == e.Record.Issuer })
	k.entries = append(others, e)
}

// headOf returns the head of a log, one of size 0 when there is none. mu or
// writing is held.
func (k *known) headOf(log, issuer string) *head {
	if h := k.heads[log]; h != nil {
		return h
	}
	return &head{Checkpoint: &registry.Checkpoint{Origin: registry.Origin(issuer), Root: registry.EmptyRoot()}}
}

// Open reads the replica from its store, and founds a federation of one when
// that is empty. It refuses a store that is damaged, that belongs to another
// issuer or key, or whose clock was ahead of the present one. It signs a first
// view, so that a broker alone is fresh when Open returns.
func Open(ctx context.Context, cfg Config) (*Replica, error) {
	r := &Replica{
		store: cfg.Store, key: cfg.Key, issuer: cfg.Issuer, origin: registry.Origin(cfg.Issuer),
		now: cfg.Now, logger: cfg.Log, onChange: cfg.OnChange, kick: make(chan struct{}, 1),
		skews: map[string]skew{},
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.logger == nil {
		r.logger = slog.Default()
	}
	if r.onChange == nil {
		r.onChange = func(Change) {}
	}
	if err := registry.CheckIssuer(cfg.Issuer); err != nil {
		return nil, err
	}
	r.opened = r.now().Unix()
	r.cache = newLRU(cmp.Or(cfg.CacheSize, 1<<17))
	snapshot, err := r.store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load replica: %w", err)
	}
	if snapshot.Empty() {
		if err := r.found(ctx, cfg.Found); err != nil {
			return nil, fmt.Errorf("found a federation: %w", err)
		}
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if err := r.checkClock(r.now()); err != nil {
		return nil, err
	}
	if _, err := r.tick(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// found stores the first charter and the head of the empty log.
func (r *Replica) found(ctx context.Context, template registry.Charter) error {
	c := withDefaults(template)
	c.Version, c.Previous, c.IssuedAt = 1, "", r.now().Unix()
	c.Members = []registry.Member{{
		Issuer: r.issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: r.key.JWK()}},
	}}
	charter, err := registry.NewCharter(c, r.key)
	if err != nil {
		return err
	}
	checkpoint, err := registry.SignCheckpoint(r.key, r.origin, 0, registry.EmptyRoot())
	if err != nil {
		return err
	}
	return r.store.Write(ctx, Update{
		Log: r.key.ID(), Own: true, Checkpoint: checkpoint, Charters: []*registry.SignedCharter{charter},
	})
}

func withDefaults(c registry.Charter) registry.Charter {
	d := DefaultCharter()
	c.Name = cmp.Or(c.Name, d.Name)
	c.MaxSuspension = cmp.Or(c.MaxSuspension, d.MaxSuspension)
	c.SuspensionQuota = cmp.Or(c.SuspensionQuota, d.SuspensionQuota)
	c.MaxAge = cmp.Or(c.MaxAge, d.MaxAge)
	c.ClientsPerMember = cmp.Or(c.ClientsPerMember, d.ClientsPerMember)
	return c
}
