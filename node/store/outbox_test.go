// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/site/protocol"
)

func openAt(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func event(site string, n int) notify.Message {
	return notify.Message{
		Site: site,
		Event: protocol.Event{
			Issuer: "https://broker.example", Audience: "https://wiki.example", ID: fmt.Sprintf("event-%016d", n),
			TokenRevoked: &protocol.TokenRevoked{TokenHash: protocol.TokenHash(fmt.Sprint(n)), ExpiresAt: 1790000000, Reason: "x"},
		},
		ExpiresAt: int64(1790000000 + n),
	}
}

// order returns the numbers of the events that wait for site.
func order(t *testing.T, s *store.Store, site string, max int) []string {
	t.Helper()
	all, err := s.Queued(t.Context(), site, max)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range all {
		ids = append(ids, strings.TrimLeft(strings.TrimPrefix(m.Event.ID, "event-"), "0"))
	}
	return ids
}

func TestOutboxTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comity.db")
	s := openAt(t, path)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(s *store.Store, site string, max int, ids ...string) {
		t.Helper()
		if got := order(t, s, site, max); !slices.Equal(got, ids) {
			t.Errorf("%s: %v, want %v", site, got, ids)
		}
	}
	ctx := t.Context()
	must(s.Enqueue(ctx, event("b", 3), event("a", 2), event("a", 1), event("c", 5)))
	must(s.Enqueue(ctx, event("a", 2), event("a", 4))) // 2 is there already
	want(s, "a", 9, "2", "1", "4")
	want(s, "a", 2, "2", "1")
	want(s, "none", 9)
	if got, err := s.QueuedSites(ctx); err != nil || !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("sites: %v, %v", got, err)
	}
	all, err := s.Queued(ctx, "a", 1)
	must(err)
	if m := event("a", 2); all[0].ExpiresAt != m.ExpiresAt || *all[0].Event.TokenRevoked != *m.Event.TokenRevoked {
		t.Errorf("got %+v", all[0])
	}
	select {
	case <-s.QueueChanged():
	default:
		t.Error("nobody was told")
	}

	must(s.Postpone(ctx, "a", event("", 2).Event.ID))
	must(s.SiteSeen(ctx, "a", 1))
	select {
	case <-s.QueueChanged():
		t.Error("told of nothing new")
	default:
	}
	want(s, "a", 9, "1", "4", "2")
	must(s.Enqueue(ctx, event("a", 6)))
	want(s, "a", 9, "1", "4", "2", "6")
	must(s.Dequeue(ctx, []notify.Done{{Site: "a", ID: event("", 4).Event.ID}, {Site: "c", ID: event("", 5).Event.ID},
		{Site: "b", ID: event("", 1).Event.ID}, {Site: "none", ID: "x"}}))
	want(s, "a", 9, "1", "2", "6")
	must(s.Close())

	again := openAt(t, path)
	want(again, "a", 9, "1", "2", "6")
	want(again, "b", 9, "3")
	if n, err := again.QueueDepth(ctx); n != 4 || err != nil {
		t.Errorf("depth is %d, %v", n, err)
	}
	if got, err := again.QueuedSites(ctx); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("sites: %v, %v", got, err)
	}
	must(again.Dequeue(ctx, []notify.Done{{Site: "a", ID: event("", 1).Event.ID}, {Site: "a", ID: event("", 2).Event.ID},
		{Site: "a", ID: event("", 6).Event.ID}, {Site: "b", ID: event("", 3).Event.ID}}))
	if got, err := again.QueuedSites(ctx); err != nil || len(got) != 0 {
		t.Errorf("sites: %v, %v", got, err)
	}
}

// What could not be sent, or not be read again, does not get in, and nothing
// that stands beside it does.
func TestOutboxRefusesBadEvents(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "comity.db"))
	for name, alter := range map[string]func(*notify.Message){
		"no jti":   func(m *notify.Message) { m.Event.ID = "" },
		"no site":  func(m *notify.Message) { m.Site = "" },
		"no event": func(m *notify.Message) { m.Event.TokenRevoked = nil },
		"token in clear": func(m *notify.Message) {
			m.Event.TokenRevoked = &protocol.TokenRevoked{TokenHash: "token", ExpiresAt: 1, Reason: "x"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := event("a", 2)
			alter(&m)
			if err := s.Enqueue(t.Context(), event("a", 1), m); err == nil {
				t.Error("no error")
			}
			if n, err := s.QueueDepth(t.Context()); n != 0 || err != nil {
				t.Errorf("depth is %d, %v", n, err)
			}
		})
	}
}

func TestSitesTable(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "comity.db"))
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rule := func(resource string, want sites.Rule) {
		t.Helper()
		if got, err := s.SiteRule(ctx, resource); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", resource, got, err, want)
		}
	}
	rule("a", sites.NoRule)
	must(s.SetSiteRule(ctx, "b", sites.Denied))
	must(s.SiteSeen(ctx, "a", 100))
	must(s.SiteSeen(ctx, "a", 300))
	must(s.SiteSeen(ctx, "a", 200)) // times never go back
	must(s.SiteSeen(ctx, "b", 50))
	rule("a", sites.NoRule)
	rule("b", sites.Denied)
	must(s.SetSiteRule(ctx, "b", sites.Allowed))
	rule("b", sites.Allowed)
	if s.SetSiteRule(ctx, "b", "perhaps") == nil {
		t.Error("a rule that does not exist was stored")
	}
	got, err := s.ListSites(ctx)
	want := []sites.Entry{{Resource: "a", FirstSeen: 100, LastSeen: 300}, {Resource: "b", Rule: sites.Allowed, FirstSeen: 50, LastSeen: 50}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}
