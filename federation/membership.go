// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/comity-network/comity/registry"
)

// ProposalLife is for how long, in seconds since its iat, members sign a
// proposal, and stay by it when they have signed.
const ProposalLife = 7 * 24 * 3600

// Propose signs a draft of the next charter: version, previous and iat are
// set. A proposal that says the same is signed, not made again, so that members
// who decide the same sign the same bytes. When that is approval enough, the
// draft is the newest charter when Propose returns; else it is a proposal. It
// refuses (registry.ErrConflict) to sign a second proposal for one version in
// seven days: two valid successors would freeze the charter for good.
func (r *Replica) Propose(ctx context.Context, draft registry.Charter) (*registry.SignedCharter, error) {
	end, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	latest := r.chain.Latest()
	draft.Version, draft.Previous = latest.Version+1, latest.CID
	for _, p := range r.sortedProposals() {
		if draft.IssuedAt = p.IssuedAt; r.pends(p) && sameCharter(draft, p.Charter) {
			return r.approve(ctx, p)
		}
	}
	draft.IssuedAt = max(r.now().Unix(), latest.IssuedAt)
	if err := r.mayApprove(""); err != nil {
		return nil, err
	}
	charter, err := registry.NewCharter(draft, r.key)
	if err != nil {
		return nil, err
	}
	return r.offerOwn(ctx, charter)
}

// sameCharter compares what two charters say.
func sameCharter(a, b registry.Charter) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// Approve adds this broker's signature to a proposal. The error is
// registry.ErrNotFound when there is none with that CID, and otherwise as in
// Propose.
func (r *Replica) Approve(ctx context.Context, cid string) (*registry.SignedCharter, error) {
	end, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	p := r.proposals[cid]
	if p == nil {
		return nil, fmt.Errorf("%w: no proposed charter %.70q", registry.ErrNotFound, cid)
	}
	return r.approve(ctx, p)
}

func (r *Replica) approve(ctx context.Context, p *registry.SignedCharter) (*registry.SignedCharter, error) {
	if !r.pends(p) {
		return nil, fmt.Errorf("%w: the proposed charter %s is more than seven days old: propose it anew", registry.ErrStale, p.CID)
	}
	if err := r.mayApprove(p.CID); err != nil {
		return nil, err
	}
	signed, err := p.AddSignature(r.key)
	if err != nil {
		return nil, err
	}
	return r.offerOwn(ctx, signed)
}

// pends reports whether a proposal may still be signed.
func (r *Replica) pends(p *registry.SignedCharter) bool {
	return p.IssuedAt+ProposalLife > r.now().Unix()
}

// mayApprove refuses a second signature for one version, unless the first is old.
func (r *Replica) mayApprove(cid string) error {
	if err := r.maySign(); err != nil {
		return err
	}
	for _, p := range r.proposals {
		if p.CID != cid && p.SignedBy(r.key.ID()) && r.pends(p) {
			return fmt.Errorf("%w: this broker has signed the proposed charter %s for version %d, which is pending, and may not sign another for seven days: wait until it is decided",
				registry.ErrConflict, p.CID, p.Version)
		}
	}
	return nil
}

func (r *Replica) offerOwn(ctx context.Context, charter *registry.SignedCharter) (*registry.SignedCharter, error) {
	if _, err := r.offer(ctx, charter, true); err != nil {
		return nil, err
	}
	if p := r.proposals[charter.CID]; p != nil {
		return p, nil
	}
	return r.chain.ByCID(charter.CID), nil
}

// Proposals returns the charters that still lack approvals, the oldest first.
// Those of more than ProposalLife ago are among them.
func (r *Replica) Proposals() []*registry.SignedCharter {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.sortedProposals()
}

// Adopt replaces the charter of a federation of one by those of the federation
// that admitted this broker, all versions, the oldest first. The own log goes
// on; of a federation that this broker has left, nothing else stays. It refuses
// (registry.ErrConflict) when this broker is in a federation with others, or
// when the newest charter does not have this issuer as an
// active member with this key from the first log entry on; registry.ErrLimit
// when the own log is longer than the charter allows. Adopting the charters
// that hold already is no error.
func (r *Replica) Adopt(ctx context.Context, charters [][]byte) error {
	adopted, signed, err := readChain(charters)
	if err != nil {
		return err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if r.chain.Latest().CID == adopted.Latest().CID {
		return nil
	}
	if err := r.mayAdopt(adopted); err != nil {
		return err
	}
	r.checked.clear()
	in := &intake{Update: Update{Log: r.log, Replace: true, Charters: signed}, chain: adopted, reload: true}
	for _, raw := range charters {
		in.news = append(in.news, News{Inbound: Inbound{Charter: raw}})
	}
	return r.settle(ctx, in)
}

// readChain reads charters from the first version on.
func readChain(raws [][]byte) (*registry.Chain, []*registry.SignedCharter, error) {
	if len(raws) == 0 {
		return nil, nil, fmt.Errorf("%w: no charter to adopt", registry.ErrForm)
	}
	var chain *registry.Chain
	var all []*registry.SignedCharter
	for _, raw := range raws {
		charter, err := registry.ParseCharter(raw)
		if err != nil {
			return nil, nil, err
		}
		if chain == nil {
			chain, err = registry.NewChain(charter)
		} else {
			chain, err = chain.Extend(charter)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("charter version %d: %w", charter.Version, err)
		}
		all = append(all, charter)
	}
	return chain, all, nil
}

func (r *Replica) mayAdopt(adopted *registry.Chain) error {
	former, _ := r.chain.Member(r.issuer)
	left := former.State == registry.MemberExpelled
	if err := r.maySign(); err != nil && !left {
		return err
	}
	if members := r.chain.Latest().Members; len(members) > 1 && !left {
		return fmt.Errorf("%w: this broker is in a federation with %d others: leave that one first", registry.ErrConflict, len(members)-1)
	}
	m, ok := adopted.Member(r.issuer)
	if !ok || m.State != registry.MemberActive {
		return fmt.Errorf("%w: %s is not an active member of the federation %s", registry.ErrConflict, r.issuer, adopted.Federation())
	}
	if len(m.Keys) != 1 || m.Keys[0].Key.KeyID != r.key.ID() {
		return fmt.Errorf("%w: the federation %s knows %s by another key than %s", registry.ErrConflict, adopted.Federation(), r.issuer, r.key.ID())
	}
	own, limits := r.heads[r.log], adopted.Latest()
	if own.clients > limits.ClientsPerMember || own.Size > maxEntries(adopted) {
		return fmt.Errorf("%w: the log of this broker has %d entries and %d clients, and the federation %s allows %d clients for each member",
			registry.ErrLimit, own.Size, own.clients, adopted.Federation(), limits.ClientsPerMember)
	}
	return nil
}
