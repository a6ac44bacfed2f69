// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/registry"
)

// admit lets members admit an applicant, which signs its charter too.
func (s *several) admit(applicant *member) {
	s.t.Helper()
	draft := successorOf(s.members[0].Chain())
	draft.Members = append(draft.Members, activeMember(applicant.issuer, applicant.key))
	s.enact(draft)
}

// A broker that was alone brings its log and its clients, takes over the
// charter, and is complete after a pull.
func TestAdopt(t *testing.T) {
	s := newSeveral(t, 3)
	a := s.members[0]
	theirs := a.register(2)
	s.meet()
	applicant := newAlone(s, "https://lone.example")
	own := applicant.register(3)
	applicant.revoke(own[2])
	alone := applicant.Chain().Federation()
	s.now = s.now.Add(time.Minute)
	s.admit(applicant)
	head := applicant.Vector().Logs[applicant.log]

	applicant.news = nil
	if err := applicant.Adopt(t.Context(), a.Charters(1)); err != nil {
		t.Fatal(err)
	}
	if len(applicant.news) != 2 || len(applicant.news[1].Charter) == 0 {
		t.Errorf("news %+v", applicant.news)
	}
	if err := applicant.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Errorf("fresh by what it knew alone: %v", err)
	}
	for range 2 {
		if got := applicant.Chain(); got.Federation() != a.Chain().Federation() || got.Federation() == alone || got.Latest().Version != 2 {
			t.Fatalf("federation %s, version %d", got.Federation(), got.Latest().Version)
		}
		if applicant.Vector().Logs[applicant.log] != head || applicant.status(own[0]) != registry.ClientActive || applicant.status(own[2]) != registry.ClientRevoked {
			t.Error("its own log is not what it was")
		}
		applicant.open()
	}
	if err := applicant.Adopt(t.Context(), a.Charters(1)); err != nil {
		t.Errorf("once more: %v", err)
	}
	s.members = append(s.members, applicant)
	s.meet()
	s.agree()
	for _, m := range s.members {
		if m.status(own[0]) != registry.ClientActive || m.status(own[2]) != registry.ClientRevoked || m.status(theirs[1]) != registry.ClientActive {
			t.Errorf("%s: %s, %s, %s", m.issuer, m.status(own[0]), m.status(own[2]), m.status(theirs[1]))
		}
	}
	s.now = s.now.Add(time.Minute)
	for _, m := range s.members {
		m.tick()
	}
	s.meet()
	for _, m := range s.members {
		if err := m.Fresh(s.now); err != nil {
			t.Errorf("%s: %v", m.issuer, err)
		}
	}
	applicant.register(1) // it goes on
}

// newAlone is a broker that founded a federation of its own.
func newAlone(s *several, issuer string) *member {
	s.t.Helper()
	key := registry.GenerateSigningKey()
	m := &member{s: s, key: key, log: key.ID(), issuer: issuer, store: new(memstore.Store)}
	m.open()
	return m
}

func TestAdoptRefusals(t *testing.T) {
	s := newSeveral(t, 2, func(c *registry.Charter) { c.ClientsPerMember = 2 })
	a := s.members[0]
	applicant := newAlone(s, "https://lone.example")
	refuse := func(name string, charters [][]byte, want error) {
		t.Helper()
		before := applicant.Chain().Latest().CID
		if err := applicant.Adopt(t.Context(), charters); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		applicant.open()
		if applicant.Chain().Latest().CID != before {
			t.Errorf("%s: the charter changed", name)
		}
	}
	refuse("nothing", nil, registry.ErrForm)
	refuse("a federation of others", a.Charters(1), registry.ErrConflict)
	impostor := &member{issuer: applicant.issuer, key: registry.GenerateSigningKey()}
	s.admit(impostor)
	refuse("another key for its issuer", a.Charters(1), registry.ErrConflict)
	tempter := &several{t: t, now: s.now}
	tempter.members = []*member{newAlone(tempter, "https://other.example")}
	tempter.admit(s.members[1])
	if err := s.members[1].Adopt(t.Context(), tempter.members[0].Charters(1)); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a member of several: %v", err)
	}

	s = newSeveral(t, 2, func(c *registry.Charter) { c.ClientsPerMember = 2 })
	applicant.s = s
	s.admit(applicant)
	charters := s.members[0].Charters(1)
	refuse("without the first version", charters[1:], registry.ErrForm)
	refuse("without the version that admits it", charters[:1], registry.ErrConflict)
	refuse("spoilt", [][]byte{charters[0], []byte("{}")}, registry.ErrForm)
	applicant.register(3)
	refuse("more clients than it may have", charters, registry.ErrLimit)

	suspended := successorOf(s.members[0].Chain())
	suspended.Members[2].State = registry.MemberSuspended
	s.enact(suspended)
	refuse("suspended", s.members[0].Charters(1), registry.ErrConflict)
}

