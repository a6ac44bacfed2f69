// SPDX-License-Identifier: Apache-2.0

// Package site is a site of the tests and of the demo: a notebook with users,
// a login page, and an API, made a resource server by the SDK as any owner
// would do it, with a real SQLite file and a listener on loopback.
//
// What makes it a site of a testnet is Pushes, which stands in front of the
// SDK: it writes down every request of a broker, and on command refuses,
// breaks, delays or cuts one, before or after the SDK has stored it, so that
// "failed and not stored" and "failed but stored" can be told apart. It also
// has a clock of its own.
package site

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver

	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/registry"
	sdk "github.com/comity-network/comity/site"
)

// ReadNotes and WriteNotes are the scopes that the site offers.
const (
	ReadNotes  = "notes:read"
	WriteNotes = "notes:write"
)

// Config says which site to start. Dir, Brokers and Federation are required.
type Config struct {
	Dir        string // the database and the key live here
	Name       string
	Brokers    []string
	Federation string
	Listen     string            // default: a free loopback port
	Resource   string            // default: http and Listen
	Users      map[string]string // passwords by name; default: ada, with "lovelace"
	Transport  http.RoundTripper // to the brokers
	Now        func() time.Time
	Log        *slog.Logger
	WhenStale  sdk.StalePolicy
	// AllowClientCredentials: see the SDK.
	AllowClientCredentials func(broker, clientID, scope string) bool
	// AllowBrokerUsers: see the SDK. NoUsers: people log in at the broker alone.
	AllowBrokerUsers func(broker, clientID, scope string) bool
	NoUsers          bool
	// SelfDescribed: see the SDK.
	SelfDescribed bool
	// ByHand: the site asks its brokers only when a test calls Poll.
	ByHand bool
}

// Site is one running site.
type Site struct {
	*sdk.Site
	Resource string
	API      string // the URL of the notes
	Pushes   *Pushes
	DB       *sql.DB

	server *http.Server
	stop   context.CancelFunc
	wait   sync.WaitGroup
	closed sync.Once
}

// Start opens the site on its directory and serves it. It returns when the
// site is fresh, unless it is to be polled by hand.
func Start(ctx context.Context, c Config) (*Site, error) {
	if c.Users == nil {
		c.Users = map[string]string{"ada": "lovelace"}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	if c.Resource == "" {
		c.Resource = "http://" + l.Addr().String()
	}
	s := &Site{Resource: c.Resource, API: c.Resource + "/api/notes"}
	if err := s.open(ctx, c); err != nil {
		l.Close()
		return nil, fmt.Errorf("start site: %w", err)
	}
	s.serve(ctx, c, l)
	if !c.ByHand {
		if err := s.awaitFresh(ctx); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// open opens database and key, and makes the SDK's site of them.
func (s *Site) open(ctx context.Context, c Config) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	key, err := durable.OpenKey(filepath.Join(c.Dir, "site.pem"), "site", true)
	if err != nil {
		return err
	}
	if s.DB, err = sql.Open("sqlite", "file:"+Database(c.Dir)+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate"); err != nil {
		return err
	}
	logins := &logins{users: c.Users}
	user := logins.user
	if c.NoUsers {
		user = nil
	}
	s.Site, err = sdk.New(ctx, sdk.Config{
		Resource: c.Resource, Name: c.Name, Brokers: c.Brokers, Federation: c.Federation,
		Store: s.DB, Key: registry.NewSigningKey(key),
		Scopes: map[string]string{ReadNotes: "Read your notes", WriteNotes: "Write notes in your name"},
		User:   user, LoginURL: "/login",
		WhenStale: c.WhenStale, AllowClientCredentials: c.AllowClientCredentials, AllowBrokerUsers: c.AllowBrokerUsers,
		SelfDescribed: c.SelfDescribed,
		Client:        &http.Client{Timeout: 3 * time.Second, Transport: c.Transport},
		Now:           c.Now, Log: c.Log,
	})
	if err != nil {
		s.DB.Close()
		return err
	}
	s.Pushes = newPushes(s.Site.Handler())
	mux := http.NewServeMux()
	mux.Handle("/.well-known/oauth-protected-resource", s.Pushes)
	mux.Handle("/comity/", s.Pushes)
	mux.Handle("GET /login", http.HandlerFunc(logins.ask))
	mux.Handle("POST /login", http.HandlerFunc(logins.check))
	mux.Handle("GET /api/notes", s.Require(ReadNotes)(http.HandlerFunc(notes)))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return nil
}

func (s *Site) serve(ctx context.Context, c Config, l net.Listener) {
	s.wait.Go(func() { s.server.Serve(l) })
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if !c.ByHand {
		s.wait.Go(func() { s.Run(ctx) })
	}
}

// awaitFresh asks the brokers until the site knows what is stopped: a new
// broker may not have signed its first view yet.
func (s *Site) awaitFresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		polled := s.Poll(ctx)
		err := s.Fresh()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the site does not become fresh: %w (%v)", err, polled)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close stops serving at once, and closes the database. A second call does
// nothing.
func (s *Site) Close() {
	s.closed.Do(func() {
		s.Pushes.close()
		s.stop()
		s.server.Close()
		s.wait.Wait()
		s.Site.Close()
		s.DB.Close()
	})
}

// Database is the site's SQLite file.
func Database(dir string) string { return filepath.Join(dir, "site.db") }
