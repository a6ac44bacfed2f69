// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// batch is how many messages of one site are read at a time.
	batch = 32
	// healthy and failing are how many sites are visited at a time.
	healthy = 128
	failing = 32
	// patience is how often one message may be answered with an error before
	// it is put behind the others.
	patience = 5
)

// Deliverer is a *Sender.
type Deliverer interface {
	Deliver(ctx context.Context, m Message) Answer
}

// OutboxConfig configures an Outbox. All fields are needed.
type OutboxConfig struct {
	Store  Store
	Sender Deliverer
	Now    func() time.Time // for expiry only; intervals are monotonic
	Log    *slog.Logger
}

// Outbox delivers what waits in the store.
type Outbox struct {
	cfg     OutboxConfig
	healthy chan struct{} // places for sites whose last attempt did not fail
	failing chan struct{} // places for the others
	visited chan struct{} // sent to, with room for one, after a visit
	done    chan removal

	mu    sync.Mutex
	sites map[string]*state // those that failed or are being visited
}

// state is what the outbox knows of one site. It lives in memory only: after
// a restart every site is tried at once.
type state struct {
	busy     bool      // a visit is under way
	again    bool      // somebody wanted to begin a visit meanwhile
	failures int       // in a row
	next     time.Time // not before that; monotonic
	message  string    // jti at which the last visit failed by an answer
	answers  int       // how often in a row
}

// NewOutbox returns an outbox. Run does its work.
func NewOutbox(cfg OutboxConfig) *Outbox {
	return &Outbox{
		cfg:     cfg,
		healthy: make(chan struct{}, healthy),
		failing: make(chan struct{}, failing),
		visited: make(chan struct{}, 1),
		done:    make(chan removal),
		sites:   map[string]*state{},
	}
}

// Depth counts the messages that wait.
func (o *Outbox) Depth(ctx context.Context) (int64, error) { return o.cfg.Store.QueueDepth(ctx) }

// Run delivers until ctx ends. Then it begins nothing new, lets attempts that
// are under way come to their end, which takes as long as one attempt may, and
// returns nil. Messages that are left wait in the store.
func (o *Outbox) Run(ctx context.Context) error {
	visits := context.WithoutCancel(ctx)
	stopRemoving := o.startRemoving(visits)
	defer stopRemoving()
	var running sync.WaitGroup
	defer running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.cfg.Store.QueueChanged():
		case <-o.visited:
		case <-timer.C:
		}
		wait, err := o.dispatch(ctx, visits, &running)
		if err != nil && ctx.Err() == nil {
			o.cfg.Log.Error("outbox cannot be read", "error", err)
			wait = lastRetry / 60
		}
		timer.Reset(wait)
	}
}

// dispatch begins a visit to every site that has messages and is due. It
// returns how long it will be until the next is due.
func (o *Outbox) dispatch(ctx, visits context.Context, running *sync.WaitGroup) (time.Duration, error) {
	queued, err := o.cfg.Store.QueuedSites(ctx)
	if err != nil {
		return 0, err
	}
	wait := lastRetry
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(queued)
	for _, site := range queued {
		s := o.sites[site]
		if s == nil {
			s = &state{}
			o.sites[site] = s
		}
		if s.busy {
			s.again = true // its visit may be past the last look
			continue
		}
		if left := time.Until(s.next); left > 0 {
			wait = min(wait, left)
			continue
		}
		s.busy = true
		places := o.healthy
		if s.failures > 0 {
			places = o.failing
		}
		running.Go(func() { o.visitInTurn(ctx, visits, places, site, s) })
	}
	return wait, nil
}

// forget drops what is known of sites for which nothing waits.
func (o *Outbox) forget(queued []string) {
	if len(o.sites) <= len(queued) {
		return
	}
	keep := make(map[string]bool, len(queued))
	for _, site := range queued {
		keep[site] = true
	}
	for site, s := range o.sites {
		if !keep[site] && !s.busy {
			delete(o.sites, site)
		}
	}
}

func (o *Outbox) visitInTurn(ctx, visits context.Context, places chan struct{}, site string, s *state) {
	failed := false
	select {
	case places <- struct{}{}:
		failed = !o.visit(ctx, visits, site, s)
		<-places
	case <-ctx.Done():
	}
	if o.leave(s, failed) {
		select {
		case o.visited <- struct{}{}:
		default:
		}
	}
}

// leave notes how a visit went and reports whether dispatch has to look again.
func (o *Outbox) leave(s *state, failed bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	look := failed || s.again
	s.busy, s.again = false, false
	if failed {
		s.failures++
		s.next = time.Now().Add(backoff(s.failures))
	} else {
		s.failures, s.next = 0, time.Time{}
	}
	return look
}

// backoff is how long to wait after so many failures in a row: half of it is
// chance, so that sites which failed together do not come back together.
func backoff(failures int) time.Duration {
	d := lastRetry
	if failures < 10 {
		d = min(lastRetry, firstRetry<<(failures-1))
	}
	return d/2 + rand.N(d/2)
}

// removal is messages to be removed, and who waits for it.
type removal struct {
	ids  []Done
	gone chan<- error
}

// startRemoving begins to remove what visits report. Removals of many sites
// that come at once share one transaction, since each waits for the disk.
// Before its messages are gone a site is not visited again.
func (o *Outbox) startRemoving(ctx context.Context) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case r := <-o.done:
				o.remove(ctx, r)
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

func (o *Outbox) remove(ctx context.Context, first removal) {
	all := []removal{first}
	ids := first.ids
	for more := true; more; {
		select {
		case r := <-o.done:
			all, ids = append(all, r), append(ids, r.ids...)
		default:
			more = false
		}
	}
	err := o.cfg.Store.Dequeue(ctx, ids)
	if err != nil {
		err = fmt.Errorf("remove delivered messages: %w", err)
	}
	for _, r := range all {
		r.gone <- err
	}
}
