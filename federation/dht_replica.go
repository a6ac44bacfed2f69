// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

// dhtValues makes values of the DHT from a replica, and judges those of others
// by it. It reads the replica and never changes it.
type dhtValues struct{ *Replica }

// value makes the value of a key. The error is registry.ErrNotFound when the
// replica has nothing for it.
func (r dhtValues) value(ctx context.Context, key dhtKey) ([]byte, error) {
	switch key.space {
	case spaceClient:
		return r.client(ctx, key.name)
	case spaceLog:
		return r.log(ctx, key.name)
	}
	c := r.Chain().Latest()
	if key.version > 0 {
		c = r.Chain().Version(key.version)
	}
	if c == nil {
		return nil, fmt.Errorf("%w: %s", registry.ErrNotFound, key)
	}
	return c.Raw, nil
}

func (r dhtValues) log(ctx context.Context, log string) ([]byte, error) {
	name, h, err := r.head(log)
	if err != nil {
		return nil, err
	}
	if name != log {
		return nil, fmt.Errorf("%w: %s is a key of log %s", registry.ErrNotFound, log, name)
	}
	v := logValue{Checkpoint: string(h.Raw)}
	if e, ok := r.broker(log); ok && e.Index < h.Size {
		proof, err := registry.ProveInclusion(h.Size, e.Index, r.reader(ctx, log))
		if err != nil {
			return nil, fmt.Errorf("prove the broker record of %s: %w", h.Origin, err)
		}
		p := newPlaced(e.Record.Raw, e.Index, proof)
		v.Broker = &p
	}
	return encodeValue(v)
}

// broker is the newest broker record of a log, with its place.
func (r dhtValues) broker(log string) (registry.Entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	newest := r.brokers[log]
	for _, e := range r.entries {
		if newest != nil && e.Index >= 0 && e.Record.CID == newest.CID {
			return e, true
		}
	}
	return registry.Entry{}, false
}

func (r dhtValues) client(ctx context.Context, id string) ([]byte, error) {
	state, stops, err := r.facts(ctx, id)
	if err != nil {
		return nil, err
	}
	log, h, err := r.head(state.First.KeyID)
	if err != nil {
		return nil, err
	}
	place := func(e registry.Entry) (placedRecord, error) {
		proof, err := registry.ProveInclusion(h.Size, e.Index, r.reader(ctx, log))
		if err != nil {
			return placedRecord{}, fmt.Errorf("prove a record of client %s: %w", id, err)
		}
		return newPlaced(e.Record.Raw, e.Index, proof), nil
	}
	v := clientValue{Checkpoint: string(h.Raw)}
	if state.Registration.CID != id {
		v.First = state.First.Raw
	}
	if v.Registration, err = place(registry.Entry{Record: state.Registration, Index: state.Index}); err != nil {
		return nil, err
	}
	for _, e := range stops {
		p := placedRecord{Record: e.Record.Raw}
		if e.Record.Issuer == state.Home && e.Index >= 0 {
			if p, err = place(e); err != nil {
				return nil, err
			}
		}
		v.Stops = append(v.Stops, p)
	}
	return encodeValue(v)
}

// facts are the state of a client and the stop records that its value has.
func (r dhtValues) facts(ctx context.Context, id string) (registry.ClientState, []registry.Entry, error) {
	state, err := r.Client(ctx, id)
	if err != nil {
		return state, nil, err
	}
	r.mu.RLock()
	chain, entries := r.chain, slices.Clone(r.stops[id])
	r.mu.RUnlock()
	return state, pickStops(chain, state, entries), nil
}

// pickStops chooses the stop records that belong into a client's value: what
// ended or disputes it; the home's last word; of each other member its last
// suspension and its vote. When they are too many the first of these stay.
func pickStops(chain *registry.Chain, state registry.ClientState, entries []registry.Entry) []registry.Entry {
	type choice struct {
		registry.Entry
		weight int // lower goes first
		order  int64
	}
	best := map[string]choice{}
	offer := func(slot string, c choice) {
		old, taken := best[slot]
		if !taken || c.order > old.order || c.order == old.order && c.Record.CID < old.Record.CID {
			best[slot] = c
		}
	}
	for _, e := range entries {
		v, home := e.Record.Revocation, e.Record.Issuer == state.Home
		if v == nil || (v.Sequence > 0) != home || !shows(chain, state.Home, e) {
			continue
		}
		switch {
		case home && v.Action == registry.Revoke:
			offer("revoke", choice{e, 0, -v.Sequence})
		case home:
			offer("home", choice{e, 2, v.Sequence})
		case v.Action == registry.Revoke:
			offer("vote "+e.Record.Issuer, choice{e, 3, -e.Record.IssuedAt})
		case v.Action == registry.Suspend && chain.ByCID(v.Charter) != nil &&
			v.Until > e.Record.IssuedAt && v.Until <= e.Record.IssuedAt+chain.ByCID(v.Charter).MaxSuspension:
			offer("suspension "+e.Record.Issuer, choice{e, 4, e.Record.IssuedAt})
		}
	}
	if state.Status == registry.ClientDisputed {
		for _, e := range entries {
			same := func(r *registry.Record) bool { return r.CID == e.Record.CID }
			if slices.ContainsFunc(state.Because, same) && shows(chain, state.Home, e) {
				best["proof "+e.Record.CID] = choice{e, 1, 0}
			}
		}
	}
	var all []choice
	for _, c := range best {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(b.order, a.order), strings.Compare(a.Record.CID, b.Record.CID))
	})
	var picked []registry.Entry
	for _, c := range all[:min(len(all), maxDHTStops)] {
		picked = append(picked, c.Entry)
	}
	slices.SortFunc(picked, func(a, b registry.Entry) int { return byCID(a.Record, b.Record) })
	return slices.CompactFunc(picked, func(a, b registry.Entry) bool { return a.Record.CID == b.Record.CID })
}

