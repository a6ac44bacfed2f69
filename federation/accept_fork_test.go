// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// fault 48: a peer that hands out an older head, with the registration that a
// revocation has ended since, changes nothing.
func TestFault48Rollback(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	id := a.register(1)[0]
	old := federation.Inbound{Suffix: a.since(a.log, 0, 1<<20)}
	b.accept(old, federation.New)
	a.revoke(id)
	b.accept(a.gossip(), federation.New)
	for range 2 {
		b.refuse(old, registry.ErrStale)
		if b.status(id) != registry.ClientRevoked {
			t.Error("an old head brought the client back")
		}
		b.open()
	}
	v := b.view(nil)
	s.now = s.now.Add(1e9)
	a.accept(federation.Inbound{View: b.view(nil)}, federation.New)
	a.refuse(federation.Inbound{View: v}, registry.ErrStale)
	a.open()
	a.refuse(federation.Inbound{View: v}, registry.ErrStale)
}

// fault 49, the half that is a replica's: what a peer withholds is missed as
// soon as anybody shows a head, and a stop is taken from whoever has it.
func TestFault49Withholding(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	id := a.register(1)[0]
	b.pull(a, 1<<20)
	c.pull(a, 1<<20)
	a.revoke(id)
	b.pull(a, 1<<20)
	if from := c.wants(b, a.log); from != 1 {
		t.Fatalf("wants entries from %d", from)
	}
	// The peer answers with the head, and without the entry.
	withheld := *b.since(a.log, 1, 1<<20)
	withheld.Raws = nil
	c.accept(federation.Inbound{Suffix: &withheld}, federation.Gap)
	if c.status(id) != registry.ClientActive || c.Vector().Logs[a.log].Size != 1 {
		t.Error("a head without its entries was taken")
	}
	// Its stop list differs from that of the others meanwhile: no quorum
	// confirms it.
	s.now = s.now.Add(2e9)
	for _, m := range []*member{a, b} {
		c.accept(federation.Inbound{View: m.view(nil)}, federation.New)
	}
	s.now = s.now.Add(121e9)
	if err := c.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Errorf("without the stop it is fresh: %v", err)
	}
	c.pull(b, 1<<20)
	if c.status(id) != registry.ClientRevoked {
		t.Error("the stop did not come from another peer")
	}
}

// equivocate makes two histories of one member's log: one more entry each.
func equivocate(m *member) (one, other *forger) {
	one = forge(m)
	other = one.branch()
	one.add(one.registration(nil).Raw)
	other.add(other.registration(nil).Raw)
	return one, other
}

// fault 50: a broker signs two heads for one size. Whoever sees both has the
// proof, on disk and to hand on; the broker is frozen and its clients stop,
// everywhere, and the proof is a file that anybody can check.
func TestFault50Equivocation(t *testing.T) {
	s := newSeveral(t, 4)
	a, b, c, evil := s.members[0], s.members[1], s.members[2], s.members[3]
	ids := evil.register(2)
	one, other := equivocate(evil)
	a.accept(one.all(), federation.New)
	b.accept(other.all(), federation.New)
	if from := a.wants(b, evil.log); from != 3 {
		t.Fatalf("equal sizes with two roots: wants entries from %d", from)
	}
	a.news = nil
	got, err := a.Accept(t.Context(), federation.Inbound{Suffix: b.since(evil.log, 3, 1)})
	var fork *registry.ForkError
	if got != federation.Known || !errors.As(err, &fork) || fork.Fork.Check() != nil {
		t.Fatalf("%v, %v", got, err)
	}
	if len(a.news) != 1 || len(a.news[0].Evidence) == 0 {
		t.Fatalf("the proof is not passed on: %+v", a.news)
	}
	if _, err := registry.ParseFork(a.news[0].Evidence); err != nil {
		t.Error(err)
	}
	for _, m := range []*member{b, c} {
		m.accept(a.news[0].Inbound, federation.New)
		m.accept(a.news[0].Inbound, federation.Known)
	}
	for range 2 {
		for _, m := range []*member{a, b} {
			if m.BrokerStatus(evil.issuer) != registry.BrokerForked || m.status(ids[0]) != registry.ClientSuspended {
				t.Errorf("%s: broker %s, client %s", m.issuer, m.BrokerStatus(evil.issuer), m.status(ids[0]))
			}
			m.refuse(federation.Inbound{Suffix: one.branch().add(one.registration(nil).Raw).piece(3, 4)}, registry.ErrFork)
			if m.Vector().Logs[evil.log].Size != 3 {
				t.Error("a frozen log grew")
			}
		}
		if from := a.wants(b, evil.log); from != -1 {
			t.Error("two branches are compared again and again")
		}
		a.open()
		b.open()
	}
	s.members = []*member{a, b, c}
	s.meet()
	s.agree()
}

