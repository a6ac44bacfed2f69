// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/registry"
)

// copyOf opens a second process on a copy of the store of m, as of now: the
// directory was copied to another machine.
func copyOf(m *member) *member {
	t := m.s.t
	t.Helper()
	double := &member{s: m.s, key: m.key, issuer: m.issuer, log: m.log, store: new(memstore.Store)}
	snapshot, err := m.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range snapshot.Heads {
		rows, err := m.store.Rows(t.Context(), h.Log, 0, h.Entries)
		if err != nil {
			t.Fatal(err)
		}
		member, _, _ := m.Chain().MemberByKey(h.Log)
		key, err := member.Keys[0].Key.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		head, err := registry.OpenCheckpoint(h.Checkpoint, registry.Origin(member.Issuer), key)
		if err != nil {
			t.Fatal(err)
		}
		u := federation.Update{Log: h.Log, Rows: rows, Checkpoint: head, Charters: []*registry.SignedCharter{m.Chain().Latest()}}
		if err := double.store.Write(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	double.open()
	return double
}

// fault 67: a copy of the data directory runs elsewhere. Whichever of the two
// sees the head of the other, from anybody, stops signing and says why, and so
// it stays after a restart.
func TestFault67SecondProcess(t *testing.T) {
	s := newSeveral(t, 3)
	a, b := s.members[0], s.members[1]
	a.register(2)
	double := copyOf(a)
	s.now = s.now.Add(time.Second)
	silent := func(m *member, text string) {
		t.Helper()
		for range 2 {
			views := m.Views()
			s.now = s.now.Add(time.Minute)
			m.tick()
			if got := m.Views(); len(got) != len(views) || got[0].Raw != views[0].Raw {
				t.Error("it signs views still")
			}
			if _, _, err := m.Append(t.Context(), revocation(registry.CID(nil), registry.Revoke)); err == nil || !strings.Contains(err.Error(), text) || !errors.Is(err, registry.ErrFork) {
				t.Errorf("append: %v", err)
			}
			if _, err := m.Propose(t.Context(), successorOf(m.Chain())); !errors.Is(err, registry.ErrFork) {
				t.Errorf("propose: %v", err)
			}
			if err := m.Adopt(t.Context(), newAlone(s, "https://other.example").Charters(1)); !errors.Is(err, registry.ErrFork) {
				t.Errorf("adopt: %v", err)
			}
			if err := m.Fresh(s.now); !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), text) {
				t.Errorf("fresh: %v", err)
			}
			m.open()
		}
	}
	ids := double.register(1)
	b.pull(double, 1<<20)
	if from := a.wants(b, a.log); from != 2 {
		t.Fatalf("wants its own log from %d", from)
	}
	a.refuse(federation.Inbound{Suffix: b.since(a.log, 2, 1<<20)}, registry.ErrConflict)
	if a.status(ids[0]) != "not found" {
		t.Error("it takes the other's entries for its own")
	}
	silent(a, "others have 3 entries of the log of this broker")

	// Both wrote: there is a proof, and the other stops by that.
	fork := forge(a)
	fork.add(fork.registration(nil).Raw)
	got, err := double.Accept(t.Context(), fork.all())
	if got != federation.Known || !errors.Is(err, registry.ErrFork) {
		t.Fatalf("%v, %v", got, err)
	}
	silent(double, "two histories were signed")
	b.accept(federation.Inbound{Evidence: double.EvidenceDocuments()[0]}, federation.New)
	if b.BrokerStatus(a.issuer) != registry.BrokerForked {
		t.Error("the others do not know")
	}
}

// A view by the own key that was not signed here tells of a second process too;
// own views that come back do not, and neither do those of before a backup.
func TestFault67ForeignView(t *testing.T) {
	s := newSeveral(t, 2)
	a := s.members[0]
	a.register(2)
	own := a.Views()[0].Raw
	sign := func(at int64, size int64) federation.Inbound {
		return federation.Inbound{View: a.view(func(v *registry.View) { v.IssuedAt, v.LogSize = at, size })}
	}
	started := s.now.Unix()
	a.accept(federation.Inbound{View: own}, federation.Known)
	a.accept(sign(started-5, 1), federation.Known)
	s.now = s.now.Add(40 * time.Second)
	a.tick()
	a.accept(federation.Inbound{View: own}, federation.Known)
	a.accept(sign(started+1, 2), federation.Known)
	if _, _, err := a.Append(t.Context(), update(a.register(1)[0])); err != nil {
		t.Fatal(err)
	}
	for name, view := range map[string]federation.Inbound{
		"newer than all that was signed here": sign(s.now.Unix()+1, 2),
		"over a longer log":                   sign(started-5, 99),
	} {
		t.Run(name, func(t *testing.T) {
			a.open()
			a.refuse(view, registry.ErrConflict)
			if err := a.Fresh(s.now); !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), "another process has this key") {
				t.Errorf("fresh: %v", err)
			}
		})
	}
}

// The newest backup is restored after all: the log that was ahead is there, and
// the broker signs again.
func TestAheadIsOver(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	a.register(2)
	old := copyOf(a)
	a.register(1)
	b.pull(a, 1<<20)
	old.refuse(federation.Inbound{Suffix: b.since(a.log, 2, 1<<20)}, registry.ErrConflict)
	evidence, err := old.store.Load(t.Context())
	if err != nil || len(evidence.Evidence) != 1 {
		t.Fatalf("%+v, %v", evidence, err)
	}
	if err := a.store.Write(t.Context(), federation.Update{Evidence: evidence.Evidence}); err != nil {
		t.Fatal(err)
	}
	a.open()
	a.register(1)
	if len(a.EvidenceDocuments()) != 0 {
		t.Error("a head that was ahead is passed on as evidence")
	}
}
