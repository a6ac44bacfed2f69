// SPDX-License-Identifier: Apache-2.0

// Package trust is what a site knows of its federation, and how it knows it.
//
// It starts from one pinned value, the federation id, which is the CID of the
// first charter. Everything else is fetched from brokers and believed only
// after it was checked here: charters step by step from the pinned one; views
// by the members' keys in the charter; the stop list by its hash in the views
// of a handful of members, most of whom must agree; a client by its own id,
// the signatures of its home broker, and its inclusion under a checkpoint; the
// token keys of a broker by the broker record that its record key signed.
// Whatever has a position in time (a view, a checkpoint, a charter, a
// registration, a list) is stored before it is used and never goes back.
//
// So a broker can lie only by silence, and silence makes the site stale: a
// stop list is good for the charter's max_age after the moment at which enough
// members vouched for it, counted on the monotonic clock and on the wall
// clock, whichever ends first. Stops that an event tells of are added at once
// and stay until a list that was certified later lifts them.
package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/comity-network/comity/registry"
)

// Config is what a Federation needs. All fields but Witnesses and Strangers
// are required.
type Config struct {
	ID        string   // federation id that the site pins
	Brokers   []string // issuers that the site delegates to
	Witnesses []string // issuers of the handful; empty: own brokers and others drawn at random
	Memory    Memory
	HTTP      *http.Client // follows no redirects
	Strangers *http.Client // guarded, for clients that describe themselves; nil: there are none
	Now       func() time.Time
	// Elapsed is the time on the monotonic clock since any fixed moment.
	Elapsed func() time.Duration
	Log     *slog.Logger
}

// Federation is one site's knowledge. It is safe for concurrent use.
type Federation struct {
	Config
	now atomic.Pointer[snapshot]

	polling sync.Mutex                  // one poll at a time; guards the fields below
	views   map[string]*registry.Record // newest of each member that was ever asked for, by issuer
	good    string                      // the source that answered last
	problem atomic.Pointer[string]      // why the last poll failed

	brokers brokerRecords
	parsed  parsedClients
}

// snapshot is one consistent state of what is believed. It is never changed.
type snapshot struct {
	chain   *registry.Chain    // nil: no charter yet
	members []string           // issuers of the handful
	list    *registry.StopList // nil: none certified yet
	at      int64              // when list was certified, by the signers' clocks
	agreed  int                // members that named it
	seen    time.Duration      // Elapsed at that moment
	left    time.Duration      // for how long it was still good then
}

// Open loads what was known before. It asks nobody.
func Open(ctx context.Context, c Config) (*Federation, error) {
	if err := registry.ParseCID(c.ID); err != nil {
		return nil, fmt.Errorf("federation id: %w", err)
	}
	if len(c.Brokers) == 0 {
		return nil, errors.New("no broker is named")
	}
	for _, issuer := range slices.Concat(c.Brokers, c.Witnesses) {
		if err := registry.CheckIssuer(issuer); err != nil {
			return nil, fmt.Errorf("broker %q: %w", issuer, err)
		}
	}
	f := &Federation{Config: c, views: map[string]*registry.Record{}}
	f.brokers.known, f.brokers.asked = map[string]*brokerRecord{}, map[string]time.Duration{}
	f.now.Store(&snapshot{})
	if err := f.load(ctx); err != nil {
		return nil, fmt.Errorf("load what is known of the federation: %w", err)
	}
	return f, nil
}

// load rebuilds the snapshot from memory, checking all of it again.
func (f *Federation) load(ctx context.Context) error {
	chain, err := f.loadChain(ctx)
	if err != nil || chain == nil {
		return err
	}
	s := &snapshot{chain: chain}
	if s.members, err = f.handful(ctx, chain); err != nil {
		return err
	}
	facts, err := f.Memory.Facts(ctx, f.kind(kindView))
	if err != nil {
		return err
	}
	for _, fact := range facts {
		view, err := registry.ParseRecord([]byte(fact.Value), registry.KindView)
		if err == nil && chain.VerifyView(view) == nil {
			f.views[view.Issuer] = view
		}
	}
	if err := f.loadList(ctx, s); err != nil {
		return err
	}
	f.now.Store(s)
	return nil
}

// loadList puts the stored stop list into s, if the time of its certification
// belongs to it.
func (f *Federation) loadList(ctx context.Context, s *snapshot) error {
	text, err := f.Memory.Fact(ctx, f.kind(kindList), current)
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := registry.ParseStopList([]byte(text.Value))
	if err != nil {
		return fmt.Errorf("stored stop list: %w", err)
	}
	certified, err := f.Memory.Fact(ctx, f.kind(kindCertified), current)
	if errors.Is(err, registry.ErrNotFound) || err == nil && certified.Value != list.Hash() {
		return nil // stopped between two writes: the next poll certifies again
	}
	if err != nil {
		return err
	}
	s.list = list
	f.certified(s, certified.Position)
	return nil
}

// certified sets the times of s for a list that was certified at.
func (f *Federation) certified(s *snapshot, at int64) {
	maxAge := time.Duration(s.chain.Latest().MaxAge) * time.Second
	s.at, s.seen = at, f.Elapsed()
	s.left = min(maxAge, time.Unix(at, 0).Add(maxAge).Sub(f.Now()))
}

// Fresh reports whether the site knows what is stopped right now. The error
// wraps registry.ErrStale and says what is missing.
func (f *Federation) Fresh() error {
	s := f.now.Load()
	if s.list == nil {
		return fmt.Errorf("%w: the stop list of the federation is not confirmed yet%s", registry.ErrStale, f.because())
	}
	now, maxAge := f.Now().Unix(), s.chain.Latest().MaxAge
	switch {
	case now < s.at-int64(registry.MaxAhead/time.Second):
		return fmt.Errorf("%w: the clock of this site is %d s behind that of the federation", registry.ErrStale, s.at-now)
	case f.Elapsed()-s.seen > s.left || now > s.at+maxAge:
		return fmt.Errorf("%w: the stop list was confirmed %d s ago, at most %d are allowed%s",
			registry.ErrStale, max(now-s.at, 0), maxAge, f.because())
	}
	return nil
}

func (f *Federation) because() string {
	if p := f.problem.Load(); p != nil {
		return "; " + *p
	}
	return ""
}

// Report is what a status page says.
type Report struct {
	Fresh       error // nil: fresh
	Name        string
	CertifiedAt int64 // 0: never
	Agreed      int   // members of the handful that agreed
	Asked       int   // members of the handful
	Members     int   // active members of the federation
}

// Report describes the present state.
func (f *Federation) Report() Report {
	s := f.now.Load()
	r := Report{Fresh: f.Fresh(), CertifiedAt: s.at, Agreed: s.agreed, Asked: len(s.members)}
	if s.chain != nil {
		r.Name, r.Members = s.chain.Latest().Name, len(s.chain.ActiveMembers())
	}
	return r
}
