// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// enact makes a draft the charter of all members: as many as are needed sign it.
func (s *several) enact(draft registry.Charter) {
	s.t.Helper()
	version := s.members[0].Chain().Latest().Version
	for _, m := range s.members {
		if m.Replica == nil || m.Chain().Latest().Version > version {
			continue
		}
		if _, err := m.Propose(s.t.Context(), draft); err != nil {
			s.t.Fatal(err)
		}
		for _, a := range s.members {
			if a != m && a.Replica != nil {
				a.take(m)
			}
		}
	}
	for _, m := range s.members {
		if m.Replica != nil && m.Chain().Latest().Version != version+1 {
			s.t.Fatalf("%s has charter version %d", m.issuer, m.Chain().Latest().Version)
		}
	}
}

// A proposal collects signatures wherever they come from, in any order, and is
// the charter as soon as there are enough.
func TestProposal(t *testing.T) {
	s := newSeveral(t, 5)
	a, b, c, d := s.members[0], s.members[1], s.members[2], s.members[3]
	draft := successorOf(a.Chain())
	draft.MaxAge = 60
	one, err := a.Propose(t.Context(), draft)
	if err != nil || len(a.Proposals()) != 1 || a.Chain().Latest().Version != 1 || len(one.Signers) != 1 {
		t.Fatalf("%d proposals, version %d, %v", len(a.Proposals()), a.Chain().Latest().Version, err)
	}
	last := a.news[len(a.news)-1]
	if !last.Own || string(last.Charter) != string(one.Raw) {
		t.Errorf("the proposal is not passed on: %+v", last)
	}
	s.now = s.now.Add(time.Minute)
	b.accept(last.Inbound, federation.New)
	b.accept(last.Inbound, federation.Known)
	c.accept(last.Inbound, federation.New)
	// b decides the same by itself, c by the CID: they sign the same bytes.
	two, err := b.Propose(t.Context(), draft)
	if err != nil || two.CID != one.CID || len(two.Signers) != 2 {
		t.Fatalf("%+v, %v", two, err)
	}
	other, err := c.Approve(t.Context(), one.CID)
	if err != nil || len(other.Signers) != 2 {
		t.Fatalf("%+v, %v", other, err)
	}
	for _, m := range []*member{b, c} {
		m.open()
		if len(m.Proposals()) != 1 {
			t.Error("a proposal is gone after opening again")
		}
	}
	d.accept(federation.Inbound{Charter: two.Raw}, federation.New)
	d.accept(federation.Inbound{Charter: other.Raw}, federation.New) // three of five
	if got := d.Chain().Latest(); got.Version != 2 || got.MaxAge != 60 || len(d.Proposals()) != 0 {
		t.Fatalf("version %d with %d approvals, %d proposals", got.Version, len(got.Signers), len(d.Proposals()))
	}
	s.meet()
	for _, m := range s.members {
		if m.Chain().Latest().CID != one.CID || len(m.Proposals()) != 0 || m.Vector().Charter.Version != 2 {
			t.Errorf("%s: version %d, %d proposals", m.issuer, m.Chain().Latest().Version, len(m.Proposals()))
		}
		m.open()
		if m.Chain().Latest().CID != one.CID || len(m.Proposals()) != 0 {
			t.Errorf("%s after opening again: version %d", m.issuer, m.Chain().Latest().Version)
		}
	}
	if s.members[4].Vector().Rest != a.Vector().Rest {
		t.Error("members do not have the same signatures in the end")
	}
	a.accept(federation.Inbound{Charter: a.Chain().Latest().Raw}, federation.Known)
}

// A member signs one proposal for a version: two valid successors would freeze
// the charter for good.
func TestOneProposalAtATime(t *testing.T) {
	s := newSeveral(t, 3)
	a, b := s.members[0], s.members[1]
	draft := successorOf(a.Chain())
	draft.MaxAge = 60
	if _, err := a.Propose(t.Context(), draft); err != nil {
		t.Fatal(err)
	}
	draft.MaxAge = 61
	if _, err := a.Propose(t.Context(), draft); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a second proposal: %v", err)
	}
	rival, err := b.Propose(t.Context(), draft)
	if err != nil {
		t.Fatal(err)
	}
	a.take(b)
	if _, err := a.Approve(t.Context(), rival.CID); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("approval of another one: %v", err)
	}
	if _, err := a.Approve(t.Context(), registry.CID([]byte("x"))); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("approval of nothing: %v", err)
	}
	s.now = s.now.Add(7 * 24 * time.Hour)
	// Nobody signs old ones any more: whoever has signed them is free again.
	if _, err := a.Approve(t.Context(), rival.CID); !errors.Is(err, registry.ErrStale) {
		t.Errorf("approval of an old one: %v", err)
	}
	for _, m := range s.members[:2] {
		if _, err := m.Propose(t.Context(), draft); err != nil {
			t.Errorf("a week later: %v", err)
		}
		b.take(a)
	}
	if latest := b.Chain().Latest(); latest.Version != 2 || latest.MaxAge != 61 || latest.IssuedAt != s.now.Unix() {
		t.Errorf("a week later: %+v", latest.Charter)
	}
}

