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
