// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/site/protocol"
)

// The real parts together: database, outbox, sender, HTTP. What was written
// before the process ended arrives after it was started again.
func TestOutboxOverRestart(t *testing.T) {
	const events = 40
	arrived := make(chan string, 1000)
	var peers []*peer
	for range 5 {
		p := newPeer(t)
		p.answer = func(w http.ResponseWriter, r *http.Request, e *protocol.SignedEvent) {
			p.store(e)
			w.WriteHeader(http.StatusAccepted)
			arrived <- e.ID
		}
		peers = append(peers, p)
	}
	path := filepath.Join(t.TempDir(), "comity.db")
	first, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range events {
		if err := first.Enqueue(t.Context(), message(peers[n%5].URL, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	o := notify.NewOutbox(notify.OutboxConfig{
		Store: second, Sender: newSender(t, guard.Config{AllowPrivate: true}),
		Now: func() time.Time { return opening }, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	for range events {
		<-arrived
	}
	// Now it waits for something new, and is woken by the commit.
	if err := second.Enqueue(t.Context(), message(peers[0].URL, events)); err != nil {
		t.Fatal(err)
	}
	if id := <-arrived; id != message("", events).Event.ID {
		t.Errorf("got %s", id)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n, err := o.Depth(t.Context()); n != 0 || err != nil {
		t.Errorf("%d messages wait, %v", n, err)
	}
	for i, p := range peers {
		came, stored := p.seen()
		if len(came) != stored {
			t.Errorf("site %d got %d events %d times", i, stored, len(came))
		}
		for j := 1; j < len(came); j++ {
			if came[j-1].ID > came[j].ID {
				t.Errorf("site %d: %s came before %s", i, came[j-1].ID, came[j].ID)
			}
		}
	}
}

// BenchmarkOutbox is one event for each of 100 sites on loopback, from before
// the commit to the last acknowledgement.
func BenchmarkOutbox(b *testing.B) {
	p := newPeer(b)
	arrived := make(chan struct{}, 1000)
	p.answer = func(w http.ResponseWriter, r *http.Request, e *protocol.SignedEvent) {
		w.WriteHeader(http.StatusAccepted)
		arrived <- struct{}{}
	}
	s := openStore(b)
	o := notify.NewOutbox(notify.OutboxConfig{
		Store: s, Sender: newSender(b, guard.Config{AllowPrivate: true}),
		Now: func() time.Time { return opening }, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	n := 0
	for b.Loop() {
		var all []notify.Message
		for site := range 100 {
			all = append(all, message(fmt.Sprintf("%s/%d", p.URL, site), n))
			n++
		}
		if err := s.Enqueue(b.Context(), all...); err != nil {
			b.Fatal(err)
		}
		for range 100 {
			<-arrived
		}
	}
	cancel()
	<-ended
}
