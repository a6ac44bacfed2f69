// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is a clock that tests set forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// broker is a broker that asks, as far as others see it: an issuer with a
// server that shows its record.
type broker struct {
	t      testing.TB
	clock  *clock
	key    registry.SigningKey
	server *httptest.Server

	mu    sync.Mutex
	shown string // what its issuer URL hands out
}

func newBroker(t testing.TB, c *clock) *broker {
	t.Helper()
	b := &broker{t: t, clock: c, key: registry.GenerateSigningKey()}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !strings.HasPrefix(r.URL.Path, "/federation/brokers/") || b.shown == "" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, b.shown)
	}))
	t.Cleanup(b.server.Close)
	b.show(b.record())
	return b
}

func (b *broker) issuer() string { return b.server.URL }

func (b *broker) show(raw string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shown = raw
}

// record signs a broker record now.
func (b *broker) record(change ...func(*registry.Broker)) string {
	b.t.Helper()
	body := registry.Broker{
		Claims:       registry.Claims{Issuer: b.issuer(), IssuedAt: b.clock.now().Unix()},
		Organisation: "Applicant", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
	}
	for _, f := range change {
		f(&body)
	}
	record, err := registry.SignBroker(b.key, body)
	check(b.t, err)
	return record.Raw
}

// world is one member with its desk.
type world struct {
	testing.TB
	clock   *clock
	key     registry.SigningKey
	replica *federation.Replica
	store   *store.Store
	desk    *membership.Desk
	front   *httptest.Server
	closed  error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: &clock{}, key: registry.GenerateSigningKey()}
	var err error
	w.replica, err = federation.Open(t.Context(), federation.Config{
		Store: new(memstore.Store), Key: w.key, Issuer: "http://127.0.0.1:1", Now: w.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	w.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "comity.db"))
	check(t, err)
	t.Cleanup(func() { w.store.Close() })
	client := guard.New(guard.Config{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	w.desk = membership.NewDesk(membership.DeskConfig{
		Replica: w.replica, Store: w.store, Key: w.key.ID(), HTTP: client,
		Closed: func() error { return w.closed }, Now: w.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	w.front = httptest.NewServer(w.desk.Handler())
	t.Cleanup(w.front.Close)
	return w
}

// answer of the desk, or its error.
type answer struct {
	Status int
	membership.Answer
	Error string `json:"error"`
	Text  string `json:"error_description"`
	Retry string
}

func (w *world) do(method, path, kind string, body []byte) answer {
	w.Helper()
	r, err := http.NewRequest(method, w.front.URL+path, bytes.NewReader(body))
	check(w, err)
	r.Header.Set("Content-Type", kind)
	res, err := w.front.Client().Do(r)
	check(w, err)
	defer res.Body.Close()
	a := answer{Status: res.StatusCode, Retry: res.Header.Get("Retry-After")}
	check(w, json.NewDecoder(res.Body).Decode(&a))
	if res.Header.Get("Cache-Control") != "no-store" {
		w.Errorf("%s %s may be cached", method, path)
	}
	return a
}

func (w *world) post(record string) answer {
	w.Helper()
	return w.do(http.MethodPost, "/federation/requests", "application/jwt", []byte(record))
}

func (w *world) get(id string) answer {
	w.Helper()
	return w.do(http.MethodGet, "/federation/requests/"+id, "", nil)
}

// want fails the test unless a request stands there.
func (w *world) want(id string, state membership.State) answer {
	w.Helper()
	a := w.get(id)
	if a.Status != http.StatusOK || a.State != state || a.ID != id {
		w.Fatalf("the request stands at %d %s %s %s, expected %s", a.Status, a.State, a.Error, a.Text, state)
	}
	return a
}

func TestRequestIsTakenAndApproved(t *testing.T) {
	w := newWorld(t)
	b := newBroker(t, w.clock)
	record := b.record()
	a := w.post(record)
	if a.Status != http.StatusAccepted || a.State != membership.Waiting || a.ID != registry.CID([]byte(record)) {
		t.Fatalf("answer %+v", a)
	}
	if again := w.post(record); again.Status != http.StatusAccepted || again.ID != a.ID {
		t.Fatalf("the same request a second time: %+v", again)
	}
	w.want(a.ID, membership.Waiting)
	o, err := w.desk.Approve(t.Context(), a.ID)
	check(t, err)
	if !o.InForce || o.Subject != b.issuer() {
		t.Fatalf("outcome %+v", o)
	}
	shown := w.want(a.ID, membership.Admitted)
	charter, err := registry.ParseCharter(shown.Charter)
	check(t, err)
	if m, ok := w.replica.Chain().Member(b.issuer()); !ok || m.State != registry.MemberActive || m.Keys[0].Key.KeyID != b.key.ID() || charter.Version != 2 {
		t.Fatalf("the charter has %+v, version %d", m, charter.Version)
	}
	if o, err := w.desk.Approve(t.Context(), b.issuer()); err != nil || !o.InForce {
		t.Fatalf("approved a second time: %+v, %v", o, err)
	}
}

// What is no honest request of the issuer it names is refused, and stored
// nowhere.
func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	b := newBroker(t, w.clock)
	other := newBroker(t, w.clock)
	good := b.record()
	header, rest, _ := strings.Cut(good, ".")
	payload, _, _ := strings.Cut(rest, ".")
	_, rest, _ = strings.Cut(other.record(), ".")
	_, signature, _ := strings.Cut(rest, ".")
	view, err := registry.SignView(b.key, registry.View{
		Claims: registry.Claims{Issuer: b.issuer(), IssuedAt: w.clock.now().Unix()}, Charter: registry.CID(nil),
		LogRoot: strings.Repeat("A", 43), StopHash: strings.Repeat("A", 43),
	})
	check(t, err)
	own, err := registry.SignBroker(w.key, registry.Broker{
		Claims:       registry.Claims{Issuer: "http://127.0.0.1:2", IssuedAt: w.clock.now().Unix()},
		Organisation: "X", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
	})
	check(t, err)
	for _, test := range []struct {
		name, kind, body string
		status           int
		code             string
	}{
		{"empty", "application/jwt", "", 400, "invalid_request"},
		{"no record", "application/jwt", "hello", 400, "invalid_request"},
		{"another kind of record", "application/jwt", view.Raw, 400, "invalid_request"},
		{"another signature", "application/jwt", header + "." + payload + "." + signature, 400, "invalid_request"},
		{"another type", "application/json", good, 415, "invalid_request"},
		{"too long", "application/jwt", good + strings.Repeat("A", registry.MaxRecordBytes), 413, "invalid_request"},
		{"the member's own key", "application/jwt", own.Raw, 409, "conflict"},
		{"a record of long ago", "application/jwt", b.record(func(r *registry.Broker) {
			r.IssuedAt -= int64(membership.RecordAge/time.Second) + 1
		}), 400, "stale"},
		{"a record of the future", "application/jwt", b.record(func(r *registry.Broker) { r.IssuedAt += 60 }), 400, "stale"},
		{"another issuer's name with a plus", "application/jwt", b.record(func(r *registry.Broker) { r.Issuer = "http://127.0.0.1:1" }), 409, "conflict"},
	} {
		a := w.do(http.MethodPost, "/federation/requests", test.kind, []byte(test.body))
		if a.Status != test.status || a.Error != test.code || a.Text == "" {
			t.Errorf("%s: %d %s %q", test.name, a.Status, a.Error, a.Text)
		}
	}
	if items, err := w.desk.List(t.Context()); err != nil || len(items) != 0 {
		t.Fatalf("stored: %+v, %v", items, err)
	}
	if a := w.get(registry.CID([]byte("nothing"))); a.Status != http.StatusNotFound || a.Error != "not_found" {
		t.Fatalf("an unknown request: %+v", a)
	}
}

// An issuer that does not show the key that asks is not admitted.
func TestWrongKeyAtTheIssuer(t *testing.T) {
	w := newWorld(t)
	b := newBroker(t, w.clock)
	a := w.post(b.record())
	liar := newBroker(t, w.clock)
	liar.server.Config.Handler, b.server.Config.Handler = b.server.Config.Handler, liar.server.Config.Handler
	for name, shown := range map[string]string{
		"another key":    liar.record(func(r *registry.Broker) { r.Issuer = b.issuer() }),
		"another issuer": liar.record(),
		"nothing":        "",
		"rubbish":        "rubbish",
	} {
		liar.show(shown)
		if _, err := w.desk.Approve(t.Context(), a.ID); err == nil {
			t.Errorf("%s: approved", name)
		}
	}
	w.want(a.ID, membership.Waiting)
	if n := len(w.replica.Chain().Latest().Members); n != 1 {
		t.Fatalf("the charter has %d members", n)
	}
}

// Somebody who asks in another's name keeps nobody out.
func TestSquatterGivesWayToTheIssuer(t *testing.T) {
	w := newWorld(t)
	b, squatter := newBroker(t, w.clock), newBroker(t, w.clock)
	asIssuer := func(r *registry.Broker) { r.Issuer = b.issuer() }
	first := w.post(squatter.record(asIssuer))
	if first.Status != http.StatusAccepted {
		t.Fatalf("%+v", first)
	}
	a := w.post(b.record())
	if a.Status != http.StatusAccepted {
		t.Fatalf("the issuer's own request: %+v", a)
	}
	if gone := w.get(first.ID); gone.Status != http.StatusNotFound {
		t.Fatalf("the squatter's request is still there: %+v", gone)
	}
	if again := w.post(squatter.record(asIssuer, func(r *registry.Broker) { r.Organisation = "Again" })); again.Status != http.StatusConflict {
		t.Fatalf("the squatter came back: %+v", again)
	}
	w.want(a.ID, membership.Waiting)
}

// Requests are bounded in number and in rate, and end by themselves.
func TestRequestFlood(t *testing.T) {
	w := newWorld(t)
	statuses := map[int]int{}
	var last answer
	for i := range 30 {
		b := &broker{t: t, clock: w.clock, key: registry.GenerateSigningKey(), server: &httptest.Server{URL: fmt.Sprintf("https://flood-%d.example", i)}}
		last = w.post(b.record())
		statuses[last.Status]++
	}
	if statuses[http.StatusAccepted] > 25 || statuses[http.StatusTooManyRequests] == 0 || last.Retry == "" {
		t.Fatalf("30 requests of one address: %v, Retry-After %q", statuses, last.Retry)
	}
	full := 0
	for i := range membership.MaxRequests + 1 {
		b := &broker{t: t, clock: w.clock, key: registry.GenerateSigningKey(), server: &httptest.Server{URL: fmt.Sprintf("https://many-%d.example", i)}}
		_, _, err := w.desk.Submit(t.Context(), []byte(b.record()))
		if err != nil {
			full++
		}
	}
	items, err := w.desk.List(t.Context())
	check(t, err)
	if len(items) != membership.MaxRequests || full == 0 {
		t.Fatalf("%d requests are stored, %d were refused", len(items), full)
	}
	w.clock.forward(membership.RequestLife + time.Second)
	if items, err = w.desk.List(t.Context()); err != nil || len(items) != 0 {
		t.Fatalf("after a week %d requests are left, %v", len(items), err)
	}
	if a := w.post(newBroker(t, w.clock).record()); a.Status != http.StatusAccepted {
		t.Fatalf("after a week: %+v", a)
	}
}

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
