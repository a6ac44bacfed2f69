// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// several are the replicas of one federation on one clock, without a network:
// tests carry what one has to another.
type several struct {
	t       *testing.T
	now     time.Time
	members []*member
}

type member struct {
	*federation.Replica
	s       *several
	key     registry.SigningKey
	issuer  string
	log     string
	store   *memstore.Store
	skew    time.Duration // of its clock
	changes []federation.Change
	news    []federation.News
}

func newSeveral(t *testing.T, n int, limits ...func(*registry.Charter)) *several {
	t.Helper()
	s := &several{t: t, now: time.Unix(1_800_000_000, 0)}
	c := federation.DefaultCharter()
	c.Version, c.IssuedAt = 1, s.now.Unix()
	var keys []registry.SigningKey
	for i := range n {
		m := s.newMember(i + 1)
		keys = append(keys, m.key)
		c.Members = append(c.Members, activeMember(m.issuer, m.key))
	}
	for _, limit := range limits {
		limit(&c)
	}
	charter, err := registry.NewCharter(c, keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.members {
		m.begin(charter)
	}
	return s
}

func activeMember(issuer string, key registry.SigningKey) registry.Member {
	return registry.Member{Issuer: issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: key.JWK()}}}
}

// newMember adds a broker that is not opened.
func (s *several) newMember(number int) *member {
	key := registry.GenerateSigningKey()
	m := &member{s: s, key: key, log: key.ID(), issuer: fmt.Sprintf("https://m%d.example", number), store: new(memstore.Store)}
	s.members = append(s.members, m)
	return m
}

// begin stores the charter and the head of an empty log, and opens it.
func (m *member) begin(charter *registry.SignedCharter) {
	t := m.s.t
	t.Helper()
	head, err := registry.SignCheckpoint(m.key, registry.Origin(m.issuer), 0, registry.EmptyRoot())
	if err != nil {
		t.Fatal(err)
	}
	u := federation.Update{Log: m.log, Own: true, Checkpoint: head, Charters: []*registry.SignedCharter{charter}}
	if err := m.store.Write(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	m.open()
}

// open opens the replica on what is stored, as a process that starts again.
func (m *member) open() {
	m.s.t.Helper()
	if err := m.tryOpen(); err != nil {
		m.s.t.Fatal(err)
	}
}

func (m *member) tryOpen() (err error) {
	m.changes = nil
	m.Replica, err = federation.Open(m.s.t.Context(), federation.Config{
		Store: m.store, Key: m.key, Issuer: m.issuer, Now: func() time.Time { return m.s.now.Add(m.skew) },
		Log: slog.New(slog.DiscardHandler), CacheSize: 4,
		OnChange: func(c federation.Change) { m.changes = append(m.changes, c) },
	})
	if err == nil {
		m.Follow(func(n federation.News) { m.news = append(m.news, n) })
	}
	return err
}

func (m *member) append(d federation.Draft) *registry.Record {
	m.s.t.Helper()
	record, _, err := m.Append(m.s.t.Context(), d)
	if err != nil {
		m.s.t.Fatal(err)
	}
	return record
}

func (m *member) register(n int) (ids []string) {
	m.s.t.Helper()
	for range n {
		ids = append(ids, m.append(federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}}).CID)
	}
	return ids
}

func (m *member) suspend(id string) *registry.Record {
	return m.append(revocation(id, registry.Suspend))
}
func (m *member) revoke(id string) *registry.Record { return m.append(revocation(id, registry.Revoke)) }

