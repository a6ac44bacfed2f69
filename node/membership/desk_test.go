// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"bytes"
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
		b := &broker{t: t, clock: w.clock, key: registry.GenerateSigningKey(), server: &httptest.Server{URL: fmt.Sprintf("http://127.0.0.1:1/many-%d", i)}}
		_, _, err := w.desk.Submit(t.Context(), []byte(b.record()))
		if err != nil {
			full++
		}
	}
	items, err := w.desk.List(t.Context())
	check(t, err)
	if len(items) != membership.MaxUnconfirmed || full == 0 {
		t.Fatalf("%d requests are stored, %d were refused", len(items), full)
	}
	// Those whose issuer confirms them have room beyond.
	if _, _, err := w.desk.Submit(t.Context(), []byte(newBroker(t, w.clock).record())); err != nil {
		t.Fatalf("a broker that answers for itself: %v", err)
	}
	for _, item := range items[:2] {
		_, err := w.desk.Refuse(t.Context(), item.Request.ID, "")
		check(t, err)
	}
	for i, want := range []bool{true, false} { // in the places of two, of which one is taken
		b := &broker{t: t, clock: w.clock, key: registry.GenerateSigningKey(), server: &httptest.Server{URL: fmt.Sprintf("http://127.0.0.1:1/more-%d", i)}}
		if _, _, err := w.desk.Submit(t.Context(), []byte(b.record())); (err == nil) != want {
			t.Fatalf("after a refusal: %v", err)
		}
	}
	w.clock.forward(membership.RequestLife + time.Second)
	if items, err = w.desk.List(t.Context()); err != nil || len(items) != 0 {
		t.Fatalf("after a week %d requests are left, %v", len(items), err)
	}
	if a := w.post(newBroker(t, w.clock).record()); a.Status != http.StatusAccepted {
		t.Fatalf("after a week: %+v", a)
	}
}
