// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

// draftOf is a charter to be changed into the next version. Version, previous
// and time are set where it is signed.
func draftOf(c *registry.SignedCharter) registry.Charter {
	next := c.Charter
	next.Members = slices.Clone(c.Members)
	for i, m := range next.Members {
		next.Members[i].Keys = slices.Clone(m.Keys)
	}
	return next
}

// admitting is the next version with one more member, whose log begins with
// its first key.
func admitting(c *registry.SignedCharter, issuer string, key registry.JWK) registry.Charter {
	next := draftOf(c)
	next.Members = append(next.Members, registry.Member{
		Issuer: issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: key}},
	})
	return next
}

// expelling is the next version without one member: its last key ends at until,
// the first index of its log that no longer counts. Quorums that were written
// as numbers shrink to what the others can reach.
func expelling(c *registry.SignedCharter, issuer string, until int64) (registry.Charter, error) {
	next := draftOf(c)
	at := slices.IndexFunc(next.Members, func(m registry.Member) bool { return m.Issuer == issuer })
	if at < 0 {
		return next, fmt.Errorf("%w: %s is not a member: comity federation show lists them", registry.ErrNotFound, issuer)
	}
	member := &next.Members[at]
	if member.State == registry.MemberExpelled {
		return next, fmt.Errorf("%w: the membership of %s has ended already: comity federation create begins a federation of its own", registry.ErrConflict, issuer)
	}
	member.State = registry.MemberExpelled
	last := &member.Keys[len(member.Keys)-1]
	if last.Until == nil {
		until = max(until, last.From)
		last.Until = &until
	}
	active := activeMembers(&next)
	if active == 0 {
		return next, fmt.Errorf("%w: %s is the only active member, and the last one cannot go: it stays a federation of one", registry.ErrConflict, issuer)
	}
	next.Threshold = min(next.Threshold, active)
	next.ViewQuorum = min(next.ViewQuorum, active)
	next.BanThreshold = min(next.BanThreshold, active)
	return next, nil
}

func activeMembers(c *registry.Charter) int {
	n := 0
	for _, m := range c.Members {
		if m.State == registry.MemberActive {
			n++
		}
	}
	return n
}

// Tally is how far a charter is approved by the members of one version.
type Tally struct {
	Have int `json:"have"`
	Need int `json:"need"`
}

func (t Tally) missing() int { return max(0, t.Need-t.Have) }

// tally counts the active members of version by whose current key s is signed,
// as Chain.Extend will.
func tally(s *registry.SignedCharter, version *registry.Charter) Tally {
	t := Tally{Need: needed(version)}
	for _, m := range version.Members {
		current := m.Keys[len(m.Keys)-1]
		if m.State == registry.MemberActive && current.Until == nil && s.SignedBy(current.Key.KeyID) {
			t.Have++
		}
	}
	return t
}

// needed is how many approvals a charter asks for; 0 in it means more than
// half of the active members, and one of one or two.
func needed(c *registry.Charter) int {
	active := activeMembers(c)
	switch {
	case c.Threshold != 0:
		return c.Threshold
	case active <= 2:
		return 1
	}
	return active/2 + 1
}

// Progress is the one of the two tallies of a proposal that lacks more: each
// version needs the approval of its own members and of those of the version
// before.
func Progress(before, next *registry.SignedCharter) Tally {
	old, own := tally(next, &before.Charter), tally(next, &next.Charter)
	if old.missing() > own.missing() {
		return old
	}
	return own
}

// Change is one thing that a proposal changes.
type Change struct {
	Kind   string `json:"kind"` // admit, expel, state, keys, name, threshold, view_quorum, ban_threshold, max_suspension, suspension_quota, max_age, clients_per_member
	Issuer string `json:"issuer,omitempty"`
	Key    string `json:"key,omitempty"`    // admit: thumbprint of the record key
	Detail string `json:"detail,omitempty"` // for people
}

// String is the change in words.
func (c Change) String() string {
	parts := []string{c.Kind}
	for _, part := range []string{c.Issuer, c.Detail} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// Changes lists everything that next changes, so that nobody signs what they
// did not see.
func Changes(before, next *registry.Charter) []Change {
	var changes []Change
	known := map[string]registry.Member{}
	for _, m := range before.Members {
		known[m.Issuer] = m
	}
	for _, m := range next.Members {
		was, ok := known[m.Issuer]
		switch {
		case !ok:
			changes = append(changes, Change{Kind: "admit", Issuer: m.Issuer, Key: m.Keys[len(m.Keys)-1].Key.KeyID})
		case was.State != m.State && m.State == registry.MemberExpelled:
			changes = append(changes, Change{Kind: "expel", Issuer: m.Issuer, Detail: "after its log entry " + fmt.Sprint(lastEntry(m))})
			was.Keys = ended(was.Keys, m.Keys)
		case was.State != m.State:
			changes = append(changes, Change{Kind: "state", Issuer: m.Issuer, Detail: fmt.Sprintf("from %s to %s", was.State, m.State)})
		}
		if ok && !slices.EqualFunc(was.Keys, m.Keys, sameKey) {
			changes = append(changes, Change{Kind: "keys", Issuer: m.Issuer})
		}
	}
	return append(changes, limitChanges(before, next)...)
}

// ended is keys, of which the last one ends where it does in next.
func ended(keys, next []registry.MemberKey) []registry.MemberKey {
	keys = slices.Clone(keys)
	keys[len(keys)-1].Until = next[len(keys)-1].Until
	return keys
}

func lastEntry(m registry.Member) int64 {
	if until := m.Keys[len(m.Keys)-1].Until; until != nil {
		return *until - 1
	}
	return -1
}

func sameKey(a, b registry.MemberKey) bool {
	sameEnd := a.Until == nil && b.Until == nil || a.Until != nil && b.Until != nil && *a.Until == *b.Until
	return a.Key.X == b.Key.X && a.From == b.From && sameEnd
}

func limitChanges(before, next *registry.Charter) []Change {
	var changes []Change
	for _, limit := range []struct {
		name     string
		was, now any
	}{
		{"name", before.Name, next.Name},
		{"threshold", before.Threshold, next.Threshold},
		{"view_quorum", before.ViewQuorum, next.ViewQuorum},
		{"ban_threshold", before.BanThreshold, next.BanThreshold},
		{"max_suspension", before.MaxSuspension, next.MaxSuspension},
		{"suspension_quota", before.SuspensionQuota, next.SuspensionQuota},
		{"max_age", before.MaxAge, next.MaxAge},
		{"clients_per_member", before.ClientsPerMember, next.ClientsPerMember},
	} {
		if limit.was != limit.now {
			changes = append(changes, Change{Kind: limit.name, Detail: fmt.Sprintf("from %v to %v", limit.was, limit.now)})
		}
	}
	return changes
}

// admits reports whether a charter lists an active member with that issuer and
// current key.
func admits(c *registry.Charter, issuer, key string) bool {
	for _, m := range c.Members {
		if m.Issuer == issuer {
			last := m.Keys[len(m.Keys)-1]
			return m.State == registry.MemberActive && last.Until == nil && last.Key.KeyID == key
		}
	}
	return false
}
