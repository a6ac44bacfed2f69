// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"fmt"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Numbers that somebody else than the home writes about a client mean nothing:
// they are no contradiction, and do not stand in the way of a true one.
func TestOthersNumbersAreNoEvidence(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, evil := s.members[0], s.members[1], s.members[2]
	id := a.register(1)[0]
	b.pull(a, 1<<20)
	f := forge(evil)
	for _, client := range []string{id, registry.CID([]byte("nobody's"))} {
		for _, reason := range []string{"policy", "malicious"} {
			f.add(f.revocation(client, registry.Suspend, a.Chain().Latest().CID, func(v *registry.Revocation) {
				v.Sequence, v.Previous, v.Reason = 1, id, reason
			}).Raw)
		}
	}
	b.accept(f.all(), federation.New)
	if n := len(b.EvidenceDocuments()); n != 0 {
		t.Errorf("%d documents", n)
	}
	fa := forge(a)
	this, that := fa.update(id, 1, id, "This"), fa.update(id, 1, id, "That")
	b.accept(federation.Inbound{Suffix: fa.add(this.Raw, that.Raw).piece(1, 3)}, federation.New)
	if b.status(id) != registry.ClientDisputed || len(b.EvidenceDocuments()) != 1 {
		t.Errorf("%s, %d documents", b.status(id), len(b.EvidenceDocuments()))
	}
}

// A piece is passed on as it came. So what it repeats must be what is held here,
// or others would blame the one who passed it on.
func TestRepeatedEntriesAreThose(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	a.register(3)
	b.pull(a, 1<<20)
	a.register(1)
	f := forge(a)
	for _, junk := range []string{"junk", spoil(f.raws[2]), f.raws[0]} {
		piece := f.piece(2, 4)
		piece.Raws = []string{junk, f.raws[3]}
		b.refuse(federation.Inbound{Suffix: piece}, registry.ErrSignature)
	}
	b.accept(federation.Inbound{Suffix: f.piece(2, 4)}, federation.New)
	c.pull(b, 1<<20)
	if c.Vector().Logs[a.log].Size != 4 {
		t.Errorf("%+v", c.Vector().Logs)
	}
}

// fault 58: the stops that one member has heard by others, and puts in no log,
// are bounded: handed over alone, in a piece that does not fit, or staged. Those
// that have room count, in one transaction, and after a restart too.
func TestFault58HeardStops(t *testing.T) {
	const most = 1000
	for _, way := range []string{"a piece that does not fit", "staged"} {
		t.Run(way, func(t *testing.T) {
			s := newSeveral(t, 2)
			b, evil := s.members[0], s.members[1]
			f := forge(evil)
			for i := range most + 2 {
				f.add(f.revocation(registry.CID(fmt.Append(nil, i)), registry.Suspend, b.Chain().Latest().CID, func(v *registry.Revocation) {
					v.Until = v.IssuedAt + 60
				}).Raw)
			}
			n := f.size()
			f.add(f.registration(nil).Raw)
			writes := 0
			b.store.Fault = func(federation.Update) (bool, error) { writes++; return true, nil }
			if way == "staged" {
				b.accept(federation.Inbound{Suffix: f.piece(0, n)}, federation.New)
			} else {
				b.accept(federation.Inbound{Suffix: f.piece(1, n)}, federation.Gap)
			}
			for range 2 {
				if writes != 1 || len(b.HeardStops()) != most {
					t.Fatalf("%d stops in %d transactions", len(b.HeardStops()), writes)
				}
				b.accept(federation.Inbound{Heard: f.raws[n-1]}, federation.Gap)
				b.open()
				writes = 1
			}
			b.follow(f) // the log has them all
			if b.Vector().Logs[f.key.ID()].Size != f.size() || len(b.HeardStops()) != 0 {
				t.Errorf("%+v, %d heard", b.Vector().Logs, len(b.HeardStops()))
			}
		})
	}
}

// In a piece that does not fit, each stop is judged by itself: those that do not
// count yet keep no others from counting.
func TestStopsOfAPieceThatDoesNotFit(t *testing.T) {
	s := newSeveral(t, 3)
	a, b := s.members[0], s.members[1]
	ids := a.register(2)
	b.pull(a, 1<<20)
	evil := forge(s.members[2])
	late := func(v *registry.Revocation) { v.IssuedAt += 3600; v.Until = v.IssuedAt + 60 }
	notHome := func(v *registry.Revocation) { v.Sequence, v.Previous = 1, ids[0] }
	soon := func(v *registry.Revocation) { v.Until = v.IssuedAt + 60 }
	charter := b.Chain().Latest().CID
	evil.add(evil.registration(nil).Raw,
		evil.revocation(ids[0], registry.Suspend, charter, late).Raw,
		evil.revocation(ids[0], registry.Suspend, charter, notHome).Raw,
		evil.revocation(ids[1], registry.Suspend, charter, soon).Raw)
	for _, to := range []int64{2, 3, 4} {
		b.accept(federation.Inbound{Suffix: evil.piece(1, to)}, federation.Gap)
	}
	if b.status(ids[0]) != registry.ClientActive || b.status(ids[1]) != registry.ClientSuspended {
		t.Errorf("%s, %s", b.status(ids[0]), b.status(ids[1]))
	}
}

// follow takes all of a forged log, in pieces.
func (m *member) follow(f *forger) {
	m.s.t.Helper()
	for from := m.Vector().Logs[f.key.ID()].Size; from < f.size(); from += 700 {
		_, err := m.Accept(m.s.t.Context(), federation.Inbound{Suffix: f.piece(from, min(from+700, f.size()))})
		f.check(err)
	}
}
