// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/registry"
)

func TestRefusal(t *testing.T) {
	w := newWorld(t)
	b := newBroker(t, w.clock)
	a := w.post(b.record())
	_, err := w.desk.Refuse(t.Context(), b.issuer(), "write to us first")
	check(t, err)
	if shown := w.want(a.ID, membership.Refused); shown.Reason != "write to us first" || shown.Charter != nil {
		t.Fatalf("%+v", shown)
	}
	// Asking again changes nothing; the operator may.
	again := w.post(b.record(func(r *registry.Broker) { r.Organisation = "Please" }))
	if again.State != membership.Refused || again.ID == a.ID {
		t.Fatalf("asked again: %+v", again)
	}
	_, err = w.desk.Approve(t.Context(), again.ID)
	check(t, err)
	w.want(again.ID, membership.Admitted)
	if _, err := w.desk.Refuse(t.Context(), again.ID, ""); err == nil {
		t.Fatal("a member was refused")
	}
	if _, err := w.desk.Refuse(t.Context(), "https://nobody.example", ""); err == nil {
		t.Fatal("a request that nobody made was refused")
	}
}

// A broker that asks for membership itself admits nobody.
func TestClosedDesk(t *testing.T) {
	w := newWorld(t)
	b := newBroker(t, w.clock)
	a := w.post(b.record())
	w.closed = fmt.Errorf("this broker asks for membership itself")
	if refused := w.post(newBroker(t, w.clock).record()); refused.Status != http.StatusServiceUnavailable {
		t.Fatalf("%+v", refused)
	}
	if _, err := w.desk.Approve(t.Context(), a.ID); err == nil {
		t.Fatal("approved")
	}
}

// The third member needs two approvals: one member's and its own.
func TestApplicantsSignatureCounts(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b, c, d := newBroker(t, w.clock), newBroker(t, w.clock), newBroker(t, w.clock)
	_, err := w.desk.Approve(ctx, w.post(b.record()).ID)
	check(t, err)
	a := w.post(c.record())
	o, err := w.desk.Approve(ctx, a.ID)
	check(t, err)
	if o.InForce || o.Approval != (membership.Tally{Have: 1, Need: 2}) || !w.desk.Awaits(o) {
		t.Fatalf("outcome %+v", o)
	}
	// One at a time: a second successor would divide the members.
	second := w.post(d.record())
	queued, err := w.desk.Approve(ctx, second.ID)
	check(t, err)
	if queued.Charter != nil || queued.Pending == "" {
		t.Fatalf("a second proposal: %+v", queued)
	}
	proposed := w.want(a.ID, membership.Proposed)
	charter, err := registry.ParseCharter(proposed.Charter)
	check(t, err)
	path := "/federation/requests/" + a.ID
	if e := w.do(http.MethodPost, path, "application/jose+json", []byte("{}")); e.Status != http.StatusBadRequest {
		t.Fatalf("rubbish: %+v", e)
	}
	if e := w.do(http.MethodPost, path, "application/jose+json", w.replica.Chain().Latest().Raw); e.Status != http.StatusConflict {
		t.Fatalf("another charter: %+v", e)
	}
	if e := w.do(http.MethodPost, path, "application/jose+json", charter.Raw); e.Status != http.StatusOK || e.State != membership.Proposed {
		t.Fatalf("nothing new: %+v", e)
	}
	signed, err := charter.AddSignature(c.key)
	check(t, err)
	if e := w.do(http.MethodPost, path, "application/jose+json", signed.Raw); e.Status != http.StatusOK || e.State != membership.Admitted {
		t.Fatalf("the applicant's signature: %+v", e)
	}
	if o = w.desk.Follow(ctx, o); !o.InForce {
		t.Fatalf("outcome %+v", o)
	}
	// The queue moves by itself.
	done := make(chan error, 1)
	go func() { done <- w.desk.Run(ctx) }()
	for w.get(second.ID).State != membership.Proposed {
		if t.Context().Err() != nil {
			t.Fatal("the approved request never had its turn")
		}
	}
	cancel()
	check(t, <-done)
}

