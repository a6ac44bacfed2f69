// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// stopOf fails unless err says that something was stopped, and returns what.
func stopOf(t testing.TB, err error) *site.StoppedError {
	t.Helper()
	var stop *site.StoppedError
	if !errors.As(err, &stop) || !errors.Is(err, registry.ErrRevoked) {
		t.Fatalf("got %v, want a *StoppedError", err)
	}
	return stop
}

// TestClient: an app is verified as at a login, and each refusal can be told
// from the others.
func TestClient(t *testing.T) {
	f := newFederation(t, 3)
	a, b := f.brokers[0], f.brokers[1]
	app, denied, suspended, revoked, ofC := a.register(metadata()), a.register(metadata()), a.register(metadata()), a.register(metadata()), f.brokers[2].register(metadata())
	until := f.clock.Unix() + 3600
	a.stop(suspended, registry.Suspend, func(r *registry.Revocation) { r.Until = until })
	a.stop(revoked, registry.Revoke, func(r *registry.Revocation) { r.Reason = "malicious" })
	f.clock.Advance(time.Second)
	s := newSite(t, f, func(c *site.Config) {
		c.Brokers, c.Apps = c.Brokers[:2], rules{b.issuer: {Deny: []string{denied}}}
	})
	c, err := s.Client(t.Context(), b.issuer, app)
	if err != nil || c.ID != app || c.Home != a.issuer || c.Name != "Test App" || c.URI != "https://app.example/" ||
		!c.AllowsRedirect(callback) || c.AllowsRedirect(callback+"/") {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := s.Client(t.Context(), a.issuer, denied); err != nil {
		t.Errorf("denied at another broker: %v", err)
	}
	for _, c := range []struct {
		name, broker, id string
		want             error
	}{
		{"denied", b.issuer, denied, site.ErrDenied},
		{"no broker of the site", f.brokers[2].issuer, ofC, site.ErrDenied},
		{"unknown", a.issuer, registry.CID([]byte("x")), registry.ErrNotFound},
		{"no client_id", a.issuer, "../status", registry.ErrNotFound},
		{"describes itself, not wanted", a.issuer, "https://app.example/client.json", registry.ErrNotFound},
		{"suspended", b.issuer, suspended, registry.ErrRevoked},
		{"revoked", b.issuer, revoked, registry.ErrRevoked},
	} {
		if got, err := s.Client(t.Context(), c.broker, c.id); got != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	f.amend(func(c *registry.Charter) { c.Members[2].State = registry.MemberSuspended })
	s.poll(time.Second)
	_, err = s.Client(t.Context(), a.issuer, ofC)
	if stop := stopOf(t, err); stop.Final || stop.Reason != "" {
		t.Errorf("an app of a suspended home: %+v", stop)
	}
	b.lie(func(w http.ResponseWriter, r *http.Request) bool {
		r.URL.Path = "/federation/clients/" + denied // the truth, about another app
		return false
	})
	c, err = s.Client(t.Context(), b.issuer, app)
	for _, other := range []error{nil, site.ErrDenied, registry.ErrRevoked, registry.ErrNotFound, registry.ErrStale} {
		if c != nil || errors.Is(err, other) {
			t.Errorf("unproven: %v, %v", c, err)
		}
	}
	f.clock.Advance(121 * time.Second)
	if _, err := s.Client(t.Context(), a.issuer, app); !errors.Is(err, registry.ErrStale) {
		t.Errorf("stale: %v", err)
	}
}

// TestAlive: what ends credentials of the site's own, however the site learns
// of it.
func TestAlive(t *testing.T) {
	now := newClock().Unix() // of every federation here
	for _, c := range []struct {
		name  string
		stop  func(f *federation, s *testSite, app string)
		want  error // nil: alive
		check func(*site.StoppedError) bool
	}{
		{"nothing", func(*federation, *testSite, string) {}, nil, nil},
		{"a revocation, polled", func(f *federation, s *testSite, app string) {
			f.brokers[0].stop(app, registry.Revoke, func(r *registry.Revocation) { r.Reason = "malicious" })
			s.poll(time.Second)
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return e.Final && e.Reason == "malicious" && e.Until == 0 }},
		{"a revocation, told", func(f *federation, s *testSite, app string) {
			s.tell(f.brokers[1], app, true, f.brokers[0].stop(app, registry.Revoke, nil))
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return e.Final && e.Reason == "policy" }},
		{"a suspension, polled", func(f *federation, s *testSite, app string) {
			f.brokers[1].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Until = now + 3600 })
			s.poll(time.Second)
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return !e.Final && e.Reason == "policy" && e.Until == now+3600 }},
		{"a suspension, told", func(f *federation, s *testSite, app string) {
			s.tell(f.brokers[1], app, true, f.brokers[1].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Until = now + 3600 }))
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return !e.Final && e.Until == now+3600 }},
		{"a suspension, told and over", func(f *federation, s *testSite, app string) {
			s.tell(f.brokers[1], app, true, f.brokers[1].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Until = now + 3600 }))
			s.poll(3601 * time.Second)
		}, nil, nil},
		{"a suspension with a cutoff, told", func(f *federation, s *testSite, app string) {
			s.tell(f.brokers[0], app, true, f.brokers[0].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = now }))
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return e.Final && e.Reason == "policy" }},
		{"a cutoff, told, of an app that is back", func(f *federation, s *testSite, app string) {
			s.tell(f.brokers[0], app, true, f.brokers[0].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = now }))
			s.tell(f.brokers[0], app, false, f.brokers[0].stop(app, registry.Reinstate, nil))
			s.poll(time.Minute)
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return e.Final && e.Reason == "" }},
		{"a cutoff, polled, of an app that is back", func(f *federation, s *testSite, app string) {
			f.brokers[0].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = now })
			f.brokers[0].stop(app, registry.Reinstate, nil)
			s.poll(time.Second)
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return e.Final }},
		{"an earlier cutoff", func(f *federation, s *testSite, app string) {
			f.brokers[0].stop(app, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = now - 1 })
			s.tell(f.brokers[0], app, true, f.brokers[0].stop(app, registry.Reinstate, nil))
			s.poll(time.Second)
		}, nil, nil},
		{"its broker takes all back", func(f *federation, s *testSite, app string) {
			post(s.t, s.url("/comity/events"), f.brokers[1].event(s.config.Resource, func(e *protocol.Event) {
				e.TokensRevoked = &protocol.TokensRevoked{ClientID: app, Cutoff: now, Reason: "policy"}
			}))
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return e.Final }},
		{"another broker takes its own back", func(f *federation, s *testSite, app string) {
			post(s.t, s.url("/comity/events"), f.brokers[0].event(s.config.Resource, func(e *protocol.Event) {
				e.TokensRevoked = &protocol.TokensRevoked{ClientID: app, Cutoff: now, Reason: "policy"}
			}))
		}, nil, nil},
		{"its home is stopped", func(f *federation, s *testSite, app string) {
			f.amend(func(c *registry.Charter) { c.Members[0].State = registry.MemberSuspended })
			s.poll(time.Second)
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return !e.Final }},
		{"its broker is stopped", func(f *federation, s *testSite, app string) {
			f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberSuspended })
			s.poll(time.Second)
		}, registry.ErrRevoked, func(e *site.StoppedError) bool { return !e.Final }},
		{"another broker is stopped", func(f *federation, s *testSite, app string) {
			f.amend(func(c *registry.Charter) { c.Members[2].State = registry.MemberSuspended })
			s.poll(time.Second)
		}, nil, nil},
		{"the owner denies the app", func(f *federation, s *testSite, app string) {
			s.config.Apps = rules{"": {Deny: []string{app}}}
			s.reopen()
		}, site.ErrDenied, nil},
		{"the owner denies its home at this broker", func(f *federation, s *testSite, app string) {
			s.config.Apps = rules{f.brokers[1].issuer: {Deny: []string{f.brokers[0].issuer}}}
			s.reopen()
		}, site.ErrDenied, nil},
		{"the owner denies it at another broker", func(f *federation, s *testSite, app string) {
			s.config.Apps = rules{f.brokers[2].issuer: {Deny: []string{app}}}
			s.reopen()
		}, nil, nil},
		{"the owner takes the broker out", func(f *federation, s *testSite, app string) {
			s.config.Brokers = []string{f.brokers[0].issuer}
			s.reopen()
		}, site.ErrDenied, nil},
		{"the site is stale", func(f *federation, s *testSite, app string) {
			f.silence()
			f.clock.Advance(121 * time.Second)
		}, registry.ErrStale, nil},
		{"the site is stale, which its owner accepts", func(f *federation, s *testSite, app string) {
			s.config.WhenStale = site.AcceptWhenStale
			s.reopen()
			f.silence()
			f.clock.Advance(121 * time.Second)
		}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFederation(t, 3)
			s := newSite(t, f, nil)
			app := f.brokers[0].register(metadata())
			_, err := s.Client(t.Context(), f.brokers[1].issuer, app)
			must(t, err)
			must(t, s.Alive(t.Context(), f.brokers[1].issuer, app, now))
			c.stop(f, s, app)
			for range 2 { // at once, and after a restart
				err := s.Alive(t.Context(), f.brokers[1].issuer, app, now)
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if c.check != nil && !c.check(stopOf(t, err)) {
					t.Errorf("got %+v", stopOf(t, err))
				}
				s.reopen()
			}
		})
	}
}

