// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"

	"github.com/comity-network/comity/registry"
)

func (d *drafting) revocation(ctx context.Context, v registry.Revocation) (*registry.Record, error) {
	state, err := d.client(ctx, v.Client)
	if errors.Is(err, registry.ErrNotFound) && registry.IsClientURL(v.Client) {
		state, err = registry.ClientState{ID: v.Client, Status: registry.ClientActive}, nil // stopped for the first time
	}
	if err != nil {
		return nil, err
	}
	v.Claims, v.Charter, v.Sequence, v.Previous = d.claims, d.chain.Latest().CID, 0, ""
	if v.Action != registry.Revoke || state.Status == registry.ClientRevoked {
		if err := notFinal(state); err != nil {
			return nil, err
		}
	}
	if state.Home == d.issuer {
		return d.homeRevocation(v, state)
	}
	return d.memberRevocation(v, state.Home)
}

func (d *drafting) homeRevocation(v registry.Revocation, state registry.ClientState) (*registry.Record, error) {
	if v.Action == registry.Reinstate && !suspendedBy(state, d.issuer) {
		if state.Status == registry.ClientSuspended && len(state.Because) > 0 {
			return nil, fmt.Errorf("%w: client %s is suspended by %s, and not by this broker: nobody can lift that, and it ends by itself",
				registry.ErrConflict, v.Client, state.Because[0].Issuer)
		}
		return nil, fmt.Errorf("%w: client %s is %s, and not suspended by this broker", registry.ErrConflict, v.Client, state.Status)
	}
	v.Sequence, v.Previous = state.Sequence+1, state.Last
	record, err := registry.SignRevocation(d.key, v)
	if err != nil {
		return nil, err
	}
	if v.Action == registry.Revoke {
		return record, nil // final wherever it stands, in a dispute too
	}
	return record, d.counts(record)
}

func suspendedBy(state registry.ClientState, issuer string) bool {
	for _, because := range state.Because {
		if state.Status == registry.ClientSuspended && because.Issuer == issuer {
			return true
		}
	}
	return false
}

// memberRevocation is about another broker's client: a suspension for a bounded
// time, or a vote to ban it.
func (d *drafting) memberRevocation(v registry.Revocation, home string) (*registry.Record, error) {
	switch {
	case home == "" && v.Action == registry.Reinstate:
		return nil, fmt.Errorf("%w: nobody can reinstate %s, which has no home broker; a suspension of it ends by itself", registry.ErrConflict, v.Client)
	case v.Action == registry.Reinstate:
		return nil, fmt.Errorf("%w: only its home %s can reinstate client %s; a suspension by another member ends by itself", registry.ErrConflict, home, v.Client)
	case v.Action == registry.Revoke:
		for _, e := range d.history {
			if r := e.Record; r.Issuer == d.issuer && r.Revocation != nil && r.Revocation.Action == registry.Revoke {
				return nil, fmt.Errorf("%w: this broker has voted to revoke client %s already", registry.ErrConflict, v.Client)
			}
		}
		return registry.SignRevocation(d.key, v)
	}
	latest := v.IssuedAt + d.chain.Latest().MaxSuspension
	if v.Until == 0 {
		v.Until = latest
	}
	if v.Until > latest {
		return nil, fmt.Errorf("%w: a suspension of another broker's client ends after %d s at most", registry.ErrLimit, d.chain.Latest().MaxSuspension)
	}
	record, err := registry.SignRevocation(d.key, v)
	if err != nil {
		return nil, err
	}
	return record, d.suspends(record)
}

// suspends asks the fold whether one more suspension counts, and whether all of
// this broker's others still do: of two in one second the later might be taken
// for the first.
func (d *drafting) suspends(record *registry.Record) error {
	var entries []registry.Entry
	for _, about := range d.stops {
		entries = append(entries, about...)
	}
	before := d.ownSuspensions(entries)
	place := registry.Entry{Record: record, Index: d.heads[d.log].Size}
	after := d.ownSuspensions(append(append(entries, d.history...), place))
	for cid := range before {
		if !after[cid] {
			after = nil
		}
	}
	if after[record.CID] {
		return nil
	}
	return fmt.Errorf("%w: a broker may suspend another's client once in 30 days, and %d such clients at a time",
		registry.ErrLimit, d.chain.Latest().SuspensionQuota)
}

// ownSuspensions are the CIDs of this broker's suspensions that hold.
func (d *drafting) ownSuspensions(entries []registry.Entry) map[string]bool {
	own := make(map[string]bool)
	for _, client := range registry.Fold(d.chain, entries, d.forks, d.now).Clients {
		for _, because := range client.Because {
			if because.Issuer == d.issuer {
				own[because.CID] = true
			}
		}
	}
	return own
}