// The same where the branches are of different lengths: the one who is behind
// proves it from the base of the piece, the one who is ahead from its own hashes.
func TestForkOfTwoLengths(t *testing.T) {
	for name, prove := range map[string]func(a, b *member, one, other *forger) (*member, federation.Inbound){
		"behind": func(a, b *member, one, other *forger) (*member, federation.Inbound) {
			return a, federation.Inbound{Suffix: other.piece(3, other.size())}
		},
		"ahead": func(a, b *member, one, other *forger) (*member, federation.Inbound) {
			return b, federation.Inbound{Suffix: one.piece(3, 3)}
		},
		"further behind": func(a, b *member, one, other *forger) (*member, federation.Inbound) {
			older := one.branch()
			older.raws, older.hashes = nil, nil
			older.add(one.raws[:2]...).add(one.registration(nil).Raw)
			return b, federation.Inbound{Suffix: older.piece(3, 3)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeveral(t, 3)
			a, b, evil := s.members[0], s.members[1], s.members[2]
			evil.register(2)
			one, other := equivocate(evil)
			other.add(other.registration(nil).Raw, other.registration(nil).Raw)
			a.accept(one.all(), federation.New)
			b.accept(other.all(), federation.New)
			m, in := prove(a, b, one, other)
			got, err := m.Accept(t.Context(), in)
			var fork *registry.ForkError
			if got != federation.Known || !errors.As(err, &fork) || fork.Fork.Check() != nil {
				t.Fatalf("%v, %v", got, err)
			}
			a.pull(b, 1<<20)
			b.pull(a, 1<<20)
			if a.BrokerStatus(evil.issuer) != registry.BrokerForked || b.BrokerStatus(evil.issuer) != registry.BrokerForked {
				t.Error("the proof did not reach both")
			}
		})
	}
}

// A peer cannot make a fork of an honest broker out of nothing, and a record
// that does not fit is no proof.
func TestNoFalseForks(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, evil := s.members[0], s.members[1], s.members[2]
	a.register(4)
	f := forge(a)
	b.accept(f.all(), federation.New)
	a.register(1)
	next := a.since(a.log, 4, 1<<20)
	lie := *next
	lie.Base = registry.LeafHash("x")
	lie.Raws = forge(evil).add(evil.since(evil.log, 0, 1).Raws...).raws
	lie.Raws = []string{f.registration(nil).Raw}
	b.refuse(federation.Inbound{Suffix: &lie}, registry.ErrSignature)
	lie = *next
	lie.Raws = []string{f.registration(nil).Raw}
	b.refuse(federation.Inbound{Suffix: &lie}, registry.ErrSignature)
	lie.Base, lie.BaseProof = registry.Hash{}, nil // as by gossip
	b.accept(federation.Inbound{Suffix: &lie}, federation.Gap)
	if b.BrokerStatus(a.issuer) != registry.BrokerActive || len(b.EvidenceDocuments()) != 0 {
		t.Error("an honest broker is forked")
	}
	b.accept(federation.Inbound{Suffix: next}, federation.New)

	document := []byte(`{"origin":"` + registry.Origin(a.issuer) + `","key":{"kty":"OKP"},"a":"x","b":"y"}`)
	b.refuse(federation.Inbound{Evidence: document}, registry.ErrForm)
	stranger := registry.GenerateSigningKey()
	for _, key := range []registry.SigningKey{stranger, evil.key} { // in a's name
		one, _ := registry.SignCheckpoint(key, registry.Origin(a.issuer), 9, registry.LeafHash("one"))
		other, _ := registry.SignCheckpoint(key, registry.Origin(a.issuer), 9, registry.LeafHash("other"))
		var fork *registry.ForkError
		errors.As(registry.CheckFork(one, other), &fork)
		document, err := fork.Fork.Document(key.JWK())
		if err != nil {
			t.Fatal(err)
		}
		want := registry.ErrNotFound
		if key.ID() == evil.log {
			want = registry.ErrSignature
		}
		b.refuse(federation.Inbound{Evidence: document}, want)
	}
}

