// SPDX-License-Identifier: Apache-2.0

// Package storetest is the conformance suite of federation.Store. An engine
// runs it in its own tests:
//
//	storetest.Run(t, func(t *testing.T) func() federation.Store { … })
//
// It holds an engine to the words of the interface: updates are stored whole
// or not at all, heads and views never go back, what one writer stored every
// later reader sees, and everything is there after the store is opened again.
package storetest

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Opener makes one empty store and returns the function that opens it: the
// first call for the first time, each later call again, as a new process
// would. The opener closes what the call before returned, and the last one
// when the test ends.
type Opener func(t *testing.T) (open func() federation.Store)

// Run runs the suite on one engine.
func Run(t *testing.T, opener Opener) {
	tests := []struct {
		name string
		test func(*testing.T, func() federation.Store)
	}{
		{"Empty", testEmpty},
		{"Log", testLog},
		{"Atomic", testAtomic},
		{"HeadsNeverGoBack", testHeads},
		{"ViewsNeverGoBack", testViews},
		{"Clients", testClients},
		{"Heard", testHeard},
		{"Brokers", testBrokers},
		{"Charters", testCharters},
		{"Evidence", testEvidence},
		{"Writers", testWriters},
		{"Staged", testStaged},
		{"Discard", testDiscard},
		{"HeardUntilCovered", testHeardUntilCovered},
		{"Proposals", testProposals},
		{"ReplaceCharters", testReplaceCharters},
		{"ReplicaConcurrent", testReplicaConcurrent},
		{"ReplicaReopened", testReplicaReopened},
		{"ReplicaForeign", testReplicaForeign},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, opener(t)) })
	}
}

func testEmpty(t *testing.T, open func() federation.Store) {
	s := open()
	if !load(t, s).Empty() {
		t.Error("a new store is not empty")
	}
	if rows := client(t, s, registry.CID([]byte("x"))); len(rows) != 0 {
		t.Errorf("client of an empty store: %v", rows)
	}
	if got := rows(t, s, "log", 0, 10); len(got) != 0 {
		t.Errorf("rows of an empty store: %v", got)
	}
	if _, err := s.Hashes(t.Context(), "log", []int64{0}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("hash of an empty store: %v", err)
	}
	write(t, s, federation.Update{}) // nothing is a valid update
}

// testLog writes logs in steps of several sizes and reads all hashes back,
// across the borders of tiles.
func testLog(t *testing.T, open func() federation.Store) {
	s := open()
	a, b := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	for _, step := range []int{1, 1, 2, 255, 1, 100} {
		write(t, s, a.grow(step))
		write(t, s, b.grow(1))
	}
	for range 2 { // the second time after opening it again
		for _, broker := range []*broker{a, b} {
			checkLog(t, s, broker)
		}
		s = open()
	}
}

func checkLog(t *testing.T, s federation.Store, b *broker) {
	t.Helper()
	all := make([]int64, len(b.hashes))
	for i := range all {
		all[i] = int64(i)
	}
	slices.Reverse(all)
	hashes, err := s.Hashes(t.Context(), b.log, all)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(hashes)
	if !slices.Equal(hashes, b.hashes) {
		t.Errorf("the hashes of %s are not those that were written", b.issuer)
	}
	if _, err := s.Hashes(t.Context(), b.log, []int64{0, int64(len(all))}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the hash after the last: %v", err)
	}
	size := int64(len(b.rows))
	if got := rows(t, s, b.log, 0, size+1); !reflect.DeepEqual(got, b.rows) {
		t.Errorf("%d rows of %s, not the %d that were written", len(got), b.issuer, size)
	}
	if got := rows(t, s, b.log, size-1, size); !reflect.DeepEqual(got, b.rows[size-1:]) {
		t.Errorf("the last row is %v", got)
	}
	for _, h := range load(t, s).Heads {
		if h.Log == b.log && (h.Size != size || h.Root != b.head.Root || string(h.Checkpoint) != string(b.head.Raw) || h.Clients != size) {
			t.Errorf("head %+v, want %+v with %d clients", h, b.head, size)
		}
	}
}

// testAtomic offers updates of which one part is refused: nothing else of them
// may be found, now or after opening again.
func testAtomic(t *testing.T, open func() federation.Store) {
	s := open()
	a, other := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	write(t, s, a.grow(3))
	write(t, s, federation.Update{Views: []federation.View{a.view(100)}})
	before := load(t, s)

	next := a.grow(2)
	next.Heard = []federation.Row{other.heard(registry.CID([]byte("some client")))}
	next.Charters, next.Proposals = []*registry.SignedCharter{a.charter(t)}, []*registry.SignedCharter{other.charterNamed(t, "Other")}
	next.Evidence = []federation.Evidence{{Kind: federation.EvidenceCharters, Subject: "f", A: "1", B: "2"}}
	next.Views = []federation.View{other.view(7), a.view(99)} // the last one is older than the stored one
	refuse(t, s, next, registry.ErrStale)
	next.Views, next.Before = nil, 2
	refuse(t, s, next, registry.ErrConflict)

	for range 2 {
		if after := load(t, s); !reflect.DeepEqual(before, after) {
			t.Errorf("a refused update changed the store from %+v to %+v", before, after)
		}
		if got := rows(t, s, a.log, 0, 10); len(got) != 3 {
			t.Errorf("a refused update left %d entries, want 3", len(got))
		}
		s = open()
	}
	next.Before = 3
	write(t, s, next)
}

