// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const awayIssuer = "https://broker-b.example"

// world is one broker with real storage, real HTTP and one real site.
type world struct {
	t        testing.TB
	clock    *clock
	ledger   *ledger
	site     *testSite
	db       *store.Store
	path     string       // of db
	client   *http.Client // guarded, for sites
	dir      *sites.Directory
	sender   *notify.Sender
	tokenKey registry.SigningKey
	issuer   string
	stale    error // what Fresh returns

	cfg     oauth.Config
	server  *oauth.Server
	front   *httptest.Server
	handler http.Handler // what front serves
	logged  *logBuffer
}

// logBuffer keeps what was logged, to be searched for secrets.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld starts everything. change may alter the configuration of the
// server, for example wrap its store.
func newWorld(t testing.TB, change ...func(*world, *oauth.Config)) *world {
	t.Helper()
	w := &world{t: t, clock: newClock(), tokenKey: registry.GenerateSigningKey(), logged: &logBuffer{}}
	w.front = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	t.Cleanup(w.front.Close)
	w.issuer = w.front.URL
	w.ledger = newLedger(t, w.clock, w.issuer, awayIssuer)
	w.site = w.newSite()
	w.db, w.path = openStore(t)
	w.client = guard.New(guard.Config{AllowPrivate: true, Timeout: 500 * time.Millisecond})
	t.Cleanup(w.client.CloseIdleConnections)
	w.dir = sites.New(sites.Config{
		Client: w.client, Store: w.db, Issuer: w.issuer, Federation: w.ledger.federation,
		Claim: func(ctx context.Context, id string, until int64) error {
			return w.db.Claim(ctx, oauth.OneTime{Key: id, ExpiresAt: until})
		},
		Now: w.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { w.dir.Close() })
	w.sender = notify.NewSender(notify.SenderConfig{
		Client: w.client, Sites: w.dir, Key: w.key, Now: w.clock.now, Timeout: 500 * time.Millisecond,
	})
	w.cfg = oauth.Config{
		Issuer: w.issuer, Federation: w.ledger.federation, Clients: w.ledger, Sites: w.dir, Sender: w.sender, Store: w.db,
		TokenKey: w.key, TokenKeys: func() []registry.JWK { return []registry.JWK{w.tokenKey.JWK()} },
		Fresh: func() error { return w.stale }, MaxAge: func() int64 { return 120 }, Subject: func(who, sector string) string { return protocol.TokenHash(sector + "\n" + who) }, Now: w.clock.now,
		Log: slog.New(slog.NewJSONHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(w, &w.cfg)
	}
	w.start()
	return w
}

// emptyStore is a database of this version, made once: the migrations take
// longer than most tests.
var emptyStore = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "comity")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "comity.db")
	db, err := store.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// openStore opens an empty database of its own.
func openStore(t testing.TB) (db *store.Store, path string) {
	t.Helper()
	empty, err := emptyStore()
	check(t, err)
	path = filepath.Join(t.TempDir(), "comity.db")
	check(t, os.WriteFile(path, empty, 0o600))
	db, err = store.Open(context.Background(), path)
	check(t, err)
	t.Cleanup(func() { db.Close() })
	return db, path
}

func (w *world) key() registry.SigningKey { return w.tokenKey }

// start makes a server over the store, as a process does that begins.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.server, err = oauth.New(w.cfg)
	check(w.t, err)
	check(w.t, w.server.Recover(context.Background()))
	w.handler = w.server.Handler()
}

// newSite starts another site that delegates to the broker.
func (w *world) newSite() *testSite {
	s := newSite(w.t, w.clock, w.ledger.federation(), w.issuer)
	s.brokerKeys[w.tokenKey.ID()] = w.tokenKey.Public()
	return s
}

// deliver delivers what is in the outbox, as the outbox itself would.
func (w *world) deliver() (delivered []notify.Message) {
	w.t.Helper()
	ctx := context.Background()
	all, err := w.db.QueuedSites(ctx)
	check(w.t, err)
	for _, site := range all {
		queue, err := w.db.Queued(ctx, site, 1000)
		check(w.t, err)
		for _, m := range queue {
			if a := w.sender.Deliver(ctx, m); !a.Accepted {
				w.t.Fatalf("event for %s not accepted: %+v", site, a)
			}
			check(w.t, w.db.Dequeue(ctx, []notify.Done{{Site: site, ID: m.Event.ID}}))
			delivered = append(delivered, m)
		}
	}
	return delivered
}

// response is an answer, read.
type response struct {
	Status int
	Header http.Header
	Body   string
	JSON   map[string]any
}

func (r response) text(member string) string {
	s, _ := r.JSON[member].(string)
	return s
}

// post sends a form to the broker.
func (w *world) post(path string, form url.Values, edit ...func(*http.Request)) response {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.issuer+path, strings.NewReader(form.Encode()))
	check(w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range edit {
		f(r)
	}
	return w.do(r)
}

func (w *world) get(path string) response {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.issuer+path, nil)
	check(w.t, err)
	return w.do(r)
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (w *world) do(r *http.Request) response {
	w.t.Helper()
	resp, err := noRedirects.Do(r)
	check(w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(w.t, err)
	a := response{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		check(w.t, json.Unmarshal(body, &a.JSON))
	}
	return a
}

// want fails the test unless the answer has this status and error. An empty
// error stands for success.
func want(t testing.TB, a response, status int, code string) {
	t.Helper()
	if a.Status != status || a.text("error") != code {
		t.Errorf("answer %d %s, expected %d %s", a.Status, a.Body, status, code)
	}
	if code != "" && a.text("error_description") == "" {
		t.Errorf("%d %s has no error_description", a.Status, a.Body)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get(oauth.RequestIDHeader) == "" {
		t.Errorf("%d %s: Cache-Control or request id is missing", a.Status, a.Body)
	}
}

// tokens asserts success and returns both tokens.
func tokens(t testing.TB, a response) (access, refresh string) {
	t.Helper()
	want(t, a, http.StatusOK, "")
	if a.text("access_token") == "" {
		t.Fatalf("no access token in %s", a.Body)
	}
	return a.text("access_token"), a.text("refresh_token")
}

// active introspects as the site.
func (w *world) active(s *testSite, token string) bool {
	w.t.Helper()
	a := w.post("/oauth/introspect", siteForm(w, s, token))
	want(w.t, a, http.StatusOK, "")
	return a.JSON["active"] == true
}

func siteForm(w *world, s *testSite, token string) url.Values {
	return url.Values{
		"token": {token}, "client_assertion_type": {assertionType}, "client_assertion": {s.assertion(w.issuer)},
	}
}

// state is what the store says of a token.
func (w *world) state(key string) oauth.TokenState {
	w.t.Helper()
	t, err := w.db.Token(context.Background(), key)
	check(w.t, err)
	return t.State
}

// stored looks up the key of a token that a site knows; empty: there is none.
func (w *world) stored(hash string) (key string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", w.path)
	check(w.t, err)
	defer db.Close()
	err = db.QueryRow(`SELECT key FROM tokens WHERE key LIKE '%.' || $1`, hash).Scan(&key)
	if !errors.Is(err, sql.ErrNoRows) {
		check(w.t, err)
	}
	return key
}

// pub is the public half of an Ed25519 key.
func pub(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
