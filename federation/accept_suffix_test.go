// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// A log arrives in one piece, in pieces of one entry, and by gossip; each time
// all of it is there in the end, proofs included, and after opening again.
func TestAcceptLog(t *testing.T) {
	for _, size := range []int{1, 900, 3000, 1 << 20} {
		s := newSeveral(t, 2)
		a, b := s.members[0], s.members[1]
		ids := a.register(9)
		a.revoke(ids[3])
		a.append(update(ids[4]))
		b.pull(a, size)
		for range 2 {
			if got, want := b.Vector().Logs[a.log], a.Vector().Logs[a.log]; got != want {
				t.Fatalf("pieces of %d bytes: head %v, want %v", size, got, want)
			}
			if b.status(ids[3]) != registry.ClientRevoked || b.status(ids[0]) != registry.ClientActive || b.Registered() != 9 {
				t.Errorf("pieces of %d bytes: %s, %s, %d clients", size, b.status(ids[3]), b.status(ids[0]), b.Registered())
			}
			state, err := b.Client(t.Context(), ids[4])
			if err != nil || state.Registration.Registration.Name != "Renamed" || state.Home != a.issuer {
				t.Errorf("updated client: %+v, %v", state, err)
			}
			proof, err := b.Proof(t.Context(), ids[4])
			if err != nil {
				t.Fatal(err)
			}
			checkForeignProof(t, proof, a)
			s.agree()
			b.open()
		}
	}
}