// accept hands something over and wants an outcome without an error.
func (m *member) accept(in federation.Inbound, want federation.Outcome) {
	m.s.t.Helper()
	if got, err := m.Accept(m.s.t.Context(), in); got != want || err != nil {
		m.s.t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// refuse hands something over and wants an error, and nothing to change.
func (m *member) refuse(in federation.Inbound, want error) {
	m.s.t.Helper()
	before := fmt.Sprint(m.Vector(), m.StopList().Hash())
	if got, err := m.Accept(m.s.t.Context(), in); !errors.Is(err, want) || got != federation.Known {
		m.s.t.Errorf("%v, %v; want %v", got, err, want)
	}
	if want != registry.ErrFork && fmt.Sprint(m.Vector(), m.StopList().Hash()) != before {
		m.s.t.Errorf("what was refused changed the replica")
	}
}

// since is a piece of a log as m hands it out.
func (m *member) since(log string, from int64, maxBytes int) *federation.Suffix {
	m.s.t.Helper()
	suffix, err := m.Since(m.s.t.Context(), log, from, maxBytes)
	if err != nil {
		m.s.t.Fatal(err)
	}
	return suffix
}

// gossip is the newest entry of the own log as it is published.
func (m *member) gossip() federation.Inbound {
	for i := len(m.news) - 1; ; i-- {
		if n := m.news[i]; n.Own && n.Suffix != nil {
			return n.Inbound
		}
	}
}

// wants is from where m would pull a log from the other; -1: not at all.
func (m *member) wants(other *member, log string) int64 {
	m.s.t.Helper()
	wants, err := m.Wants(m.s.t.Context(), other.Vector())
	if err != nil {
		m.s.t.Fatal(err)
	}
	for _, w := range wants {
		if w.Log == log {
			return w.From
		}
	}
	return -1
}

// pull brings m to what the other has, in pieces of that many bytes.
func (m *member) pull(other *member, maxBytes int) {
	m.s.t.Helper()
	m.take(other)
	for range 1000 {
		wants, err := m.Wants(m.s.t.Context(), other.Vector())
		if err != nil {
			m.s.t.Fatal(err)
		}
		moved := false
		for _, w := range wants {
			piece := other.since(w.Log, w.From, maxBytes)
			got, err := m.Accept(m.s.t.Context(), federation.Inbound{Suffix: piece})
			if err != nil && !errors.Is(err, registry.ErrFork) && !errors.Is(err, registry.ErrConflict) {
				m.s.t.Fatalf("pull %v: %v", w, err)
			}
			moved = moved || got == federation.New || got == federation.Gap
		}
		if !moved {
			return
		}
	}
	m.s.t.Fatal("a pull does not end")
}

// take brings m what stands in no log.
func (m *member) take(other *member) {
	m.s.t.Helper()
	var all []federation.Inbound
	for _, raw := range other.Charters(1) {
		all = append(all, federation.Inbound{Charter: raw})
	}
	for _, raw := range other.EvidenceDocuments() {
		all = append(all, federation.Inbound{Evidence: raw})
	}
	for _, raw := range other.HeardStops() {
		all = append(all, federation.Inbound{Heard: raw})
	}
	for _, v := range other.Views() {
		all = append(all, federation.Inbound{View: v.Raw})
	}
	for _, in := range all {
		_, err := m.Accept(m.s.t.Context(), in)
		if err != nil && !errors.Is(err, registry.ErrStale) && !errors.Is(err, registry.ErrConflict) && !errors.Is(err, registry.ErrNotFound) {
			m.s.t.Fatalf("hand over %+v: %v", in, err)
		}
	}
}

// meet lets all pull from all until nothing moves.
func (s *several) meet() {
	s.t.Helper()
	for range 3 {
		for _, a := range s.members {
			for _, b := range s.members {
				if a != b {
					a.pull(b, 1<<20)
				}
			}
		}
	}
}

// agree wants one stop list at all members.
func (s *several) agree() {
	s.t.Helper()
	want := s.members[0].StopList()
	for _, m := range s.members[1:] {
		if got := m.StopList(); got.Hash() != want.Hash() {
			s.t.Errorf("stop list of %s:\n%s\nof %s:\n%s", m.issuer, got.Bytes(), s.members[0].issuer, want.Bytes())
		}
	}
}

func (m *member) status(id string) registry.ClientStatus {
	m.s.t.Helper()
	state, err := m.Client(m.s.t.Context(), id)
	if errors.Is(err, registry.ErrNotFound) {
		return "not found"
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
	return state.Status
}

// stopped are the clients that OnChange was told are stopped, since the last
// call.
func (m *member) stopped() (ids []string) {
	for _, c := range m.changes {
		if c.Client != "" && c.Stopped {
			ids = append(ids, c.Client)
		}
	}
	m.changes = nil
	return ids
}

// view signs a view of the member, which need not be what it thinks.
func (m *member) view(change func(*registry.View)) string {
	m.s.t.Helper()
	v := registry.View{
		Claims: registry.Claims{Issuer: m.issuer, IssuedAt: m.s.now.Unix()}, Charter: m.Chain().Latest().CID,
		LogRoot: m.StopList().Hash(), StopHash: m.StopList().Hash(), StopCount: m.StopList().Count(),
	}
	if change != nil {
		change(&v)
	}
	record, err := registry.SignView(m.key, v)
	if err != nil {
		m.s.t.Fatal(err)
	}
	return record.Raw
}

// tick lets a replica sign a view that is due.
func (m *member) tick() {
	ctx, cancel := context.WithCancel(m.s.t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		m.s.t.Fatal(err)
	}
}
