// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ed25519"
	"fmt"
	"slices"
)

// Chain is the charters of one federation from the first to the newest that is
// known, each approved by enough members of the one before and of itself, as
// TUF rotates its roots. A chain is an immutable value: Extend returns another.
//
// Two valid successors of one version mean that a threshold of members signed
// both. Nobody can say which is right, so the chain stays as it is for good,
// keeps both as evidence, and accepts no further version.
type Chain struct {
	versions []*SignedCharter // version n at n-1
	byCID    map[string]*SignedCharter
	conflict []*SignedCharter // nil, or the two successors of one version
}

// NewChain begins a chain with a first charter that its own members approved.
func NewChain(first *SignedCharter) (*Chain, error) {
	if first.Version != 1 {
		return nil, fmt.Errorf("%w: a chain begins with version 1, not %d", ErrForm, first.Version)
	}
	if err := checkApproved(first, first); err != nil {
		return nil, err
	}
	return &Chain{versions: []*SignedCharter{first}, byCID: map[string]*SignedCharter{first.CID: first}}, nil
}

// Extend takes the next version, or more signatures of a known one.
//
//   - ErrConflict: next is a valid successor of a version that has another one
//     already, or the chain is frozen since it has seen such a thing. The
//     returned chain is not nil; keep it, it holds the evidence (Conflict).
//   - ErrNotFound: versions in between are missing, or it is of another federation.
//   - ErrForm: it rewrites the past.
//   - ErrSignature: nothing is wrong but that approvals are missing.
func (c *Chain) Extend(next *SignedCharter) (*Chain, error) {
	if known := c.byCID[next.CID]; known != nil {
		merged, err := known.Merge(next)
		if err != nil || merged == known {
			return c, err
		}
		return c.with(merged), nil
	}
	if next.Version < 2 {
		return c, fmt.Errorf("%w: charter %s begins another federation than %s", ErrNotFound, next.CID, c.Federation())
	}
	before := c.Version(next.Version - 1)
	if before == nil {
		return c, fmt.Errorf("%w: charter version %d follows on versions that are not known after %d: fetch them first", ErrNotFound, next.Version, c.Latest().Version)
	}
	if err := checkSuccessor(before, next); err != nil {
		return c, err
	}
	if rival := c.Version(next.Version); rival != nil {
		frozen := *c
		if frozen.conflict == nil {
			frozen.conflict = []*SignedCharter{rival, next}
		}
		return &frozen, fmt.Errorf("%w: charters %s and %s are both valid as version %d of federation %s", ErrConflict, rival.CID, next.CID, next.Version, c.Federation())
	}
	if c.conflict != nil {
		return c, fmt.Errorf("%w: the charter is frozen, since version %d has two valid successors", ErrConflict, c.conflict[0].Version-1)
	}
	return c.with(next), nil
}

// with returns the chain with s in the place of its version, or at the end.
func (c *Chain) with(s *SignedCharter) *Chain {
	grown := &Chain{versions: slices.Clone(c.versions), byCID: map[string]*SignedCharter{}, conflict: c.conflict}
	if i := int(s.Version) - 1; i < len(grown.versions) {
		grown.versions[i] = s
	} else {
		grown.versions = append(grown.versions, s)
	}
	for _, v := range grown.versions {
		grown.byCID[v.CID] = v
	}
	return grown
}

func checkApproved(s, by *SignedCharter) error {
	if have := s.approvals(by); have < by.threshold() {
		return fmt.Errorf("%w: charter version %d has the approval of %d active members of version %d, %d are needed",
			ErrSignature, s.Version, have, by.Version, by.threshold())
	}
	return nil
}

// checkSuccessor judges next as the version after before.
func checkSuccessor(before, next *SignedCharter) error {
	if next.Previous != before.CID {
		return fmt.Errorf("%w: charter version %d follows %s, not %s", ErrNotFound, next.Version, next.Previous, before.CID)
	}
	if next.IssuedAt < before.IssuedAt {
		return wrong(classValue, "iat", "charter version %d was issued before version %d", next.Version, before.Version)
	}
	for _, old := range before.Members {
		place, ok := next.roll.byIssuer[old.Issuer]
		if !ok {
			return wrong(classMissing, "members", "charter version %d leaves out member %q: to end a membership, list it as expelled", next.Version, old.Issuer)
		}
		if err := checkKeys(old, next.Members[place]); err != nil {
			return err
		}
	}
	if err := checkApproved(next, before); err != nil {
		return err
	}
	return checkApproved(next, next)
}