// TestAliveMistakes: calls that a site must not make by mistake are refused.
func TestAliveMistakes(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	app, unmet, issuer, now := f.brokers[0].register(metadata()), f.brokers[0].register(metadata()), f.brokers[0].issuer, f.clock.Unix()
	_, err := s.Client(t.Context(), issuer, app)
	must(t, err)
	for name, at := range map[string]int64{"never": 0, "negative": -1, "in milliseconds": now * 1000, "far ahead": now + 11, "the end of time": math.MaxInt64} {
		if err := s.Alive(t.Context(), issuer, app, at); err == nil || !strings.Contains(err.Error(), "name the second since 1970") {
			t.Errorf("issued %s: %v", name, err)
		}
	}
	must(t, s.Alive(t.Context(), issuer, app, now+10))
	if err := s.Alive(t.Context(), issuer, unmet, now); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("an app that was never verified: %v", err)
	}
	s.db.Close()
	if err := s.Alive(t.Context(), issuer, app, now); err == nil {
		t.Error("alive without a database")
	}
}

// TestToldWithoutTokens: a stop that the site is told of is kept, also of an
// app that holds no token there, or that the site has never met.
func TestToldWithoutTokens(t *testing.T) {
	f := newFederation(t, 3)
	a, b := f.brokers[0], f.brokers[1]
	s := newSite(t, f, nil)
	met, unmet := a.register(metadata()), a.register(metadata())
	_, err := s.Client(t.Context(), b.issuer, met)
	must(t, err)
	second := &testSite{t: t, fed: f, path: s.path, config: s.config} // another process of the site
	second.open()
	for _, app := range []string{met, unmet} {
		record := a.stop(app, registry.Revoke, nil)
		if got := s.tell(b, app, true, record); got != "202" {
			t.Fatal(got)
		}
		stopOf(t, second.Alive(t.Context(), b.issuer, app, f.clock.Unix()))
		f.silence() // nobody but the site's own database is asked
		for range 2 {
			stopOf(t, s.Alive(t.Context(), b.issuer, app, f.clock.Unix()))
			s.reopen()
		}
		for _, broker := range f.brokers {
			broker.lie(nil)
		}
		_, err := s.Client(t.Context(), b.issuer, app)
		stopOf(t, err)
	}
}

