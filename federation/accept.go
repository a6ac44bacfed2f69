// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"
	"slices"

	"github.com/comity-network/comity/registry"
)

// Accept is the one way in for everything that others signed. It returns when
// what was new is durable, and after OnChange and the followers were told. The
// errors tell whose fault it is:
//
//   - registry.ErrForm, ErrSignature, ErrLimit: the peer should not have sent
//     it, whoever made it. Nothing was stored.
//   - registry.ErrStale: it is older than what is held, or its time is more
//     than 10 s ahead of this clock. Ignore it.
//   - registry.ErrFork: it proves that a broker signed two histories, or is of
//     a broker that did. The proof is stored, told to the followers, and counts.
//   - registry.ErrConflict: a second valid successor of a charter, kept as
//     evidence; or the own log as another process continued it, after which
//     this replica signs nothing any more.
//   - registry.ErrNotFound: it is of nobody and nothing that is known here.
//   - any other error is of the store; it may be tried again.
func (r *Replica) Accept(ctx context.Context, in Inbound) (Outcome, error) {
	switch {
	case in.Suffix != nil:
		return r.acceptSuffix(ctx, in.Suffix)
	case in.Heard != "":
		return r.acceptHeard(ctx, in.Heard)
	case in.View != "":
		return r.acceptView(ctx, in.View)
	case len(in.Charter) > 0:
		return r.acceptCharter(ctx, in.Charter)
	case len(in.Evidence) > 0:
		return r.acceptEvidence(ctx, in.Evidence)
	}
	return Known, fmt.Errorf("%w: nothing was handed over", registry.ErrForm)
}

// Follow registers f to be told of all that becomes durable here, by Accept and
// by this broker's own hand, in order. f is called under a lock: it must not
// block, and must not call what writes (Accept, Append, Propose, Approve,
// Adopt); it may read.
func (r *Replica) Follow(f func(News)) {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.followers = append(r.followers, f)
}

// tell tells the followers. writing is held.
func (r *Replica) tell(news ...News) {
	for _, n := range news {
		for _, f := range r.followers {
			f(n)
		}
	}
}

// intake is what one call adds: one transaction, and then the same in memory.
type intake struct {
	Update
	chain   *registry.Chain             // the new one, or nil
	entries []registry.Entry            // that matter for stops or brokers
	history map[string][]registry.Entry // what is held about clients that are stopped from now on
	room    int                         // how many stops may be heard in it
	touched []*registry.Record          // other records about clients that may be in the cache
	reload  bool                        // memory is not told but reads all from the store
	news    []News
}

// include makes sure that all that is held about a client is in memory with
// the next entry about it. writing is held.
func (r *Replica) include(ctx context.Context, in *intake, client string) error {
	if _, known := r.stops[client]; known || in.history[client] != nil {
		return nil
	}
	entries, err := r.entriesOf(ctx, client)
	if err != nil {
		return err
	}
	if in.history == nil {
		in.history = make(map[string][]registry.Entry)
	}
	in.history[client] = append(make([]registry.Entry, 0, len(entries)+1), entries...)
	return nil
}

// tellOfEach is up to how many records OnChange is told of each one.
const tellOfEach = 16

// settle stores an intake, takes it into memory and tells everybody. writing is
// held.
func (r *Replica) settle(ctx context.Context, in *intake) error {
	ctx = context.WithoutCancel(ctx) // the outcome must not be left open
	if err := r.store.Write(ctx, in.Update); err != nil {
		r.unsure = true
		return fmt.Errorf("store what was accepted: %w", err)
	}
	if in.reload {
		if err := r.load(ctx); err != nil {
			r.unsure = true
			return err
		}
	} else {
		r.mu.Lock()
		err := r.take(in)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	var also []Change
	if len(in.touched) <= tellOfEach {
		for _, record := range in.touched {
			also = append(also, r.changeBy(ctx, record))
		}
	}
	r.announce(also...)
	r.tell(in.news...)
	r.mu.RLock()
	restless := r.restless || in.chain != nil
	r.mu.RUnlock()
	if restless {
		r.wake()
	}
	return nil
}

// take brings memory to what was stored. mu is held.
func (r *Replica) take(in *intake) error {
	r.generation++
	refold := in.chain != nil || len(in.Evidence) > 0
	if in.Grows() {
		r.takeHead(in)
	}
	for client, history := range in.history {
		r.stops[client] = history
	}
	for _, e := range in.entries {
		refold = r.takeEntry(in.Log, e) || refold
	}
	for _, row := range in.Heard {
		r.heard[row.CID] = row
	}
	for _, record := range in.touched {
		r.cache.remove(record.ClientID())
	}
	for _, e := range in.Evidence {
		if err := r.addEvidence(e); err != nil {
			return err
		}
	}
	r.takeCharters(in)
	if refold {
		r.refold(r.now())
	}
	return nil
}

func (r *Replica) takeHead(in *intake) {
	was := r.headOf(in.Log, "")
	is := head{Checkpoint: was.Checkpoint, entries: in.Before + int64(len(in.Rows)), clients: was.clients}
	if in.Checkpoint != nil {
		is.Checkpoint = in.Checkpoint
	}
	for _, row := range in.Rows {
		if row.CID == row.Client {
			is.clients++
		}
	}
	r.heads[in.Log] = &is
}

// takeEntry reports whether the stops or brokers changed.
func (r *Replica) takeEntry(log string, e registry.Entry) bool {
	if e.Record.Broker != nil {
		r.setBroker(log, e)
		return true
	}
	id := e.Record.ClientID()
	r.cache.remove(id)
	if e.Index >= 0 {
		delete(r.heard, e.Record.CID)
	}
	about, stopped := r.stops[id]
	if !stopped {
		return false
	}
	others := slices.DeleteFunc(slices.Clone(about), func(o registry.Entry) bool { return o.Index < 0 && o.Record.CID == e.Record.CID })
	r.stops[id] = append(others, e)
	return true
}
