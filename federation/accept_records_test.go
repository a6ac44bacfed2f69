// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// A home contradicts itself about a client: in one piece of its log, in two, in
// staged entries, or in a record beside the log. The client is disputed at once
// and for good, the proof is on disk and passed on, and convinces others.
func TestContradiction(t *testing.T) {
	for name, offer := range map[string]func(m *member, f *forger, id string){
		"in one piece": func(m *member, f *forger, id string) {
			m.accept(federation.Inbound{Suffix: f.add(f.update(id, 1, id, "This").Raw, f.update(id, 1, id, "That").Raw).piece(1, 3)}, federation.New)
		},
		"in two pieces": func(m *member, f *forger, id string) {
			m.accept(federation.Inbound{Suffix: f.add(f.update(id, 1, id, "This").Raw).piece(1, 2)}, federation.New)
			m.status(id)
			m.accept(federation.Inbound{Suffix: f.add(f.update(id, 1, id, "That").Raw).piece(2, 3)}, federation.New)
		},
		"a broken link": func(m *member, f *forger, id string) {
			m.accept(federation.Inbound{Suffix: f.add(f.update(id, 1, id, "This").Raw, f.update(id, 2, id, "That").Raw).piece(1, 3)}, federation.New)
		},
		"staged": func(m *member, f *forger, id string) {
			f.add(f.update(id, 1, id, "This").Raw, f.registration(nil).Raw, f.update(id, 1, id, "That").Raw, f.registration(nil).Raw)
			m.accept(federation.Inbound{Suffix: f.piece(1, 3)}, federation.New)
			m.accept(federation.Inbound{Suffix: f.piece(3, 4)}, federation.New)
		},
		"a registration and a stop, beside the log": func(m *member, f *forger, id string) {
			stop := f.revocation(id, registry.Suspend, m.Chain().Latest().CID, func(v *registry.Revocation) { v.Sequence, v.Previous = 1, id })
			document, err := json.Marshal(map[string]string{"a": f.update(id, 1, id, "This").Raw, "b": stop.Raw})
			f.check(err)
			m.accept(federation.Inbound{Evidence: document}, federation.New)
		},
		"beside the log": func(m *member, f *forger, id string) {
			document, err := json.Marshal(map[string]string{"a": f.update(id, 1, id, "This").Raw, "b": f.update(id, 1, id, "That").Raw})
			f.check(err)
			m.accept(federation.Inbound{Evidence: document}, federation.New)
			m.accept(federation.Inbound{Evidence: document}, federation.Known)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeveral(t, 3)
			a, b, c := s.members[0], s.members[1], s.members[2]
			id := a.register(1)[0]
			b.pull(a, 1<<20)
			c.pull(a, 1<<20)
			if c.status(id) != registry.ClientActive || b.status(id) != registry.ClientActive {
				t.Fatal("the client is not active")
			}
			b.changes, b.news = nil, nil
			offer(b, forge(a), id)
			if got := b.stopped(); len(got) != 1 || got[0] != id {
				t.Errorf("OnChange was told of %v", got)
			}
			documents := b.EvidenceDocuments()
			if len(documents) != 1 {
				t.Fatalf("%d proofs", len(documents))
			}
			told := 0
			for _, n := range b.news {
				if string(n.Evidence) == string(documents[0]) {
					told++
				}
			}
			if told != 1 {
				t.Errorf("the proof was passed on %d times", told)
			}
			c.accept(federation.Inbound{Evidence: documents[0]}, federation.New)
			for range 2 {
				for _, m := range []*member{b, c} {
					if m.status(id) != registry.ClientDisputed {
						t.Errorf("the client is %s", m.status(id))
					}
				}
				b.open()
				c.open()
			}
		})
	}
}

// Nobody but the home can be made to contradict itself, and only by its own
// signatures.
func TestFalseContradictions(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, evil := s.members[0], s.members[1], s.members[2]
	id := a.register(1)[0]
	f, fe := forge(a), forge(evil)
	this, that := f.update(id, 1, id, "This"), f.update(id, 1, id, "That")
	document := func(x, y string) federation.Inbound {
		raw, err := json.Marshal(map[string]string{"a": x, "b": y})
		f.check(err)
		return federation.Inbound{Evidence: raw}
	}
	b.refuse(document(this.Raw, that.Raw), registry.ErrNotFound) // of nothing that is known yet
	b.pull(a, 1<<20)
	b.refuse(document(this.Raw, this.Raw), registry.ErrForm)
	b.refuse(document(this.Raw, f.update(id, 2, this.CID, "Next").Raw), registry.ErrForm)
	b.refuse(document(this.Raw, f.update(id, 7, that.CID, "Far").Raw), registry.ErrForm)
	b.refuse(document(this.Raw, f.registration(nil).Raw), registry.ErrForm)
	b.refuse(document(this.Raw, fe.update(id, 1, id, "Evil").Raw), registry.ErrForm)
	b.refuse(document(fe.update(id, 1, id, "This").Raw, fe.update(id, 1, id, "That").Raw), registry.ErrForm)
	b.refuse(document(this.Raw, spoil(that.Raw)), registry.ErrSignature)
	b.refuse(document(this.Raw, b.view(nil)), registry.ErrForm)
	b.refuse(federation.Inbound{Evidence: []byte(`{"a":"x","b":"y","a":"z"}`)}, registry.ErrForm)
	b.refuse(federation.Inbound{Evidence: make([]byte, 1<<20)}, registry.ErrLimit)
	// An unsigned update in a log makes no dispute with a good one.
	b.accept(federation.Inbound{Suffix: f.add(spoil(this.Raw), that.Raw).piece(1, 3)}, federation.New)
	if state, err := b.Client(t.Context(), id); err != nil || state.Status != registry.ClientActive || state.Sequence != 1 {
		t.Errorf("%+v, %v", state, err)
	}
	if len(b.EvidenceDocuments()) != 0 {
		t.Error("there is evidence")
	}
}

// A disk that fails leaves what it may: nothing, or all. Either way the replica
// says so, goes on from what is stored, and what is offered again is taken once.
func TestAcceptOnAFailingDisk(t *testing.T) {
	broken := errors.New("input/output error")
	for _, persist := range []bool{false, true} {
		s := newSeveral(t, 2)
		a, b := s.members[0], s.members[1]
		ids := a.register(4)
		f := forge(a)
		offers := []federation.Inbound{
			{Suffix: f.piece(0, 2)}, {Suffix: f.piece(2, 4)}, {Heard: a.suspend(ids[0]).Raw}, {View: a.view(nil)},
		}
		for i, in := range offers {
			fail := true
			b.store.Fault = func(federation.Update) (bool, error) {
				if !fail {
					return true, nil
				}
				fail = false
				return persist, broken
			}
			before := len(b.news)
			if got, err := b.Accept(t.Context(), in); !errors.Is(err, broken) {
				t.Fatalf("offer %d: %v, %v", i, got, err)
			}
			if len(b.news) != before {
				t.Errorf("offer %d: told what may not be stored", i)
			}
			got, err := b.Accept(t.Context(), in)
			if err != nil || (got == federation.New) == persist {
				t.Errorf("offer %d again, stored %v: %v, %v", i, persist, got, err)
			}
		}
		if b.status(ids[0]) != registry.ClientSuspended || b.status(ids[3]) != registry.ClientActive {
			t.Errorf("%s, %s", b.status(ids[0]), b.status(ids[3]))
		}
		if got := b.stopped(); len(got) == 0 {
			t.Error("OnChange was not told of the stop")
		}
	}
}
