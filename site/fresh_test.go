// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
)

func (f *federation) silence() {
	for _, b := range f.brokers {
		b.silence()
	}
}

// TestCutOff: a site that hears nothing refuses after max_age, and says so in
// a way that does not make apps throw their tokens away.
func TestCutOff(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, _ := s.login("alice", client)
	f.silence()
	f.clock.Advance(120 * time.Second)
	if err := s.Poll(t.Context()); err == nil {
		t.Error("a poll that nobody answers is no error")
	}
	s.wantStatus(token, http.StatusOK)
	f.clock.Advance(time.Second)
	if err := s.Fresh(); !errors.Is(err, registry.ErrStale) {
		t.Errorf("Fresh: %v", err)
	}
	got := s.call("/photos", token)
	challenge := got.Header.Get("WWW-Authenticate")
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" ||
		!strings.Contains(got.body, "121 s ago, at most 120 are allowed") ||
		!strings.Contains(challenge, "resource_metadata=") || strings.Contains(challenge, "error=") {
		t.Errorf("stale: %d %q %s", got.StatusCode, challenge, got.body)
	}
	if got := s.call("/photos", "unknown"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("unknown token at a stale site: %d", got.StatusCode)
	}
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusServiceUnavailable)
	s.reopen() // a restart makes nothing fresh
	s.wantStatus(token, http.StatusServiceUnavailable)
	for _, b := range f.brokers {
		b.lie(nil)
	}
	must(t, s.Poll(t.Context()))
	s.wantStatus(token, http.StatusOK)
}

// TestAcceptWhenStale: the owner's other choice holds for old tokens alone,
// and not for what is known to be stopped.
func TestAcceptWhenStale(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, func(c *site.Config) { c.WhenStale = site.AcceptWhenStale })
	client, stopped := f.brokers[0].register(metadata()), f.brokers[0].register(metadata())
	token, _ := s.login("alice", client)
	dead, _ := s.login("alice", stopped)
	code := s.consent("alice", client, nil)
	f.brokers[0].stop(stopped, registry.Revoke, nil)
	s.poll(time.Second)
	f.silence()
	f.clock.Advance(121 * time.Second)
	s.wantStatus(token, http.StatusOK)
	s.wantStatus(dead, http.StatusUnauthorized)
	if got := post(t, s.url("/comity/events"), f.brokers[0].issued("t", code, nil)); got != "400 stale" {
		t.Errorf("a new token: %s", got)
	}
}

// TestRestartFresh: within max_age a restarted site knows what it knew.
func TestRestartFresh(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	token, _ := s.login("alice", f.brokers[0].register(metadata()))
	f.silence()
	f.clock.Advance(119 * time.Second)
	s.reopen()
	s.wantStatus(token, http.StatusOK)
	f.clock.Advance(2 * time.Second)
	s.wantStatus(token, http.StatusServiceUnavailable)
}

// TestClocks: the promise is kept by the monotonic clock when somebody turns
// the other one back, and by the other one when the machine has slept.
func TestClocks(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	var passed time.Duration
	s.SetElapsed(func() time.Duration { return passed })
	s.poll(time.Second)
	passed += 121 * time.Second // the wall clock stands still
	if err := s.Fresh(); !errors.Is(err, registry.ErrStale) {
		t.Errorf("monotonic clock: %v", err)
	}
	s.poll(time.Second)
	must(t, s.Fresh())
	f.clock.Advance(121 * time.Second) // and now the other one
	if err := s.Fresh(); !errors.Is(err, registry.ErrStale) {
		t.Errorf("wall clock: %v", err)
	}
	s.poll(time.Second)
	must(t, s.Fresh())
	f.clock.Advance(-24 * time.Hour)
	if err := s.Fresh(); !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("a clock that was set back: %v", err)
	}
}

// TestBeforeTheFirstPoll: what a site does not know yet it does not guess.
func TestBeforeTheFirstPoll(t *testing.T) {
	f := newFederation(t, 1)
	client := f.brokers[0].register(metadata())
	f.silence()
	s := newSite(t, f, nil)
	if err := s.Fresh(); !errors.Is(err, registry.ErrStale) {
		t.Errorf("Fresh: %v", err)
	}
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusServiceUnavailable)
	if got := s.call("/photos", ""); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got.StatusCode)
	}
}

// TestConfig: what New refuses.
func TestConfig(t *testing.T) {
	f := newFederation(t, 1)
	good := newSite(t, f, nil).config
	for name, change := range map[string]func(*site.Config){
		"no resource":               func(c *site.Config) { c.Resource = "" },
		"resource with a slash":     func(c *site.Config) { c.Resource += "/" },
		"resource in plain http":    func(c *site.Config) { c.Resource = "http://photos.example" },
		"no broker":                 func(c *site.Config) { c.Brokers = nil },
		"a broker twice":            func(c *site.Config) { c.Brokers = append(c.Brokers, c.Brokers[0]) },
		"broker with a slash":       func(c *site.Config) { c.Brokers = []string{c.Brokers[0] + "/"} },
		"no federation":             func(c *site.Config) { c.Federation = "" },
		"federation is no CID":      func(c *site.Config) { c.Federation = "bafkreitest" },
		"no store":                  func(c *site.Config) { c.Store = nil },
		"no key":                    func(c *site.Config) { c.Key = registry.SigningKey{} },
		"no user":                   func(c *site.Config) { c.User = nil },
		"no scopes":                 func(c *site.Config) { c.Scopes = nil },
		"scope with a space":        func(c *site.Config) { c.Scopes = map[string]string{"a b": ""} },
		"prefix without slash":      func(c *site.Config) { c.Prefix = "comity" },
		"prefix ends in slash":      func(c *site.Config) { c.Prefix = "/comity/" },
		"witness is no issuer":      func(c *site.Config) { c.Witnesses = []string{"broker"} },
		"login URL with a fragment": func(c *site.Config) { c.LoginURL = "/login#x" },
		"unknown policy":            func(c *site.Config) { c.WhenStale = 7 },
		"tokens of programs without scopes": func(c *site.Config) {
			c.User, c.Scopes, c.AllowClientCredentials = nil, nil, func(string, string, string) bool { return true }
		},
		"tokens of people without scopes": func(c *site.Config) {
			c.User, c.Scopes, c.AllowBrokerUsers = nil, nil, func(string, string, string) bool { return true }
		},
	} {
		c := good
		c.Store = openDB(t, filepath.Join(t.TempDir(), "x.db"))
		change(&c)
		if s, err := site.New(t.Context(), c); err == nil {
			s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}
