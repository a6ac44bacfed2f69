// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comity-network/comity/registry"
)

// maxViewEvery is how often a view is signed when nothing changes and max_age
// leaves that much time.
const maxViewEvery = 30 * time.Second

// viewEvery is how often a view is signed when nothing changes: several times
// within max_age, so that one that is lost makes nobody stale.
func (r *Replica) viewEvery() time.Duration { return min(maxViewEvery, r.maxAge()/4) }

// certified is when a quorum last confirmed a stop list of this replica.
type certified struct {
	at   int64     // registry.Certification.At
	seen time.Time // when that was found out; intervals count from here
}

// Run signs views and tells of changes until ctx ends, and returns nil then. It
// begins by telling OnChange of everything that is stopped: what a crash kept
// it from telling is told then.
func (r *Replica) Run(ctx context.Context) error {
	for {
		wait, err := r.tick(ctx)
		if err != nil {
			r.logger.Error("cannot sign a view", "error", err)
			wait = time.Second
		}
		r.writing.Lock()
		r.announce()
		r.writing.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.kick:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// tick brings state and view up to date and says when to look again.
func (r *Replica) tick(ctx context.Context) (time.Duration, error) {
	r.writing.Lock()
	defer r.writing.Unlock()
	now := r.now()
	if err := r.checkClock(now); err != nil {
		return 0, err
	}
	r.mu.Lock()
	if now.Unix() >= r.deadline {
		r.refold(now)
	}
	view, due := r.nextView(now)
	r.mu.Unlock()
	if due {
		// iat strictly increases, so there is one view a second at most.
		if early := time.Unix(r.lastViewIAT()+1, 0).Sub(now); early > 0 {
			return min(early, time.Second), nil
		}
		if err := r.signView(ctx, view, now); err != nil {
			return 0, err
		}
	}
	return r.untilNext(now), nil
}

// nextView is what a view would say now, and whether it must be signed: after a
// change of the stop list, even one that was taken back since, and every 30 s or
// a quarter of max_age.
// Readers wait for a view that is later than the change. mu is held.
func (r *Replica) nextView(now time.Time) (registry.View, bool) {
	h := r.heads[r.log]
	v := registry.View{
		Claims:  registry.Claims{Issuer: r.issuer, IssuedAt: now.Unix()},
		Charter: r.chain.Latest().CID,
		LogSize: h.Size, LogRoot: base64.RawURLEncoding.EncodeToString(h.Root[:]),
		StopCount: r.list.Count(), StopHash: r.listHash,
	}
	last := r.views[r.issuer]
	due := last == nil || r.viewed.IsZero() || now.Sub(r.viewed) >= r.viewEvery() ||
		r.restless || last.View.Charter != v.Charter
	m, _ := r.chain.Member(r.issuer)
	return v, due && m.State == registry.MemberActive && r.silent() == nil
}

func (r *Replica) lastViewIAT() int64 {
	if v := r.views[r.issuer]; v != nil { // writing is held
		return v.IssuedAt
	}
	return 0
}

func (r *Replica) signView(ctx context.Context, v registry.View, now time.Time) error {
	record, err := registry.SignView(r.key, v)
	if err != nil {
		return err
	}
	err = r.store.Write(context.WithoutCancel(ctx), Update{Views: []View{{Log: r.log, Record: record}}})
	if errors.Is(err, registry.ErrStale) {
		return damaged("own view: %w", err) // we know of no newer one
	}
	if err != nil {
		return fmt.Errorf("store view: %w", err)
	}
	r.mu.Lock()
	r.lastIAT = max(r.lastIAT, record.IssuedAt)
	r.views[r.issuer] = record
	r.viewed = now
	r.restless = r.listHash != v.StopHash
	r.certify(now)
	r.mu.Unlock()
	r.tell(News{Own: true, Inbound: Inbound{View: record.Raw}})
	return nil
}

// untilNext is how long nothing will happen by itself.
func (r *Replica) untilNext(now time.Time) time.Duration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	every := r.viewEvery()
	wait := every - now.Sub(r.viewed)
	if wait <= 0 {
		wait = every // it signs no views
	}
	if r.deadline-now.Unix() <= int64(every/time.Second) {
		wait = min(wait, time.Unix(r.deadline, 0).Sub(now))
	}
	return max(wait, time.Millisecond)
}

// certify looks whether the views confirm the stop list, and remembers the best
// time. A view of a list that was held here before confirms it as well: its
// author knew of no stop that is not known here. Else a member that changes the
// list several times a second would keep everybody from ever agreeing. mu is
// held.
func (r *Replica) certify(now time.Time) registry.Certification {
	views := make([]*registry.Record, 0, len(r.views))
	for _, v := range r.views {
		if slices.ContainsFunc(r.former, func(f formerList) bool { return f.hash == v.View.StopHash && f.list.Count() == v.View.StopCount }) {
			body, record := *v.View, *v
			body.StopHash, body.StopCount = r.listHash, r.list.Count()
			record.View = &body
			v = &record
		}
		views = append(views, v)
	}
	c := registry.Certify(r.chain, views, r.listHash, r.list.Count(), nil, 0, now)
	if c.At > r.certified.at {
		r.certified = certified{at: c.At, seen: now}
	}
	return c
}

// Fresh returns nil when the stop list may be acted on: a quorum confirmed it,
// or what it was before the last stops were heard, within max_age, when the
// clock does not lag those of a quorum, and when this broker is an active
// member. Otherwise the error is registry.ErrStale and says what is missing.
func (r *Replica) Fresh(now time.Time) error {
	r.mu.RLock()
	fresh := r.isFresh(now)
	r.mu.RUnlock()
	if err := r.mayMint(now); err != nil {
		return err
	}
	if fresh {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.certify(now)
	if r.isFresh(now) {
		return nil
	}
	return fmt.Errorf("%w: %s, %s", registry.ErrStale, c, "no quorum confirmed the stop list in the last "+r.maxAge().String())
}

func (r *Replica) maxAge() time.Duration {
	return time.Duration(r.chain.Latest().MaxAge) * time.Second
}

func (r *Replica) isFresh(now time.Time) bool {
	c := r.certified
	if c.at == 0 {
		return false
	}
	// The age at the time of hearing is by the wall clocks of two brokers; what
	// came after is by this machine's monotonic clock.
	age := c.seen.Sub(time.Unix(c.at, 0)).Truncate(time.Second) + now.Sub(c.seen)
	return age <= r.maxAge() && now.Sub(c.seen) >= 0
}

// Views returns the newest view of each member that has one.
func (r *Replica) Views() []*registry.Record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	views := make([]*registry.Record, 0, len(r.views))
	for _, m := range r.chain.Latest().Members {
		if v := r.views[m.Issuer]; v != nil {
			views = append(views, v)
		}
	}
	return views
}

// StopList returns the present stop list.
func (r *Replica) StopList() *registry.StopList {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Unix() >= r.deadline {
		r.refold(now)
		r.wake()
	}
	return r.list
}

// StopListSince returns the lines that were added to and removed from the list
// with that hash since then. ok is false when it is not among the last 64.
func (r *Replica) StopListSince(hash string) (added, removed []string, ok bool) {
	list := r.StopList()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, f := range r.former {
		if f.hash == hash {
			added, removed = list.Diff(f.list)
			return added, removed, true
		}
	}
	return nil, nil, false
}
