// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"reflect"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/registry"
)

// headOf is the stored head of a log.
func headOf(t *testing.T, s federation.Store, log string) federation.Head {
	t.Helper()
	for _, h := range load(t, s).Heads {
		if h.Log == log {
			return h
		}
	}
	return federation.Head{}
}

// testStaged stores entries before the head that covers them, for a log without
// a head, and one with; and a head that covers only some of them.
func testStaged(t *testing.T, open func() federation.Store) {
	s := open()
	a := newBroker(t, "https://a.example")
	first := a.grow(3)
	second := a.append(a.broker(1))
	third := a.grow(2)
	staged := first
	staged.Checkpoint = nil
	write(t, s, staged)
	s = open()
	if h := headOf(t, s, a.log); h.Size != 0 || h.Entries != 3 || h.Clients != 3 || len(h.Checkpoint) != 0 {
		t.Errorf("head of staged entries: %+v", h)
	}
	refuse(t, s, staged, registry.ErrConflict) // a second time
	staged = second
	staged.Checkpoint = first.Checkpoint // of the first three
	write(t, s, staged)
	s = open()
	if h := headOf(t, s, a.log); h.Size != 3 || h.Entries != 4 || h.Root != first.Checkpoint.Root {
		t.Errorf("head in the middle of what is stored: %+v", h)
	}
	if got := load(t, s).Brokers; len(got) != 0 {
		t.Errorf("a staged broker record is among those that count: %v", got)
	}
	if got := rows(t, s, a.log, 0, 9); !reflect.DeepEqual(got, a.rows[:4]) {
		t.Errorf("%d rows, staged ones included", len(got))
	}
	if got := client(t, s, a.rows[1].Client); len(got) != 1 {
		t.Errorf("%d rows about a client", len(got))
	}
	own := third
	own.Own, own.Checkpoint = true, second.Checkpoint
	refuse(t, s, own, registry.ErrConflict) // one never has more than one has signed
	refuse(t, s, federation.Update{Log: a.log, Before: 4, Checkpoint: third.Checkpoint}, registry.ErrConflict)
	write(t, s, third)
	s = open()
	if h := headOf(t, s, a.log); h.Size != 6 || h.Entries != 6 || h.Clients != 5 || h.Root != a.head.Root {
		t.Errorf("head of all: %+v", h)
	}
	if got := rows(t, s, a.log, 0, 9); !reflect.DeepEqual(got, a.rows) {
		t.Errorf("%d rows, not those that were written", len(got))
	}
	if got := load(t, s).Brokers; len(got) != 1 || got[0].CID != a.rows[3].CID {
		t.Errorf("broker records %v", got)
	}
}

// testDiscard drops what is staged, and nothing else.
func testDiscard(t *testing.T, open func() federation.Store) {
	s := open()
	a := newBroker(t, "https://a.example")
	write(t, s, a.grow(3))
	kept := headOf(t, s, a.log)
	other := *a
	staged := a.grow(4)
	staged.Checkpoint = nil
	write(t, s, staged)
	if h := headOf(t, s, a.log); h.Clients != 7 || h.Entries != 7 {
		t.Errorf("head %+v", h)
	}
	write(t, s, federation.Update{Log: a.log, Discard: true})
	write(t, s, federation.Update{Log: a.log, Discard: true})
	s = open()
	if h := headOf(t, s, a.log); !reflect.DeepEqual(h, kept) {
		t.Errorf("head %+v, want %+v", h, kept)
	}
	if got := rows(t, s, a.log, 0, 9); len(got) != 3 {
		t.Errorf("%d entries are left", len(got))
	}
	if got := client(t, s, a.rows[5].Client); len(got) != 0 {
		t.Error("a record that was dropped is found")
	}
	write(t, s, staged)
	instead := other.grow(2) // another history, in one step
	instead.Discard = true
	write(t, s, instead)
	if got := rows(t, open(), a.log, 0, 9); !reflect.DeepEqual(got, other.rows) {
		t.Errorf("%d entries, or not the last ones", len(got))
	}
}

// testHeardUntilCovered: what is heard stays while its entry is staged only.
func testHeardUntilCovered(t *testing.T, open func() federation.Store) {
	s := open()
	a, b := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	write(t, s, a.grow(1))
	id := a.rows[0].Client
	stop := b.suspension(id)
	staged := b.append(stop)
	head := staged.Checkpoint
	staged.Checkpoint, staged.Heard = nil, []federation.Row{b.row(stop, -1)}
	write(t, s, staged)
	if got := client(t, open(), id); len(got) != 3 {
		t.Errorf("%d records, want the registration, the staged and the heard stop", len(got))
	}
	s = open()
	write(t, s, federation.Update{Log: b.log, Before: 1, Checkpoint: head})
	if got := client(t, open(), id); len(got) != 2 {
		t.Errorf("%d records after the head came", len(got))
	}
}

func testProposals(t *testing.T, open func() federation.Store) {
	s := open()
	a := newBroker(t, "https://a.example")
	one, other := a.charterNamed(t, "One"), a.charterNamed(t, "Other")
	write(t, s, federation.Update{Proposals: []*registry.SignedCharter{one, other}})
	write(t, s, federation.Update{Proposals: []*registry.SignedCharter{other}})
	if got := load(t, open()); len(got.Proposals) != 2 || len(got.Charters) != 0 || got.Empty() {
		t.Errorf("%d proposals, %d charters", len(got.Proposals), len(got.Charters))
	}
	s = open()
	write(t, s, federation.Update{Charters: []*registry.SignedCharter{one}, Withdrawn: []string{one.CID, "nothing"}})
	if got := load(t, open()); len(got.Proposals) != 1 || string(got.Proposals[0]) != string(other.Raw) || len(got.Charters) != 1 {
		t.Errorf("%d proposals, %d charters", len(got.Proposals), len(got.Charters))
	}
}

