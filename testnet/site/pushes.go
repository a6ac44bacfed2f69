// SPDX-License-Identifier: Apache-2.0

package site

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/site/protocol"
)

// What brokers ask a site for, beside the events, which are named by their URI.
const (
	Metadata = "metadata"
	Keys     = "jwks"
	Batch    = "batch" // of events
)

// Fault is what happens to one request of a broker.
type Fault int

// Faults. The SDK sees the request in those that say "after", and not in the
// others.
const (
	None         Fault = iota
	Refuse             // 400 access_denied
	FailBefore         // 500
	FailAfter          // 500, stored
	CutBefore          // the connection is closed without an answer
	CutAfter           // the same, stored
	SilentBefore       // no answer until the broker gives up
	SilentAfter        // the same, stored
)

// Push is one request of a broker.
type Push struct {
	Kind     string // the event's URI, Batch, Metadata or Keys
	Event    *protocol.Event
	Raw      string
	Arrived  time.Time
	Stored   time.Time // when the SDK was done with it; zero: it never saw it
	Answered time.Time
	Status   int // of the answer; 0: none
}

// Rule says what happens to the next request of one kind.
type Rule struct {
	Kind   string // empty: any event
	Fault  Fault
	Before func() // called before anything is stored
	After  func() // called when the SDK has stored it, before the answer
	Count  int    // to so many requests; 0: to one
}

// Pushes stands before the SDK's handler.
type Pushes struct {
	next   http.Handler
	closed chan struct{}

	mu      sync.Mutex
	rules   []Rule
	all     []Push
	changed chan struct{} // closed and replaced with every push that is answered
}

func newPushes(next http.Handler) *Pushes {
	return &Pushes{next: next, closed: make(chan struct{}), changed: make(chan struct{})}
}

// close ends the requests that are kept silent.
func (p *Pushes) close() { close(p.closed) }

// On adds a rule. The oldest that fits a request is used up by it.
func (p *Pushes) On(r Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Count = max(r.Count, 1)
	p.rules = append(p.rules, r)
}

// Clear takes back the rules that were not used.
func (p *Pushes) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// All returns the requests that have ended, in the order of their ends.
func (p *Pushes) All() []Push {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// Wait returns the first ended request that fits, now or later.
func (p *Pushes) Wait(ctx context.Context, fits func(Push) bool) (Push, error) {
	return p.WaitFrom(ctx, 0, fits)
}

// WaitFrom is Wait without the first n requests.
func (p *Pushes) WaitFrom(ctx context.Context, n int, fits func(Push) bool) (Push, error) {
	for {
		p.mu.Lock()
		all, changed := p.all[n:], p.changed
		p.mu.Unlock()
		if i := slices.IndexFunc(all, fits); i >= 0 {
			return all[i], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Push{}, ctx.Err()
		}
	}
}

// Accepted returns a test for Wait: an event that the site has answered with
// 202 to.
func Accepted(kind string) func(Push) bool {
	return func(p Push) bool { return p.Kind == kind && p.Status == http.StatusAccepted }
}

// ServeHTTP implements http.Handler.
func (p *Pushes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	push := Push{Arrived: time.Now()}
	switch {
	case strings.HasSuffix(r.URL.Path, "/events") && r.Method == http.MethodPost:
		body, err := io.ReadAll(io.LimitReader(r.Body, protocol.MaxEventBytes+1))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		push.Raw = string(body)
		if event, err := protocol.ParseEvent(push.Raw); err == nil {
			push.Kind, push.Event = event.URI(), &event.Event
		} else if _, err := protocol.ParseBatch(push.Raw); err == nil {
			push.Kind = Batch
		}
	case strings.HasPrefix(r.URL.Path, "/.well-known/"):
		push.Kind = Metadata
	case strings.HasSuffix(r.URL.Path, "/jwks"):
		push.Kind = Keys
	default:
		p.next.ServeHTTP(w, r)
		return
	}
	rule := p.take(push.Kind)
	defer p.record(&push)
	p.answer(w, r, rule, &push)
}

// answer does what the rule says and notes the status in push.
func (p *Pushes) answer(w http.ResponseWriter, r *http.Request, rule Rule, push *Push) {
	call(rule.Before)
	answer := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	switch rule.Fault {
	case None, FailAfter, CutAfter, SilentAfter:
		// The answer is held back, so that After comes before it.
		p.next.ServeHTTP(answer, r)
		push.Stored = time.Now()
		call(rule.After)
	case Refuse:
		answer.Header().Set("Content-Type", "application/json")
		answer.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(answer).Encode(protocol.PushError{Err: protocol.ErrAccessDenied, Description: "the test says no"})
	}
	switch rule.Fault {
	case None, Refuse:
		push.Status = answer.status
		for name, values := range answer.header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.status)
		w.Write(answer.body.Bytes())
	case FailBefore, FailAfter:
		push.Status = http.StatusInternalServerError
		http.Error(w, "the test breaks it", push.Status)
	case CutBefore, CutAfter:
		panic(http.ErrAbortHandler)
	case SilentBefore, SilentAfter:
		select {
		case <-r.Context().Done():
		case <-p.closed:
		}
		panic(http.ErrAbortHandler)
	}
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// take uses up the first rule for kind.
func (p *Pushes) take(kind string) Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.rules {
		r := &p.rules[i]
		if r.Kind == kind || r.Kind == "" && strings.HasPrefix(kind, "urn:") {
			taken := *r
			if r.Count--; r.Count == 0 {
				p.rules = slices.Delete(p.rules, i, i+1)
			}
			return taken
		}
	}
	return Rule{}
}

// record keeps the push and wakes who waits for one.
func (p *Pushes) record(push *Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	push.Answered = time.Now()
	p.all = append(p.all, *push)
	close(p.changed)
	p.changed = make(chan struct{})
}

// heldAnswer is an http.ResponseWriter that keeps the answer.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *heldAnswer) Header() http.Header         { return a.header }
func (a *heldAnswer) WriteHeader(status int)      { a.status = status }
func (a *heldAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }
