// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// A peer that is no member and has no replica is told the federation id and one
// address. It reads charter, heads and clients, after the home is gone too, and
// checks all of it.
func TestDHTLightReader(t *testing.T) {
	w := newDHTWorld(t, 5)
	home := w.members[1]
	app, stopped := home.register("App"), home.register("Stopped")
	home.append(update(app))
	w.share()
	w.start()
	for _, m := range w.members {
		m.run()
	}
	home.append(revocation(stopped, registry.Revoke))
	for _, key := range []string{clientKey(app), clientKey(stopped), logKey(home), "/charter/" + w.federation(), "/charter/" + w.federation() + "/1"} {
		for _, m := range w.members {
			eventually(t, m.issuer+" holds "+key, func() bool { return m.dir.Holds(t.Context(), key) })
		}
	}
	home.leave()
	home.host.Close()

	r, err := w.reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Chain().Latest(); got.CID != w.federation() || len(got.Members) != 5 {
		t.Errorf("charter %s with %d members", got.CID, len(got.Members))
	}
	s, err := r.Client(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if s.Home != home.issuer || s.First.CID != app || s.Registration.Registration.Name != "Renamed" || len(s.Stops) != 0 {
		t.Errorf("client %+v", s)
	}
	if s, err = r.Client(t.Context(), stopped); err != nil {
		t.Fatal(err)
	}
	if because := s.Stopped(r.Chain(), w.now); len(because) != 1 || because[0].Revocation.Action != registry.Revoke {
		t.Errorf("the revoked client is stopped by %v", because)
	}
	log, err := r.Log(t.Context(), home.issuer)
	if err != nil {
		t.Fatal(err)
	}
	if log.Checkpoint.Size < 4 || log.Broker == nil || log.Broker.Broker.Peers[0].ID != home.host.ID().String() {
		t.Errorf("head of size %d, broker record %v", log.Checkpoint.Size, log.Broker)
	}
	if _, err := r.Client(t.Context(), registry.CID([]byte("nobody"))); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a client that nobody registered: %v", err)
	}
	if _, err := r.Client(t.Context(), "app"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("what is no client_id: %v", err)
	}
	if _, err := r.Log(t.Context(), "https://stranger.example"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("log of a stranger: %v", err)
	}
}

// The reader asks the members that it learnt of, not only the one that it was
// told: that one knows nothing of the client.
func TestDHTReaderAsksAll(t *testing.T) {
	w := newDHTWorld(t, 4)
	home, told, keeper := w.members[1], w.members[0], w.members[2]
	id := home.register("App")
	w.start()
	if !w.stranger().put(keeper, clientKey(id), home.value(clientKey(id))) {
		t.Fatal("the put was refused")
	}
	home.leave()
	home.host.Close()
	if told.dir.Holds(t.Context(), clientKey(id)) {
		t.Fatal("the first member holds the client")
	}
	r, err := w.reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := r.Client(t.Context(), id); err != nil || s.ID != id {
		t.Errorf("client %+v, %v", s, err)
	}
}

// Two members show two truths about a client: one an old registration with
// another member's vote, one the new registration. The reader has both.
func TestDHTReaderPutsTogether(t *testing.T) {
	w := newDHTWorld(t, 5)
	home, voter := w.members[1], w.members[2]
	id := home.register("App")
	w.share()
	voter.append(revocation(id, registry.Revoke))
	older := voter.value(clientKey(id))
	home.append(update(id))
	newer := home.value(clientKey(id))
	w.members[3].forget()
	w.members[4].forget()
	w.start()
	s := w.stranger()
	if !s.put(w.members[3], clientKey(id), older) || !s.put(w.members[4], clientKey(id), newer) {
		t.Fatal("a put was refused")
	}
	r, err := w.reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Registration.Registration.Sequence != 1 || len(got.Stops) != 1 || got.Stops[0].Issuer != voter.issuer {
		t.Errorf("put together: seq %d, %d stops", got.Registration.Registration.Sequence, len(got.Stops))
	}
}

