// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/registry"
)

// Three brokers come together, each by one approval and its own signature; a
// record of one is with all of them; and they find each other again after a
// restart in another order, at other addresses.
func TestThreeBrokersJoinAndFindEachOther(t *testing.T) {
	t.Parallel()
	a := newMember(t)
	b := joining(t, a)
	if !b.said.Joining || b.said.Federation != a.said.Federation {
		t.Fatalf("ready says %+v, expected federation %s", b.said, a.said.Federation)
	}
	s := b.status()
	if s.Fresh || s.Federation != a.said.Federation || s.Joining == nil || !strings.Contains(s.StaleReason, "waiting for admission") {
		t.Fatalf("a broker that waits says %+v", s)
	}
	if status, _, body := get(t, b.cfg.Issuer+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "waiting for admission") {
		t.Fatalf("readyz: %d %s", status, body)
	}
	if status, _, _ := get(t, b.cfg.Issuer+"/federation/charter"); status != http.StatusNotFound {
		t.Fatalf("a broker that waits shows a charter: %d", status)
	}
	if d := a.approve(a.awaitRequest(b.cfg.Issuer)); d.State != "in-force" || d.CharterVersion != 2 {
		t.Fatalf("%+v", d)
	}
	c := joining(t, b) // any member will do
	if d := b.approve(b.awaitRequest(c.cfg.Issuer)); d.State != "in-force" || d.CharterVersion != 3 ||
		!slices.Contains(d.ApprovedBy, b.cfg.Issuer) || !slices.Contains(d.ApprovedBy, c.cfg.Issuer) {
		t.Fatalf("%+v", d)
	}
	agree(t, a, b, c)
	shown, err := a.node.ShowFederation(t.Context())
	check(t, err)
	for _, name := range []string{c.cfg.Issuer, shown.Charter} { // approved by enough others meanwhile
		if d := a.approve(name); d.State != "in-force" || d.CharterVersion != 3 {
			t.Fatalf("a late approval of %s: %+v", name, d)
		}
	}

	app := c.register(named("From C"))
	if len(app.Acknowledged) != 3 {
		t.Fatalf("registered, and acknowledged by %v alone", app.Acknowledged)
	}
	if shown, err := a.app(app.ClientID); err != nil || shown.Home != c.cfg.Issuer || shown.Registration != app.Registration {
		t.Fatalf("A shows %+v, %v", shown, err)
	}
	var progress []admin.StopProgress
	check(t, a.node.StopApp(t.Context(), admin.Stop{ClientID: app.ClientID, Action: registry.Suspend, Reason: "policy", For: 3600},
		func(p admin.StopProgress) { progress = append(progress, p) }))
	last := progress[len(progress)-1]
	if !last.Done || last.State != "suspended" || last.Online != 3 || len(last.Acknowledged) != 3 {
		t.Fatalf("suspended by A: %+v", progress)
	}
	until(t, "B knows that all have it", func() bool {
		shown, err := b.app(app.ClientID)
		check(t, err)
		return shown.State == "suspended" && len(shown.Acknowledged) == 3 && len(shown.Records) == 1
	})
	if err := a.node.StopApp(t.Context(), admin.Stop{ClientID: app.ClientID, Action: registry.Suspend, Reason: "policy", For: 30 * 24 * 3600},
		func(admin.StopProgress) {}); err == nil {
		t.Fatal("A suspended another's app for a month")
	}

	for _, m := range []*member{a, b, c} {
		m.stop()
		m.cfg.P2P = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} // elsewhere than before
	}
	for _, m := range []*member{c, a, b} {
		m.start()
		if m.said.Joining {
			t.Fatalf("%s asks again", m.cfg.Issuer)
		}
	}
	agree(t, a, b, c)
	again := b.register(named("After the restart"))
	a.seesApp(again.ClientID, "active")
	c.seesApp(again.ClientID, "active")
}

// A broker that was alone brings its log and its clients.
func TestLoneBrokerBringsItsClients(t *testing.T) {
	t.Parallel()
	a, b := newMember(t), newMember(t)
	ofA, ofB := a.register(named("Of A")), b.register(named("Of B"))
	stopped := b.register(named("Stopped"))
	check(t, b.node.StopApp(t.Context(), admin.Stop{ClientID: stopped.ClientID, Action: registry.Revoke, Reason: "malicious"}, func(admin.StopProgress) {}))
	was := b.said.Federation
	b.stop()
	b.cfg.Join = a.cfg.Issuer
	b.start()
	until(t, "a broker that was alone goes on while it waits", func() bool { return b.status().Fresh })
	if _, err := b.node.ApproveRequest(t.Context(), admin.Name{Name: a.cfg.Issuer}); err == nil || !strings.Contains(err.Error(), "asks for membership itself") {
		t.Fatalf("a broker that asks admits others: %v", err)
	}
	a.approve(a.awaitRequest(b.cfg.Issuer))
	agree(t, a, b)
	if s := b.status(); s.Federation == was || s.Federation != a.said.Federation {
		t.Fatalf("B is in federation %s", s.Federation)
	}
	a.seesApp(ofB.ClientID, "active")
	a.seesApp(stopped.ClientID, "revoked")
	b.seesApp(ofA.ClientID, "active")
	if shown, err := a.app(ofB.ClientID); err != nil || shown.Registration != ofB.Registration {
		t.Fatalf("A shows %+v, %v", shown, err)
	}
	// A member starts with --join as if it were not there, and goes nowhere else.
	b.stop()
	b.start()
	if b.said.Joining {
		t.Fatal("a member asks again")
	}
	b.stop()
	b.cfg.Join = newMember(t).cfg.Issuer
	if err := b.tryStart(); err == nil || !strings.Contains(err.Error(), "leave") {
		t.Fatalf("a member of a federation of two went to another: %v", err)
	}
}

