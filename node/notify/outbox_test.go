// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/site/protocol"
)

// memory is a notify.Store in memory, for tests in virtual time. The real one
// is in node/store, with tests of its own.
type memory struct {
	changed chan struct{}

	mu       sync.Mutex
	messages map[string][]notify.Message // by site
	broken   bool

	whenEmpty func() // called by Queued when it found nothing
}

func newMemory() *memory {
	return &memory{changed: make(chan struct{}, 1), messages: map[string][]notify.Message{}}
}

func (m *memory) put(messages ...notify.Message) {
	m.mu.Lock()
	for _, q := range messages {
		m.messages[q.Site] = append(m.messages[q.Site], q)
	}
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *memory) setBroken(b bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = b
}

func (m *memory) QueueChanged() <-chan struct{} { return m.changed }

func (m *memory) QueuedSites(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return nil, errors.New("disk")
	}
	return slices.Sorted(maps.Keys(m.messages)), nil
}

func (m *memory) Queued(_ context.Context, site string, max int) ([]notify.Message, error) {
	m.mu.Lock()
	all := slices.Clone(m.messages[site])
	m.mu.Unlock()
	if len(all) == 0 && m.whenEmpty != nil {
		m.whenEmpty()
	}
	return all[:min(max, len(all))], nil
}

func (m *memory) Dequeue(_ context.Context, done []notify.Done) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range done {
		left := slices.DeleteFunc(m.messages[d.Site], func(q notify.Message) bool { return q.Event.ID == d.ID })
		if m.messages[d.Site] = left; len(left) == 0 {
			delete(m.messages, d.Site)
		}
	}
	return nil
}

func (m *memory) Postpone(_ context.Context, site, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.messages[site]
	i := slices.IndexFunc(all, func(q notify.Message) bool { return q.Event.ID == id })
	q := all[i]
	m.messages[site] = append(slices.Delete(all, i, i+1), q)
	return nil
}

func (m *memory) QueueDepth(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, all := range m.messages {
		n += len(all)
	}
	return int64(n), nil
}

// attempt is one delivery attempt.
type attempt struct {
	site string
	id   string
	at   time.Duration // since the start of the test
}

// recorder is a Deliverer that answers as it is told.
type recorder struct {
	began  time.Time
	answer func(ctx context.Context, m notify.Message) notify.Answer

	mu       sync.Mutex
	attempts []attempt
	under    int // attempts under way
	most     int
}

func (r *recorder) Deliver(ctx context.Context, m notify.Message) notify.Answer {
	r.mu.Lock()
	r.attempts = append(r.attempts, attempt{m.Site, m.Event.ID, time.Since(r.began)})
	r.under++
	r.most = max(r.most, r.under)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.under--
		r.mu.Unlock()
	}()
	return r.answer(ctx, m)
}

func (r *recorder) list() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.attempts)
}

func (r *recorder) ids(site string) []string {
	var ids []string
	for _, a := range r.list() {
		if a.site == site {
			ids = append(ids, a.id)
		}
	}
	return ids
}

func accept(context.Context, notify.Message) notify.Answer { return notify.Answer{Accepted: true} }

func silence(ctx context.Context, _ notify.Message) notify.Answer {
	select {
	case <-time.After(3 * time.Second): // virtual
	case <-ctx.Done():
	}
	return notify.Answer{Err: errors.New("silence")}
}