// The reader follows the charters step by step from the first, and is not
// satisfied with fewer than it was told to find.
func TestDHTReaderCharters(t *testing.T) {
	w := newDHTWorld(t, 3)
	chain := w.members[0].Chain()
	for range 3 {
		chain = w.amend(chain, nil)
	}
	for _, m := range w.members {
		for v := int64(2); v <= 4; v++ {
			m.write(federation.Update{Charters: []*registry.SignedCharter{chain.Version(v)}})
		}
		m.open()
	}
	w.start()
	for _, m := range w.members {
		m.run()
	}
	for _, key := range []string{"", "/1", "/2", "/3", "/4"} {
		key = "/charter/" + w.federation() + key
		eventually(t, "it holds "+key, func() bool { return w.members[0].dir.Holds(t.Context(), key) })
	}
	r, err := w.reader(func(cfg *federation.LightReaderConfig) { cfg.Charter = chain.Version(3).CID })
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Chain().Latest(); got.CID != chain.Latest().CID {
		t.Errorf("newest charter is version %d, want 4", got.Version)
	}
	later := w.amend(chain, nil)
	if _, err := w.reader(func(cfg *federation.LightReaderConfig) { cfg.Charter = later.Latest().CID }); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a pinned charter that nobody shows: %v", err)
	}
	if _, err := w.reader(func(cfg *federation.LightReaderConfig) { cfg.Federation = registry.CID([]byte("another")) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a federation of which these peers are not: %v", err)
	}
}

// amend makes the next version of the charter, signed by the first members;
// all, if signers is nil.
func (w *dhtWorld) amend(chain *registry.Chain, change func(*registry.Charter), signers ...*dhtMember) *registry.Chain {
	w.t.Helper()
	grown, err := chain.Extend(w.successor(chain, change, signers...))
	if err != nil {
		w.t.Fatal(err)
	}
	return grown
}

func (w *dhtWorld) successor(chain *registry.Chain, change func(*registry.Charter), signers ...*dhtMember) *registry.SignedCharter {
	w.t.Helper()
	c := chain.Latest().Charter
	c.Version++
	c.Previous, c.IssuedAt = chain.Latest().CID, c.IssuedAt+1
	c.Members = append([]registry.Member(nil), c.Members...)
	if change != nil {
		change(&c)
	}
	if signers == nil {
		signers = w.members
	}
	var keys []registry.SigningKey
	for _, m := range signers {
		keys = append(keys, m.key)
	}
	signed, err := registry.NewCharter(c, keys...)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

// What a reader puts together from the answers of several peers: one that tells
// of a stop is enough.
func TestSightingStopped(t *testing.T) {
	w := newDHTWorld(t, 5)
	home := w.members[0]
	id := home.register("App")
	chain := home.Chain()
	sight := func(raws ...*registry.Record) *federation.Sighting {
		state, err := home.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return &federation.Sighting{ID: id, Home: home.issuer, First: state.First, Registration: state.Registration, Stops: raws}
	}
	var votes []*registry.Record
	for _, m := range w.members[1:4] {
		m.copy(home)
		m.open()
		votes = append(votes, m.append(revocation(id, registry.Revoke)))
	}
	foreign := w.members[1].append(revocation(id, registry.Suspend))
	suspended := home.append(revocation(id, registry.Suspend))
	for _, test := range []struct {
		name  string
		shown []*registry.Record
		after time.Duration
		want  int
	}{
		{"nothing", nil, 0, 0},
		{"two votes of three", votes[:2], 0, 0},
		{"a ban", votes, 0, 3},
		{"another member's suspension", []*registry.Record{foreign}, 0, 1},
		{"and after its end", []*registry.Record{foreign}, 25 * time.Hour, 0},
		{"the home's suspension", []*registry.Record{suspended}, 1000 * time.Hour, 1},
		{"both", []*registry.Record{suspended, foreign}, 0, 2},
	} {
		if got := sight(test.shown...).Stopped(chain, w.now.Add(test.after)); len(got) != test.want {
			t.Errorf("%s: stopped by %d records, want %d", test.name, len(got), test.want)
		}
	}
	reinstated := home.append(revocation(id, registry.Reinstate))
	if got := sight(suspended, reinstated).Stopped(chain, w.now); len(got) != 0 {
		t.Errorf("reinstated: stopped by %d records", len(got))
	}
	revoked := home.append(revocation(id, registry.Revoke))
	if got := sight(revoked, reinstated).Stopped(chain, w.now.Add(10_000*time.Hour)); len(got) != 1 || got[0] != revoked {
		t.Errorf("revoked: stopped by %d records", len(got))
	}
}