// fault 51: a key that has ended signs nothing that counts, wherever it is
// offered, and of two keys that both sign only the right one counts at its place.
func TestFault51EndedKeys(t *testing.T) {
	s := newSeveral(t, 4)
	a, b, gone := s.members[0], s.members[1], s.members[3]
	ids := a.register(2)
	theirs := gone.register(3)
	s.meet()
	f := forge(gone)
	draft := successorOf(a.Chain())
	three := int64(3)
	draft.Members[3].State, draft.Members[3].Keys[0].Until = registry.MemberExpelled, &three
	s.enact(draft)
	charter := a.Chain().Latest().CID
	stop := f.revocation(ids[0], registry.Suspend, a.Chain().Version(1).CID, func(v *registry.Revocation) { v.Until = f.at + 600 })
	b.refuse(federation.Inbound{Heard: stop.Raw}, registry.ErrStale)
	f.add(stop.Raw, f.revocation(ids[1], registry.Revoke, charter, nil).Raw)
	b.refuse(federation.Inbound{Suffix: f.piece(3, 5)}, registry.ErrStale)
	b.refuse(federation.Inbound{View: gone.view(nil)}, registry.ErrNotFound)
	for range 2 {
		if b.status(ids[0]) != registry.ClientActive || b.status(theirs[0]) != registry.ClientSuspended || b.BrokerStatus(gone.issuer) != registry.BrokerExpelled {
			t.Errorf("%s, %s, %s", b.status(ids[0]), b.status(theirs[0]), b.BrokerStatus(gone.issuer))
		}
		b.open()
	}
	// One who joins later takes the log as far as it counts, from whoever has
	// more of it, and comes to the same list.
	late := newAlone(s, "https://late.example")
	s.members = s.members[:3]
	s.admit(late)
	if err := late.Adopt(t.Context(), a.Charters(1)); err != nil {
		t.Fatal(err)
	}
	late.accept(f.all(), federation.New)
	s.members = append(s.members, late)
	s.meet()
	s.agree()
	if late.status(ids[0]) != registry.ClientActive || late.status(ids[1]) != registry.ClientActive || late.status(theirs[0]) != registry.ClientSuspended {
		t.Errorf("%s, %s, %s", late.status(ids[0]), late.status(ids[1]), late.status(theirs[0]))
	}
	// It still opens its own data, and signs nothing.
	s.members = append(s.members, gone)
	gone.pull(a, 1<<20)
	gone.open()
	if _, _, err := gone.Append(t.Context(), revocation(ids[0], registry.Suspend)); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("an expelled broker signs: %v", err)
	}
	if err := gone.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Errorf("an expelled broker is fresh: %v", err)
	}
}

