// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

// handfulSize is how many members a site asks for their views: enough that no
// two of them can certify a false list, few enough for 3 KB a poll.
const handfulSize = 5

// quorum is how many of n members must agree: more than half, so both of two.
func quorum(n int) int { return n/2 + 1 }

// handful chooses the members whose views certify the stop list: those that
// the owner named, or the site's own brokers and others that are drawn once
// and kept for as long as they are active.
func (f *Federation) handful(ctx context.Context, chain *registry.Chain) ([]string, error) {
	var active []string
	for _, m := range chain.ActiveMembers() {
		active = append(active, m.Issuer)
	}
	isActive := func(issuer string) bool { return slices.Contains(active, issuer) }
	if len(f.Witnesses) > 0 {
		return filter(f.Witnesses, isActive), nil
	}
	stored, err := f.Memory.Fact(ctx, f.kind(kindHandful), current)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, err
	}
	rand.Shuffle(len(active), func(i, j int) { active[i], active[j] = active[j], active[i] })
	wanted := slices.Concat(f.Brokers, strings.Fields(stored.Value), active)
	var chosen []string
	for _, issuer := range filter(wanted, isActive) {
		if len(chosen) < handfulSize && !slices.Contains(chosen, issuer) {
			chosen = append(chosen, issuer)
		}
	}
	_, err = f.Memory.Remember(ctx, Fact{f.kind(kindHandful), current, chain.Latest().Version, strings.Join(chosen, "\n")})
	return chosen, err
}

func filter(in []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(in), func(s string) bool { return !keep(s) })
}

// sources are the brokers to ask, in this order: the one that answered last,
// the site's own, and the other members of the handful, who need no trust.
func (f *Federation) sources() []string {
	var all []string
	for _, issuer := range slices.Concat([]string{f.good}, f.Brokers, f.now.Load().members) {
		if issuer != "" && !slices.Contains(all, issuer) {
			all = append(all, issuer)
		}
	}
	return all
}
