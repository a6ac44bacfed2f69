// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-network/comity/registry"
)

// proposalsPerMember bounds the proposals that only one member has signed.
const proposalsPerMember = 4

func (r *Replica) acceptCharter(ctx context.Context, raw []byte) (Outcome, error) {
	if r.hasCharter(raw) {
		return Known, nil // every peer offers them, and each has many signatures
	}
	charter, err := registry.ParseCharter(raw)
	if err != nil {
		return Known, err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	return r.offer(ctx, charter, false)
}

// hasCharter reports whether these bytes are held.
func (r *Replica) hasCharter(raw []byte) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for v := r.chain.Latest().Version; v > 0; v-- {
		if bytes.Equal(r.chain.Version(v).Raw, raw) {
			return true
		}
	}
	for _, p := range r.proposals {
		if bytes.Equal(p.Raw, raw) {
			return true
		}
	}
	return false
}

// offer takes a charter: as the next version, as more signatures, as a rival or
// as a proposal. writing is held.
func (r *Replica) offer(ctx context.Context, charter *registry.SignedCharter, own bool) (Outcome, error) {
	if proposal := r.proposals[charter.CID]; proposal != nil {
		merged, err := proposal.Merge(charter)
		if err != nil {
			return Known, err
		}
		if merged == proposal && !own {
			return Known, nil
		}
		charter = merged
	}
	grown, err := r.chain.Extend(charter)
	switch {
	case err == nil && grown == r.chain:
		return Known, nil
	case err == nil:
		return New, r.enact(ctx, grown, grown.ByCID(charter.CID), own)
	case errors.Is(err, registry.ErrConflict):
		return Known, errors.Join(r.keepRival(ctx, grown, charter), err)
	case errors.Is(err, registry.ErrNotFound) && charter.Version > r.chain.Latest().Version:
		return Gap, nil
	case errors.Is(err, registry.ErrSignature) && charter.Version == r.chain.Latest().Version+1:
		return r.propose(ctx, charter, own)
	case errors.Is(err, registry.ErrSignature):
		return Known, fmt.Errorf("%w: a proposal for charter version %d, which is decided", registry.ErrStale, charter.Version)
	}
	return Known, err
}

// enact makes a longer chain, or one with more signatures, the chain.
func (r *Replica) enact(ctx context.Context, chain *registry.Chain, charter *registry.SignedCharter, own bool) error {
	in := &intake{
		Update: Update{Charters: []*registry.SignedCharter{charter}}, chain: chain,
		news: []News{{Own: own, Inbound: Inbound{Charter: charter.Raw}}},
	}
	for cid, p := range r.proposals {
		if p.Version <= chain.Latest().Version {
			in.Withdrawn = append(in.Withdrawn, cid)
		}
	}
	return r.settle(ctx, in)
}

// keepRival keeps the second valid successor of a version as evidence.
func (r *Replica) keepRival(ctx context.Context, frozen *registry.Chain, rival *registry.SignedCharter) error {
	e := Evidence{Kind: EvidenceCharters, Subject: frozen.Federation(), B: string(rival.Raw)}
	if _, known := r.evidence[e.key()]; known {
		return nil
	}
	held := frozen.Version(rival.Version)
	if held == nil || held.CID == rival.CID {
		return nil
	}
	e.A = string(held.Raw)
	r.logger.Error("two charters are valid as one version; no further one is accepted", "version", rival.Version, "held", held.CID, "rival", rival.CID)
	return r.settle(ctx, &intake{
		Update: Update{Evidence: []Evidence{e}}, chain: frozen,
		news: []News{{Inbound: Inbound{Charter: rival.Raw}}},
	})
}

