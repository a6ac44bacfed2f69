// SPDX-License-Identifier: Apache-2.0

package sites

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/site/protocol"
)

// entry is one site in memory. Its fields but done are written before done is
// closed and never after.
type entry struct {
	done chan struct{} // closed when the fetch has ended
	site *Site         // nil: there is none
	err  error         // why the fetch failed; a site of before may be there all the same
	at   time.Time     // end of the fetch
}

// usable reports whether e needs no new fetch: its site is younger than age,
// or its failure than badFor. A fetch under way is joined.
func (e *entry) usable(now time.Time, age time.Duration) bool {
	select {
	case <-e.done:
	default:
		return true
	}
	if e.err != nil {
		return now.Sub(e.at) < badFor && (e.site == nil || now.Sub(e.site.FetchedAt) < goodFor)
	}
	return now.Sub(e.site.FetchedAt) < age
}

// Site returns a site that delegates to this broker and is served here, from
// memory if it was fetched less than ten minutes ago. Errors: ErrUnreachable,
// ErrNotDelegated, ErrDenied; another error means that resource names no site
// or that the database failed.
func (d *Directory) Site(ctx context.Context, resource string) (*Site, error) {
	return d.lookup(ctx, resource, goodFor)
}

// Refresh is Site, but fetches the site again unless that was done within ten
// seconds: for a key that the site does not have according to Site.
func (d *Directory) Refresh(ctx context.Context, resource string) (*Site, error) {
	return d.lookup(ctx, resource, badFor)
}

func (d *Directory) lookup(ctx context.Context, resource string, age time.Duration) (*Site, error) {
	if !d.met(resource) {
		if err := protocol.CheckResource(resource); err != nil {
			return nil, err
		}
	}
	if err := d.Permitted(ctx, resource); err != nil {
		return nil, err
	}
	e, err := d.entry(resource, age)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	}
	if e.site == nil {
		return nil, e.err
	}
	if err := d.delegated(e.site); err != nil {
		return nil, err
	}
	return e.site, nil
}

// met reports whether the site is in memory: then it has the name of one.
func (d *Directory) met(resource string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries[resource] != nil
}

// delegated checks that the site knows this broker.
func (d *Directory) delegated(s *Site) error {
	if !s.Delegates(d.cfg.Issuer) {
		return fmt.Errorf("%w: its authorization_servers do not name %s", ErrNotDelegated, d.cfg.Issuer)
	}
	if ours := d.cfg.Federation(); s.Federation != ours {
		return fmt.Errorf("%w: its comity_federation is %s, this broker is in %s", ErrNotDelegated, s.Federation, ours)
	}
	return nil
}

// entry returns the entry of resource, after it started a fetch if one is
// needed.
func (d *Directory) entry(resource string, age time.Duration) (*entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cfg.Now()
	old := d.entries[resource]
	if old != nil && old.usable(now, age) {
		return old, nil
	}
	if d.closed {
		return nil, fmt.Errorf("%w: this broker is stopping", ErrUnreachable)
	}
	if old == nil {
		d.makeRoom(now)
	}
	e := &entry{done: make(chan struct{})}
	d.entries[resource] = e
	d.running.Go(func() { d.fill(e, old, resource) })
	return e, nil
}

// makeRoom keeps the map within maxSites: entries that would be fetched again
// go first, then any that are not under way.
func (d *Directory) makeRoom(now time.Time) {
	if len(d.entries) < maxSites {
		return
	}
	for resource, e := range d.entries {
		if !e.usable(now, goodFor) {
			delete(d.entries, resource)
		}
	}
	for resource := range d.entries {
		if len(d.entries) < maxSites {
			return
		}
		delete(d.entries, resource)
	}
}

// fill fetches. When that fails, a good site of before is kept until it is
// too old, so that nobody can make a good site unknown by naming wrong keys.
func (d *Directory) fill(e, old *entry, resource string) {
	defer close(e.done)
	places := d.strangers
	if old != nil && old.site != nil {
		places = d.known
	}
	ctx, cancel := context.WithTimeout(d.fetches, fetchTime)
	defer cancel()
	e.site, e.err = d.fetchInTurn(ctx, places, resource)
	e.at = d.cfg.Now()
	if e.err == nil {
		d.saw(ctx, e.site)
		return
	}
	d.cfg.Log.Info("site not usable", "site", resource, "error", e.err)
	if old != nil && old.site != nil && e.at.Sub(old.site.FetchedAt) < goodFor {
		e.site = old.site
	}
}

func (d *Directory) fetchInTurn(ctx context.Context, places chan struct{}, resource string) (*Site, error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many other sites are being fetched", ErrUnreachable)
	}
	site, _, err := d.fetch(ctx, resource)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return site, nil
}

// saw notes the visit of a site that is ours. That it could not be noted is
// no reason to refuse the site.
func (d *Directory) saw(ctx context.Context, s *Site) {
	if d.delegated(s) != nil {
		return
	}
	if err := d.cfg.Store.SiteSeen(ctx, s.Resource, s.FetchedAt.Unix()); err != nil && !errors.Is(err, context.Canceled) {
		d.cfg.Log.Warn("site not noted", "site", s.Resource, "error", err)
	}
}