// Who is no active member proposes nothing, and one member alone cannot fill
// the disk with proposals.
func TestProposalBounds(t *testing.T) {
	s := newSeveral(t, 3)
	a, b := s.members[0], s.members[1]
	stranger := registry.GenerateSigningKey()
	s.now = s.now.Add(time.Minute)
	draft := successorOf(a.Chain())
	draft.Version, draft.Previous = 2, a.Chain().Latest().CID
	draft.Members = append(draft.Members, activeMember("https://stranger.example", stranger))
	alone, err := registry.NewCharter(draft, stranger)
	if err != nil {
		t.Fatal(err)
	}
	b.refuse(federation.Inbound{Charter: alone.Raw}, registry.ErrSignature)
	without := draft
	without.Members = draft.Members[1:]
	rewritten, err := registry.NewCharter(without, b.key)
	if err != nil {
		t.Fatal(err)
	}
	b.refuse(federation.Inbound{Charter: rewritten.Raw}, registry.ErrForm)
	draft.Members = draft.Members[:3]
	var last *registry.SignedCharter
	for i := range int64(20) {
		draft.MaxAge, draft.IssuedAt = 60+i, s.now.Unix()-20+i
		if last, err = registry.NewCharter(draft, a.key); err != nil {
			t.Fatal(err)
		}
		b.accept(federation.Inbound{Charter: last.Raw}, federation.New)
	}
	if got := b.Proposals(); len(got) != 4 || got[3].CID != last.CID {
		t.Errorf("%d proposals of one member", len(got))
	}
	draft.MaxAge, draft.IssuedAt = 99, s.now.Unix()-30
	old, err := registry.NewCharter(draft, a.key)
	if err != nil {
		t.Fatal(err)
	}
	b.refuse(federation.Inbound{Charter: old.Raw}, registry.ErrStale)
	draft.IssuedAt = s.now.Unix() + 3600
	if old, err = registry.NewCharter(draft, a.key); err != nil {
		t.Fatal(err)
	}
	b.refuse(federation.Inbound{Charter: old.Raw}, registry.ErrStale)
	b.open()
	if len(b.Proposals()) != 4 {
		t.Errorf("%d proposals after opening again", len(b.Proposals()))
	}
}

// Versions come in order: one that is missing is a gap. Another federation's
// charters mean nothing here.
func TestCharterOrder(t *testing.T) {
	s := newSeveral(t, 1)
	a := s.members[0]
	var raws [][]byte
	for i := range int64(3) {
		draft := successorOf(a.Chain())
		draft.MaxAge = 60 + i
		c, err := a.Propose(t.Context(), draft)
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, c.Raw)
	}
	if got := a.Charters(2); len(got) != 3 || string(got[2]) != string(raws[2]) {
		t.Errorf("%d charters", len(got))
	}
	b := s.newMember(1) // the same broker, set back to the first charter
	b.key, b.log = a.key, a.log
	b.begin(a.Chain().Version(1))
	b.accept(federation.Inbound{Charter: raws[2]}, federation.Gap)
	b.accept(federation.Inbound{Charter: raws[0]}, federation.New)
	b.accept(federation.Inbound{Charter: raws[1]}, federation.New)
	b.accept(federation.Inbound{Charter: raws[2]}, federation.New)
	b.accept(federation.Inbound{Charter: raws[0]}, federation.Known)
	if b.Chain().Latest().CID != a.Chain().Latest().CID {
		t.Error("not the newest charter")
	}
	elsewhere := newSeveral(t, 1).members[0]
	b.refuse(federation.Inbound{Charter: elsewhere.Chain().Latest().Raw}, registry.ErrNotFound)
	b.refuse(federation.Inbound{Charter: []byte("{}")}, registry.ErrForm)
	late := successorOf(a.Chain())
	late.Version, late.Previous, late.Threshold, late.MaxAge = 2, a.Chain().Version(1).CID, 0, 77
	late.Members = append(late.Members, activeMember(elsewhere.issuer+"x", elsewhere.key), activeMember("https://z.example", registry.GenerateSigningKey()))
	lone, err := registry.NewCharter(late, a.key)
	if err != nil {
		t.Fatal(err)
	}
	b.refuse(federation.Inbound{Charter: lone.Raw}, registry.ErrStale) // a proposal for what is decided
}

