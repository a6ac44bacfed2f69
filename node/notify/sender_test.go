// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/site/protocol"
)

func TestDeliver(t *testing.T) {
	p := newPeer(t)
	a := newSender(t, guard.Config{AllowPrivate: true}).Deliver(t.Context(), message(p.URL, 1))
	if !a.Accepted || a.Refused != nil || a.Err != nil {
		t.Fatalf("answer is %+v", a)
	}
	events, _ := p.seen()
	if len(events) != 1 || events[0].ID != message("", 1).Event.ID || events[0].IssuedAt != start {
		t.Fatalf("site got %+v", events)
	}
	k := tokenKey()
	if err := events[0].Verify(map[string]ed25519.PublicKey{k.ID(): k.Public()}, opening); err != nil {
		t.Error(err)
	}
}

// Everything that a site may answer. Only a 202 is an acknowledgement (fault
// 43), only an error of RFC 8935 is a refusal.
func TestFault43Answers(t *testing.T) {
	say := func(status int, kind, body string) func(http.ResponseWriter, *http.Request, *protocol.SignedEvent) {
		return func(w http.ResponseWriter, r *http.Request, e *protocol.SignedEvent) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			w.Write([]byte(body))
		}
	}
	const json = "application/json"
	other := newPeer(t) // another origin, which would accept
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, *protocol.SignedEvent)
		want   string
	}{
		{"202", say(202, json, ``), "accepted"},
		{"202 with a body", say(202, "text/html", `<p>thanks`), "accepted"},
		{"202 with a long body", say(202, json, strings.Repeat("x", 100_000)), "accepted"},
		{"200", say(200, json, `{}`), "unknown"},
		{"201", say(201, json, ``), "unknown"},
		{"204", say(204, json, ``), "unknown"},
		{"206", say(206, json, ``), "unknown"},
		{"400 and an error", say(400, json, `{"err":"invalid_grant","description":"ended"}`), "refused"},
		{"400, charset", say(400, json+"; charset=utf-8", `{"err":"stale"}`), "refused"},
		{"400, unknown error", say(400, json, `{"err":"tired"}`), "unknown"},
		{"400 of a proxy", say(400, "text/html", `<h1>Bad Request`), "unknown"},
		{"400, error in HTML", say(400, "text/html", `{"err":"invalid_grant"}`), "unknown"},
		{"400, nothing", say(400, json, ``), "unknown"},
		{"400, two documents", say(400, json, `{"err":"stale"}{"err":"stale"}`), "unknown"},
		{"400, long", say(400, json, `{"err":"stale","description":"`+strings.Repeat("x", 5000)+`"}`), "unknown"},
		{"401", say(401, json, `{"err":"invalid_grant"}`), "unknown"},
		{"404", say(404, json, ``), "unknown"},
		{"429", say(429, json, ``), "unknown"},
		{"500", say(500, json, `{"err":"invalid_grant"}`), "unknown"},
		{"503", say(503, json, ``), "unknown"},
		{"hangs up", func(w http.ResponseWriter, r *http.Request, e *protocol.SignedEvent) { panic(http.ErrAbortHandler) }, "unknown"},
		{"redirect to another origin that accepts", redirect(other.URL, 307), "unknown"},
		{"permanent redirect to another origin that accepts", redirect(other.URL, 308), "unknown"},
		{"see other", redirect(other.URL, 303), "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			p.answer = tt.answer
			a := newSender(t, guard.Config{AllowPrivate: true}).Deliver(t.Context(), message(p.URL, 1))
			if a.Outcome() != tt.want {
				t.Errorf("answer is %+v, want %s", a, tt.want)
			}
			if (a.Err != nil) != (tt.want == "unknown") {
				t.Errorf("error is %v", a.Err)
			}
		})
	}
	if events, _ := other.seen(); len(events) != 0 {
		t.Errorf("the other origin got %d events", len(events))
	}
}

func redirect(to string, status int) func(http.ResponseWriter, *http.Request, *protocol.SignedEvent) {
	return func(w http.ResponseWriter, r *http.Request, _ *protocol.SignedEvent) { http.Redirect(w, r, to, status) }
}