// propose keeps a charter that lacks approvals. An active member must have
// signed it, and of those that one member alone signed the newest few are kept.
func (r *Replica) propose(ctx context.Context, charter *registry.SignedCharter, own bool) (Outcome, error) {
	approvers := r.approvers(charter)
	if len(approvers) == 0 {
		return Known, fmt.Errorf("%w: no active member has signed the proposed charter %s", registry.ErrSignature, charter.CID)
	}
	// It cannot be older than the version before, whose clock may have been wrong.
	if charter.IssuedAt > max(r.now().Add(registry.MaxAhead).Unix(), r.chain.Latest().IssuedAt) {
		return Known, fmt.Errorf("%w: the proposed charter %s is ahead of the clock of this machine", registry.ErrStale, charter.CID)
	}
	in := &intake{
		Update: Update{Proposals: []*registry.SignedCharter{charter}},
		news:   []News{{Own: own, Inbound: Inbound{Charter: charter.Raw}}},
	}
	if len(approvers) == 1 {
		oldest := r.loneProposals(approvers[0])
		switch {
		case len(oldest) < proposalsPerMember || oldest[0].CID == charter.CID:
		case oldest[0].IssuedAt > charter.IssuedAt:
			return Known, fmt.Errorf("%w: %s has made newer proposals", registry.ErrStale, approvers[0])
		default:
			in.Withdrawn = []string{oldest[0].CID}
		}
	}
	return New, r.settle(ctx, in)
}

// approvers are the active members whose current key has signed.
func (r *Replica) approvers(charter *registry.SignedCharter) []string {
	var issuers []string
	for _, kid := range charter.Signers {
		if m, key, ok := r.chain.MemberByKey(kid); ok && m.State == registry.MemberActive && key.Until == nil {
			issuers = append(issuers, m.Issuer)
		}
	}
	return issuers
}

// loneProposals are those that only this member has signed, the oldest first.
func (r *Replica) loneProposals(issuer string) []*registry.SignedCharter {
	var lone []*registry.SignedCharter
	for _, p := range r.sortedProposals() {
		if slices.Equal(r.approvers(p), []string{issuer}) {
			lone = append(lone, p)
		}
	}
	return lone
}

// sortedProposals are all of them, by time. mu or writing is held.
func (k *known) sortedProposals() []*registry.SignedCharter {
	return slices.SortedFunc(maps.Values(k.proposals), func(a, b *registry.SignedCharter) int {
		if a.IssuedAt != b.IssuedAt {
			return int(a.IssuedAt - b.IssuedAt)
		}
		return slices.Compare([]byte(a.CID), []byte(b.CID))
	})
}

// takeCharters brings memory to what was stored of charters. Views of those who
// are not active members any more, or have another key, go. mu is held.
func (r *Replica) takeCharters(in *intake) {
	for _, cid := range in.Withdrawn {
		delete(r.proposals, cid)
	}
	for _, p := range in.Proposals {
		r.proposals[p.CID] = p
	}
	if in.chain == nil {
		return
	}
	r.chain = in.chain
	r.cache.clear()
	for issuer, v := range r.views {
		if issuer != r.issuer && r.chain.VerifyView(v) != nil {
			delete(r.views, issuer)
		}
	}
}

// loadCharters adds to the chain what else is stored about charters.
func (k *known) loadCharters(s *Snapshot) error {
	for _, e := range s.Evidence {
		if e.Kind != EvidenceCharters {
			continue
		}
		rival, err := registry.ParseCharter([]byte(e.B))
		if err != nil {
			return damaged("rival charter: %w", err)
		}
		if frozen, err := k.chain.Extend(rival); errors.Is(err, registry.ErrConflict) {
			k.chain = frozen
		}
	}
	for _, raw := range s.Proposals {
		p, err := registry.ParseCharter(raw)
		if err != nil {
			return damaged("proposed charter: %w", err)
		}
		if p.Version > k.chain.Latest().Version {
			k.proposals[p.CID] = p
		}
	}
	return nil
}

// Charters returns the charters from that version on, the oldest first, then a
// rival of one of them if there is one, then all proposals.
func (r *Replica) Charters(from int64) [][]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var raws [][]byte
	for v := max(from, 1); v <= r.chain.Latest().Version; v++ {
		raws = append(raws, r.chain.Version(v).Raw)
	}
	if _, rival, conflict := r.chain.Conflict(); conflict {
		raws = append(raws, rival.Raw)
	}
	for _, p := range r.sortedProposals() {
		raws = append(raws, p.Raw)
	}
	return raws
}