// TestCutoffOutlivesTheList: a stop list tells of the cutoff of an app that is
// back for 30 days. Credentials of the site's own live longer, and so does
// what the site remembers.
func TestCutoffOutlivesTheList(t *testing.T) {
	for _, told := range []bool{false, true} {
		f := newFederation(t, 1)
		b := f.brokers[0]
		s := newSite(t, f, nil)
		app, other := b.register(metadata()), b.register(metadata())
		for _, id := range []string{app, other} {
			_, err := s.Client(t.Context(), b.issuer, id)
			must(t, err)
		}
		given := f.clock.Unix()
		suspension := b.stop(app, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = given })
		reinstatement := b.stop(app, registry.Reinstate, nil)
		if told {
			s.tell(b, app, true, suspension)
			s.tell(b, app, false, reinstatement)
		}
		for range 7 {
			s.poll(7 * 24 * time.Hour)
			must(t, s.Purge(t.Context()))
		}
		if n := f.list().Count(); n != 0 {
			t.Fatalf("the list still has %d lines", n)
		}
		s.reopen()
		if stop := stopOf(t, s.Alive(t.Context(), b.issuer, app, given)); !stop.Final {
			t.Errorf("told %v: %+v", told, stop)
		}
		must(t, s.Alive(t.Context(), b.issuer, app, given+1))
		must(t, s.Alive(t.Context(), b.issuer, other, given))
	}
}

// TestAliveAfterALongSleep: a site that slept for longer than the stop list
// remembers cannot know what was cut off meanwhile, so that what it gave
// before is dead.
func TestAliveAfterALongSleep(t *testing.T) {
	for _, c := range []struct {
		days  int
		alive bool
	}{{29, true}, {30, false}} {
		f := newFederation(t, 1)
		b := f.brokers[0]
		s := newSite(t, f, nil)
		app := b.register(metadata())
		_, err := s.Client(t.Context(), b.issuer, app)
		must(t, err)
		f.clock.Advance(100 * time.Second) // later than the last list
		given := f.clock.Unix()
		s.poll(time.Duration(c.days) * 24 * time.Hour)
		for range 2 {
			if err := s.Alive(t.Context(), b.issuer, app, given); (err == nil) != c.alive {
				t.Errorf("after %d days: %v", c.days, err)
			}
			must(t, s.Alive(t.Context(), b.issuer, app, f.clock.Unix()))
			s.poll(48 * time.Hour)
			must(t, s.Purge(t.Context()))
			s.reopen()
		}
	}
}
