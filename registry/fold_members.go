// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"container/heap"
	"slices"
	"time"
)

// activeIn reports whether the issuer is an active member in that version.
func (s *SignedCharter) activeIn(issuer string) bool {
	place, ok := s.roll.byIssuer[issuer]
	return ok && s.Members[place].State == MemberActive
}

// isForeignSuspension applies rules 12 and 13 to a record without a seq.
func (f *folder) isForeignSuspension(r *Record) bool {
	v := r.Revocation
	named := f.chain.ByCID(v.Charter)
	if v.Action != Suspend || named == nil || !named.activeIn(r.Issuer) {
		return false
	}
	after := f.chain.Version(named.Version + 2)
	return (after == nil || r.IssuedAt < after.IssuedAt) &&
		v.Until > r.IssuedAt && v.Until <= r.IssuedAt+named.MaxSuspension
}

// judgeSuspensions applies rules 14 and 15, member by member. It looks at all
// clients at once, known or not: what a member may do depends on nothing but
// its own suspensions.
func (f *folder) judgeSuspensions() {
	for _, own := range f.suspensions {
		slices.SortFunc(own, byTime)
		latest := make(map[string]*Record) // by client
		alive := new(ends)
		for _, s := range own {
			for len(*alive) > 0 && (*alive)[0] <= s.IssuedAt {
				heap.Pop(alive)
			}
			others := len(*alive)
			heap.Push(alive, s.Revocation.Until)
			client := s.Revocation.Client
			before := latest[client]
			latest[client] = s
			if before != nil && s.IssuedAt-before.IssuedAt < int64(ResuspendAfter/time.Second) {
				continue
			}
			if others < f.chain.ByCID(s.Revocation.Charter).SuspensionQuota {
				d := f.dossier(client)
				d.foreign = append(d.foreign, s)
			}
		}
	}
}

// ends holds when suspensions end, the first one on top.
type ends []int64

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i] < e[j] }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(int64)) }

// Pop takes the last element, as container/heap wants it.
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// ban returns the votes that completed a ban (rule 17), by time, or nil.
func (f *folder) ban(home string, votes []*Record) []*Record {
	if len(votes) == 0 {
		return nil
	}
	votes = slices.Clone(votes)
	slices.SortFunc(votes, byTime)
	for _, version := range f.chain.versions {
		if ban := f.banBy(version, home, votes); ban != nil {
			return ban
		}
	}
	return nil
}

func (f *folder) banBy(version *SignedCharter, home string, votes []*Record) []*Record {
	var ban []*Record
	voted := make(map[string]bool)
	for _, v := range votes {
		named := f.chain.ByCID(v.Revocation.Charter)
		if v.Issuer == home || voted[v.Issuer] || named == nil || named.Version > version.Version ||
			!named.activeIn(v.Issuer) || !version.activeIn(v.Issuer) {
			continue
		}
		voted[v.Issuer] = true
		if ban = append(ban, v); len(ban) == version.banThreshold() {
			return ban
		}
	}
	return nil
}
