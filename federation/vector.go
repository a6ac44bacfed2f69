// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// Vector says in short what a replica holds, all of it durable. Sent to
// another member it is the acknowledgement of every record under its heads.
type Vector struct {
	Logs    map[string]LogHead `json:"logs"`    // verified heads, by log
	Charter CharterHead        `json:"charter"` // the newest
	// Rest is a digest of all that is in no log and no newest charter: heard
	// stops, evidence, signatures and proposals of charters. Where it
	// differs they should be exchanged.
	Rest string `json:"rest"`
}

// LogHead is the verified head of one log.
type LogHead struct {
	Size int64         `json:"size"`
	Root registry.Hash `json:"root"`
}

// CharterHead is the newest charter.
type CharterHead struct {
	Version int64  `json:"version"`
	CID     string `json:"cid"`
}

// Want is a piece of a log that should be pulled: entries from From on, and the
// newest checkpoint. From may be the peer's size or less than that: then its
// checkpoint contradicts what is held here, and Accept makes the proof of it.
type Want struct {
	Log  string `json:"log"`
	From int64  `json:"from"`
}

// Vector returns what this replica holds now.
func (r *Replica) Vector() Vector {
	r.mu.RLock()
	defer r.mu.RUnlock()
	latest := r.chain.Latest()
	v := Vector{
		Logs:    make(map[string]LogHead, len(r.heads)),
		Charter: CharterHead{Version: latest.Version, CID: latest.CID},
		Rest:    r.rest(),
	}
	for log, h := range r.heads {
		if h.verified() {
			v.Logs[log] = LogHead{Size: h.Size, Root: h.Root}
		}
	}
	return v
}

// rest digests what no head covers. Of evidence only the subject counts: proofs
// of one thing differ, and one is enough.
func (k *known) rest() string {
	digest := sha256.New()
	for _, cid := range slices.Sorted(maps.Keys(k.heardStops())) {
		fmt.Fprintln(digest, "heard", cid)
	}
	for _, key := range slices.Sorted(maps.Keys(k.evidence)) {
		if k.evidence[key].document() != nil {
			fmt.Fprintln(digest, "evidence", key)
		}
	}
	for _, p := range k.sortedProposals() {
		fmt.Fprintln(digest, "proposal", p.CID, p.Signers)
	}
	fmt.Fprintln(digest, "charter", k.chain.Latest().Signers)
	return jws.Base64.EncodeToString(digest.Sum(nil))
}

// Wants compares a peer's vector with what is held here, and returns what to
// pull from that peer: where it is ahead, and where it has another history.
func (r *Replica) Wants(ctx context.Context, peer Vector) ([]Want, error) {
	var wants []Want
	for _, log := range slices.Sorted(maps.Keys(peer.Logs)) {
		from, wanted, err := r.wants(ctx, log, peer.Logs[log])
		if err != nil {
			return nil, err
		}
		if wanted {
			wants = append(wants, Want{Log: log, From: from})
		}
	}
	return wants, nil
}

func (r *Replica) wants(ctx context.Context, log string, peer LogHead) (from int64, wanted bool, err error) {
	r.mu.RLock()
	m, _, ok := r.chain.MemberByKey(log)
	if !ok || logOf(m) != log || r.isForked(m) && log != r.log {
		r.mu.RUnlock()
		return 0, false, nil
	}
	h := r.headOf(log, m.Issuer)
	key := lastKey(m)
	until := key.Until
	r.mu.RUnlock()
	switch {
	case peer.Size < 0:
		return 0, false, nil
	case peer.Size > h.Size && peer.Size < key.From: // by the key before
		return 0, false, nil
	case peer.Size > h.Size && until != nil && h.Size >= *until:
		return 0, false, nil
	case peer.Size > h.Size || !h.verified():
		return min(h.entries, peer.Size), true, nil
	case peer.Size == 0:
		return 0, false, nil
	}
	root := h.Root
	if peer.Size < h.Size {
		if root, err = r.rootAt(ctx, log, peer.Size); err != nil {
			return 0, false, fmt.Errorf("compare heads: %w", err)
		}
	}
	return peer.Size, root != peer.Root, nil
}
