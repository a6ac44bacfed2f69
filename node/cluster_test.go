// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/membership"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// until polls a condition; the test fails when it does not come true.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
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

// member is one broker of a test, which may be stopped and started again.
type member struct {
	t    testing.TB
	cfg  node.Config
	node *node.Node
	said node.Ready
	end  func() error // nil: it does not run
	ran  chan error   // what Run returned
}

// newMember starts a broker in a new directory.
func newMember(t testing.TB, change ...func(*node.Config)) *member {
	t.Helper()
	m := &member{t: t, cfg: node.Config{DataDir: filepath.Join(t.TempDir(), "data"), Issuer: freeIssuer(t), AllowPrivate: true}}
	for _, f := range change {
		f(&m.cfg)
	}
	m.start()
	return m
}

// joining is a broker in a new directory that asks at for membership.
func joining(t testing.TB, at *member) *member {
	t.Helper()
	return newMember(t, func(c *node.Config) { c.Join = at.cfg.Issuer })
}

// start starts the broker and waits until it is ready.
func (m *member) start() {
	m.t.Helper()
	if err := m.tryStart(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) tryStart() error {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.Open(ctx, m.cfg)
	if err != nil {
		cancel()
		return err
	}
	ready, ran := make(chan node.Ready, 1), make(chan error, 1)
	m.node, m.ran = n, ran
	go func() { ran <- n.Run(ctx, func(r node.Ready) { ready <- r }) }()
	m.end = func() error {
		cancel()
		err := <-ran
		m.end = nil
		if e := n.Close(); err == nil {
			err = e
		}
		return err
	}
	m.t.Cleanup(m.stop)
	select {
	case m.said = <-ready:
		return nil
	case err := <-ran:
		ran <- err
		return errors.Join(err, m.end())
	}
}

// wait waits until the broker ends by itself.
func (m *member) wait() error {
	err := <-m.ran
	m.ran <- err
	return errors.Join(err, m.end())
}

// stop stops the broker, if it runs.
func (m *member) stop() {
	if m.end != nil {
		if err := m.end(); err != nil {
			m.t.Errorf("%s did not stop in order: %v", m.cfg.Issuer, err)
		}
	}
}

func (m *member) status() admin.Status {
	m.t.Helper()
	s, err := m.node.Status(context.Background())
	check(m.t, err)
	return s
}

// awaitRequest waits until issuer asks this broker for membership.
func (m *member) awaitRequest(issuer string) string {
	m.t.Helper()
	var id string
	until(m.t, issuer+" asks for membership", func() bool {
		list, err := m.node.ListRequests(context.Background())
		check(m.t, err)
		for _, r := range list.Requests {
			if r.Issuer == issuer && r.State == string(membership.Waiting) {
				id = r.ID
			}
		}
		return id != ""
	})
	return id
}

func (m *member) approve(name string) admin.Decision {
	m.t.Helper()
	d, err := m.node.ApproveRequest(context.Background(), admin.Name{Name: name})
	check(m.t, err)
	return d
}

// agree waits until all of them are fresh members of one federation with one
// charter, see each other and hold the same logs.
func agree(t testing.TB, members ...*member) {
	t.Helper()
	var why string
	t.Cleanup(func() {
		if why != "" {
			t.Logf("the members do not agree: %s", why)
		}
	})
	until(t, "the members agree", func() bool { why = agreed(t, members); return why == "" })
}

// agreed says what the members do not agree on.
func agreed(t testing.TB, members []*member) string {
	t.Helper()
	var first admin.Status
	for i, m := range members {
		s := m.status()
		switch {
		case !s.Fresh:
			return m.cfg.Issuer + " is stale: " + s.StaleReason
		case s.Joining != nil:
			return m.cfg.Issuer + " still asks to join"
		case s.Peers < len(members)-1:
			return m.cfg.Issuer + " does not see all peers"
		}
		if i == 0 {
			first = s
			continue
		}
		if s.Federation != first.Federation || s.CharterVersion != first.CharterVersion || !slices.EqualFunc(s.Members, first.Members, sameHead) {
			return fmt.Sprintf("%s has %+v, the first %+v", m.cfg.Issuer, s.Members, first.Members)
		}
	}
	return ""
}

func sameHead(a, b admin.Member) bool {
	return a.Issuer == b.Issuer && a.State == b.State && a.Head == b.Head && a.Head.Size > 0
}

// found makes a federation of n brokers. maxAge 0 leaves the default.
func found(t testing.TB, n int, maxAge int64) []*member {
	t.Helper()
	members := []*member{newMember(t)}
	if maxAge > 0 {
		d, err := members[0].node.FoundFederation(t.Context(), membership.Limits{Name: "Test", MaxAge: maxAge})
		check(t, err)
		if d.State != "in-force" {
			t.Fatalf("the limits: %+v", d)
		}
	}
	for len(members) < n {
		m := joining(t, members[0])
		members[0].awaitRequest(m.cfg.Issuer)
		d := members[0].approve(m.cfg.Issuer)
		for _, by := range members[1:] {
			if d.State != "in-force" {
				d = by.approveWhenSeen("admit", m.cfg.Issuer)
			}
		}
		if d.State != "in-force" {
			t.Fatalf("all approved: %+v", d)
		}
		members = append(members, m)
		agree(t, members...)
	}
	return members
}

// approveWhenSeen approves the proposal to admit or expel an issuer, as soon as
// this broker has heard of it.
func (m *member) approveWhenSeen(kind, issuer string) admin.Decision {
	m.t.Helper()
	var cid string
	until(m.t, m.cfg.Issuer+" hears of the proposal to "+kind+" "+issuer, func() bool {
		list, err := m.node.ListRequests(context.Background())
		check(m.t, err)
		for _, r := range list.Requests {
			if len(r.Changes) == 1 && r.Changes[0].Kind == kind && r.Changes[0].Issuer == issuer {
				cid = r.Charter
			}
		}
		return cid != ""
	})
	return m.approve(cid)
}

// register registers an app, public by default.
func (m *member) register(metadata string) admin.App {
	m.t.Helper()
	app, err := m.node.RegisterApp(context.Background(), admin.AppDraft{Metadata: json.RawMessage(metadata)})
	check(m.t, err)
	return app
}

func (m *member) app(id string) (admin.App, error) {
	return m.node.ShowApp(context.Background(), admin.AppID{ClientID: id})
}

// seesApp waits until the broker knows a client in that state.
func (m *member) seesApp(id, state string) {
	m.t.Helper()
	until(m.t, m.cfg.Issuer+" sees the app "+state, func() bool {
		a, err := m.app(id)
		return err == nil && a.State == state
	})
}

func named(name string) string { return strings.Replace(someApp, `"App"`, `"`+name+`"`, 1) }