// A key is replaced: from its place on only the new one signs, heads too, and a
// thief of the old one can add nothing.
func TestFault51ReplacedKey(t *testing.T) {
	s := newSeveral(t, 3)
	a, b := s.members[0], s.members[1]
	ids := a.register(3)
	b.pull(a, 1<<20)
	old, thief := forge(a), forge(a)
	next := registry.GenerateSigningKey()
	draft := successorOf(a.Chain())
	three := int64(3)
	draft.Members[0].Keys[0].Until = &three
	draft.Members[0].Keys = append(draft.Members[0].Keys, registry.MemberKey{Key: next.JWK(), From: 3})
	draft.Version, draft.Previous = 2, a.Chain().Latest().CID
	charter, err := registry.NewCharter(draft, a.key, next, s.members[1].key, s.members[2].key)
	if err != nil {
		t.Fatal(err)
	}
	b.accept(federation.Inbound{Charter: charter.Raw}, federation.New)

	thief.add(thief.registration(nil).Raw)
	b.refuse(federation.Inbound{Suffix: thief.piece(3, 4)}, registry.ErrSignature)
	stop := func(v *registry.Revocation) { v.Sequence, v.Previous = 1, ids[0] }
	b.refuse(federation.Inbound{Heard: thief.revocation(ids[0], registry.Revoke, charter.CID, stop).Raw}, registry.ErrStale)
	thief.hashes, thief.raws = thief.hashes[:0:0], nil
	thief.add(thief.registration(nil).Raw, thief.registration(nil).Raw, thief.registration(nil).Raw)
	one, err := registry.OpenCheckpoint(thief.head(3, a.key), registry.Origin(a.issuer), a.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	two, err := registry.OpenCheckpoint(old.head(3, a.key), registry.Origin(a.issuer), a.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var fork *registry.ForkError
	if !errors.As(registry.CheckFork(one, two), &fork) {
		t.Fatal("no fork")
	}
	document, err := fork.Fork.Document(a.key.JWK())
	if err != nil {
		t.Fatal(err)
	}
	b.refuse(federation.Inbound{Evidence: document}, registry.ErrStale)
	old.key = next
	early := old.piece(0, 3)
	early.Log, early.Raws, early.Checkpoint, early.Proof = a.log, early.Raws[:2], old.head(2, next), nil
	c := s.members[2]
	c.accept(federation.Inbound{Charter: charter.Raw}, federation.New)
	c.refuse(federation.Inbound{Suffix: early}, registry.ErrSignature) // it began at 3
	// Whoever has no newer head than one by the key before is not to blame.
	early.Raws, early.Checkpoint = old.raws, old.head(3, a.key)
	c.refuse(federation.Inbound{Suffix: early}, registry.ErrStale)
	for size, wanted := range map[int64]int{2: 0, 3: 1} { // the new key may have signed one of size 3
		wants, err := c.Wants(t.Context(), federation.Vector{Logs: map[string]federation.LogHead{a.log: {Size: size}}})
		if err != nil || len(wants) != wanted {
			t.Errorf("of size %d: %v, %v", size, wants, err)
		}
	}
	byNew := old.registration(nil)
	old.add(byNew.Raw)
	piece := old.piece(3, 4)
	piece.Log = a.log
	byOld := *piece
	byOld.Checkpoint = old.head(4, a.key)
	b.refuse(federation.Inbound{Suffix: &byOld}, registry.ErrSignature)
	b.accept(federation.Inbound{Suffix: piece}, federation.New)
	c.pull(b, 1<<20) // entries by both keys in one piece
	if c.status(byNew.CID) != registry.ClientActive || c.status(ids[0]) != registry.ClientActive {
		t.Errorf("to one that had nothing: %s, %s", c.status(byNew.CID), c.status(ids[0]))
	}
	for range 2 {
		if b.status(byNew.CID) != registry.ClientActive || b.status(ids[0]) != registry.ClientActive {
			t.Errorf("%s, %s", b.status(byNew.CID), b.status(ids[0]))
		}
		b.open()
	}
	old.add(thief.registration(nil).Raw) // by the old key, under a head by the new one
	piece = old.piece(4, 5)
	piece.Log = a.log
	b.refuse(federation.Inbound{Suffix: piece}, registry.ErrSignature)
}

// Who has left a federation may join another, with its log and its clients, and
// takes nothing else along.
func TestAdoptAfterLeaving(t *testing.T) {
	old := newSeveral(t, 3)
	leaver := old.members[2]
	mine, theirs := leaver.register(2), old.members[0].register(1)
	old.meet()
	draft := successorOf(leaver.Chain())
	two := int64(2)
	draft.Members[2].State, draft.Members[2].Keys[0].Until = registry.MemberExpelled, &two
	old.enact(draft)
	if leaver.status(mine[0]) != registry.ClientSuspended {
		t.Errorf("a client of a broker that left is %s", leaver.status(mine[0]))
	}
	s := &several{t: t, now: old.now}
	next := newAlone(s, "https://n1.example")
	leaver.s, s.members = s, []*member{next}
	s.now = s.now.Add(time.Minute)
	s.admit(leaver)
	if err := leaver.Adopt(t.Context(), next.Charters(1)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if leaver.status(mine[0]) != registry.ClientActive || leaver.status(theirs[0]) != "not found" || leaver.Registered() != 2 {
			t.Errorf("%s, %s, %d clients", leaver.status(mine[0]), leaver.status(theirs[0]), leaver.Registered())
		}
		leaver.open()
	}
	s.members = append(s.members, leaver)
	leaver.register(1)
	s.meet()
	s.agree()
	if next.status(mine[1]) != registry.ClientActive {
		t.Error("the log did not go along")
	}
}
