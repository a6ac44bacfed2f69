// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Views of a quorum make a replica fresh, and only new ones of members do.
func TestAcceptView(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	if err := a.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Fatalf("fresh by its own view alone: %v", err)
	}
	v := b.view(nil)
	a.news = nil
	a.accept(federation.Inbound{View: v}, federation.New)
	a.accept(federation.Inbound{View: v}, federation.Known)
	if len(a.news) != 1 || a.news[0].View != v {
		t.Errorf("news %+v", a.news)
	}
	if err := a.Fresh(s.now); err != nil {
		t.Error(err)
	}
	a.refuse(federation.Inbound{View: b.view(nil)}, registry.ErrStale) // of the same second
	s.now = s.now.Add(time.Second)
	stranger := &member{s: s, key: registry.GenerateSigningKey(), issuer: "https://stranger.example", Replica: c.Replica}
	impostor := &member{s: s, key: stranger.key, issuer: c.issuer, Replica: c.Replica}
	a.refuse(federation.Inbound{View: stranger.view(nil)}, registry.ErrNotFound)
	a.refuse(federation.Inbound{View: impostor.view(nil)}, registry.ErrSignature)
	a.refuse(federation.Inbound{View: spoil(c.view(nil))}, registry.ErrSignature)
	a.refuse(federation.Inbound{View: forge(c).registration(nil).Raw}, registry.ErrForm)
	a.accept(federation.Inbound{View: b.view(nil)}, federation.New)
	a.open()
	a.refuse(federation.Inbound{View: v}, registry.ErrStale)
	if err := a.Fresh(s.now); err != nil {
		t.Error(err)
	}
	if got := len(a.Views()); got != 2 {
		t.Errorf("%d views", got)
	}
}

// fault 68, what others' clocks say: one that lags a quorum of them mints
// nothing and names the skew; one member whose clock is ahead changes nothing.
func TestFault68LaggingClock(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	fresh := func() {
		t.Helper()
		s.now = s.now.Add(time.Second)
		a.accept(federation.Inbound{View: b.view(nil)}, federation.New)
		a.accept(federation.Inbound{View: c.view(nil)}, federation.New)
		if err := a.Fresh(s.now); err != nil {
			t.Fatal(err)
		}
	}
	fresh()
	ahead := func(m *member, by int64) federation.Inbound {
		return federation.Inbound{View: m.view(func(v *registry.View) { v.IssuedAt = s.now.Unix() + by })}
	}
	s.now = s.now.Add(time.Second)
	a.refuse(ahead(b, 3600), registry.ErrStale)
	if err := a.Fresh(s.now); err != nil {
		t.Errorf("one clock that is ahead: %v", err)
	}
	a.refuse(ahead(c, 42), registry.ErrStale)
	err := a.Fresh(s.now)
	if !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), "42 s behind the clocks of 2 other members") {
		t.Errorf("two clocks that are ahead: %v", err)
	}
	for range 11 {
		s.now = s.now.Add(10 * time.Second)
		if err := a.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
			t.Fatalf("the clock still lags: %v", err)
		}
	}
	// After max_age without such views nothing is known of their clocks.
	s.now = s.now.Add(11 * time.Second)
	if err := a.Fresh(s.now); !errors.Is(err, registry.ErrStale) || strings.Contains(err.Error(), "behind") {
		t.Errorf("long after such views: %v", err)
	}
	s.now = s.now.Add(time.Hour)
	fresh()
}

// The replica does not sign with a key that somebody else uses, nor mint
// when the charter has stopped it.
func TestSuspendedBrokerMintsNothing(t *testing.T) {
	s := newSeveral(t, 3)
	a, b, c := s.members[0], s.members[1], s.members[2]
	s.now = s.now.Add(time.Second)
	c.accept(federation.Inbound{View: a.view(nil)}, federation.New)
	if err := c.Fresh(s.now); err != nil {
		t.Fatal(err)
	}
	next := successorOf(a.Chain())
	next.Members[2].State = registry.MemberSuspended
	s.enact(next)
	if err := c.Fresh(s.now); !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), "this broker is suspended") {
		t.Errorf("suspended: %v", err)
	}
	s.now = s.now.Add(time.Minute)
	before := c.Views()
	c.tick()
	if len(c.Views()) != len(before) || len(a.Views()) > 2 {
		t.Error("a suspended member signs views")
	}
	b.refuse(federation.Inbound{View: c.view(nil)}, registry.ErrNotFound)
}

// One member that changes the stop list all the time keeps nobody from knowing
// that a quorum knows no more: views of lists that were held before count.
func TestViewsOfFormerLists(t *testing.T) {
	s := newSeveral(t, 5)
	a, b, c, evil := s.members[0], s.members[1], s.members[2], s.members[3]
	ids := evil.register(3)
	s.meet()
	for i := range 3 { // each knows of one more
		evil.suspend(ids[i])
		for _, later := range []*member{c, b, a}[i:] {
			later.pull(evil, 1<<20)
		}
	}
	s.now = s.now.Add(10 * time.Minute)
	a.tick()
	if err := a.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Fatalf("its own view is no quorum: %v", err)
	}
	odd := func(v *registry.View) { v.StopCount++ }
	a.accept(federation.Inbound{View: b.view(nil)}, federation.New)
	a.accept(federation.Inbound{View: evil.view(odd)}, federation.New)
	a.accept(federation.Inbound{View: s.members[4].view(func(v *registry.View) { v.StopHash = a.log })}, federation.New)
	if err := a.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Fatalf("two of five: %v", err)
	}
	a.accept(federation.Inbound{View: c.view(nil)}, federation.New)
	if b.StopList().Hash() == c.StopList().Hash() || a.StopList().Hash() == b.StopList().Hash() {
		t.Fatal("they hold the same")
	}
	if err := a.Fresh(s.now); err != nil {
		t.Error(err)
	}
	if err := c.Fresh(s.now); !errors.Is(err, registry.ErrStale) {
		t.Errorf("the one that knows least: %v", err)
	}
}
