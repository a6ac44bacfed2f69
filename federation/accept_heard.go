// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-network/comity/registry"
)

// maxHeard bounds the stops of one broker that stand in no verified log. More
// than that are in its log soon enough. It is well below maxPulled, so that
// nobody's stops keep others' from being exchanged.
const maxHeard = 1_000

// errGap says that a record means nothing before something else is here.
var errGap = errors.New("something before it is missing")

func (r *Replica) acceptHeard(ctx context.Context, raw string) (Outcome, error) {
	record, err := registry.ParseRecord([]byte(raw), registry.KindRevocation)
	if err != nil {
		return Known, err
	}
	r.mu.RLock()
	known := r.knows(record)
	r.mu.RUnlock()
	if known {
		return Known, nil
	}
	chain := r.Chain()
	if err := verifyHeard(chain, record); err != nil {
		return Known, err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	if r.chain != chain { // a charter came in between
		if err := verifyHeard(r.chain, record); err != nil {
			return Known, err
		}
	}
	m, _, _ := r.chain.MemberByKey(record.KeyID)
	return r.hear(ctx, logOf(m), record)
}

// knows reports whether a stop is held, in a log or heard.
func (k *known) knows(record *registry.Record) bool {
	return slices.ContainsFunc(k.stops[record.ClientID()], func(e registry.Entry) bool { return e.Record.CID == record.CID })
}

// verifyHeard checks the signature of a record that stands in no log: only the
// current key of a member may have made it, since a key that has ended can be
// in anybody's hands (fault 51).
func verifyHeard(chain *registry.Chain, record *registry.Record) error {
	m, key, ok := chain.MemberByKey(record.KeyID)
	switch {
	case !ok:
		return fmt.Errorf("%w: the key %s is of no member", registry.ErrNotFound, record.KeyID)
	case m.Issuer != record.Issuer:
		return fmt.Errorf("%w: a key of %s signed in the name of %s", registry.ErrSignature, m.Issuer, record.Issuer)
	case key.Until != nil:
		return fmt.Errorf("%w: the key %s of %s has ended", registry.ErrStale, record.KeyID, m.Issuer)
	}
	public, err := key.Key.PublicKey()
	if err != nil {
		return err
	}
	return record.Verify(public)
}

// hear takes verified revocations of one broker that stand in no verified log,
// those of them that count there, in one transaction. The outcome and the error
// are of the last one that was not taken; writing is held.
func (r *Replica) hear(ctx context.Context, log string, records ...*registry.Record) (outcome Outcome, refused error) {
	in := &intake{room: r.room(log)}
	for _, record := range records {
		if r.knows(record) {
			continue
		}
		switch err := r.countsHeard(ctx, record); {
		case errors.Is(err, errGap):
			outcome = Gap
			continue
		case errors.Is(err, registry.ErrStale), errors.Is(err, registry.ErrForm):
			refused = err
			continue
		case err != nil:
			return Known, err
		}
		added, err := r.addHeard(ctx, in, log, record)
		if err != nil {
			return Known, err
		}
		if !added {
			outcome = Gap
		}
	}
	if len(in.Heard) == 0 {
		return outcome, refused
	}
	return New, r.settle(ctx, in)
}

// addHeard completes the intake of a stop that counts outside of a log, unless
// there are too many of that log's broker.
func (r *Replica) addHeard(ctx context.Context, in *intake, log string, record *registry.Record) (added bool, err error) {
	if len(in.Heard) >= in.room {
		return false, nil
	}
	in.Heard = append(in.Heard, newRow(log, -1, record))
	in.entries = append(in.entries, registry.Entry{Record: record, Index: -1})
	in.news = append(in.news, News{Inbound: Inbound{Heard: record.Raw}})
	return true, r.include(ctx, in, record.ClientID())
}

// hearStaged takes the stops among staged entries at once. Others wait, and so
// do more than there is room for.
func (r *Replica) hearStaged(ctx context.Context, in *intake, record *registry.Record) error {
	v := record.Revocation
	if v == nil || r.knows(record) || v.Action == registry.Reinstate || v.Action == registry.Revoke && v.Sequence == 0 {
		return nil
	}
	_, err := r.addHeard(ctx, in, in.Log, record)
	return err
}

// hearAll takes the stops of a piece that does not fit as heard.
func (r *Replica) hearAll(ctx context.Context, p *piece) error {
	var stops []*registry.Record
	for _, record := range p.records {
		if record.Revocation != nil && verifyHeard(r.chain, record) == nil {
			stops = append(stops, record)
		}
	}
	_, err := r.hear(ctx, p.Log, stops...)
	if errors.Is(err, registry.ErrStale) || errors.Is(err, registry.ErrForm) {
		return nil
	}
	return err
}

// countsHeard judges a revocation that stands in no verified log. What has no
// effect there, as a reinstatement or a vote, is errGap: its log has to come.
// A vote under an old charter is refused, since its members may be others now;
// in its author's log it stands where it was written.
func (r *Replica) countsHeard(ctx context.Context, record *registry.Record) error {
	v := record.Revocation
	if ahead := record.IssuedAt - r.now().Add(registry.MaxAhead).Unix(); ahead > 0 {
		return fmt.Errorf("%w: a revocation of %s is %d s further ahead than the 10 s that clocks may differ", registry.ErrStale, record.Issuer, ahead)
	}
	_, forked := r.forked[record.KeyID]
	if v.Sequence == 0 && !forked {
		named := r.chain.ByCID(v.Charter)
		switch {
		case named == nil:
			return errGap
		case v.Action == registry.Revoke && named.Version < r.chain.Latest().Version-1:
			return fmt.Errorf("%w: a vote of %s names charter version %d, and the present one is %d", registry.ErrStale, record.Issuer, named.Version, r.chain.Latest().Version)
		case v.Action == registry.Revoke:
			return errGap
		}
	}
	if v.Action == registry.Reinstate {
		return errGap
	}
	state, err := r.Client(ctx, v.Client)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil // its registration may be on the way
	case err != nil:
		return err
	case v.Sequence > 0 && state.Home != record.Issuer:
		return fmt.Errorf("%w: %s numbered a record about client %s, whose home is %s", registry.ErrForm, record.Issuer, v.Client, state.Home)
	}
	return nil
}

// room is how many more stops of the broker with that log may be heard.
func (k *known) room(log string) int {
	room := maxHeard
	for _, row := range k.heard {
		if row.Log == log {
			room--
		}
	}
	return room
}

// HeardStops returns the stops that others may not find in any log: those that
// stand in no verified one here, and those of brokers whose log is forked.
func (r *Replica) HeardStops() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	stops := r.heardStops()
	raws := make([]string, 0, len(stops))
	for _, cid := range slices.Sorted(maps.Keys(stops)) {
		raws = append(raws, stops[cid])
	}
	return raws
}

// heardStops are what HeardStops returns, by CID.
func (k *known) heardStops() map[string]string {
	raws := make(map[string]string, len(k.heard))
	for cid, row := range k.heard {
		raws[cid] = row.Raw
	}
	if len(k.forked) > 0 {
		for _, about := range k.stops {
			for _, e := range about {
				if _, forked := k.forked[e.Record.KeyID]; forked && e.Record.Revocation != nil && e.Record.Revocation.Sequence == 0 {
					raws[e.Record.CID] = e.Record.Raw
				}
			}
		}
	}
	return raws
}
