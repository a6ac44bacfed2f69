// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/registry"
)

func (r *Replica) acceptView(ctx context.Context, raw string) (Outcome, error) {
	v, err := registry.ParseRecord([]byte(raw), registry.KindView)
	if err != nil {
		return Known, err
	}
	if known, err := r.knownView(v); known || err != nil {
		return Known, err
	}
	if err := r.Chain().VerifyView(v); err != nil {
		return Known, err
	}
	if v.Issuer == r.issuer {
		return r.acceptOwnView(ctx, v)
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	if known, err := r.knownView(v); known || err != nil { // of two at once
		return Known, err
	}
	if err := r.chain.VerifyView(v); err != nil { // a charter came in between
		return Known, err
	}
	return r.storeView(ctx, v)
}

// knownView compares a view with the one that is held: only strictly newer ones
// of a signer are of any use.
func (r *Replica) knownView(v *registry.Record) (known bool, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	held := r.views[v.Issuer]
	switch {
	case held == nil:
	case held.Raw == v.Raw:
		return true, nil
	case v.IssuedAt <= held.IssuedAt && v.Issuer != r.issuer:
		return false, fmt.Errorf("%w: view of %s at %d, one of %d is held", registry.ErrStale, v.Issuer, v.IssuedAt, held.IssuedAt)
	}
	return false, nil
}

// storeView takes a verified, newer view of another member. writing is held.
func (r *Replica) storeView(ctx context.Context, v *registry.Record) (Outcome, error) {
	now := r.now()
	r.mu.Lock()
	r.noteClock(v, now)
	r.mu.Unlock()
	if ahead := v.IssuedAt - now.Unix(); ahead > int64(registry.MaxAhead.Seconds()) {
		return Known, fmt.Errorf("%w: a view of %s is %d s ahead of the clock of this machine", registry.ErrStale, v.Issuer, ahead)
	}
	m, _ := r.chain.Member(v.Issuer)
	update := Update{Views: []View{{Log: logOf(m), Record: v}}}
	if err := r.store.Write(context.WithoutCancel(ctx), update); err != nil {
		r.unsure = true
		return Known, fmt.Errorf("store view: %w", err)
	}
	r.mu.Lock()
	r.views[v.Issuer] = v
	r.certify(now)
	r.mu.Unlock()
	r.tell(News{Inbound: Inbound{View: v.Raw}})
	return New, nil
}
