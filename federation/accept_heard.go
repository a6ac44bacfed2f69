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
// than that are in its log soon enough.
const maxHeard = 10_000

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
	if err := verifyHeard(r.Chain(), record); err != nil {
		return Known, err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	return r.hear(ctx, record)
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

// hear takes a verified revocation that stands in no verified log, if it counts
// there. writing is held.
func (r *Replica) hear(ctx context.Context, record *registry.Record) (Outcome, error) {
	if r.knows(record) {
		return Known, nil
	}
	switch err := r.countsHeard(ctx, record); {
	case errors.Is(err, errGap):
		return Gap, nil
	case err != nil:
		return Known, err
	}
	in := &intake{}
	r.addHeard(in, record)
	if err := r.include(ctx, in, record.ClientID()); err != nil {
		return Known, err
	}
	return New, r.settle(ctx, in)
}

// addHeard completes the intake of a stop that counts outside of a log.
func (r *Replica) addHeard(in *intake, record *registry.Record) {
	m, _, _ := r.chain.MemberByKey(record.KeyID)
	in.Heard = append(in.Heard, newRow(logOf(m), -1, record))
	in.entries = append(in.entries, registry.Entry{Record: record, Index: -1})
	in.news = append(in.news, News{Inbound: Inbound{Heard: record.Raw}})
}

// hearStaged takes the stops among staged entries at once. Others wait.
func (r *Replica) hearStaged(in *intake, record *registry.Record) {
	v := record.Revocation
	if v == nil || r.knows(record) || v.Action == registry.Reinstate || v.Action == registry.Revoke && v.Sequence == 0 {
		return
	}
	r.addHeard(in, record)
}

// hearAll takes the stops of a piece that does not fit as heard.
func (r *Replica) hearAll(ctx context.Context, p *piece) error {
	for _, record := range p.records {
		if record.Revocation == nil || verifyHeard(r.chain, record) != nil {
			continue
		}
		_, err := r.hear(ctx, record)
		switch {
		case errors.Is(err, registry.ErrStale), errors.Is(err, registry.ErrForm):
		case err != nil:
			return err
		}
	}
	return nil
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
	if v.Action == registry.Reinstate || r.heardOf(record.KeyID) >= maxHeard {
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

// heardOf counts the heard stops of the broker with that key.
func (k *known) heardOf(keyID string) int {
	n := 0
	if m, _, ok := k.chain.MemberByKey(keyID); ok {
		for _, row := range k.heard {
			if row.Log == logOf(m) {
				n++
			}
		}
	}
	return n
}

// HeardStops returns the stops that others may not find in any log: those that
// stand in no verified one here, and those of brokers whose log is forked.
func (r *Replica) HeardStops() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.heardStops()
}

func (k *known) heardStops() []string {
	raws := make(map[string]string, len(k.heard)) // by CID
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
	sorted := make([]string, 0, len(raws))
	for _, cid := range slices.Sorted(maps.Keys(raws)) {
		sorted = append(sorted, raws[cid])
	}
	return sorted
}
