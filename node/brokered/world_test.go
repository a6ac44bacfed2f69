// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/node/brokered/oauth1"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/oldsite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	callback = "https://app.example/callback"
	second   = "https://app.example/second"
	secret   = "kd94hf93k423kf44-kd94hf93k423kf44"
)

// client is a client that is registered with some broker.
var client = registry.CID([]byte("an app"))

// world is a federation that lives in one process.
type world struct {
	t       testing.TB
	clock   *clock
	records *records
	brokers map[string]*broker // by issuer
	sites   map[string]*oldsite.Site
	logged  *logBuffer // of all brokers
}

func (w *world) site(name string) *oldsite.Site { return w.sites[name] }

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{t: t, clock: &clock{}, records: &records{clients: map[string]registry.ClientState{}}, brokers: map[string]*broker{}, logged: &logBuffer{}}
}

// clock is real time, and what a test adds.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// records are what every broker reads.
type records struct {
	mu      sync.Mutex
	clients map[string]registry.ClientState
}

func (r *records) Client(_ context.Context, id string) (registry.ClientState, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, ok := r.clients[id]
	if !ok {
		return state, registry.ErrNotFound
	}
	return state, nil
}

func (r *records) change(id string, f func(*registry.ClientState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.clients[id]
	f(&state)
	r.clients[id] = state
}

// register makes a client whose home is that broker.
func (w *world) register(id, home string) {
	w.records.change(id, func(s *registry.ClientState) {
		*s = registry.ClientState{ID: id, Home: home, HomeStatus: registry.BrokerActive, Status: registry.ClientActive}
		s.Registration = &registry.Record{Registration: &registry.Registration{ClientMetadata: registry.ClientMetadata{
			Name: "Example App", RedirectURIs: []string{callback, second}, URI: "https://app.example/about",
		}}}
	})
}

// broker is one member: its server, over real HTTP, and everything that it uses.
type broker struct {
	*brokered.Server
	world  *world
	cfg    brokered.Config
	http   *httptest.Server
	issuer string

	mu          sync.Mutex
	secrets     map[string]string
	nonces      map[string]bool
	connections map[string]brokered.Connection // by client and site
	denied      map[string]bool                // resources
	notified    func(ctx context.Context, home string) string
	stale       error
	broken      error // of the store
	offline     map[string]bool
	lies        map[string]func(ctx context.Context, request []byte) ([]byte, error) // by issuer: instead of its Answer
	asked       []string                                                             // members
	saved       int
}

// bare is a member without a network.
func (w *world) bare(issuer string) *broker {
	b := &broker{
		world: w, issuer: issuer, secrets: map[string]string{}, nonces: map[string]bool{}, connections: map[string]brokered.Connection{},
		denied: map[string]bool{}, offline: map[string]bool{}, lies: map[string]func(context.Context, []byte) ([]byte, error){},
		notified: func(context.Context, string) string { return "" },
	}
	b.cfg = brokered.Config{
		Issuer: issuer, Clients: w.records, Secrets: b, Store: b, Members: b, Sites: b,
		Fresh: func() error { b.mu.Lock(); defer b.mu.Unlock(); return b.stale },
		Now:   w.clock.now,
		Log:   slog.New(slog.NewJSONHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return b
}

// newBroker starts a member.
func (w *world) newBroker(change ...func(*broker)) *broker {
	w.t.Helper()
	var b *broker
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { b.Handler().ServeHTTP(rw, r) }))
	b = w.bare("http://" + server.Listener.Addr().String())
	b.http = server
	discovery := guard.New(guard.Config{AllowPrivate: true})
	requests := guard.New(guard.Config{AllowPrivate: true, Timeout: 20 * time.Second})
	b.cfg.Discovery, b.cfg.Requests = discovery, requests
	for _, f := range change {
		f(b)
	}
	b.restart()
	b.http.Start()
	w.brokers[b.issuer] = b
	w.t.Cleanup(func() {
		b.http.Close()
		discovery.CloseIdleConnections()
		requests.CloseIdleConnections()
	})
	return b
}

// restart makes a new server over what is durable.
func (b *broker) restart() {
	b.world.t.Helper()
	var err error
	b.Server, err = brokered.New(b.cfg)
	check(b.world.t, err)
}

// home starts the broker of the client.
func (w *world) home(change ...func(*broker)) *broker {
	w.t.Helper()
	b := w.newBroker(change...)
	b.secrets[client] = secret
	w.register(client, b.issuer)
	return b
}

func (b *broker) OAuth1Secret(_ context.Context, id string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.secrets[id]; ok {
		return s, nil
	}
	return "", registry.ErrNotFound
}

func (b *broker) Nonce(_ context.Context, key string, _ int64) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := !b.nonces[key]
	b.nonces[key] = true
	return fresh, b.broken
}

func (b *broker) SaveConnection(_ context.Context, c brokered.Connection) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return b.broken
	}
	key := c.ClientID + " " + c.Site
	if old, ok := b.connections[key]; ok {
		c.FirstAt = old.FirstAt
	}
	b.connections[key] = c
	b.saved++
	return nil
}