// run runs test in virtual time with an outbox over a memory.
func run(t *testing.T, answer func(context.Context, notify.Message) notify.Answer, test func(m *memory, r *recorder, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(), &recorder{began: time.Now(), answer: answer}
		began := time.Now()
		now := func() time.Time { return opening.Add(time.Since(began)) }
		o := notify.NewOutbox(notify.OutboxConfig{Store: m, Sender: r, Now: now, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.Run(ctx) }()
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		defer stop()
		test(m, r, stop)
	})
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func depth(t *testing.T, m *memory, want int64) {
	t.Helper()
	if n, _ := m.QueueDepth(t.Context()); n != want {
		t.Errorf("%d messages wait, want %d", n, want)
	}
}

func TestOutboxOrder(t *testing.T) {
	run(t, accept, func(m *memory, r *recorder, _ func()) {
		var want []string
		for n := range 100 {
			m.put(message("a", n), message("b", n))
			want = append(want, message("a", n).Event.ID)
		}
		synctest.Wait()
		depth(t, m, 0)
		for _, site := range []string{"a", "b"} {
			if got := r.ids(site); !slices.Equal(got, want) {
				t.Errorf("site %s got %v", site, got)
			}
		}
	})
}

// What is put while a visit is at its end is not forgotten.
func TestOutboxNothingForgotten(t *testing.T) {
	run(t, accept, func(m *memory, r *recorder, _ func()) {
		var wg sync.WaitGroup
		for w := range 10 {
			wg.Go(func() {
				for n := range 50 {
					m.put(message("a", w*50+n))
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		depth(t, m, 0)
		if n := len(r.ids("a")); n != 500 {
			t.Errorf("%d attempts", n)
		}
	})
}

// A site that fails is tried after 1 s, 2 s, 4 s … 5 min, each less up to half
// by chance; its first message goes first; then all of them.
func TestOutboxBackoff(t *testing.T) {
	var ok atomic.Bool
	answer := func(context.Context, notify.Message) notify.Answer {
		if ok.Load() {
			return notify.Answer{Accepted: true}
		}
		return notify.Answer{Err: errors.New("connection refused")}
	}
	run(t, answer, func(m *memory, r *recorder, _ func()) {
		m.put(message("a", 1), message("a", 2))
		pass(59 * time.Minute)
		attempts := r.list()
		if len(attempts) < 15 {
			t.Fatalf("%d attempts", len(attempts))
		}
		for n, a := range attempts {
			if a.id != message("a", 1).Event.ID {
				t.Errorf("attempt %d is of %s", n, a.id)
			}
			if n == 0 {
				continue
			}
			gap, longest := a.at-attempts[n-1].at, min(time.Second<<(n-1), 5*time.Minute)
			if gap < longest/2 || gap > longest {
				t.Errorf("attempt %d came after %s, want %s to %s", n, gap, longest/2, longest)
			}
		}
		ok.Store(true)
		pass(5 * time.Minute)
		depth(t, m, 0)
		// It is as good as any other again.
		ok.Store(false)
		again := message("a", 3)
		again.ExpiresAt += 7200
		m.put(again)
		synctest.Wait()
		before := len(r.list())
		pass(time.Second)
		if len(r.list()) != before+1 {
			t.Error("the site's failures of before still count")
		}
	})
}

func TestOutboxRefused(t *testing.T) {
	answer := func(_ context.Context, m notify.Message) notify.Answer {
		return notify.Answer{Refused: &protocol.PushError{Err: protocol.ErrAccessDenied}}
	}
	run(t, answer, func(m *memory, r *recorder, _ func()) {
		m.put(message("a", 1), message("a", 2))
		synctest.Wait()
		depth(t, m, 0)
		if len(r.ids("a")) != 2 {
			t.Errorf("attempts: %v", r.list())
		}
	})
}

// A message that nobody needs any more is dropped, even behind one that fails.
func TestOutboxExpiry(t *testing.T) {
	run(t, silence, func(m *memory, r *recorder, _ func()) {
		old, late := message("a", 1), message("a", 3)
		old.ExpiresAt, late.ExpiresAt = start, start+100
		m.put(old, message("a", 2), late)
		pass(4 * time.Second)
		depth(t, m, 2)
		pass(10 * time.Minute)
		depth(t, m, 1)
		pass(time.Hour)
		depth(t, m, 0)
		if ids := r.ids("a"); slices.Contains(ids, old.Event.ID) || slices.Contains(ids, late.Event.ID) {
			t.Errorf("attempts: %v", ids)
		}
	})
}

// fault 42, in small: a hundred sites that never answer do not hold up the
// others while they are tried for the first time.
func TestFault42NoHeadOfLineBlocking(t *testing.T) {
	answer := func(ctx context.Context, m notify.Message) notify.Answer {
		if strings.HasPrefix(m.Site, "dead") {
			return silence(ctx, m)
		}
		return notify.Answer{Accepted: true}
	}
	run(t, answer, func(m *memory, r *recorder, _ func()) {
		for n := range 100 {
			m.put(message(fmt.Sprint("dead", n), n))
		}
		synctest.Wait() // all of them hang now
		for n := range 500 {
			m.put(message(fmt.Sprint("good", n), n))
		}
		synctest.Wait() // and no time has passed
		depth(t, m, 100)
	})
}

// fault 42: sites that are known to fail, however many they are and however
// long they hang, do not hold up the others.
func TestFault42FailingSites(t *testing.T) {
	began := time.Now()
	answer := func(ctx context.Context, m notify.Message) notify.Answer {
		switch {
		case !strings.HasPrefix(m.Site, "dead"):
			return notify.Answer{Accepted: true}
		case time.Since(began) > 0:
			<-time.After(time.Hour)
		}
		return notify.Answer{Err: errors.New("connection refused")}
	}
	run(t, answer, func(m *memory, r *recorder, _ func()) {
		began = time.Now()
		for n := range 300 {
			m.put(message(fmt.Sprint("dead", n), n))
		}
		pass(time.Minute) // all have failed once, and are tried again
		r.mu.Lock()
		hanging := r.under
		r.mu.Unlock()
		if hanging != 32 {
			t.Errorf("%d attempts hang", hanging)
		}
		for n := range 500 {
			m.put(message(fmt.Sprint("good", n), n))
		}
		synctest.Wait() // and no time has passed
		depth(t, m, 300)
	})
}

// What is put after a visit's last look, and before it ends, is not forgotten.
func TestOutboxLastLook(t *testing.T) {
	run(t, accept, func(m *memory, r *recorder, _ func()) {
		m.whenEmpty = sync.OnceFunc(func() {
			m.put(message("a", 2))
			<-time.After(time.Millisecond) // the outbox looks, and finds the site busy
		})
		m.put(message("a", 1))
		pass(time.Second)
		depth(t, m, 0)
	})
}

// Removals of many sites share a transaction; none is visited again before
// its messages are gone.
func TestOutboxRemovesTogether(t *testing.T) {
	run(t, accept, func(m *memory, r *recorder, _ func()) {
		for n := range 100 {
			m.put(message(fmt.Sprint("site", n), n))
		}
		synctest.Wait()
		depth(t, m, 0)
		if len(r.list()) != 100 {
			t.Errorf("%d attempts for 100 messages", len(r.list()))
		}
	})
}

// An event that the site keeps answering with an error goes behind the
// others; one that meets silence does not.
func TestOutboxStuckMessage(t *testing.T) {
	bad := message("a", 1).Event.ID
	answer := func(_ context.Context, m notify.Message) notify.Answer {
		if m.Event.ID == bad {
			return notify.Answer{Err: fmt.Errorf("push: %w", &notify.StatusError{Code: 500})}
		}
		return notify.Answer{Accepted: true}
	}
	run(t, answer, func(m *memory, r *recorder, _ func()) {
		m.put(message("a", 1), message("a", 2), message("a", 3))
		pass(7 * time.Second) // before the fifth attempt at the earliest
		depth(t, m, 3)
		pass(25 * time.Second) // after the sixth at the latest
		depth(t, m, 1)
	})
}

// Stopping begins nothing new and lets what is under way come to its end.
func TestOutboxStop(t *testing.T) {
	answer := func(ctx context.Context, m notify.Message) notify.Answer {
		select {
		case <-time.After(2 * time.Second):
			return notify.Answer{Accepted: true}
		case <-ctx.Done():
			return notify.Answer{Err: ctx.Err()}
		}
	}
	run(t, answer, func(m *memory, r *recorder, stop func()) {
		m.put(message("a", 1), message("a", 2), message("b", 1))
		pass(time.Second)
		began := time.Now()
		stop()
		if d := time.Since(began); d != time.Second {
			t.Errorf("stopping took %s", d)
		}
		depth(t, m, 1)
		if len(r.list()) != 2 {
			t.Errorf("attempts: %v", r.list())
		}
	})
}

// A database that fails is tried again.
func TestOutboxBrokenStore(t *testing.T) {
	run(t, accept, func(m *memory, r *recorder, _ func()) {
		m.setBroken(true)
		m.put(message("a", 1))
		synctest.Wait()
		depth(t, m, 1)
		m.setBroken(false)
		pass(10 * time.Second)
		depth(t, m, 0)
	})
}