// A broker shows another history while a pull of the first one is under way:
// what was staged of that is dropped, and the pull begins again at the head.
func TestForkWhileStaged(t *testing.T) {
	s := newSeveral(t, 2)
	b, evil := s.members[0], s.members[1]
	ids := evil.register(2)
	b.pull(evil, 1<<20)
	one := forge(evil)
	other := one.branch()
	for range 3 {
		one.add(one.registration(nil).Raw)
		other.add(other.registration(nil).Raw)
	}
	b.accept(federation.Inbound{Suffix: one.piece(2, 4)}, federation.New)
	if b.Registered() != 4 {
		t.Errorf("%d clients", b.Registered())
	}
	b.accept(federation.Inbound{Suffix: other.piece(4, 5)}, federation.Gap)
	if b.Registered() != 2 {
		t.Errorf("%d clients after what was staged is dropped", b.Registered())
	}
	b.accept(federation.Inbound{Suffix: other.piece(2, 5)}, federation.New)
	if b.status(registry.CID([]byte(other.raws[4]))) != registry.ClientActive || b.status(registry.CID([]byte(one.raws[2]))) != "not found" || b.status(ids[0]) != registry.ClientActive {
		t.Error("not the history that was signed last")
	}
	if got, err := b.Accept(t.Context(), federation.Inbound{Suffix: one.piece(5, 5)}); got != federation.Known || !errors.Is(err, registry.ErrFork) {
		t.Errorf("the first one again: %v, %v", got, err)
	}
}

// A broker that forked its log said different things in the two branches. All
// members come to one stop list all the same, whichever branch they hold.
func TestForkedBrokersSayOneThing(t *testing.T) {
	s := newSeveral(t, 4)
	a, b, c, evil := s.members[0], s.members[1], s.members[2], s.members[3]
	ids := a.register(4)
	s.meet()
	charter := a.Chain().Latest().CID
	one := forge(evil)
	other := one.branch()
	until := func(v *registry.Revocation) { v.Until, v.Cutoff = one.at+600, one.at-5 }
	one.add(one.revocation(ids[0], registry.Suspend, charter, until).Raw, one.revocation(ids[1], registry.Revoke, charter, nil).Raw)
	other.add(other.revocation(ids[2], registry.Suspend, charter, until).Raw, other.revocation(ids[3], registry.Revoke, charter, nil).Raw)
	for _, m := range []*member{b, c} { // two of the three votes of a ban
		m.revoke(ids[1])
		m.revoke(ids[3])
	}
	a.accept(one.all(), federation.New)
	b.accept(other.all(), federation.New)
	s.members = []*member{a, b, c}
	s.meet()
	for range 2 {
		s.agree()
		for i, want := range []registry.ClientStatus{registry.ClientSuspended, registry.ClientRevoked, registry.ClientSuspended, registry.ClientRevoked} {
			if got := c.status(ids[i]); got != want {
				t.Errorf("client %d is %s, want %s", i, got, want)
			}
		}
		for _, m := range s.members {
			m.open()
		}
	}
	// When the charter expels it, the bans stay, and all agree again.
	for _, m := range s.members {
		next := successorOf(m.Chain())
		next.Members[3].State = registry.MemberExpelled
		next.Members[3].Keys[0].Until = new(int64)
		*next.Members[3].Keys[0].Until = 2
		if _, err := m.Propose(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		s.meet()
	}
	s.meet()
	s.agree()
	for i, want := range []registry.ClientStatus{registry.ClientActive, registry.ClientRevoked, registry.ClientActive, registry.ClientRevoked} {
		if got := c.status(ids[i]); got != want {
			t.Errorf("client %d is %s, want %s", i, got, want)
		}
	}
}

// successorOf is a draft of the next charter that changes nothing.
func successorOf(chain *registry.Chain) registry.Charter {
	c := chain.Latest().Charter
	c.Members = append([]registry.Member(nil), c.Members...)
	for i := range c.Members {
		c.Members[i].Keys = append([]registry.MemberKey(nil), c.Members[i].Keys...)
	}
	return c
}