// A request survives restarts on both sides, and a refusal ends the node with
// the reason.
func TestRequestResumesAndIsRefused(t *testing.T) {
	t.Parallel()
	a := newMember(t)
	b := joining(t, a)
	id := a.awaitRequest(b.cfg.Issuer)
	b.stop()
	b.cfg.Join = "" // it remembers
	a.stop()
	a.start()
	b.start()
	if !b.said.Joining || b.said.Federation != a.said.Federation || b.status().Fresh {
		t.Fatalf("after a restart %+v", b.said)
	}
	if again := a.awaitRequest(b.cfg.Issuer); again != id {
		t.Fatalf("the request was made anew: %s, then %s", id, again)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := a.node.RefuseRequest(ctx, admin.Refusal{Name: id, Reason: "write to us first"})
	check(t, err)
	ended := make(chan error, 1)
	go func() { ended <- b.wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		t.Fatal("the refused node goes on")
	}
	if err == nil || !strings.Contains(err.Error(), "write to us first") {
		t.Fatalf("the refused node ended with %v", err)
	}
}

// fault 61: the member that is asked is down. The node serves all the same,
// says what it waits for, and asks when the other is back.
func TestFault61JoinWhileTheOtherIsDown(t *testing.T) {
	t.Parallel()
	a := newMember(t)
	a.stop()
	b := &member{t: t, cfg: config(t)}
	b.cfg.Join = a.cfg.Issuer
	started := make(chan error, 1)
	go func() { started <- b.tryStart() }()
	until(t, "the node serves", func() bool {
		res, err := http.Get(b.cfg.Issuer + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "connection refused")
	})
	select {
	case err := <-started:
		t.Fatalf("the node is ready, or ended: %v", err)
	default:
	}
	a.start()
	check(t, <-started)
	a.approve(a.awaitRequest(b.cfg.Issuer))
	agree(t, a, b)
}

// The URL of --join must lead to a broker, and to another one.
func TestJoinToNowhere(t *testing.T) {
	for name, test := range map[string]struct{ join, want string }{
		"itself":       {"", "is this broker itself"},
		"not a URL":    {"broker", "--join"},
		"not a broker": {notABroker(t), "no federation"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &member{t: t, cfg: config(t)}
			if m.cfg.Join = test.join; test.join == "" {
				m.cfg.Join = m.cfg.Issuer
			}
			if err := m.tryStart(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v, expected %q", err, test.want)
			}
		})
	}
}

// Of three members two must approve the fourth; then one is expelled, and one
// leaves.
func TestApprovalsOfSeveral(t *testing.T) {
	t.Parallel()
	all := found(t, 3, 0)
	a, b, c := all[0], all[1], all[2]
	d := joining(t, a)
	decision := a.approve(a.awaitRequest(d.cfg.Issuer))
	if decision.State != "proposed" || decision.Needed == 0 || decision.Approvals >= decision.Needed || !strings.Contains(decision.Pending, "of") {
		t.Fatalf("approved by one of three: %+v", decision)
	}
	// Another change of the same version must wait.
	if _, err := a.node.ExpelMember(t.Context(), admin.Name{Name: c.cfg.Issuer}); err == nil || !strings.Contains(err.Error(), "pending") {
		t.Fatalf("two proposals at once: %v", err)
	}
	if decision = b.approveWhenSeen("admit", d.cfg.Issuer); decision.State != "in-force" {
		t.Fatalf("approved by two of three, and by itself: %+v", decision)
	}
	agree(t, a, b, c, d)

	app := d.register(named("Of D"))
	a.seesApp(app.ClientID, "active")
	decision, err := a.node.ExpelMember(t.Context(), admin.Name{Name: d.cfg.Issuer})
	check(t, err)
	if decision.State != "proposed" || decision.Approvals != 1 || decision.Needed != 3 {
		t.Fatalf("expelled by one of four: %+v", decision)
	}
	b.approveWhenSeen("expel", d.cfg.Issuer)
	c.approveWhenSeen("expel", d.cfg.Issuer)
	until(t, "three of four have expelled it", func() bool { return c.status().CharterVersion == decision.CharterVersion })
	a.seesApp(app.ClientID, "suspended") // with its broker
	agreeOn(t, a.status().CharterVersion, a, b, c)
	until(t, "the expelled broker knows", func() bool { return strings.Contains(d.status().StaleReason, "expelled") })
	d.stop()

	decision, err = c.node.LeaveFederation(t.Context())
	check(t, err)
	if decision.State != "proposed" || decision.Pending == "" {
		t.Fatalf("left alone: %+v", decision)
	}
	if !c.status().Fresh {
		t.Fatal("a member that wants to leave is out before the others have agreed")
	}
	if decision = a.approveWhenSeen("expel", c.cfg.Issuer); decision.State != "in-force" {
		t.Fatalf("left with one approval of two: %+v", decision)
	}
	until(t, "the member that left is stale", func() bool { return !c.status().Fresh })
	until(t, "it says so", func() bool { return strings.Contains(c.status().StaleReason, "expelled") })
	agreeOn(t, a.status().CharterVersion, a, b)
	c.stop()
	c.start() // to be looked at
	if s := c.status(); s.Fresh || s.CharterVersion != a.status().CharterVersion {
		t.Fatalf("after a restart it says %+v", s)
	}
	// It can stand alone again, or go elsewhere, with its log.
	was := c.status().Federation
	_, err = c.node.FoundFederation(t.Context(), membership.Limits{Name: "Anew", MaxAge: 30})
	check(t, err)
	until(t, "the member that left is a federation of one", func() bool { return c.status().Fresh })
	if f, err := c.node.ShowFederation(t.Context()); err != nil || f.Federation == was || f.Name != "Anew" || f.MaxAge != 30 || len(f.Members) != 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	c.register(named("Anew"))
	d.cfg.Join = c.cfg.Issuer
	d.start() // the one that was expelled
	c.approve(c.awaitRequest(d.cfg.Issuer))
	agree(t, c, d)
	c.seesApp(app.ClientID, "active")
}

