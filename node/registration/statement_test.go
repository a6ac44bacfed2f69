// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// until polls a condition; the test fails when it does not come true.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// pair is a federation of two.
func pair(t *testing.T) (home, away *broker) {
	t.Helper()
	private := func(c *node.Config) { c.AllowPrivate = true }
	home = newBroker(t, private)
	away = newBroker(t, private, open, func(c *node.Config) { c.Join = home.issuer })
	until(t, "the request arrives", func() bool {
		list, err := home.ListRequests(t.Context())
		check(t, err)
		return len(list.Requests) > 0
	})
	_, err := home.ApproveRequest(t.Context(), admin.Name{Name: away.issuer})
	check(t, err)
	until(t, "both are members", func() bool {
		for _, b := range []*broker{home, away} {
			if s, err := b.Status(t.Context()); err != nil || !s.Fresh || s.Peers != 1 || len(s.Members) != 2 {
				return false
			}
		}
		return true
	})
	return home, away
}

func (b *broker) knows(id, state string) {
	b.t.Helper()
	until(b.t, b.issuer+" knows that "+id+" is "+state, func() bool {
		app, err := b.ShowApp(b.t.Context(), admin.AppID{ClientID: id})
		return err == nil && app.State == state
	})
}

func statement(raw string) string { return `{"software_statement":"` + raw + `"}` }

// TestSoftwareStatement: the record of another member's client is answered with
// that client, and no right over it. Where it was stopped, that is said, and its
// host is not free (fault 30).
func TestSoftwareStatement(t *testing.T) {
	home, away := pair(t)
	app, err := home.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(secretApp[:len(secretApp)-1] + `,"token_endpoint_auth_method":"client_secret_basic"}`)})
	check(t, err)
	away.knows(app.ClientID, "active")
	ask := func(raw string) answer {
		away.pass(30 * time.Second)
		return away.do(http.MethodPost, "/oauth/register", "", statement(raw))
	}
	a := ask(app.Registration)
	want(t, a, http.StatusCreated, "")
	if a.text("client_id") != app.ClientID || a.text("client_name") != "App" || a.text("software_statement") != app.Registration {
		t.Errorf("answer %s", a.body)
	}
	for _, right := range []string{"client_secret", "client_secret_sha256", "registration_access_token", "registration_client_uri", "client_secret_expires_at"} {
		if a.json[right] != nil {
			t.Errorf("the answer has %s: %s", right, a.body)
		}
	}
	updated, err := home.UpdateApp(t.Context(), admin.AppChange{ClientID: app.ClientID, Metadata: json.RawMessage(`{"client_name":"Renamed"}`)})
	check(t, err)
	until(t, "the update arrives", func() bool {
		seen, err := away.ShowApp(t.Context(), admin.AppID{ClientID: app.ClientID})
		return err == nil && seen.Sequence == 1
	})
	for _, raw := range []string{app.Registration, updated.Registration} {
		if a := ask(raw); a.text("client_id") != app.ClientID || a.text("client_name") != "Renamed" {
			t.Errorf("after an update: %s", a.body)
		}
	}
	home.stop(app.ClientID, registry.Revoke)
	away.knows(app.ClientID, "revoked")
	a = ask(app.Registration)
	want(t, a, http.StatusBadRequest, "unapproved_software_statement")
	if !strings.Contains(a.text("error_description"), "revoked") || !strings.Contains(a.text("error_description"), "malicious") {
		t.Errorf("it does not say why: %s", a.body)
	}
	want(t, away.register("", someApp), http.StatusBadRequest, "invalid_redirect_uri")
}

// TestFault26Statement: what is not, byte for byte, in a log is no statement.
func TestFault26Statement(t *testing.T) {
	b := newBroker(t)
	app, err := b.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(someApp)})
	check(t, err)
	raw := app.Registration
	refused := func(what, raw string) {
		t.Helper()
		b.pass(30 * time.Second)
		text, err := json.Marshal(raw)
		check(t, err)
		a := b.do(http.MethodPost, "/oauth/register", "", `{"software_statement":`+string(text)+`}`)
		if a.status != http.StatusBadRequest || a.text("error") != "invalid_software_statement" {
			t.Fatalf("%s: %d %s", what, a.status, a.body)
		}
	}
	for i := 0; i < len(raw); i += 7 {
		flipped := []byte(raw)
		if flipped[i] = 'A'; raw[i] == 'A' {
			flipped[i] = 'B'
		}
		refused("a flipped byte", string(flipped))
	}
	refused("cut off", raw[:len(raw)-1])
	refused("trailing bytes", raw+"A")
	refused("trailing space", raw+" ")
	refused("without signature", raw[:strings.LastIndexByte(raw, '.')+1])
	mine := registry.GenerateSigningKey()
	forged, err := registry.SignRegistration(mine, registry.Registration{
		Claims:         registry.Claims{Issuer: b.issuer, IssuedAt: b.now().Unix()},
		ClientMetadata: registry.ClientMetadata{Name: "App", RedirectURIs: []string{"https://app.example/cb"}, AuthMethod: "none"},
	})
	check(t, err)
	refused("signed by another key", forged.Raw)
	later, err := registry.SignRegistration(mine, registry.Registration{
		Claims: registry.Claims{Issuer: b.issuer, IssuedAt: b.now().Unix()}, Sequence: 1, Client: app.ClientID, Previous: app.ClientID,
		ClientMetadata: registry.ClientMetadata{Name: "App", RedirectURIs: []string{"https://evil.example/cb"}, AuthMethod: "none"},
	})
	check(t, err)
	refused("about a client that is there", later.Raw)
	r := b.do(http.MethodGet, "/federation/brokers/"+mine.ID(), "", "")
	if r.status != http.StatusNotFound {
		t.Errorf("the forger's key became known: %d", r.status)
	}
	b.pass(30 * time.Second)
	want(t, b.do(http.MethodPost, "/oauth/register", "", statement(raw)), http.StatusCreated, "")
}