func testHeads(t *testing.T, open func() federation.Store) {
	s := open()
	a, evil := newBroker(t, "https://a.example"), newBroker(t, "https://a.example")
	evil.log = a.log
	small := a.grow(2)
	write(t, s, small)
	large := a.grow(3)
	write(t, s, large)
	s = open()
	refuse(t, s, federation.Update{Log: a.log, Before: 5, Checkpoint: small.Checkpoint}, registry.ErrStale)
	refuse(t, s, small, registry.ErrStale)
	fork := evil.grow(5)
	refuse(t, s, federation.Update{Log: a.log, Before: 5, Checkpoint: fork.Checkpoint}, registry.ErrFork)
	refuse(t, s, fork, registry.ErrFork)
	gap := a.grow(2)
	gap.Before, gap.Rows = 6, gap.Rows[1:]
	refuse(t, s, gap, registry.ErrConflict)
	gap.Before = 5 // one entry too few for the checkpoint
	refuse(t, s, gap, registry.ErrConflict)
	// The same head, signed again, is no step back.
	write(t, s, federation.Update{Log: a.log, Before: 5, Checkpoint: large.Checkpoint})
}

func testViews(t *testing.T, open func() federation.Store) {
	s := open()
	a, b := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	first, second := a.view(10), a.view(20)
	write(t, s, federation.Update{Views: []federation.View{first, b.view(5)}})
	write(t, s, federation.Update{Views: []federation.View{second}})
	for range 2 {
		refuse(t, s, federation.Update{Views: []federation.View{first}}, registry.ErrStale)
		refuse(t, s, federation.Update{Views: []federation.View{a.view(20)}}, registry.ErrStale)
		write(t, s, federation.Update{Views: []federation.View{second}})
		if views := load(t, s).Views; len(views) != 2 || !slices.Contains(views, second.Record.Raw) {
			t.Errorf("%d views are stored, or not the newest", len(views))
		}
		s = open()
	}
}

func testCharters(t *testing.T, open func() federation.Store) {
	s := open()
	a := newBroker(t, "https://a.example")
	charter := a.charter(t)
	write(t, s, federation.Update{Charters: []*registry.SignedCharter{charter}})
	write(t, s, federation.Update{Charters: []*registry.SignedCharter{charter}})
	if got := load(t, open()).Charters; len(got) != 1 || string(got[0]) != string(charter.Raw) {
		t.Errorf("charters %q", got)
	}
}

func testEvidence(t *testing.T, open func() federation.Store) {
	s := open()
	a := newBroker(t, "https://a.example")
	update := a.grow(2)
	write(t, s, update)
	subject := update.Rows[1].Client
	proof := federation.Evidence{Kind: federation.EvidenceRecords, Subject: subject, A: "x", B: "y"}
	write(t, s, federation.Update{Evidence: []federation.Evidence{proof}})
	write(t, s, federation.Update{Evidence: []federation.Evidence{proof}})
	snapshot := load(t, open())
	if len(snapshot.Evidence) != 1 || snapshot.Evidence[0] != proof {
		t.Errorf("evidence %v", snapshot.Evidence)
	}
	if len(snapshot.Stops) != 1 || snapshot.Stops[0].CID != subject {
		t.Errorf("the records of a client with evidence are not among the stops: %v", snapshot.Stops)
	}
}

// testWriters lets several writers race for the same place in a log.
func testWriters(t *testing.T, open func() federation.Store) {
	s := open()
	const writers = 8
	brokers := make([]*broker, writers)
	for i := range brokers {
		brokers[i] = newBroker(t, "https://a.example")
		brokers[i].log = "one log"
	}
	won := make(chan *broker, writers)
	var group sync.WaitGroup
	for _, b := range brokers {
		u := b.grow(1)
		group.Go(func() {
			switch err := s.Write(t.Context(), u); {
			case err == nil:
				won <- b
			case !errors.Is(err, registry.ErrConflict) && !errors.Is(err, registry.ErrFork):
				t.Errorf("the loser of a race got %v", err)
			}
		})
	}
	group.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d writers won the same place", len(won))
	}
	if got := rows(t, open(), "one log", 0, 9); !reflect.DeepEqual(got, (<-won).rows) {
		t.Error("the entry is not the winner's")
	}
}

func load(t *testing.T, s federation.Store) *federation.Snapshot {
	t.Helper()
	snapshot, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func client(t *testing.T, s federation.Store, id string) []federation.Row {
	t.Helper()
	rows, err := s.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func rows(t *testing.T, s federation.Store, log string, from, to int64) []federation.Row {
	t.Helper()
	rows, err := s.Rows(t.Context(), log, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func write(t *testing.T, s federation.Store, u federation.Update) {
	t.Helper()
	if err := s.Write(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func refuse(t *testing.T, s federation.Store, u federation.Update, want error) {
	t.Helper()
	if err := s.Write(t.Context(), u); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