func testReplaceCharters(t *testing.T, open func() federation.Store) {
	s := open()
	a := newBroker(t, "https://a.example")
	one, other, third := a.charterNamed(t, "One"), a.charterNamed(t, "Other"), a.charterNamed(t, "Third")
	b := newBroker(t, "https://b.example")
	write(t, s, a.grow(1))
	write(t, s, a.append(a.broker(1)))
	own := federation.Evidence{Kind: federation.EvidenceAhead, Subject: "own", A: "1"}
	view := a.view(1)
	write(t, s, federation.Update{
		Charters: []*registry.SignedCharter{one}, Proposals: []*registry.SignedCharter{third},
		Views: []federation.View{view}, Evidence: []federation.Evidence{own},
	})
	want := load(t, s)
	want.Charters, want.Proposals = [][]byte{other.Raw}, nil
	theirs := b.grow(2)
	theirs.Views = []federation.View{b.view(1)}
	theirs.Heard = []federation.Row{b.heard(a.rows[0].Client)}
	theirs.Evidence = []federation.Evidence{{Kind: federation.EvidenceFork, Subject: "b", A: "1"}}
	write(t, s, theirs)
	write(t, s, b.append(b.broker(1)))
	write(t, s, federation.Update{Log: a.log, Charters: []*registry.SignedCharter{other}, Replace: true})
	s = open()
	if got := load(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("left is\n%+v\nwant\n%+v", got, want)
	}
	if got := rows(t, s, b.log, 0, 9); len(got) != 0 {
		t.Errorf("%d entries of another log are left", len(got))
	}
	if got := rows(t, s, a.log, 0, 9); !reflect.DeepEqual(got, a.rows) {
		t.Errorf("%d entries of the own log are left", len(got))
	}
}

// testReplicaForeign pulls a member's log into a replica in pieces, opens it
// again in the middle, and compares what the two say.
func testReplicaForeign(t *testing.T, open func() federation.Store) {
	key := registry.GenerateSigningKey()
	home, log, found := newNeighbour(t, key)
	var ids []string
	for range 40 {
		record, _ := appendTo(t, home, federation.Draft{Registration: &registry.Registration{ClientMetadata: Metadata("App")}})
		ids = append(ids, record.CID)
	}
	for i, action := range map[int]registry.Action{3: registry.Suspend, 30: registry.Revoke} {
		appendTo(t, home, federation.Draft{Revocation: &registry.Revocation{Client: ids[i], Action: action, Reason: "policy"}})
	}
	appendTo(t, home, federation.Draft{Broker: &registry.Broker{Organisation: "Foreign", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()}}})

	s := open()
	write(t, s, found)
	r := openReplica(t, s, key)
	for pieces := 0; ; pieces++ {
		wants, err := r.Wants(t.Context(), home.Vector())
		if err != nil {
			t.Fatal(err)
		}
		if len(wants) == 0 {
			break
		}
		piece, err := home.Since(t.Context(), wants[0].Log, wants[0].From, 8000)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Accept(t.Context(), federation.Inbound{Suffix: piece}); err != nil || got != federation.New {
			t.Fatalf("piece %d: %v, %v", pieces, got, err)
		}
		if pieces == 1 {
			r = openReplica(t, open(), key)
		}
	}
	for range 2 {
		if got, want := r.StopList(), home.StopList(); got.Hash() != want.Hash() || got.Count() != 2 {
			t.Errorf("stop list\n%swant\n%s", got.Bytes(), want.Bytes())
		}
		if state, err := r.Client(t.Context(), ids[7]); err != nil || state.Status != registry.ClientActive {
			t.Errorf("%+v, %v", state, err)
		}
		if _, err := r.BrokerRecord(t.Context(), log); err != nil {
			t.Error(err)
		}
		r = openReplica(t, open(), key)
	}
	audit, err := federation.CheckStore(t.Context(), open())
	if err != nil || len(audit.Problems) > 0 || audit.Records != 43 || audit.Clients != 40 || audit.Void != 0 {
		t.Errorf("audit %+v, %v", audit, err)
	}
}

// newNeighbour opens a broker in memory that is in a federation of two with the
// one of that key. It returns its log too, and what the other begins with.
func newNeighbour(t *testing.T, key registry.SigningKey) (home *federation.Replica, log string, found federation.Update) {
	t.Helper()
	const foreign = "https://foreign.example"
	own := registry.GenerateSigningKey()
	c := federation.DefaultCharter()
	c.Version, c.IssuedAt = 1, start
	for issuer, key := range map[string]registry.SigningKey{foreign: own, issuer: key} {
		c.Members = append(c.Members, registry.Member{
			Issuer: issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: key.JWK()}},
		})
	}
	charter, err := registry.NewCharter(c, own)
	if err != nil {
		t.Fatal(err)
	}
	begin := func(issuer string, key registry.SigningKey) federation.Update {
		head, err := registry.SignCheckpoint(key, registry.Origin(issuer), 0, registry.EmptyRoot())
		if err != nil {
			t.Fatal(err)
		}
		return federation.Update{Log: key.ID(), Own: true, Checkpoint: head, Charters: []*registry.SignedCharter{charter}}
	}
	s := new(memstore.Store)
	write(t, s, begin(foreign, own))
	home, err = federation.Open(t.Context(), federation.Config{Store: s, Key: own, Issuer: foreign})
	if err != nil {
		t.Fatal(err)
	}
	return home, own.ID(), begin(issuer, key)
}
