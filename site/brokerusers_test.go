// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// person is the event of a token in the name of somebody whom the broker knows.
func (b *broker) person(s *testSite, token, client string, change func(*protocol.TokenIssued)) string {
	return b.event(s.config.Resource, func(e *protocol.Event) {
		e.TokenIssued = &protocol.TokenIssued{
			TokenHash: protocol.TokenHash(token), TokenType: "Bearer", ClientID: client, Scope: "read",
			ExpiresAt: s.config.Now().Unix() + 3600, Grant: "a-grant-of-the-broker-0", Subject: "pairwise",
		}
		if change != nil {
			change(e.TokenIssued)
		}
	})
}

// TestBrokerUsers: people of a broker are let in where the owner has opted in,
// for that broker, and are never taken for a user of the site.
func TestBrokerUsers(t *testing.T) {
	f := newFederation(t, 2)
	trusted, other := f.brokers[0], f.brokers[1]
	client := trusted.register(metadata())
	s := newSite(t, f, func(c *site.Config) {
		c.AllowBrokerUsers = func(broker, id, scope string) bool { return broker == trusted.issuer && id == client }
	})
	events := s.url("/comity/events")
	stranger := trusted.register(metadata())
	_, code := s.login("alice", client)
	for name, c := range map[string]struct {
		event string
		want  string
	}{
		"not this broker":       {other.person(s, "a", client, nil), "400 access_denied"},
		"not this client":       {trusted.person(s, "b", stranger, nil), "400 access_denied"},
		"an unknown scope":      {trusted.person(s, "c", client, func(i *protocol.TokenIssued) { i.Scope = "admin" }), "400 access_denied"},
		"nobody, without grant": {trusted.person(s, "d", client, func(i *protocol.TokenIssued) { i.Subject, i.Grant = "", "" }), "400 access_denied"},
		"no such grant":         {trusted.person(s, "e", client, func(i *protocol.TokenIssued) { i.Subject = "" }), "400 invalid_grant"},
		"somebody":              {trusted.person(s, "f", client, nil), "202"},
		"by an assertion":       {trusted.person(s, "g", client, func(i *protocol.TokenIssued) { i.Grant = "" }), "202"},
		"under alice's grant":   {trusted.person(s, "h", client, func(i *protocol.TokenIssued) { i.Grant = code.Grant }), "202"},
	} {
		if got := post(t, events, c.event); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for token, grant := range map[string]string{"f": "a-grant-of-the-broker-0", "g": "", "h": code.Grant} {
		answer := s.call("/photos", token)
		var access site.Access
		if err := json.Unmarshal([]byte(answer.body), &access); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", token, answer.StatusCode, answer.body)
		}
		if access.UserID != "" || access.Subject != "pairwise" || access.Grant != grant || access.Broker != trusted.issuer {
			t.Errorf("%s: %+v", token, access)
		}
	}
	// What the broker ends is dead, what alice ends is not its.
	must(t, s.EndGrant(t.Context(), "alice", code.Grant))
	s.wantStatus("f", http.StatusOK)
	if got := post(t, events, trusted.event(s.config.Resource, func(e *protocol.Event) {
		e.TokensRevoked = &protocol.TokensRevoked{Grant: "a-grant-of-the-broker-0", Cutoff: f.clock.Unix(), Reason: "grant-ended"}
	})); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus("f", http.StatusUnauthorized)
	if got := post(t, events, trusted.person(s, "i", client, nil)); got != "400 access_denied" {
		t.Errorf("a token up to the cutoff: %s", got)
	}
}

// TestNoUsers: a site without users of its own has no pages, and says that
// people log in at the broker.
func TestNoUsers(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, func(c *site.Config) {
		c.User, c.AllowBrokerUsers = nil, func(string, string, string) bool { return true }
	})
	b := newBrowser(s, "alice")
	var m protocol.SiteMetadata
	must(t, json.Unmarshal([]byte(b.get(s.url("/.well-known/oauth-protected-resource")).body), &m))
	if m.AuthorizationEndpoint != "" || m.EventsEndpoint == "" || !m.LimitsUses {
		t.Errorf("%+v", m)
	}
	for _, page := range []string{"/comity/authorize", "/comity/grants", "/comity/blocked"} {
		if a := b.get(s.url(page)); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", page, a.StatusCode)
		}
	}
	client := f.brokers[0].register(metadata())
	if got := post(t, s.url("/comity/events"), f.brokers[0].person(s, "t", client, nil)); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus("t", http.StatusOK)
}

// TestLimitedUses: a token that is good for one use is, however many come at
// once; one for 30 s is good for so long from its first use.
func TestLimitedUses(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	b := f.brokers[0]
	client := b.register(metadata())
	issue := func(token, uses string) {
		t.Helper()
		got := post(t, s.url("/comity/events"), b.issued(token, s.consent("alice", client, nil), func(i *protocol.TokenIssued) { i.Uses = uses }))
		if got != "202" {
			t.Fatal(got)
		}
	}
	issue("once", protocol.UseOnce)
	var good atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if s.call("/photos", "once").StatusCode == http.StatusOK {
				good.Add(1)
			}
		})
	}
	all.Wait()
	if good.Load() != 1 {
		t.Errorf("good %d times", good.Load())
	}
	issue("window", protocol.UseWindow)
	f.clock.Advance(10 * time.Second)
	s.wantStatus("window", http.StatusOK)
	f.clock.Advance(29 * time.Second)
	s.wantStatus("window", http.StatusOK)
	f.clock.Advance(time.Second)
	s.wantStatus("window", http.StatusUnauthorized)
	issue("free", "")
	for range 3 {
		s.wantStatus("free", http.StatusOK)
	}
}