func checkForeignProof(t *testing.T, p federation.Proof, home *member) {
	t.Helper()
	head, err := registry.OpenCheckpoint(p.Checkpoint, registry.Origin(home.issuer), home.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.CheckInclusion(p.Inclusion, head.Size, head.Root, p.Index, registry.LeafHash(p.Registration.Raw)); err != nil {
		t.Error(err)
	}
}

// By gossip every record comes alone. In order it is taken; a gap is told, and
// a stop behind it counts all the same.
func TestAcceptGossip(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	ids := a.register(1)
	first := a.gossip()
	b.accept(first, federation.New)
	b.accept(first, federation.Known)
	if b.status(ids[0]) != registry.ClientActive {
		t.Error("the client is not there")
	}
	more := a.register(1)
	missed := a.gossip()
	a.revoke(ids[0])
	stop := a.gossip()
	b.accept(stop, federation.Gap)
	if b.status(ids[0]) != registry.ClientRevoked || !slices.Equal(b.stopped(), ids) {
		t.Error("a stop behind a gap does not count")
	}
	if b.status(more[0]) != "not found" || b.Vector().Logs[a.log].Size != 1 {
		t.Error("a gap moved the head")
	}
	if len(b.HeardStops()) != 1 {
		t.Error("the stop is not among those that were heard")
	}
	b.accept(missed, federation.New)
	b.accept(stop, federation.New)
	if b.Vector().Logs[a.log] != a.Vector().Logs[a.log] || len(b.HeardStops()) != 0 {
		t.Errorf("after the missing record: %+v, %d heard", b.Vector().Logs, len(b.HeardStops()))
	}
	if again := b.stopped(); len(again) != 0 {
		t.Errorf("the stop is told again: %v", again)
	}
	b.open()
	if len(b.HeardStops()) != 0 || b.status(ids[0]) != registry.ClientRevoked {
		t.Error("after opening again the stop is heard still, or gone")
	}
}

// OnChange is told of others' stops as of own ones.
func TestForeignChangesAreTold(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	id := a.register(1)[0]
	a.suspend(id)
	a.append(revocation(id, registry.Reinstate))
	b.accept(federation.Inbound{Suffix: a.since(a.log, 0, 1<<20)}, federation.New)
	b.changes = nil
	for i, action := range []registry.Action{registry.Suspend, registry.Reinstate, registry.Revoke} {
		record := a.append(revocation(id, action))
		b.accept(a.gossip(), federation.New)
		if len(b.changes) != 1 {
			t.Fatalf("%s: %d changes", action, len(b.changes))
		}
		c := b.changes[0]
		if c.Client != id || c.Stopped == (i == 1) || c.Enabled != (i == 1) || len(c.State.Because) != 1 || c.State.Because[0].CID != record.CID {
			t.Errorf("%s: %+v", action, c)
		}
		b.changes = nil
	}
	// One that stops nothing is told when it comes alone.
	other := a.register(1)[0]
	b.accept(a.gossip(), federation.New)
	a.append(federation.Draft{Registration: &registry.Registration{Client: other, ClientMetadata: storetest.Metadata("Other")}})
	b.accept(a.gossip(), federation.New)
	if len(b.changes) != 1 || b.changes[0].Client != other || b.changes[0].Stopped || b.changes[0].State.Sequence != 1 {
		t.Errorf("an update: %+v", b.changes)
	}
	b.changes = nil
	for range 20 {
		a.append(federation.Draft{Registration: &registry.Registration{Client: other, ClientMetadata: storetest.Metadata("Other")}})
	}
	b.pull(a, 1<<20)
	if len(b.changes) != 0 {
		t.Errorf("%d changes in a long piece", len(b.changes))
	}
}

// fault 46: what is signed well, but stands in the wrong place. Nothing of it is
// stored, and the head stays.
func TestFault46WrongPlace(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	a.register(3)
	c.register(3)
	fa, fc := forge(a), forge(c)
	whole := fa.piece(0, 3)
	for _, test := range []struct {
		name   string
		want   error
		change func(*federation.Suffix)
	}{
		{"another's log under the name", registry.ErrSignature, func(p *federation.Suffix) { *p = *fc.piece(0, 3); p.Log = a.log }},
		{"another's checkpoint", registry.ErrSignature, func(p *federation.Suffix) { p.Checkpoint = fc.head(3, c.key) }},
		{"a checkpoint by another member", registry.ErrSignature, func(p *federation.Suffix) { p.Checkpoint = fa.head(3, c.key) }},
		{"another's entry", registry.ErrSignature, func(p *federation.Suffix) { p.Raws[1] = fc.raws[1] }},
		{"a log of nobody", registry.ErrNotFound, func(p *federation.Suffix) { p.Log = registry.GenerateSigningKey().ID() }},
		{"an entry twice", registry.ErrForm, func(p *federation.Suffix) { p.Raws = append(p.Raws, p.Raws[2]) }},
		{"two in the wrong order", registry.ErrSignature, func(p *federation.Suffix) { p.Raws[0], p.Raws[1] = p.Raws[1], p.Raws[0] }},
		{"a view in a log", registry.ErrForm, func(p *federation.Suffix) { p.Raws[1] = a.view(nil) }},
		{"one byte of the signature", registry.ErrSignature, func(p *federation.Suffix) { p.Raws[1] = spoil(p.Raws[1]) }},
		{"no record at all", registry.ErrForm, func(p *federation.Suffix) { p.Raws[1] = "x" }},
		{"a negative place", registry.ErrForm, func(p *federation.Suffix) { p.From = -1 }},
		{"a piece without a proof", registry.ErrForm, func(p *federation.Suffix) { *p = *fa.piece(0, 2); p.Proof = nil }},
		{"a piece with the proof of another", registry.ErrSignature, func(p *federation.Suffix) { *p = *fa.piece(0, 2); p.Proof = fa.piece(0, 1).Proof }},
		{"a base of its own", registry.ErrSignature, func(p *federation.Suffix) { p.Raws[1], p.Base = spoil(p.Raws[1]), registry.LeafHash("x") }},
		{"an endless proof", registry.ErrLimit, func(p *federation.Suffix) { p.BaseProof = make([]registry.Hash, 1000) }},
		{"an endless piece", registry.ErrLimit, func(p *federation.Suffix) { p.Raws = make([]string, 10_000) }},
		{"a huge entry", registry.ErrLimit, func(p *federation.Suffix) { p.Raws[1] = strings.Repeat("x", 9<<20) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := *whole
			p.Raws = slices.Clone(p.Raws)
			test.change(&p)
			b.refuse(federation.Inbound{Suffix: &p}, test.want)
			if rows, err := b.store.Rows(t.Context(), p.Log, 0, 9); err != nil || len(rows) != 0 {
				t.Errorf("%d entries were stored, %v", len(rows), err)
			}
		})
	}
	b.refuse(federation.Inbound{}, registry.ErrForm)
	b.accept(federation.Inbound{Suffix: whole}, federation.New)
}

// One missing or altered record, at any place and however long the pieces are,
// is found before anything of its piece is used, and fetched elsewhere.
func TestAlteredEntry(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	a.register(12)
	f := forge(a)
	for from := int64(0); from < 12; from += 4 {
		good := f.piece(from, from+4)
		for i := range good.Raws {
			bad := *good
			bad.Raws = slices.Clone(good.Raws)
			bad.Raws[i] = f.raws[(from+int64(i)+1)%12]
			b.refuse(federation.Inbound{Suffix: &bad}, registry.ErrSignature)
			if from+4 < 12 { // at the end there is one too few for the checkpoint
				bad.Raws = slices.Delete(slices.Clone(good.Raws), i, i+1)
				b.refuse(federation.Inbound{Suffix: &bad}, registry.ErrSignature)
			}
		}
		b.accept(federation.Inbound{Suffix: good}, federation.New)
	}
	if b.Vector().Logs[a.log] != a.Vector().Logs[a.log] {
		t.Error("the log is not complete")
	}
}

// Entries beyond the verified head are never shown, whatever one asks for, but
// for stops, which count at once. They survive the process.
func TestStaged(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	ids := a.register(6)
	b.accept(federation.Inbound{Suffix: a.since(a.log, 0, 1<<20)}, federation.New)
	a.append(federation.Draft{Broker: &registry.Broker{Organisation: "A", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()}}})
	a.append(update(ids[0]))
	a.suspend(ids[1])
	a.suspend(ids[2])
	a.append(revocation(ids[2], registry.Reinstate))
	late := a.register(3)
	f := forge(a)
	vote := f.revocation(b.register(1)[0], registry.Revoke, a.Chain().Latest().CID, nil)
	f.add(vote.Raw, f.registration(nil).Raw)
	b.accept(federation.Inbound{Suffix: f.piece(6, f.size()-1)}, federation.New)
	for range 2 {
		if slices.Contains(b.HeardStops(), vote.Raw) || len(b.HeardStops()) != 2 {
			t.Errorf("%d heard stops, or a vote among them", len(b.HeardStops()))
		}
		if got := b.Vector().Logs[a.log].Size; got != 6 {
			t.Fatalf("the head is of size %d, want 6", got)
		}
		if state, _ := b.Client(t.Context(), ids[0]); state.Sequence != 0 {
			t.Error("a staged update is used")
		}
		if b.status(late[0]) != "not found" {
			t.Error("a staged client is shown")
		}
		if all, err := b.Clients(t.Context(), "", 100); err != nil || len(all) != 7 {
			t.Errorf("%d clients, %v", len(all), err)
		}
		if _, err := b.BrokerRecord(t.Context(), a.log); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("a staged broker record is shown: %v", err)
		}
		if _, err := b.Since(t.Context(), a.log, 7, 1); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("staged entries are handed out: %v", err)
		}
		if _, err := b.Tile(t.Context(), a.log, registry.Tile{Level: registry.EntriesLevel, Width: 7}); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("staged entries are in tiles: %v", err)
		}
		if b.status(ids[1]) != registry.ClientSuspended || b.status(ids[2]) != registry.ClientSuspended {
			t.Error("a staged stop does not count, or a staged reinstatement does")
		}
		b.open()
	}
	if from := b.wants(a, a.log); from != a.Vector().Logs[a.log].Size {
		t.Errorf("wanted next: entries from %d", from)
	}
	b.pull(a, 1)
	if b.status(late[0]) != registry.ClientActive || b.status(ids[2]) != registry.ClientActive || len(b.HeardStops()) != 0 {
		t.Error("the staged entries did not come to light")
	}
	if _, err := b.BrokerRecord(t.Context(), a.log); err != nil {
		t.Error(err)
	}
	s.agree()
}