// Whoever signs is told everything that a charter changes.
func TestProposalThatHidesSomething(t *testing.T) {
	w := newWorld(t)
	b, c := newBroker(t, w.clock), newBroker(t, w.clock)
	_, err := w.desk.Approve(t.Context(), w.post(b.record()).ID)
	check(t, err)
	a := w.post(c.record())
	// b proposes to admit c, and to give itself all power in passing.
	next := w.replica.Chain().Latest().Charter
	next.Version, next.Previous = 3, w.replica.Chain().Latest().CID
	next.Threshold = 1
	next.Members = append(next.Members, registry.Member{
		Issuer: c.issuer(), State: registry.MemberActive, Keys: []registry.MemberKey{{Key: c.key.JWK()}},
	})
	next.ViewQuorum = 1
	next.Threshold = 3
	sly, err := registry.NewCharter(next, b.key)
	check(t, err)
	if _, err := w.replica.Accept(t.Context(), federation.Inbound{Charter: sly.Raw}); err != nil {
		t.Fatal(err)
	}
	o, err := w.desk.Approve(t.Context(), c.issuer())
	check(t, err)
	if o.Charter != nil {
		t.Fatalf("approved by name: %+v", o)
	}
	items, err := w.desk.List(t.Context())
	check(t, err)
	var said []string
	for _, item := range items {
		for _, change := range item.Changes {
			said = append(said, change.Kind)
		}
	}
	if strings.Join(said, " ") != "admit threshold view_quorum" {
		t.Fatalf("the list says %q of request %s", said, a.ID)
	}
	// By its CID it can be signed all the same.
	o, err = w.desk.Approve(t.Context(), sly.CID)
	check(t, err)
	if o.Approval != (membership.Tally{Have: 2, Need: 3}) {
		t.Fatalf("%+v", o)
	}
}

func TestExpelAndLimits(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	b := newBroker(t, w.clock)
	zero := 0
	o, err := w.desk.SetLimits(ctx, membership.Limits{Name: "Short", MaxAge: 4, Threshold: &zero, SuspensionQuota: 3})
	check(t, err)
	if c := w.replica.Chain().Latest(); !o.InForce || c.Name != "Short" || c.MaxAge != 4 || c.SuspensionQuota != 3 || c.Version != 2 {
		t.Fatalf("%+v", c)
	}
	if o, err = w.desk.SetLimits(ctx, membership.Limits{Name: "Short"}); err != nil || !o.InForce || o.Charter.Version != 2 {
		t.Fatalf("nothing new: %+v, %v", o, err)
	}
	if _, err := w.desk.SetLimits(ctx, membership.Limits{MaxAge: 1}); err == nil {
		t.Fatal("a max_age of one second")
	}
	if _, err := w.desk.Expel(ctx, "http://127.0.0.1:1"); err == nil {
		t.Fatal("the only member left")
	}
	if _, err := w.desk.Expel(ctx, b.issuer()); err == nil {
		t.Fatal("a stranger was expelled")
	}
	_, err = w.desk.Approve(ctx, w.post(b.record()).ID)
	check(t, err)
	if _, err := w.desk.SetLimits(ctx, membership.Limits{Name: "Mine"}); err == nil {
		t.Fatal("one of two members changed the limits")
	}
	o, err = w.desk.Expel(ctx, b.issuer())
	check(t, err)
	m, _ := w.replica.Chain().Member(b.issuer())
	if !o.InForce || m.State != registry.MemberExpelled || m.Keys[0].Until == nil || *m.Keys[0].Until != 0 {
		t.Fatalf("%+v, %+v", o, m)
	}
	if items, err := w.desk.List(ctx); err != nil || len(items) != 1 || items[0].State != membership.Refused {
		t.Fatalf("the request of the expelled broker: %+v, %v", items, err)
	}
	if a := w.post(b.record()); a.Status != http.StatusConflict {
		t.Fatalf("an expelled broker asks again: %+v", a)
	}
}
