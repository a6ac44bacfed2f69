// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// TestBrokerJoins: a site whose broker joins another federation is stale until
// its owner pins that one; then everything that the users gave is still there.
func TestBrokerJoins(t *testing.T) {
	f := newFederation(t, 1)
	client := f.brokers[0].register(metadata())
	s := newSite(t, f, nil)
	token, _ := s.login("alice", client)
	former := f.id()
	f.found("another")
	for range 5 {
		f.clock.Advance(30 * time.Second)
		s.Poll(t.Context()) // it cannot succeed
	}
	s.wantStatus(token, http.StatusServiceUnavailable)
	s.config.Federation = f.id()
	s.open()
	s.poll(time.Second)
	s.wantStatus(token, http.StatusOK)
	s.login("bob", client)
	f.brokers[0].stop(client, registry.Revoke, nil)
	s.poll(time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
	if f.id() == former {
		t.Fatal("it is the same federation")
	}
}

// TestNewcomersClient: a client of a broker that was admitted a moment ago can
// be connected at once, and not after the next poll.
func TestNewcomersClient(t *testing.T) {
	f := newFederation(t, 2)
	all := f.charter.Members
	f.charter.Members, f.charter.Threshold = all[:1], 1
	f.found("one")
	s := newSite(t, f, nil)
	f.amend(func(c *registry.Charter) { c.Members = all })
	token, _ := s.login("alice", f.brokers[1].register(metadata()))
	s.wantStatus(token, http.StatusOK)
}
