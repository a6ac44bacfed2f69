// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/comity-network/comity/registry"
)

const (
	dhtWorkers  = 4   // puts under way at a time
	dhtAsked    = 256 // keys that others asked for and that wait
	dhtPage     = 256 // log entries read at a time
	dhtPutTime  = 30 * time.Second
	dhtIdle     = time.Second // between looks when nothing happens
	dhtHeadWait = 40          // times cfg.Every, between puts of one log's head

	// A reader that begins asks one member for all charters and heads.
	dhtFillRate  = 10 // a second
	dhtFillBurst = 500
)

// work hands one key after the other to the workers, never more than one every
// cfg.Every.
func (d *Directory) work(ctx context.Context, jobs chan<- dhtKey) {
	for {
		d.Enforce()
		key, ok := d.queue.next(ctx, time.Now())
		wait, wake := min(dhtIdle, d.cfg.Republish, dhtHeadWait*d.cfg.Every), d.wake
		if ok {
			select {
			case jobs <- key:
			case <-ctx.Done():
				return
			}
			wait, wake = d.cfg.Every, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// put makes the value of a key and puts it. What becomes of it nobody knows, so
// nothing is returned.
func (d *Directory) put(ctx context.Context, key dhtKey) {
	ctx, cancel := context.WithTimeout(ctx, dhtPutTime)
	defer cancel()
	value, err := d.values.value(ctx, key)
	if err == nil {
		err = d.dht.PutValue(ctx, key.String(), value)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Debug("put into the DHT", "key", key.String(), "error", err)
	}
}

// dhtQueue decides what is put next: what changed in the own log, then what
// others asked for and this member does not hold, then everything of this
// broker once in a while. It holds places in the own log instead of keys, so
// that it stays small however much there is to do.
type dhtQueue struct {
	*Directory
	heads map[string]time.Time // when the head of a log was last put

	changed logWalk
	charter int64 // the newest version that was put
	head    int64 // the size of the own log whose head was put
	pass    logWalk
	passAt  time.Time // when the next pass begins
	forced  bool      // the pass puts what is held already, too
	steps   []dhtKey  // charters and own head of the pass

	mu      sync.Mutex
	waiting []dhtKey        // asked for, the oldest first
	listed  map[dhtKey]bool // in waiting
}

// logWalk goes over the own log.
type logWalk struct {
	next, end int64
	page      []dhtKey
}

func newDHTQueue(d *Directory) *dhtQueue {
	return &dhtQueue{Directory: d, heads: map[string]time.Time{}, listed: map[dhtKey]bool{}, head: -1}
}

// ask notes that somebody asked for a key. When too many wait it is forgotten:
// it will be asked for again, or never.
func (q *dhtQueue) ask(key dhtKey) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.listed[key] || len(q.waiting) >= dhtAsked {
		return false
	}
	q.listed[key] = true
	q.waiting = append(q.waiting, key)
	return true
}

func (q *dhtQueue) takeAsked() (dhtKey, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return dhtKey{}, false
	}
	key := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	delete(q.listed, key)
	return key, true
}

// next returns what to put now. Nothing is put while no member is there to keep
// it: a broker alone needs no DHT, and the pass begins when it is not.
func (q *dhtQueue) next(ctx context.Context, now time.Time) (dhtKey, bool) {
	if q.dht.RoutingTable().Size() == 0 {
		return dhtKey{}, false
	}
	if q.passAt.IsZero() {
		q.begin(now)
	}
	if key, ok := q.change(ctx, now); ok {
		return key, true
	}
	for {
		key, ok := q.takeAsked()
		if !ok {
			break
		}
		if key.space != spaceLog || q.headDue(key.name, now) {
			return key, true
		}
	}
	if !now.Before(q.passAt) {
		q.again(now)
	}
	return q.passed(ctx, now)
}

// begin starts the first pass: it puts what this member does not hold itself,
// for then it was not put before.
func (q *dhtQueue) begin(now time.Time) {
	size := q.ownHead()
	q.changed = logWalk{next: size, end: size}
	q.charter = q.cfg.Replica.Chain().Latest().Version
	q.again(now)
	q.forced = false
}

func (q *dhtQueue) again(now time.Time) {
	q.passAt, q.forced = now.Add(q.cfg.Republish), true
	q.pass = logWalk{end: q.ownHead()}
	q.steps = append(q.charters(1), dhtKey{space: spaceLog, name: q.cfg.Replica.log})
}

func (q *dhtQueue) ownHead() int64 {
	r := q.cfg.Replica
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.heads[r.log].Size
}

// charters are the keys of the versions from that one on, and of the newest,
// as far as they are this member's to put: three members for each.
func (q *dhtQueue) charters(from int64) []dhtKey {
	chain := q.cfg.Replica.Chain()
	active := chain.ActiveMembers()
	own := slices.IndexFunc(active, func(m registry.Member) bool { return m.Issuer == q.cfg.Replica.issuer })
	if own < 0 {
		return nil
	}
	var keys []dhtKey
	mine := func(v int64) bool { return (int64(own)+v)%int64(len(active)) < 3 }
	for v := from; v <= chain.Latest().Version; v++ {
		if mine(v) {
			keys = append(keys, dhtKey{space: spaceCharter, name: chain.Federation(), version: v})
		}
	}
	if mine(chain.Latest().Version) {
		keys = append(keys, dhtKey{space: spaceCharter, name: chain.Federation()})
	}
	return keys
}

// change is what this broker wrote since the last look, and new charters.
func (q *dhtQueue) change(ctx context.Context, now time.Time) (dhtKey, bool) {
	if latest := q.cfg.Replica.Chain().Latest().Version; latest > q.charter {
		q.steps = append(q.charters(q.charter+1), q.steps...)
		q.charter = latest
	}
	size := q.ownHead()
	q.changed.end = size
	if key, ok := q.step(ctx, &q.changed); ok {
		return key, true
	}
	own := dhtKey{space: spaceLog, name: q.cfg.Replica.log}
	if q.head != size && q.headDue(own.name, now) {
		q.head = size
		return own, true
	}
	return dhtKey{}, false
}

func (q *dhtQueue) headDue(log string, now time.Time) bool {
	if last, ok := q.heads[log]; ok && now.Sub(last) < dhtHeadWait*q.cfg.Every {
		return false
	}
	q.heads[log] = now
	return true
}

// step returns the next client of a walk over the own log: those that it
// registers, and those of others that it stops.
func (q *dhtQueue) step(ctx context.Context, w *logWalk) (dhtKey, bool) {
	for len(w.page) == 0 && w.next < w.end {
		to := min(w.next+dhtPage, w.end)
		rows, err := q.cfg.Replica.store.Rows(ctx, q.cfg.Replica.log, w.next, to)
		if err != nil {
			q.log.Warn("cannot read the own log for the DHT", "error", err)
			return dhtKey{}, false
		}
		for _, row := range rows {
			key := dhtKey{space: spaceClient, name: row.Client}
			if row.Client != "" && !registry.IsClientURL(row.Client) && !slices.Contains(w.page, key) {
				w.page = append(w.page, key)
			}
		}
		w.next = to
	}
	if len(w.page) == 0 {
		return dhtKey{}, false
	}
	key := w.page[0]
	w.page = w.page[1:]
	return key, true
}

// passed is the next key of the pass.
func (q *dhtQueue) passed(ctx context.Context, now time.Time) (dhtKey, bool) {
	for {
		var key dhtKey
		if len(q.steps) > 0 {
			key, q.steps = q.steps[0], q.steps[1:]
		} else {
			var ok bool
			if key, ok = q.step(ctx, &q.pass); !ok {
				return dhtKey{}, false
			}
		}
		if q.forced || q.lacks(ctx, key, now) {
			return key, true
		}
	}
}

// lacks says whether this member knows a value that nobody seems to have put:
// it does not hold it itself, or only an old head.
func (q *dhtQueue) lacks(ctx context.Context, key dhtKey, now time.Time) bool {
	held, err := q.held(ctx, key)
	switch {
	case err != nil:
		return errors.Is(err, registry.ErrNotFound) && q.known(ctx, key)
	case held.log != nil:
		return q.lags(held.log, key) && q.headDue(key.name, now)
	}
	return false
}

// lags says whether the replica holds more of a log.
func (d *Directory) lags(s *LogSighting, key dhtKey) bool {
	_, h, err := d.cfg.Replica.head(key.name)
	return err == nil && h.Size > s.Checkpoint.Size
}

// known says whether the replica has a value for a key.
func (d *Directory) known(ctx context.Context, key dhtKey) bool {
	switch key.space {
	case spaceClient:
		_, err := d.cfg.Replica.Client(ctx, key.name)
		return err == nil
	case spaceLog:
		log, _, err := d.cfg.Replica.head(key.name)
		return err == nil && log == key.name
	}
	return key.version <= d.cfg.Replica.Chain().Latest().Version
}

// held is the value that this member itself holds. The error is
// registry.ErrNotFound.
func (d *Directory) held(ctx context.Context, key dhtKey) (*dhtFinding, error) {
	record, err := d.local.Get(ctx, key.String())
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, fmt.Errorf("%w: %s", registry.ErrNotFound, key)
	}
	_, f, err := d.check.check(key.String(), record.GetValue())
	return f, err
}