// A pull that began at one peer, who went away, ends at another that is not as
// far: staged entries count as far as its head goes.
func TestStagedBeyondAnotherHead(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	ids := a.register(5)
	c.pull(a, 1<<20)
	a.register(5)
	b.accept(federation.Inbound{Suffix: forge(a).piece(0, 8)}, federation.New)
	b.pull(c, 1<<20)
	if b.Vector().Logs[a.log] != c.Vector().Logs[a.log] || b.status(ids[4]) != registry.ClientActive {
		t.Errorf("head %+v", b.Vector().Logs[a.log])
	}
	b.pull(a, 1<<20)
	if b.Vector().Logs[a.log] != a.Vector().Logs[a.log] || b.Registered() != 10 {
		t.Errorf("head %+v, %d clients", b.Vector().Logs[a.log], b.Registered())
	}
}

// A registration with a bad signature under a good head is void, and everything
// else in the log counts. It stays void when something stops the client.
func TestLazySignature(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	ids := a.register(2)
	f := forge(a)
	bad := spoil(f.registration(nil).Raw)
	badUpdate := spoil(f.update(ids[0], 1, ids[0], "Stolen").Raw)
	f.add(bad, badUpdate)
	b.accept(f.all(), federation.New)
	id := registry.CID([]byte(bad))
	for range 2 {
		if b.status(id) != "not found" {
			t.Error("a registration with a bad signature counts")
		}
		if state, err := b.Client(t.Context(), ids[0]); err != nil || state.Sequence != 0 {
			t.Errorf("an update with a bad signature counts: %+v, %v", state, err)
		}
		if b.status(ids[1]) != registry.ClientActive {
			t.Error("a good registration beside it does not count")
		}
		b.open()
	}
	for _, client := range []string{id, ids[0]} {
		b.accept(federation.Inbound{Heard: f.revocation(client, registry.Suspend, a.Chain().Latest().CID, func(v *registry.Revocation) {
			v.Sequence, v.Previous = 1, client
		}).Raw}, federation.New)
	}
	for range 2 {
		if b.status(id) != "not found" || b.status(ids[0]) != registry.ClientSuspended {
			t.Errorf("after a stop: %s, %s", b.status(id), b.status(ids[0]))
		}
		b.open()
	}
	// Stops are verified before anything is stored.
	f.add(spoil(f.revocation(ids[1], registry.Revoke, a.Chain().Latest().CID, func(v *registry.Revocation) {
		v.Sequence, v.Previous = 1, ids[1]
	}).Raw))
	b.refuse(federation.Inbound{Suffix: f.piece(4, 5)}, registry.ErrSignature)
	compromised := f.registration(func(r *registry.Registration) {
		r.Client, r.Sequence, r.Previous, r.Compromised = ids[1], 1, ids[1], true
	})
	g := forge(a).add(f.raws[2:4]...)
	b.refuse(federation.Inbound{Suffix: g.branch().add(spoil(compromised.Raw)).piece(4, 5)}, registry.ErrSignature)
	// One about a client that is stopped already is void as well.
	last, err := b.Client(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	b.accept(federation.Inbound{Suffix: g.add(spoil(f.update(ids[0], 2, last.Last, "Stolen").Raw)).piece(4, 5)}, federation.New)
	for range 2 {
		if state, err := b.Client(t.Context(), ids[0]); err != nil || state.Last != last.Last {
			t.Errorf("%+v, %v", state, err)
		}
		b.open()
	}
}

// A check of the whole store knows what others signed: staged entries are no
// damage, bad registrations are their author's fault, and a stop that stands in
// no log must be signed.
func TestAuditOfOthers(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	ids := a.register(3)
	f := forge(a)
	f.add(spoil(f.registration(nil).Raw))
	b.accept(f.all(), federation.New)
	stop := f.revocation(ids[0], registry.Revoke, a.Chain().Latest().CID, func(v *registry.Revocation) { v.Sequence, v.Previous = 1, ids[0] })
	b.accept(federation.Inbound{Heard: stop.Raw}, federation.New)
	f.add(f.registration(nil).Raw, f.registration(nil).Raw)
	b.accept(federation.Inbound{Suffix: f.piece(4, 5)}, federation.New)
	audit, err := federation.CheckStore(t.Context(), b.store)
	if err != nil || len(audit.Problems) != 0 || audit.Records != 5 || audit.Clients != 5 || audit.Void != 1 {
		t.Errorf("%+v, %v", audit, err)
	}
	forged := spoil(stop.Raw)
	row := federation.Row{Log: a.log, Index: -1, CID: registry.CID([]byte(forged)), Kind: stop.Kind, Client: ids[0], Stops: true, Raw: forged}
	if err := b.store.Write(t.Context(), federation.Update{Heard: []federation.Row{row}}); err != nil {
		t.Fatal(err)
	}
	if audit, err = federation.CheckStore(t.Context(), b.store); err != nil || len(audit.Problems) != 1 {
		t.Errorf("%+v, %v", audit, err)
	}
}

// The own log never has more entries than were signed for.
func TestOwnLogHasNoStagedEntries(t *testing.T) {
	s := newSeveral(t, 1)
	a := s.members[0]
	a.register(1)
	f := forge(a)
	record := f.registration(nil)
	row := federation.Row{Log: a.log, Index: 1, CID: record.CID, Kind: record.Kind, Client: record.CID, Raw: record.Raw, Hashes: []registry.Hash{registry.LeafHash(record.Raw)}}
	if err := a.store.Write(t.Context(), federation.Update{Log: a.log, Before: 1, Rows: []federation.Row{row}}); err != nil {
		t.Fatal(err)
	}
	if err := a.tryOpen(); err == nil || !strings.Contains(err.Error(), "entries beyond it") {
		t.Errorf("opened: %v", err)
	}
}

// fault 58: quotas of the charter hold for others, and for oneself.
func TestFault58Quotas(t *testing.T) {
	s := newSeveral(t, 2, func(c *registry.Charter) { c.ClientsPerMember = 3 })
	a, b := s.members[0], s.members[1]
	ids := a.register(3)
	f := forge(a)
	b.accept(f.all(), federation.New)
	b.refuse(federation.Inbound{Suffix: f.branch().add(f.registration(nil).Raw).piece(3, 4)}, registry.ErrLimit)

	const most = 1_000 + 20*3
	for f.size() < most {
		f.add(f.update(registry.CID([]byte(f.raws[f.size()-1])), 1, ids[0], "Update").Raw)
	}
	full := f.branch()
	full.add(f.update(ids[1], 1, ids[1], "Update").Raw)
	b.refuse(federation.Inbound{Suffix: full.piece(3, most+1)}, registry.ErrLimit)
	b.accept(federation.Inbound{Suffix: f.piece(3, most)}, federation.New)
	b.refuse(federation.Inbound{Suffix: full.piece(most, most+1)}, registry.ErrLimit)
	if err := a.store.Write(t.Context(), updateOf(b, a.log, 3)); err != nil {
		t.Fatal(err)
	}
	a.open()
	if _, _, err := a.Append(t.Context(), federation.Draft{Broker: &registry.Broker{Organisation: "A", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()}}}); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("own record: %v", err)
	}
}

