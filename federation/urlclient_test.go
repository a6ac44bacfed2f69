// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

const clientURL = "https://app.example/oauth/client.json"

// TestSelfDescribedClient: a client that is in no log is stopped like any other:
// by one member for a time, by so many for good; all members agree on it, and
// know it after a restart.
func TestSelfDescribedClient(t *testing.T) {
	s := newSeveral(t, 5)
	a := s.members[0]
	if _, err := a.Client(t.Context(), clientURL); !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("before anybody has stopped it: %v", err)
	}
	a.suspend(clientURL)
	s.meet()
	s.agree()
	for _, m := range s.members {
		if got := m.status(clientURL); got != registry.ClientSuspended {
			t.Errorf("at %s it is %s", m.issuer, got)
		}
	}
	_, err := a.Proof(t.Context(), clientURL)
	if err != nil {
		t.Errorf("what is shown of it: %v", err)
	}
	wantRefused := func(action registry.Action, want error) {
		t.Helper()
		if _, _, err := a.Append(t.Context(), revocation(clientURL, action)); !errors.Is(err, want) {
			t.Errorf("%s: %v, expected %v", action, err, want)
		}
	}
	wantRefused(registry.Suspend, registry.ErrLimit) // once in 30 days
	wantRefused(registry.Reinstate, registry.ErrConflict)
	s.now = s.now.Add(25 * time.Hour)
	if got := a.status(clientURL); got != registry.ClientActive {
		t.Errorf("after its end it is %s", got)
	}
	for i, m := range s.members[:3] {
		m.revoke(clientURL)
		s.meet()
		want := registry.ClientActive
		if i == 2 {
			want = registry.ClientRevoked
		}
		if got := s.members[4].status(clientURL); got != want {
			t.Errorf("after %d votes it is %s, expected %s", i+1, got, want)
		}
	}
	s.agree()
	wantRefused(registry.Suspend, registry.ErrRevoked)
	a.open()
	if got := a.status(clientURL); got != registry.ClientRevoked {
		t.Errorf("after a restart it is %s", got)
	}
	listed, err := a.Clients(t.Context(), "", 10)
	if err != nil || len(listed) != 1 || listed[0].ID != clientURL {
		t.Errorf("listed: %+v, %v", listed, err)
	}
}
