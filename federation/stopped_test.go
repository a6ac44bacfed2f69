// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// TestStoppedOwner: the hosts of stopped clients, those of earlier
// registrations too (fault 30).
func TestStoppedOwner(t *testing.T) {
	w := alone(t)
	at := func(id string, uris ...string) string {
		t.Helper()
		return w.append(federation.Draft{Registration: &registry.Registration{Client: id, ClientMetadata: registry.ClientMetadata{
			Name: "App", RedirectURIs: uris, AuthMethod: registry.AuthNone, ApplicationType: "native",
		}}}).ClientID()
	}
	expect := func(when string, owners map[string]string) {
		t.Helper()
		for owner, id := range owners {
			if got := w.StoppedOwner(owner); got != id {
				t.Errorf("%s: the stopped client of %q is %q, expected %q", when, owner, got, id)
			}
		}
	}
	id := at("", "https://one.example/cb", "http://127.0.0.1/cb", "org.app:/cb")
	at("", "https://other.example/cb")
	expect("active", map[string]string{"one.example": "", "other.example": ""})
	suspension := revocation(id, registry.Suspend)
	suspension.Revocation.Until = w.clock().Unix() + 3600
	w.append(suspension)
	expect("suspended", map[string]string{"one.example": id, "org.app:": id, "other.example": "", "127.0.0.1": "", "": ""})
	at(id, "https://two.example/cb")
	expect("changed meanwhile", map[string]string{"one.example": id, "two.example": id})
	w.open()
	expect("after a restart", map[string]string{"one.example": id, "two.example": id})
	w.pass(3601 * time.Second)
	expect("when the suspension is over", map[string]string{"one.example": "", "two.example": ""})
	w.append(revocation(clientURL, registry.Suspend))
	expect("a client that describes itself", map[string]string{"app.example": clientURL})
	w.append(revocation(id, registry.Revoke))
	expect("revoked", map[string]string{"one.example": id, "two.example": id, "other.example": ""})
}

// TestLogged: a record is in the log as it is, or it is not.
func TestLogged(t *testing.T) {
	w := alone(t)
	id := w.register("App")
	state, err := w.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	later := w.append(update(id))
	for _, record := range []*registry.Record{state.First, later} {
		if logged, err := w.Logged(t.Context(), record); err != nil || !logged {
			t.Errorf("seq %d: %v, %v", record.Registration.Sequence, logged, err)
		}
	}
	body := *later.Registration
	body.ID = ""
	again, err := registry.SignRegistration(w.key, body) // the same, with another jti
	if err != nil {
		t.Fatal(err)
	}
	body.Client, body.Sequence, body.Previous = "", 0, ""
	unknown, err := registry.SignRegistration(w.key, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range []*registry.Record{again, unknown} {
		if logged, err := w.Logged(t.Context(), record); err != nil || logged {
			t.Errorf("a record that is in no log: %v, %v", logged, err)
		}
	}
}
