// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comity-network/comity/registry"
)

// Proof is what convinces somebody else of a client's registration: its newest
// record is at Index of the log under Checkpoint.
type Proof struct {
	registry.ClientState
	Checkpoint []byte
	Inclusion  []registry.Hash
	Index      int64
	Log        string // thumbprint of the key that signed Checkpoint
}

// Client returns the state of a client. The error is registry.ErrNotFound when
// no log has its first registration, and, where its id is a URL, when nobody
// ever stopped it.
func (r *Replica) Client(ctx context.Context, id string) (registry.ClientState, error) {
	now := r.now()
	state, known, generation := r.remembered(id, now)
	if known {
		return found(state, id)
	}
	state, lasts, err := r.read(ctx, id, now)
	if err != nil || !lasts {
		return state, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation == generation {
		r.cache.put(state)
	}
	return state, nil
}

// uncached is Client without a trace in the cache: a list must not push out
// what is in use.
func (r *Replica) uncached(ctx context.Context, id string) (registry.ClientState, error) {
	now := r.now()
	if state, known, _ := r.remembered(id, now); known {
		return found(state, id)
	}
	state, _, err := r.read(ctx, id, now)
	return state, err
}

// Logged reports whether a registration or revocation is in a log of the
// federation, byte for byte, under a head that this broker has verified.
func (r *Replica) Logged(ctx context.Context, record *registry.Record) (bool, error) {
	entries, err := r.entriesOf(ctx, record.ClientID())
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return slices.ContainsFunc(entries, func(e registry.Entry) bool {
		return e.Index >= 0 && e.Record.Raw == record.Raw
	}), err
}

// StoppedOwner returns the id of a client that records stop, of any member, one
// of whose redirect URIs, now or in an earlier registration, has that
// registry.RedirectOwner, or whose own URL has that host. It is empty when
// there is none. A client that is
// stopped with its broker alone is none: it did nothing.
func (r *Replica) StoppedOwner(owner string) string {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Unix() >= r.deadline {
		r.refold(now)
		r.wake()
	}
	if r.owners == nil {
		r.owners = r.stoppedOwners()
	}
	return r.owners[owner]
}

// stoppedOwners is the index for StoppedOwner. mu is held.
func (r *Replica) stoppedOwners() map[string]string {
	owners := map[string]string{}
	for id, entries := range r.stops {
		state := r.state.Clients[id]
		if state.ID == "" || state.Status == registry.ClientActive || state.Since == 0 && state.Status == registry.ClientSuspended {
			continue
		}
		if registry.IsClientURL(id) {
			owners[registry.RedirectOwner(id)] = id
		}
		for _, e := range entries {
			if e.Record.Registration == nil || e.Record.Issuer != state.Home {
				continue
			}
			for _, uri := range e.Record.Registration.RedirectURIs {
				owners[registry.RedirectOwner(uri)] = id
			}
		}
	}
	delete(owners, "")
	return owners
}

// read folds the stored records of a client that nothing stops. The state lasts
// until there are new records, unless one of them is of the future.
func (r *Replica) read(ctx context.Context, id string, now time.Time) (state registry.ClientState, lasts bool, err error) {
	entries, err := r.entriesOf(ctx, id)
	if err != nil {
		return registry.ClientState{}, false, err
	}
	lasts = !slices.ContainsFunc(entries, func(e registry.Entry) bool {
		return e.Record.IssuedAt > now.Add(registry.MaxAhead).Unix()
	})
	r.mu.RLock()
	chain, forks := r.chain, r.forks
	r.mu.RUnlock()
	state, err = found(registry.Fold(chain, entries, forks, now).Clients[id], id)
	return state, lasts, err
}

// found makes the zero state the error that it is.
func found(state registry.ClientState, id string) (registry.ClientState, error) {
	if state.ID == "" {
		return state, fmt.Errorf("%w: client %.70q", registry.ErrNotFound, id)
	}
	return state, nil
}

// remembered looks in memory. A client that some record stops is judged with
// all others like it, since what one member may do depends on what else it did.
func (r *Replica) remembered(id string, now time.Time) (state registry.ClientState, known bool, generation int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Unix() >= r.deadline {
		r.refold(now)
		r.wake()
	}
	if _, stopped := r.stops[id]; stopped {
		return r.state.Clients[id], true, 0
	}
	state, known = r.cache.lookup(id)
	return state, known, r.generation
}

// entriesOf reads all records about a client from the store.
func (r *Replica) entriesOf(ctx context.Context, id string) ([]registry.Entry, error) {
	if err := registry.CheckClientID(id); err != nil {
		return nil, fmt.Errorf("%w: client %.70q is no client_id", registry.ErrNotFound, id)
	}
	rows, err := r.store.Client(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("look up client %s: %w", id, err)
	}
	chain, rows := r.underHeads(rows)
	entries := make([]registry.Entry, 0, len(rows))
	for _, row := range rows {
		e, err := parseRow(row)
		if err != nil {
			return nil, err
		}
		if r.genuine(chain, row.Log, e) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// underHeads leaves out entries that are stored but not yet acknowledged: what
// is shown is always under a head that is shown.
func (r *Replica) underHeads(rows []Row) (*registry.Chain, []Row) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.chain, slices.DeleteFunc(rows, func(row Row) bool {
		h := r.heads[row.Log]
		return row.Index >= 0 && (h == nil || row.Index >= h.Size)
	})
}

// Clients returns clients in the order of their ids, beginning after the one
// given ("": at the first), at most limit. Fewer mean that there are no more.
func (r *Replica) Clients(ctx context.Context, after string, limit int) ([]registry.ClientState, error) {
	var states []registry.ClientState
	for len(states) < limit {
		ids, err := r.store.Clients(ctx, after, limit-len(states))
		if err != nil {
			return nil, fmt.Errorf("list clients: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			state, err := r.uncached(ctx, id)
			if errors.Is(err, registry.ErrNotFound) {
				continue // records about a client that no log registers
			}
			if err != nil {
				return nil, err
			}
			states = append(states, state)
		}
		after = ids[len(ids)-1]
	}
	return states, nil
}

// Proof returns the state of a client with the proof that its newest
// registration is in the log of its home; without one where its id is a URL.
// The error is registry.ErrNotFound.
func (r *Replica) Proof(ctx context.Context, id string) (Proof, error) {
	state, err := r.Client(ctx, id)
	if err != nil {
		return Proof{}, err
	}
	if state.Registration == nil { // a URL, which is in no log
		return Proof{ClientState: state}, nil
	}
	log, h, err := r.head(state.Registration.KeyID)
	if err != nil {
		return Proof{}, err
	}
	inclusion, err := registry.ProveInclusion(h.Size, state.Index, r.reader(ctx, log))
	if err != nil {
		return Proof{}, fmt.Errorf("prove registration of %s: %w", id, err)
	}
	return Proof{ClientState: state, Checkpoint: h.Raw, Inclusion: inclusion, Index: state.Index, Log: h.KeyID}, nil
}