func (b *broker) Connections(_ context.Context, id string) ([]brokered.Connection, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []brokered.Connection
	for _, c := range b.connections {
		if c.ClientID == id {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(x, y brokered.Connection) int { return strings.Compare(x.Site, y.Site) })
	return all, nil
}

func (b *broker) Permitted(_ context.Context, resource string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denied[resource] {
		return sites.ErrDenied
	}
	return nil
}

func (b *broker) Notified(ctx context.Context, home string) string { return b.notified(ctx, home) }

func (b *broker) Others() []string {
	var all []string
	for issuer := range b.world.brokers {
		if issuer != b.issuer {
			all = append(all, issuer)
		}
	}
	slices.SortFunc(all, func(x, y string) int {
		if on := b.Online(x); on != b.Online(y) {
			if on {
				return -1
			}
			return 1
		}
		return strings.Compare(x, y)
	})
	return all
}

func (b *broker) Online(issuer string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.world.brokers[issuer] != nil && !b.offline[issuer]
}

// Ask is the stream between members: the other side knows who asks.
func (b *broker) Ask(ctx context.Context, issuer string, request []byte) ([]byte, error) {
	b.mu.Lock()
	b.asked = append(b.asked, issuer)
	lie := b.lies[issuer]
	b.mu.Unlock()
	switch {
	case !b.Online(issuer):
		return nil, errors.New("not connected")
	case lie != nil:
		return lie(ctx, request)
	}
	return b.world.brokers[issuer].Answer(ctx, func(who string) bool { return who == b.issuer }, request)
}

// change changes a broker while it serves.
func (b *broker) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// newSite starts a site with the original plugin that knows the brokers.
func (w *world) newSite(behaviour oldsite.Behaviour, brokers ...*broker) *oldsite.Site {
	w.t.Helper()
	known := map[string]string{}
	for _, b := range brokers {
		known[b.issuer+"/"] = b.issuer + "/broker/confirm/"
	}
	return w.siteOf(oldsite.Config{Brokers: known, Behaviour: behaviour})
}

func (w *world) siteOf(c oldsite.Config) *oldsite.Site {
	w.t.Helper()
	s, err := oldsite.New(c)
	check(w.t, err)
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return s
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) text(member string) string {
	s, _ := a.json[member].(string)
	return s
}

// want checks an answer of connect.
func (a answer) want(t testing.TB, status int, code string) {
	t.Helper()
	if a.status != status || a.text("code") != code {
		t.Fatalf("answer is %d %s, expected %d %s", a.status, a.body, status, code)
	}
	if code != "" && (a.text("status") != "error" || a.text("message") == "") {
		t.Errorf("not an error of connect: %s", a.body)
	}
	if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers are %v", a.header)
	}
}

// signed makes a connect request.
func (b *broker) signed(ctx context.Context, id, with string, form url.Values) *http.Request {
	b.world.t.Helper()
	body := []byte(form.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.issuer+"/broker/connect/", bytes.NewReader(body))
	check(b.world.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	check(b.world.t, oauth1.SignHMAC(r, body, oauth1.Parameters{
		ConsumerKey: id, Method: oauth1.HMACSHA1, Nonce: rand.Text(), Timestamp: b.world.clock.now().Unix(),
	}, with, ""))
	return r
}

// signedWith makes a connect request of the client with that method, at
// another time.
func (b *broker) signedWith(method string, skew time.Duration, form url.Values) *http.Request {
	b.world.t.Helper()
	body := []byte(form.Encode())
	r, err := http.NewRequest(http.MethodPost, b.issuer+"/broker/connect", bytes.NewReader(body))
	check(b.world.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	check(b.world.t, oauth1.SignHMAC(r, body, oauth1.Parameters{
		ConsumerKey: client, Method: oauth1.Method(method), Nonce: rand.Text(), Timestamp: b.world.clock.now().Add(skew).Unix(),
	}, secret, ""))
	return r
}

func formOf(site *oldsite.Site) url.Values { return url.Values{"server_url": {site.URL()}} }

func memberRequest(id, server, callback string) []byte {
	raw, _ := json.Marshal(map[string]string{"client_id": id, "server_url": server, "callback_url": callback})
	return raw
}

// clientsFunc are records that a function reads.
type clientsFunc func(id string) (registry.ClientState, error)

func (f clientsFunc) Client(_ context.Context, id string) (registry.ClientState, error) { return f(id) }

// public is a broker that reaches public sites only.
func public(b *broker) {
	b.cfg.Discovery = guard.New(guard.Config{})
	b.cfg.Requests = guard.New(guard.Config{Timeout: 20 * time.Second})
}

// connect is the client: it asks its broker for a connection to a site.
func (b *broker) connect(site string) answer {
	b.world.t.Helper()
	return b.send(b.signed(context.Background(), client, secret, url.Values{"server_url": {site}}))
}

func (b *broker) send(r *http.Request) answer {
	b.world.t.Helper()
	a, err := send(r)
	check(b.world.t, err)
	return a
}

func send(r *http.Request) (answer, error) {
	c := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	json.Unmarshal(body, &a.json)
	return a, err
}

func (b *broker) post(path, body string) answer {
	b.world.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.issuer+path, strings.NewReader(body))
	check(b.world.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

// logBuffer takes the log of all brokers.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within is a context for one test.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
