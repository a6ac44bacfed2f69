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

const year = 365 * 24 * time.Hour

// views has every member sign a view and hand it to all others, some time
// later. What a wrong clock makes of that is refused.
func (s *several) views(later time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(later)
	for _, m := range s.members {
		m.tick()
	}
	for _, from := range s.members {
		for _, v := range from.Views() {
			for _, to := range s.members {
				if v.Issuer != from.issuer || to == from {
					continue
				}
				if _, err := to.Accept(s.t.Context(), federation.Inbound{View: v.Raw}); err != nil && !errors.Is(err, registry.ErrStale) {
					s.t.Fatal(err)
				}
			}
		}
	}
}

// stale wants a member to mint nothing, for a reason, or to be fresh if none is
// given.
func (m *member) stale(reason string) {
	m.s.t.Helper()
	switch err := m.Fresh(m.s.now.Add(m.skew)); {
	case reason == "" && err != nil:
		m.s.t.Errorf("%s: %v", m.issuer, err)
	case reason != "" && (!errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), reason)):
		m.s.t.Errorf("%s: %v; want %q", m.issuer, err, reason)
	}
}

// fault 68: the clock of one member of a federation jumps by a day back, or by a
// year ahead. It mints and signs nothing then, the others do not notice, and a
// suspension that ends in between ends nowhere else.
func TestFault68JumpingClock(t *testing.T) {
	const behind = "behind the last thing that this broker signed"
	for name, test := range map[string]struct {
		members    int
		skew       time.Duration
		then, back string // why it is stale, and when the clock is right again
	}{
		"a day back, of three":   {3, -24 * time.Hour, behind, ""},
		"a day back, of two":     {2, -24 * time.Hour, behind, ""},
		"a year ahead, of three": {3, year, "views of 1 of 3 members, 2 needed", behind},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeveral(t, test.members)
			a, sick := s.members[0], s.members[test.members-1]
			id := a.register(1)[0]
			a.suspend(id)
			s.meet()
			s.views(31 * time.Second)
			for _, m := range s.members {
				m.stale("")
			}
			sick.skew = test.skew
			s.views(31 * time.Second)
			s.views(121 * time.Second)
			sick.stale(test.then)
			if test.skew < 0 {
				if _, _, err := sick.Append(t.Context(), federation.Draft{Registration: &registry.Registration{}}); !errors.Is(err, registry.ErrStale) {
					t.Errorf("it signs: %v", err)
				}
				running := sick.Replica
				if err := sick.tryOpen(); err == nil || !strings.Contains(err.Error(), behind) {
					t.Errorf("it starts: %v", err)
				}
				sick.Replica = running
			}
			for _, m := range s.members[:test.members-1] {
				m.stale("")
				if got := m.status(id); got != registry.ClientSuspended {
					t.Errorf("%s has the client %s", m.issuer, got)
				}
			}
			sick.skew = 0
			s.views(31 * time.Second)
			sick.stale(test.back)
			a.stale("")
		})
	}
}

// One other clock proves nothing: in a federation of two, the other member
// cannot make this broker stale by a view of the future.
func TestFault68LyingClockOfTwo(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	s.now = s.now.Add(time.Second)
	a.refuse(federation.Inbound{View: b.view(func(v *registry.View) { v.IssuedAt += int64(year / time.Second) })}, registry.ErrStale)
	a.stale("")
}

// A charter of a clock that was a year ahead is in force, and the next one can
// follow it.
func TestFault68CharterOfTheFuture(t *testing.T) {
	s := newSeveral(t, 2)
	a, b := s.members[0], s.members[1]
	b.skew = year
	draft := successorOf(b.Chain())
	draft.MaxAge = 60
	far, err := b.Propose(t.Context(), draft)
	if err != nil {
		t.Fatal(err)
	}
	a.accept(federation.Inbound{Charter: far.Raw}, federation.New)
	draft = successorOf(a.Chain())
	draft.MaxAge = 61
	draft.Members = append(draft.Members, activeMember("https://m3.example", registry.GenerateSigningKey()))
	next, err := a.Propose(t.Context(), draft)
	if err != nil || next.IssuedAt != far.IssuedAt {
		t.Fatalf("%v", err)
	}
	b.skew = 0
	b.accept(federation.Inbound{Charter: next.Raw}, federation.New)
	if _, err := b.Approve(t.Context(), next.CID); err != nil || b.Chain().Latest().Version != 3 {
		t.Errorf("%v", err)
	}
}