// agreeOn waits until the members are fresh under a charter version.
func agreeOn(t *testing.T, version int64, members ...*member) {
	t.Helper()
	until(t, "the members are fresh under the new charter", func() bool {
		return !slices.ContainsFunc(members, func(m *member) bool { return m.status().CharterVersion != version || !m.status().Fresh })
	})
}

// What one operator approves while another charter is pending has its turn
// afterwards, without being approved again.
func TestApprovalsTakeTurns(t *testing.T) {
	t.Parallel()
	all := found(t, 2, 0)
	a, b := all[0], all[1]
	c := joining(t, a)
	id := a.awaitRequest(c.cfg.Issuer)
	leaving, err := b.node.LeaveFederation(t.Context())
	check(t, err)
	until(t, "A hears that B wants to leave", func() bool {
		list, err := a.node.ListRequests(t.Context())
		check(t, err)
		return len(list.Requests) == 3 // those of B and C, and the proposal
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	decision, err := a.node.ApproveRequest(ctx, admin.Name{Name: id})
	check(t, err)
	if decision.State != "queued" || !strings.Contains(decision.Pending, "turn") {
		t.Fatalf("%+v", decision)
	}
	if decision = a.approve(leaving.Charter); decision.State != "in-force" || decision.CharterVersion != 3 {
		t.Fatalf("%+v", decision)
	}
	until(t, "C has its turn", func() bool { return a.status().CharterVersion == 4 })
	agree(t, a, c)
}

// A broker that takes its request back is a federation of its own.
func TestWithdrawnRequest(t *testing.T) {
	a := newMember(t)
	b := joining(t, a)
	a.awaitRequest(b.cfg.Issuer)
	d, err := b.node.LeaveFederation(t.Context())
	check(t, err)
	if d.State != "withdrawn" {
		t.Fatalf("%+v", d)
	}
	if s := b.status(); !s.Fresh || s.Joining != nil || s.Federation == a.said.Federation {
		t.Fatalf("%+v", s)
	}
	b.stop()
	b.cfg.Join = ""
	b.start()
	if b.said.Joining {
		t.Fatal("it asks again")
	}
	if f, err := b.node.ShowFederation(t.Context()); err != nil || len(f.Members) != 1 || f.MaxAge != 120 {
		t.Fatalf("%+v, %v", f, err)
	}
	_, err = b.node.FoundFederation(t.Context(), membership.Limits{MaxAge: 30})
	check(t, err)
	if f, err := b.node.ShowFederation(t.Context()); err != nil || f.MaxAge != 30 || f.CharterVersion != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
}

// The port for other members stays the same, and is chosen again when it is
// taken.
func TestStableP2PAddress(t *testing.T) {
	a := newMember(t)
	was := a.status().Addresses
	a.stop()
	a.start()
	if now := a.status().Addresses; len(was) != 2 || !slices.Equal(now, was) {
		t.Fatalf("listened on %v, and after a restart on %v", was, now)
	}
	a.stop()
	other := newMember(t, func(c *node.Config) { c.P2P = was })
	if !slices.Equal(other.status().Addresses, was) {
		t.Fatal("another node did not get the addresses")
	}
	a.start()
	if now := a.status().Addresses; len(now) != 2 || slices.Equal(now, was) {
		t.Fatalf("listens on %v", now)
	}
}

// notABroker serves nothing.
func notABroker(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.URL
}