// updateOf is what m has of a log from an index on.
func updateOf(m *member, log string, from int64) federation.Update {
	t := m.s.t
	t.Helper()
	snapshot, err := m.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range snapshot.Heads {
		if h.Log == log {
			rows, err := m.store.Rows(t.Context(), log, from, h.Size)
			if err != nil {
				t.Fatal(err)
			}
			return federation.Update{Log: log, Before: from, Rows: rows, Checkpoint: &registry.Checkpoint{Size: h.Size, Root: h.Root, Raw: h.Checkpoint}}
		}
	}
	t.Fatal("no such log")
	return federation.Update{}
}

// Few staged entries or many: when their head comes they mean what they would
// have meant with it.
func TestStagedComeToLight(t *testing.T) {
	for _, n := range []int{3, 300} {
		s := newSeveral(t, 2)
		a, b := s.members[0], s.members[1]
		ids := a.register(n)
		b.pull(a, 1<<20)
		a.suspend(ids[0])
		a.append(revocation(ids[0], registry.Reinstate))
		a.suspend(ids[1])
		a.append(federation.Draft{Registration: &registry.Registration{Client: ids[2], ClientMetadata: storetest.Metadata("Other")}})
		a.append(federation.Draft{Broker: &registry.Broker{Organisation: "A", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()}}})
		more := a.register(n)
		if b.status(ids[2]) != registry.ClientActive { // it is in the cache now
			t.Fatal("not there")
		}
		f := forge(a)
		last := f.size() - 1
		b.accept(federation.Inbound{Suffix: f.piece(int64(n), last)}, federation.New)
		if _, err := b.BrokerRecord(t.Context(), a.log); !errors.Is(err, registry.ErrNotFound) || b.status(more[0]) != "not found" || len(b.HeardStops()) != 2 {
			t.Fatalf("staged: %v, %s, %d heard", err, b.status(more[0]), len(b.HeardStops()))
		}
		b.accept(federation.Inbound{Suffix: f.piece(last, last+1)}, federation.New)
		for range 2 {
			two, err := b.Client(t.Context(), ids[2])
			if err != nil || two.Sequence != 1 {
				t.Errorf("%d: the update: %+v, %v", n, two, err)
			}
			if b.status(ids[0]) != registry.ClientActive || b.status(ids[1]) != registry.ClientSuspended || b.status(more[0]) != registry.ClientActive {
				t.Errorf("%d: %s, %s, %s", n, b.status(ids[0]), b.status(ids[1]), b.status(more[0]))
			}
			if _, err := b.BrokerRecord(t.Context(), a.log); err != nil || len(b.HeardStops()) != 0 || b.Registered() != int64(2*n) {
				t.Errorf("%d: %v, %d heard, %d clients", n, err, len(b.HeardStops()), b.Registered())
			}
			b.open()
		}
	}
}