// checkKeys: keys are appended, and a current one may be ended; what was once
// said of a key never changes, or old records would change their meaning.
func checkKeys(old, next Member) error {
	if len(next.Keys) < len(old.Keys) {
		return wrong(classMissing, "keys", "member %q lost a key", old.Issuer)
	}
	for i, was := range old.Keys {
		is := next.Keys[i]
		same := is.Key.X == was.Key.X && is.From == was.From
		if was.Until != nil {
			same = same && is.Until != nil && *is.Until == *was.Until
		}
		if !same {
			return wrong(classValue, "keys", "member %q: key %d or its range changed", old.Issuer, i)
		}
	}
	return nil
}

// Federation is the name of the federation: the CID of its first charter.
func (c *Chain) Federation() string { return c.versions[0].CID }

// Latest is the newest version.
func (c *Chain) Latest() *SignedCharter { return c.versions[len(c.versions)-1] }

// Version returns version n, nil when it is not known.
func (c *Chain) Version(n int64) *SignedCharter {
	if n < 1 || n > int64(len(c.versions)) {
		return nil
	}
	return c.versions[n-1]
}

// ByCID returns the version with that CID, nil when it is not in the chain.
func (c *Chain) ByCID(cid string) *SignedCharter { return c.byCID[cid] }

// Conflict returns the two valid successors of one version, and whether there
// are such.
func (c *Chain) Conflict() (a, b *SignedCharter, found bool) {
	if c.conflict == nil {
		return nil, nil, false
	}
	return c.conflict[0], c.conflict[1], true
}

// Member returns the member with that issuer, of any state.
func (c *Chain) Member(issuer string) (Member, bool) {
	s := c.Latest()
	place, ok := s.roll.byIssuer[issuer]
	if !ok {
		return Member{}, false
	}
	return s.Members[place], true
}

// MemberByKey returns the member that has, or had, the key with that thumbprint.
func (c *Chain) MemberByKey(kid string) (Member, MemberKey, bool) {
	s := c.Latest()
	place, ok := s.roll.byKey[kid]
	if !ok {
		return Member{}, MemberKey{}, false
	}
	m := s.Members[place.member]
	return m, m.Keys[place.key], true
}

// ActiveMembers returns the active members in the order of the charter.
func (c *Chain) ActiveMembers() []Member {
	var active []Member
	for _, m := range c.Latest().Members {
		if m.State == MemberActive {
			active = append(active, m)
		}
	}
	return active
}

// KeyAt returns the key that may sign the entry at index of the issuer's log;
// index -1 asks for the current key.
func (c *Chain) KeyAt(issuer string, index int64) (ed25519.PublicKey, bool) {
	s := c.Latest()
	place, ok := s.roll.byIssuer[issuer]
	if !ok {
		return nil, false
	}
	for i, k := range s.Members[place].Keys {
		if k.signs(index) {
			return s.roll.keys[place][i].public, true
		}
	}
	return nil, false
}

// CurrentKey returns the key that the issuer signs with today; none when the
// charter has ended its last one.
func (c *Chain) CurrentKey(issuer string) (ed25519.PublicKey, bool) { return c.KeyAt(issuer, -1) }

// signs reports whether the key with thumbprint kid may sign the entry at
// index of the issuer's log (-1: an entry of no log).
func (c *Chain) signs(kid, issuer string, index int64) bool {
	m, k, ok := c.MemberByKey(kid)
	return ok && m.Issuer == issuer && k.signs(index)
}

// ViewQuorum is how many members must agree on a stop list.
func (c *Chain) ViewQuorum() int { return c.Latest().viewQuorum() }

// Threshold is how many members must approve the next charter; it needs the
// threshold of its own as well.
func (c *Chain) Threshold() int { return c.Latest().threshold() }

// BanThreshold is how many members together stop a client for good.
func (c *Chain) BanThreshold() int { return c.Latest().banThreshold() }
