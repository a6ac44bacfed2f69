// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-network/comity/registry"
)

// Compare returns the active members that are connected now, without this
// broker: those of which the replica holds all that they have said they hold
// (logs, charters, and what stands in neither), and those that are ahead of it.
func (n *Network) Compare() (level, ahead []string, err error) {
	for _, s := range n.said() {
		behind, err := n.replica.behind(n.ctx, s.holds)
		if err != nil {
			return nil, nil, err
		}
		// Two digests may differ for good, as no replica keeps everything. What
		// counts is that all of it was looked at.
		behind = behind || s.holds.Rest != s.rested && s.holds.Rest != n.replica.Vector().Rest
		switch {
		case n.replica.BrokerStatus(s.issuer) != registry.BrokerActive:
		case behind:
			ahead = append(ahead, s.issuer)
		default:
			level = append(level, s.issuer)
		}
	}
	slices.Sort(ahead)
	slices.Sort(level)
	level = slices.DeleteFunc(slices.Compact(level), func(issuer string) bool {
		return slices.Contains(ahead, issuer) // by another of its peers
	})
	return level, slices.Compact(ahead), nil
}

// said is what the connected peers say they hold.
func (n *Network) said() []session {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []session
	for _, s := range n.sessions {
		if s.greeted {
			holds := s.holds
			holds.Logs = maps.Clone(holds.Logs)
			all = append(all, session{issuer: s.issuer, holds: holds, rested: s.rested})
		}
	}
	return all
}

// behind reports whether a peer holds charters or entries that may be taken and
// are not here. What nobody could take, as of a log that is frozen, does not
// count.
func (r *Replica) behind(ctx context.Context, peer Vector) (bool, error) {
	if peer.Charter.Version > r.Chain().Latest().Version {
		return true, nil
	}
	wants, err := r.Wants(ctx, peer)
	if err != nil {
		return false, fmt.Errorf("compare with a member: %w", err)
	}
	return len(wants) > 0, nil
}