// fault 37: a site that fails after it stored the event, and one that fails
// before. fault 39: each attempt has the same jti, and its own iat.
func TestFault37Retry(t *testing.T) {
	fail := map[string]func(w http.ResponseWriter, r *http.Request){
		"500":      func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"silence":  func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hangs up": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, f := range fail {
		for _, persisted := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, persisted %v", name, persisted), func(t *testing.T) {
				p := newPeer(t)
				p.answer = func(w http.ResponseWriter, r *http.Request, e *protocol.SignedEvent) {
					attempts, _ := p.seen()
					if persisted || len(attempts) > 1 {
						p.store(e)
					}
					if len(attempts) > 1 {
						w.WriteHeader(http.StatusAccepted)
						return
					}
					f(w, r)
				}
				now := opening
				client := guard.New(guard.Config{AllowPrivate: true})
				defer client.CloseIdleConnections()
				s := notify.NewSender(notify.SenderConfig{
					Client: client, Sites: directory{}, Key: tokenKey, Now: func() time.Time { return now }, Timeout: 100 * time.Millisecond,
				})
				if a := s.Deliver(t.Context(), message(p.URL, 1)); a.Err == nil {
					t.Fatalf("answer is %+v", a)
				}
				now = now.Add(time.Minute)
				if a := s.Deliver(t.Context(), message(p.URL, 1)); !a.Accepted {
					t.Fatalf("answer is %+v", a)
				}
				events, stored := p.seen()
				if len(events) != 2 || stored != 1 {
					t.Fatalf("%d attempts, %d stored", len(events), stored)
				}
				if events[0].ID != events[1].ID || events[1].IssuedAt != events[0].IssuedAt+60 {
					t.Errorf("attempts: %+v, %+v", events[0].Event, events[1].Event)
				}
			})
		}
	}
}

// fault 36, at the sender: 200 sites that never answer, and a good one.
func TestFault36ManySlowSites(t *testing.T) {
	s := newSender(t, guard.Config{AllowPrivate: true})
	arrived, release := make(chan struct{}, 200), make(chan struct{})
	slow := func(w http.ResponseWriter, r *http.Request, _ *protocol.SignedEvent) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusInternalServerError)
	}
	var wg sync.WaitGroup
	for range 200 {
		p := newPeer(t)
		p.answer = slow
		wg.Go(func() {
			if a := s.Deliver(t.Context(), message(p.URL, 1)); a.Accepted {
				t.Error("accepted by a site that said nothing")
			}
		})
	}
	for range 200 {
		<-arrived
	}
	good := newPeer(t)
	for n := range 20 {
		if a := s.Deliver(t.Context(), message(good.URL, n)); !a.Accepted {
			t.Errorf("the good site suffers: %v", a.Err)
		}
	}
	close(release)
	wg.Wait()
}

// fault 36: a compressed answer is not an error document.
func TestFault36GzipAnswer(t *testing.T) {
	p := newPeer(t)
	p.answer = func(w http.ResponseWriter, r *http.Request, _ *protocol.SignedEvent) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(`{"err":"stale","description":"` + strings.Repeat("x", 100_000) + `"}`))
		z.Close()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(400)
		w.Write(b.Bytes())
	}
	a := newSender(t, guard.Config{AllowPrivate: true}).Deliver(t.Context(), message(p.URL, 1))
	if a.Err == nil {
		t.Errorf("answer is %+v", a)
	}
}

// fault 33, at the sender: without AllowPrivate nothing on this machine is
// reached.
func TestFault33Sender(t *testing.T) {
	p := newPeer(t)
	a := newSender(t, guard.Config{}).Deliver(t.Context(), message(p.URL, 1))
	if !errors.Is(a.Err, guard.ErrRefused) {
		t.Errorf("answer is %+v", a)
	}
	if events, _ := p.seen(); len(events) != 0 {
		t.Errorf("the site got %d events", len(events))
	}
}

// unknownSites is a directory without sites.
type unknownSites struct{}

func (unknownSites) Site(context.Context, string) (*sites.Site, error) {
	return nil, sites.ErrNotDelegated
}

func TestDeliverCannot(t *testing.T) {
	s := newSender(t, guard.Config{AllowPrivate: true})
	if a := s.Deliver(t.Context(), message("https://polling.example", 1)); !errors.Is(a.Err, notify.ErrNoEndpoint) {
		t.Errorf("polling site: %+v", a)
	}
	p := newPeer(t)
	m := message(p.URL, 1)
	m.Event.ID = ""
	if a := s.Deliver(t.Context(), m); a.Err == nil {
		t.Error("an event without jti was sent")
	}
	m = message(p.URL, 1)
	m.Event.TokenRevoked.TokenHash = "the token itself"
	if a := s.Deliver(t.Context(), m); a.Err == nil {
		t.Error("an event that no site would accept was sent")
	}
	none := notify.NewSender(notify.SenderConfig{Sites: unknownSites{}, Key: tokenKey, Now: time.Now})
	if a := none.Deliver(t.Context(), message(p.URL, 1)); !errors.Is(a.Err, sites.ErrNotDelegated) {
		t.Errorf("unknown site: %+v", a)
	}
	if events, _ := p.seen(); len(events) != 0 {
		t.Errorf("the site got %d events", len(events))
	}
}

// BenchmarkDeliver is one notification and its acknowledgement on loopback.
func BenchmarkDeliver(b *testing.B) {
	p := newPeer(b)
	s := newSender(b, guard.Config{AllowPrivate: true})
	m := message(p.URL, 1)
	b.ReportAllocs()
	for b.Loop() {
		if a := s.Deliver(b.Context(), m); !a.Accepted {
			b.Fatal(a.Err)
		}
	}
}
