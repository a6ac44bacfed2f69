// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// tell pushes a client-disabled or client-enabled event with these records.
func (s *testSite) tell(by *broker, client string, disabled bool, records ...string) string {
	s.t.Helper()
	return post(s.t, s.url("/comity/events"), by.event(s.fed.id(), func(e *protocol.Event) {
		change := &protocol.ClientChange{ClientID: client, Records: records}
		if disabled {
			e.ClientDisabled = change
		} else {
			e.ClientEnabled = change
		}
	}))
}

// poll lets time pass and polls once.
func (s *testSite) poll(d time.Duration) {
	s.t.Helper()
	s.fed.clock.Advance(d)
	must(s.t, s.Poll(s.t.Context()))
}

// TestStopHeard: a revocation works the moment the site is told.
func TestStopHeard(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, _ := s.login("alice", client)
	record := f.brokers[0].stop(client, registry.Revoke, nil)
	s.wantStatus(token, http.StatusOK) // nobody has told
	if got := s.tell(f.brokers[1], client, true, record); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus(token, http.StatusUnauthorized)
	s.reopen()
	s.wantStatus(token, http.StatusUnauthorized)
	wantPage(t, newBrowser(s, "alice").get(s.request(client, nil)), http.StatusForbidden)
}

// TestStopPolled: a site that is not told finds the stop in the list.
func TestStopPolled(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, _ := s.login("alice", client)
	f.brokers[0].stop(client, registry.Revoke, nil)
	s.poll(30 * time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
}

// TestSuspendAndReinstate: a suspension blocks, a reinstatement by the home
// gives back, a cutoff kills for good.
func TestSuspendAndReinstate(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	home := f.brokers[0]
	client := home.register(metadata())
	first, _ := s.login("alice", client)
	suspension := home.stop(client, registry.Suspend, nil)
	if got := s.tell(home, client, true, suspension); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus(first, http.StatusUnauthorized)
	s.poll(time.Second) // now the list has it too
	s.wantStatus(first, http.StatusUnauthorized)
	reinstatement := home.stop(client, registry.Reinstate, nil)
	if got := s.tell(home, client, false, reinstatement); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus(first, http.StatusUnauthorized) // an event alone gives nothing back
	s.poll(time.Second)
	s.wantStatus(first, http.StatusOK)
	// The old record again: it was lifted, and stays so.
	if got := s.tell(home, client, true, suspension); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus(first, http.StatusOK)

	f.clock.Advance(time.Second)
	cutoff := home.stop(client, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = f.clock.Unix() })
	if got := s.tell(home, client, true, cutoff); got != "202" {
		t.Fatal(got)
	}
	f.clock.Advance(time.Second)
	if got := s.tell(home, client, false, home.stop(client, registry.Reinstate, nil)); got != "202" {
		t.Fatal(got)
	}
	s.poll(time.Second)
	s.wantStatus(first, http.StatusUnauthorized)
	second, _ := s.login("alice", client)
	s.wantStatus(second, http.StatusOK)
}

// TestCutoffAsleep: a site that slept through a suspension with cutoff and its
// end finds the cutoff in the list.
func TestCutoffAsleep(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, _ := s.login("alice", client)
	f.brokers[0].stop(client, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = f.clock.Unix() })
	f.brokers[0].stop(client, registry.Reinstate, nil)
	s.poll(30 * time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
	later, _ := s.login("alice", client)
	s.wantStatus(later, http.StatusOK)

	// A cutoff may lie a little ahead; tokens that come before it are refused.
	f.brokers[0].stop(client, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = f.clock.Unix() + 20 })
	f.brokers[0].stop(client, registry.Reinstate, nil)
	s.poll(time.Second)
	code := s.consent("alice", client, nil)
	if got := post(t, s.url("/comity/events"), f.brokers[0].issued("early", code, nil)); got != "400 access_denied" {
		t.Errorf("a token before the cutoff: %s", got)
	}
}

