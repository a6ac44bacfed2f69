// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// A stop counts on its signature alone, and is told and stored as any other.
// What has no effect outside of a log waits for it.
func TestHeardStop(t *testing.T) {
	s := newSeveral(t, 4)
	a, b, c := s.members[0], s.members[1], s.members[2]
	ids := a.register(3)
	b.pull(a, 1<<20)
	c.pull(a, 1<<20)
	own, foreign := a.suspend(ids[0]), b.suspend(ids[1])
	for _, stop := range []*registry.Record{own, foreign} {
		c.news = nil
		in := federation.Inbound{Heard: stop.Raw}
		c.accept(in, federation.New)
		c.accept(in, federation.Known)
		if len(c.news) != 1 || c.news[0].Heard != stop.Raw || c.news[0].Own {
			t.Errorf("news %+v", c.news)
		}
	}
	if got := c.stopped(); len(got) != 2 {
		t.Errorf("OnChange was told of %v", got)
	}
	lifted := a.append(revocation(ids[0], registry.Reinstate))
	vote := b.revoke(ids[2])
	c.accept(federation.Inbound{Heard: lifted.Raw}, federation.Gap)
	c.accept(federation.Inbound{Heard: vote.Raw}, federation.Gap)
	for range 2 {
		if c.status(ids[0]) != registry.ClientSuspended || c.status(ids[1]) != registry.ClientSuspended || c.status(ids[2]) != registry.ClientActive {
			t.Errorf("clients are %s, %s, %s", c.status(ids[0]), c.status(ids[1]), c.status(ids[2]))
		}
		if len(c.HeardStops()) != 2 {
			t.Errorf("%d heard stops", len(c.HeardStops()))
		}
		c.open()
	}
	if c.Vector().Rest == a.Vector().Rest {
		t.Error("a heard stop does not show in the vector")
	}
	s.meet()
	s.agree()
	if c.status(ids[0]) != registry.ClientActive || len(c.HeardStops()) != 0 || c.Vector().Rest != a.Vector().Rest {
		t.Error("the logs did not put it right")
	}
}

// A stop of a client that is not known yet is kept, and holds when the client
// comes.
func TestHeardBeforeItsClient(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	id := a.register(1)[0]
	first := a.gossip()
	b.accept(federation.Inbound{Heard: a.revoke(id).Raw}, federation.New)
	if b.status(id) != "not found" {
		t.Error("a client without a registration")
	}
	b.open()
	b.accept(first, federation.New)
	if b.status(id) != registry.ClientRevoked {
		t.Errorf("the client is %s", b.status(id))
	}
}

// What is no stop of a member is refused, and costs nothing.
func TestHeardRefusals(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	id := a.register(1)[0]
	c.pull(a, 1<<20)
	charter := a.Chain().Latest().CID
	fa, fb := forge(a), forge(b)
	seq1 := func(v *registry.Revocation) { v.Sequence, v.Previous = 1, id }
	stranger := *fb
	stranger.key = registry.GenerateSigningKey()
	inAsName := *fb
	inAsName.issuer = a.issuer
	for _, test := range []struct {
		name, raw string
		want      error
	}{
		{"a registration", fa.registration(nil).Raw, registry.ErrForm},
		{"a bad signature", spoil(fa.revocation(id, registry.Suspend, charter, seq1).Raw), registry.ErrSignature},
		{"a stranger", stranger.revocation(id, registry.Suspend, charter, nil).Raw, registry.ErrNotFound},
		{"in another's name", inAsName.revocation(id, registry.Suspend, charter, nil).Raw, registry.ErrSignature},
		{"another numbers the home's records", fb.revocation(id, registry.Suspend, charter, seq1).Raw, registry.ErrForm},
		{"of tomorrow", fa.revocation(id, registry.Suspend, charter, func(v *registry.Revocation) {
			seq1(v)
			v.IssuedAt += 3600
		}).Raw, registry.ErrStale},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.refuse(federation.Inbound{Heard: test.raw}, test.want)
			if len(c.HeardStops()) != 0 || c.status(id) != registry.ClientActive {
				t.Error("it counts")
			}
		})
	}
	c.accept(federation.Inbound{Heard: fb.revocation(id, registry.Suspend, registry.CID([]byte("a charter to come")), nil).Raw}, federation.Gap)
}

// fault 52: a record of the future has no effect before its time, wherever it
// stands.
func TestFault52Future(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	ids := a.register(2)
	f := forge(a)
	f.at += 3600
	early := f.registration(nil)
	f.add(early.Raw, f.update(ids[0], 1, ids[0], "Later").Raw)
	f.add(f.revocation(ids[1], registry.Revoke, a.Chain().Latest().CID, func(v *registry.Revocation) { v.Sequence, v.Previous = 1, ids[1] }).Raw)
	b.accept(f.all(), federation.New)
	check := func(status registry.ClientStatus, seq int64, stopped registry.ClientStatus) {
		t.Helper()
		state, err := b.Client(t.Context(), ids[0])
		if err != nil || b.status(early.CID) != status || state.Sequence != seq || b.status(ids[1]) != stopped {
			t.Errorf("%s, seq %d, %s, %v", b.status(early.CID), state.Sequence, b.status(ids[1]), err)
		}
	}
	check("not found", 0, registry.ClientActive)
	s.now = s.now.Add(time.Hour - 11*time.Second)
	check("not found", 0, registry.ClientActive)
	s.now = s.now.Add(time.Second)
	check(registry.ClientActive, 1, registry.ClientRevoked)
	b.refuse(federation.Inbound{View: a.view(func(v *registry.View) { v.IssuedAt = s.now.Unix() + 11 })}, registry.ErrStale)
	b.accept(federation.Inbound{View: a.view(func(v *registry.View) { v.IssuedAt = s.now.Unix() + 10 })}, federation.New)
}

// A vote that names an old charter counts where it stands in its author's log,
// and is refused anywhere else.
func TestOldVotes(t *testing.T) {
	s := newSeveral(t, 3, func(c *registry.Charter) { c.BanThreshold = 1 })
	a, b, c := s.members[0], s.members[1], s.members[2]
	ids := a.register(3)
	s.meet()
	f := forge(b)
	oldest := a.Chain().Latest().CID
	var charters []string
	for range 2 {
		next := successorOf(a.Chain())
		next.MaxAge++
		s.enact(next)
		charters = append(charters, a.Chain().Latest().CID)
	}
	for i, charter := range []string{oldest, charters[0], charters[1]} {
		vote := f.revocation(ids[i], registry.Revoke, charter, nil)
		if in := (federation.Inbound{Heard: vote.Raw}); i == 0 {
			c.refuse(in, registry.ErrStale)
		} else {
			c.accept(in, federation.Gap)
		}
		f.add(vote.Raw)
	}
	if c.status(ids[1]) != registry.ClientActive {
		t.Error("a vote that stands in no log counts")
	}
	c.accept(f.all(), federation.New)
	for _, id := range ids {
		if c.status(id) != registry.ClientRevoked {
			t.Errorf("client %s after the vote in the log", c.status(id))
		}
	}
}
