// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// TestRun: polls at once, again when an event tells of a change, and ends with
// its context.
func TestRun(t *testing.T) {
	f := newFederation(t, 1)
	client := f.brokers[0].register(metadata())
	s := newSite(t, f, nil)
	s.login("alice", client)
	record := f.brokers[0].stop(client, registry.Revoke, nil)
	polled := make(chan struct{}, 100)
	f.brokers[0].lie(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/federation/status" {
			polled <- struct{}{}
		}
		return false
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-polled
	if got := s.tell(f.brokers[0], client, true, record); got != "202" {
		t.Fatal(got)
	}
	<-polled
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

// TestConcurrentEvents: one event at once from many hands has one effect, and
// of many tokens for one code one lives.
func TestConcurrentEvents(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	code := s.consent("alice", f.brokers[0].register(metadata()), nil)
	const n = 20
	events := make([]string, n)
	for i := range events {
		events[i] = f.brokers[0].issued(fmt.Sprint("t", i), code, nil)
	}
	var all sync.WaitGroup
	answers := make([]error, 2*n)
	for i := range answers {
		all.Go(func() { answers[i] = s.Receive(t.Context(), events[i/2]) })
	}
	all.Wait()
	alive := 0
	for i := range n {
		if s.call("/photos", fmt.Sprint("t", i)).StatusCode == http.StatusOK {
			alive++
		}
		must(t, errors.Join(answers[2*i], answers[2*i+1]))
	}
	if alive != 1 {
		t.Errorf("%d tokens of one code live, want 1", alive)
	}
}

// TestLogsHoldNoSecrets: neither tokens nor codes nor users are in the log.
func TestLogsHoldNoSecrets(t *testing.T) { // fault 84, at the site
	f := newFederation(t, 2)
	var log bytes.Buffer
	s := newSite(t, f, func(c *site.Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	client := f.brokers[0].register(metadata())
	token, code := s.login("alice-the-user", client)
	events := s.url("/comity/events")
	for _, refused := range []string{
		f.brokers[1].issued("canary-token", code, nil),
		f.brokers[0].issued("canary-token", code, func(i *protocol.TokenIssued) { i.Scope = "write" }),
		f.brokers[0].issued("canary-token", code, nil)[:200],
	} {
		if got := post(t, events, refused); got == "202" {
			t.Fatal(got)
		}
	}
	s.call("/photos", "canary-token")
	s.call("/photos?access_token=canary-token", "")
	f.brokers[0].stop(client, registry.Revoke, nil)
	newBrowser(s, "alice-the-user").get(s.request(client, nil))
	f.silence()
	if err := s.Poll(t.Context()); err == nil {
		t.Error("nobody answered")
	}
	if log.Len() == 0 {
		t.Error("nothing was logged at all")
	}
	for _, secret := range []string{token, "canary-token", protocol.TokenHash("canary-token"), code.ID, code.Grant, "alice-the-user"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