// TestHeardStopIsLifted: a stop that no later list confirms ends by itself,
// but not before every member had the time to hear of it.
func TestHeardStopIsLifted(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, _ := s.login("alice", client)
	f.mu.Lock()
	never := f.brokers[0].sign(client, registry.Suspend, nil) // signed, and kept out of the log
	f.mu.Unlock()
	if got := s.tell(f.brokers[0], client, true, never); got != "202" {
		t.Fatal(got)
	}
	s.poll(30 * time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
	s.poll(30 * time.Second)
	s.wantStatus(token, http.StatusOK)
	f.mu.Lock()
	cutting := f.brokers[0].sign(client, registry.Suspend, func(r *registry.Revocation) { r.Cutoff = r.IssuedAt })
	f.mu.Unlock()
	if got := s.tell(f.brokers[0], client, true, cutting); got != "202" {
		t.Fatal(got)
	}
	for range 3 {
		s.poll(30 * time.Second)
	}
	s.wantStatus(token, http.StatusUnauthorized) // what a cutoff killed stays dead
	token, _ = s.login("alice", client)
	s.wantStatus(token, http.StatusOK)
}

// TestClientEvents: an event has no authority of its own.
func TestClientEvents(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	home, member := f.brokers[0], f.brokers[1]
	client, other := home.register(metadata()), home.register(metadata())
	token, _ := s.login("alice", client)
	f.mu.Lock()
	foreign := func(action registry.Action, change func(*registry.Revocation)) string {
		return member.sign(client, action, change)
	}
	day := func(r *registry.Revocation) { r.Until = r.IssuedAt + 86400 }
	outsider := &broker{fed: f, issuer: home.issuer, record: registry.GenerateSigningKey()}
	for _, c := range []struct {
		name    string
		records []string
		want    string
		status  int
	}{
		{"about another client", []string{home.sign(other, registry.Revoke, nil)}, "400 invalid_request", http.StatusOK},
		{"signed by nobody", []string{outsider.sign(client, registry.Revoke, nil)}, "400 invalid_request", http.StatusOK},
		{"altered", []string{home.sign(client, registry.Revoke, nil) + "A"}, "400 invalid_request", http.StatusOK},
		{"one member's vote", []string{foreign(registry.Revoke, nil)}, "202", http.StatusOK},
		{"a member's endless suspension", []string{foreign(registry.Suspend, func(r *registry.Revocation) { r.Until = r.IssuedAt + 90000 })}, "202", http.StatusOK},
		{"no stop at all", []string{home.sign(client, registry.Reinstate, nil)}, "202", http.StatusOK},
		{"a member's suspension", []string{foreign(registry.Suspend, day)}, "202", http.StatusUnauthorized},
	} {
		f.mu.Unlock()
		if got := s.tell(member, client, true, c.records...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		s.wantStatus(token, c.status)
		f.mu.Lock()
	}
	f.mu.Unlock()
	// The home cannot lift what another member did.
	if got := s.tell(home, client, false, home.stop(client, registry.Reinstate, nil)); got != "202" {
		t.Error(got)
	}
	s.poll(time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
}

// TestSuspendedBrokerSpeaks: what a suspended broker takes away is taken away,
// what it gives is not taken; an expelled one is not heard at all.
func TestSuspendedBrokerSpeaks(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	a, b := f.brokers[0], f.brokers[1]
	client := a.register(metadata())
	say := func(change func(*protocol.Event)) string {
		return post(t, s.url("/comity/events"), b.event(s.config.Resource, change))
	}
	takeAway := func(e *protocol.Event) {
		e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash("x"), ExpiresAt: f.clock.Unix() + 60, Reason: "policy"}
	}
	s.login("alice", client)
	say(takeAway) // the site knows the key of b
	a.stop(client, registry.Suspend, nil)
	reinstatement := a.stop(client, registry.Reinstate, nil)
	f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberSuspended })
	s.poll(time.Second)
	if got := say(takeAway); got != "202" {
		t.Errorf("suspended, takes away: %s", got)
	}
	if got := s.tell(b, client, false, reinstatement); got != "400 access_denied" {
		t.Errorf("suspended, gives: %s", got)
	}
	f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberExpelled; endKey(&c.Members[1], b) })
	s.poll(time.Second)
	if got := say(takeAway); got == "202" {
		t.Errorf("expelled: %s", got)
	}
}

// endKey ends the current key of a member at the end of its log.
func endKey(m *registry.Member, b *broker) {
	end := int64(len(b.log.raws))
	m.Keys = []registry.MemberKey{{Key: m.Keys[0].Key, Until: &end}}
}

// TestBrokerStopped: with a broker its clients and its tokens stop.
func TestBrokerStopped(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	a, b := f.brokers[0], f.brokers[1]
	ofA, ofB := a.register(metadata()), b.register(metadata())
	mintedByB := func(q url.Values) { q.Set("issuer", b.issuer) }
	issue := func(by *broker, code *protocol.SignedCode, token string) {
		if got := post(t, s.url("/comity/events"), by.issued(token, code, nil)); got != "202" {
			t.Fatal(got)
		}
	}
	issue(a, s.consent("alice", ofA, nil), "client-A.token-A")
	issue(b, s.consent("alice", ofA, mintedByB), "client-A.token-B")
	issue(a, s.consent("alice", ofB, nil), "client-B.token-A")
	f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberSuspended })
	s.poll(time.Second)
	for token, status := range map[string]int{
		"client-A.token-A": http.StatusOK,
		"client-A.token-B": http.StatusUnauthorized,
		"client-B.token-A": http.StatusUnauthorized,
	} {
		if got := s.call("/photos", token); got.StatusCode != status {
			t.Errorf("%s: %d, want %d", token, got.StatusCode, status)
		}
	}
}