// shows says whether a reader of the DHT can check a record: in the home's log
// by its place there, elsewhere by the author's current key.
func shows(chain *registry.Chain, home string, e registry.Entry) bool {
	if e.Record.Issuer == home && e.Index >= 0 {
		return true
	}
	if v := e.Record.Revocation; v != nil && v.Action == registry.Reinstate {
		return false
	}
	m, key, ok := chain.MemberByKey(e.Record.KeyID)
	return ok && m.Issuer == e.Record.Issuer && key.Until == nil
}

// behind returns registry.ErrStale when a verified value says less than the
// replica knows: a member neither keeps nor hands out such a value, whoever
// offers it and however old its own copy is. Heads may lag behind; what
// contradicts the replica is registry.ErrFork or ErrConflict.
func (r dhtValues) behind(ctx context.Context, key dhtKey, f *dhtFinding) error {
	switch key.space {
	case spaceClient:
		return r.clientBehind(ctx, f.client)
	case spaceLog:
		return r.logBehind(ctx, key.name, f.log)
	}
	chain := r.Chain()
	if known := chain.Version(f.charter.Version); known != nil && known.CID != f.charter.CID {
		return fmt.Errorf("%w: charter %s is another version %d than the one known", registry.ErrConflict, f.charter.CID, f.charter.Version)
	}
	if key.version == 0 && f.charter.Version < chain.Latest().Version {
		return fmt.Errorf("%w: charter version %d, version %d is known", registry.ErrStale, f.charter.Version, chain.Latest().Version)
	}
	return nil
}

func (r dhtValues) clientBehind(ctx context.Context, s *Sighting) error {
	state, stops, err := r.facts(ctx, s.ID)
	if errors.Is(err, registry.ErrNotFound) {
		return nil // its home is ahead of this replica
	}
	if err != nil {
		return err
	}
	if sequence(s.Registration) < sequence(state.Registration) {
		return fmt.Errorf("%w: registration %d of client %s, number %d is known", registry.ErrStale, sequence(s.Registration), s.ID, sequence(state.Registration))
	}
	for _, e := range stops {
		said := func(r *registry.Record) bool { return saysAtLeast(r, e.Record, state.Home) }
		if !slices.ContainsFunc(s.Stops, said) {
			return fmt.Errorf("%w: the value of client %s leaves out the %s by %s", registry.ErrStale, s.ID, what(e.Record), e.Record.Issuer)
		}
	}
	return nil
}

func what(r *registry.Record) registry.Action {
	if r.Revocation == nil {
		return "contradiction"
	}
	return r.Revocation.Action
}

// saysAtLeast reports whether shown stands for known: the same record, or a
// later one by the same author that replaces it.
func saysAtLeast(shown, known *registry.Record, home string) bool {
	if shown.CID == known.CID {
		return true
	}
	s, k := shown.Revocation, known.Revocation
	if s == nil || k == nil || shown.Issuer != known.Issuer {
		return false
	}
	if known.Issuer == home {
		return k.Action != registry.Revoke && s.Sequence > k.Sequence
	}
	return s.Action == k.Action && (k.Action == registry.Revoke || shown.IssuedAt >= known.IssuedAt)
}

// logBehind looks for a head that contradicts the log that is held.
func (r dhtValues) logBehind(ctx context.Context, log string, s *LogSighting) error {
	_, h, err := r.head(log)
	if err != nil || s.Checkpoint.Size > h.Size {
		return nil // ahead of this replica: gossip and sync will tell
	}
	root := registry.EmptyRoot()
	if s.Checkpoint.Size > 0 {
		if root, err = registry.TreeRoot(s.Checkpoint.Size, r.reader(ctx, log)); err != nil {
			return fmt.Errorf("compare the head of %s: %w", s.Issuer, err)
		}
	}
	if root != s.Checkpoint.Root {
		return fmt.Errorf("%w: the head of %s for %d entries is not that of the log", registry.ErrFork, s.Issuer, s.Checkpoint.Size)
	}
	return nil
}
