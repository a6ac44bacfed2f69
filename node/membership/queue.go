// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"time"

	"github.com/comity-network/comity/registry"
)

// queueEvery is how often approved requests are looked at while there are some.
const queueEvery = 200 * time.Millisecond

// idleEvery is how often it is looked whether there are some.
const idleEvery = 30 * time.Second

// Run gives approved requests their turn, one charter version after another,
// until ctx ends. It returns nil then.
func (d *Desk) Run(ctx context.Context) error {
	for {
		wait := idleEvery
		if d.advance(ctx) {
			wait = queueEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-d.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// advance proposes the oldest request that is approved and whose turn it is. It
// reports whether some are left.
func (d *Desk) advance(ctx context.Context) (left bool) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	all, err := d.Store.Requests(ctx, d.Now().Unix())
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Error("cannot read the requests for membership", "error", err)
		}
		return false
	}
	for _, r := range all {
		if r.State != Approved {
			continue
		}
		state, proposal := d.stateOf(r)
		switch {
		case state == Admitted, state == Refused, state == Proposed && proposal.SignedBy(d.Key):
			continue
		case state == Waiting && len(d.pending()) > 0:
			left = true
			continue
		}
		if _, err := d.admit(ctx, r); err != nil { // again when something changes, or after idleEvery
			d.Log.Warn("an approved request cannot be proposed now", "issuer", r.Issuer, "error", err)
		}
	}
	return left
}

// Item is a request or a proposal, for the operator.
type Item struct {
	Request  *Request // nil: a proposal that belongs to no request here
	State    State
	Proposal *registry.SignedCharter // nil: none yet
	Changes  []Change
	Approval Tally
	Signers  []string // issuers of the members, present and future, that signed
}

// List is all that waits: requests, and proposals of other members.
func (d *Desk) List(ctx context.Context) ([]Item, error) {
	all, err := d.Store.Requests(ctx, d.Now().Unix())
	if err != nil {
		return nil, err
	}
	var items []Item
	shown := map[string]bool{}
	for _, r := range all {
		state, charter := d.stateOf(r)
		if state == Waiting && r.State == Approved {
			state = Approved
		}
		item := Item{Request: &r, State: state}
		if state == Proposed {
			shown[charter.CID] = true
			d.detail(&item, charter)
		}
		items = append(items, item)
	}
	for _, p := range d.pending() {
		if !shown[p.CID] {
			item := Item{State: Proposed}
			d.detail(&item, p)
			items = append(items, item)
		}
	}
	return items, nil
}

func (d *Desk) detail(item *Item, p *registry.SignedCharter) {
	newest := d.Replica.Chain().Latest()
	item.Proposal, item.Changes, item.Approval = p, Changes(&newest.Charter, &p.Charter), Progress(newest, p)
	item.Signers = Signers(p)
}

// Signers are the issuers of the members, present and future, that signed a
// charter.
func Signers(c *registry.SignedCharter) []string {
	var all []string
	for _, m := range c.Members {
		for _, k := range m.Keys {
			if c.SignedBy(k.Key.KeyID) {
				all = append(all, m.Issuer)
			}
		}
	}
	return all
}