// Two valid successors: each stays with the one that it has, keeps both for
// good, and takes no further version.
func TestRivalCharters(t *testing.T) {
	s := newSeveral(t, 2) // one approval of two is enough
	a, b := s.members[0], s.members[1]
	for i, m := range s.members {
		draft := successorOf(m.Chain())
		draft.MaxAge = 60 + int64(i)
		if _, err := m.Propose(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
	}
	own, rival := a.Chain().Latest(), b.Chain().Latest()
	for range 2 {
		if got, err := a.Accept(t.Context(), federation.Inbound{Charter: rival.Raw}); got != federation.Known || !errors.Is(err, registry.ErrConflict) {
			t.Fatalf("%v, %v", got, err)
		}
	}
	for range 2 {
		if _, _, frozen := a.Chain().Conflict(); !frozen || a.Chain().Latest().CID != own.CID {
			t.Error("the chain is not frozen, or another one")
		}
		if got := a.Charters(2); len(got) != 2 {
			t.Errorf("%d charters are handed out, want both", len(got))
		}
		draft := successorOf(a.Chain())
		draft.MaxAge = 99
		if _, err := a.Propose(t.Context(), draft); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("a further version: %v", err)
		}
		a.open()
	}
}

// A new charter judges what is held anew: nothing of before stays in the cache.
// (This is what told a broken cache apart.)
func TestCacheFollowsBrokers(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	ids := c.register(2)
	s.meet()
	if a.status(ids[0]) != registry.ClientActive || b.status(ids[0]) != registry.ClientActive {
		t.Fatal("the client is not active")
	}
	a.changes = nil
	draft := successorOf(a.Chain())
	draft.Members[2].State = registry.MemberSuspended
	s.enact(draft)
	if a.status(ids[0]) != registry.ClientSuspended || b.status(ids[0]) != registry.ClientSuspended {
		t.Error("the client of a suspended broker is active")
	}
	if len(a.changes) != 1 || a.changes[0].Broker != c.issuer || !a.changes[0].Stopped {
		t.Errorf("changes %+v", a.changes)
	}
	draft = successorOf(a.Chain())
	draft.Members[2].State = registry.MemberActive
	s.enact(draft)
	if a.status(ids[0]) != registry.ClientActive {
		t.Error("the client of a broker that is active again is not")
	}
	// A key is cut where a thief had begun to use it: what stands there is void.
	b.status(ids[1])
	cut := successorOf(b.Chain())
	one64, next := int64(1), registry.GenerateSigningKey()
	cut.Version, cut.Previous = cut.Version+1, b.Chain().Latest().CID
	cut.Members[2].Keys[0].Until = &one64
	cut.Members[2].Keys = append(cut.Members[2].Keys, registry.MemberKey{Key: next.JWK(), From: 1})
	charter, err := registry.NewCharter(cut, a.key, b.key, next)
	if err != nil {
		t.Fatal(err)
	}
	b.accept(federation.Inbound{Charter: charter.Raw}, federation.New)
	if b.status(ids[0]) != registry.ClientActive || b.status(ids[1]) != "not found" {
		t.Errorf("after the cut: %s, %s", b.status(ids[0]), b.status(ids[1]))
	}
	// The same by evidence.
	one, other := equivocate(c)
	a.accept(federation.Inbound{Suffix: one.piece(2, 3)}, federation.New)
	if a.status(ids[0]) != registry.ClientActive {
		t.Error("not active before the proof")
	}
	a.refuse(federation.Inbound{Suffix: other.piece(3, 3)}, registry.ErrFork)
	if a.status(ids[0]) != registry.ClientSuspended {
		t.Error("the client of a forked broker is active")
	}
}
