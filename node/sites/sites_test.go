// SPDX-License-Identifier: Apache-2.0

package sites_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://broker.example"

var federation = registry.CID([]byte("charter"))

func key(name string) registry.SigningKey {
	seed := sha256.Sum256([]byte(name))
	return registry.NewSigningKey(ed25519.NewKeyFromSeed(seed[:]))
}

// peer is a site on loopback.
type peer struct {
	*httptest.Server
	fetches atomic.Int64  // of the metadata
	asked   chan struct{} // one for each of them

	mu     sync.Mutex
	meta   protocol.SiteMetadata
	key    registry.SigningKey
	broken bool          // answers 500
	hold   chan struct{} // metadata wait for it to be closed; nil: at once
	events http.HandlerFunc
	date   string
}

func newPeer(t *testing.T) *peer {
	p := &peer{key: key("site"), asked: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/oauth-protected-resource", p.metadata)
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		json.NewEncoder(w).Encode(map[string]any{"keys": []registry.JWK{p.key.JWK()}})
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		if p.events != nil {
			p.events(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"err":"invalid_request"}`))
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.meta = protocol.SiteMetadata{
		Resource: p.URL, AuthorizationServers: []string{"https://first.example", issuer}, JWKSURI: p.URL + "/jwks",
		Federation: federation, AuthorizationEndpoint: p.URL + "/authorize", EventsEndpoint: p.URL + "/events",
	}
	return p
}

func (p *peer) metadata(w http.ResponseWriter, r *http.Request) {
	p.fetches.Add(1)
	p.asked <- struct{}{}
	p.mu.Lock()
	hold, broken, meta, date := p.hold, p.broken, p.meta, p.date
	p.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if date != "" {
		w.Header().Set("Date", date)
	}
	if broken {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(meta)
}

func (p *peer) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// world is a directory with all that it needs.
type world struct {
	*sites.Directory
	store  *store.Store
	now    atomic.Int64 // seconds
	policy sites.Policy
}

func newWorld(t *testing.T, policy sites.Policy) *world {
	t.Helper()
	w := &world{policy: policy}
	w.now.Store(1790000000)
	var err error
	if w.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "comity.db")); err != nil {
		t.Fatal(err)
	}
	client := guard.New(guard.Config{AllowPrivate: true, Timeout: 30 * time.Second})
	used := map[string]bool{}
	var mu sync.Mutex
	w.Directory = sites.New(sites.Config{
		Client: client, Store: w.store, Issuer: issuer, Federation: func() string { return federation },
		Policy: policy, Now: w.time, Log: slog.New(slog.DiscardHandler),
		Claim: func(_ context.Context, id string, _ int64) error {
			mu.Lock()
			defer mu.Unlock()
			if used[id] {
				return errors.New("used")
			}
			used[id] = true
			return nil
		},
	})
	t.Cleanup(func() { w.Directory.Close(); w.store.Close(); client.CloseIdleConnections() })
	return w
}

func (w *world) time() time.Time      { return time.Unix(w.now.Load(), 0) }
func (w *world) pass(d time.Duration) { w.now.Add(int64(d / time.Second)) }
func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func TestSiteIsCached(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	for _, step := range []struct {
		pass    time.Duration
		fetches int64
	}{{0, 1}, {0, 1}, {10*time.Minute - time.Second, 1}, {time.Second, 2}, {0, 2}} {
		w.pass(step.pass)
		s, err := w.Site(t.Context(), p.URL)
		if err != nil {
			t.Fatal(err)
		}
		if s.Resource != p.URL || !s.Keys[p.key.ID()].Equal(p.key.Public()) {
			t.Errorf("got %+v", s)
		}
		if n := p.fetches.Load(); n != step.fetches {
			t.Errorf("%d fetches, want %d", n, step.fetches)
		}
	}
}

func TestFailureIsCached(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	p.change(func() { p.broken = true })
	for _, step := range []struct {
		pass    time.Duration
		fetches int64
	}{{0, 1}, {9 * time.Second, 1}, {time.Second, 2}} {
		w.pass(step.pass)
		_, err := w.Site(t.Context(), p.URL)
		wantIs(t, err, sites.ErrUnreachable)
		if n := p.fetches.Load(); n != step.fetches {
			t.Errorf("%d fetches, want %d", n, step.fetches)
		}
	}
	p.change(func() { p.broken = false })
	w.pass(10 * time.Second)
	if _, err := w.Site(t.Context(), p.URL); err != nil {
		t.Error(err)
	}
}

// Many callers, one fetch; a caller that gives up does not end it.
func TestSingleFlight(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	hold := make(chan struct{})
	p.change(func() { p.hold = hold })
	impatient, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := w.Site(impatient, p.URL)
		gaveUp <- err
	}()
	<-p.asked
	cancel()
	wantIs(t, <-gaveUp, sites.ErrUnreachable)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := w.Site(t.Context(), p.URL); err != nil {
				t.Error(err)
			}
		})
	}
	close(hold)
	wg.Wait()
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestNotDelegated(t *testing.T) {
	for name, alter := range map[string]func(*protocol.SiteMetadata){
		"other brokers":       func(m *protocol.SiteMetadata) { m.AuthorizationServers = []string{"https://first.example"} },
		"another federation":  func(m *protocol.SiteMetadata) { m.Federation = registry.CID([]byte("other")) },
		"issuer with a slash": func(m *protocol.SiteMetadata) { m.AuthorizationServers = []string{issuer + "/x"} },
	} {
		t.Run(name, func(t *testing.T) {
			p, w := newPeer(t), newWorld(t, sites.Open)
			alter(&p.meta)
			_, err := w.Site(t.Context(), p.URL)
			wantIs(t, err, sites.ErrNotDelegated)
			if all, err := w.List(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("a stranger was noted: %v, %v", all, err)
			}
		})
	}
}

// A document that names another resource must not be used.
func TestOtherResource(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	p.meta.Resource = "https://wiki.example"
	_, err := w.Site(t.Context(), p.URL)
	wantIs(t, err, sites.ErrUnreachable)
	wantIs(t, err, registry.ErrForm)
	for _, resource := range []string{"", "wiki", "https://wiki.example/", "gopher://x", "http://8.8.8.8"} {
		if _, err := w.Site(t.Context(), resource); err == nil {
			t.Errorf("%q: no error", resource)
		}
	}
}

func TestRules(t *testing.T) {
	ctx := t.Context()
	p, w := newPeer(t), newWorld(t, sites.Open)
	site := func(w *world) error { _, err := w.Site(ctx, p.URL); return err }
	wantIs(t, site(w), nil)
	wantIs(t, w.Deny(ctx, p.URL), nil)
	wantIs(t, site(w), sites.ErrDenied)
	wantIs(t, w.Allow(ctx, p.URL), nil)
	wantIs(t, site(w), nil)
	w.pass(time.Hour)
	wantIs(t, site(w), nil)
	all, err := w.List(ctx)
	want := sites.Entry{Resource: p.URL, Rule: sites.Allowed, FirstSeen: 1790000000, LastSeen: 1790003600}
	if err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("got %+v, %v; want %+v", all, err, want)
	}

	listed := newWorld(t, sites.Listed)
	wantIs(t, site(listed), sites.ErrDenied)
	wantIs(t, listed.Allow(ctx, p.URL), nil)
	wantIs(t, site(listed), nil)
	wantIs(t, listed.Deny(ctx, p.URL), nil)
	wantIs(t, site(listed), sites.ErrDenied)
	if listed.Allow(ctx, "wiki") == nil {
		t.Error("allowed what is no site")
	}
}

// Sites that never answer do not keep others from being fetched.
func TestSlowSitesDoNotDisturb(t *testing.T) {
	w := newWorld(t, sites.Open)
	hold := make(chan struct{})
	var wg sync.WaitGroup
	good := newPeer(t)
	if _, err := w.Site(t.Context(), good.URL); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{}, 100)
	for range 64 { // as many as strangers have places
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-hold
		}))
		defer slow.Close()
		wg.Go(func() { w.Site(t.Context(), slow.URL) })
	}
	for range 64 {
		<-arrived
	}
	w.pass(time.Hour)                                              // the good one has to be fetched again
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // the slow ones take 8 s
	defer cancel()
	if _, err := w.Site(ctx, good.URL); err != nil {
		t.Errorf("the good site suffers: %v", err)
	}
	close(hold)
	wg.Wait()
}
