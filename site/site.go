// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/seal"
	"github.com/comity-network/comity/internal/style"
	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/store"
	"github.com/comity-network/comity/site/internal/trust"
	"github.com/comity-network/comity/site/protocol"
)

// Site is one resource server. It is safe for concurrent use.
type Site struct {
	config      Config
	store       *store.Store
	trust       *trust.Federation
	apps        appRules      // the owner's
	secret      seal.Key      // seals what browsers carry
	metadataURL string        // of RFC 9728
	kick        chan struct{} // asks Run for a poll now
	closing     sync.Once
}

// Members sign a view within viewDelay of a change. So when an event tells of
// one, the site asks at once and soonPolls times more: an app that is
// reinstated should not wait for the next regular poll.
const (
	viewDelay = time.Second
	soonPolls = 3
)

// New opens the site's tables and loads what it knew before. It asks no
// broker: until Run has done so the site is stale, unless it was running less
// than max_age ago.
func New(ctx context.Context, c Config) (*Site, error) {
	if err := c.complete(); err != nil {
		return nil, wrap(err)
	}
	s := &Site{config: c, apps: newAppRules(c.Apps), kick: make(chan struct{}, 1)}
	var err error
	if s.metadataURL, err = protocol.MetadataURL(c.Resource); err != nil {
		return nil, wrap(err)
	}
	if s.store, err = store.Open(ctx, c.Store); err != nil {
		return nil, wrap(err)
	}
	if err = s.load(ctx); err != nil {
		s.store.Close()
		return nil, wrap(err)
	}
	return s, nil
}

func (s *Site) load(ctx context.Context) error {
	var err error
	if s.secret, err = loadSecret(ctx, s.store); err != nil {
		return err
	}
	strangers, err := s.strangers()
	if err != nil {
		return err
	}
	s.trust, err = trust.Open(ctx, trust.Config{
		ID: s.config.Federation, Brokers: s.config.Brokers, Witnesses: s.config.Witnesses, Memory: s.store,
		HTTP: s.config.Client, Strangers: strangers,
		Now: s.config.Now, Elapsed: elapsed(s.config.Now), Log: s.config.Log,
	})
	return err
}

// strangers is the client for documents at addresses that apps choose; nil where
// the owner wants none. A site that is itself on plain http, in development, may
// reach private addresses.
func (s *Site) strangers() (*http.Client, error) {
	if !s.config.SelfDescribed {
		return nil, nil
	}
	own, err := guard.OwnAddresses()
	if err != nil {
		return nil, err
	}
	return guard.New(guard.Config{AllowPrivate: strings.HasPrefix(s.config.Resource, "http://"), Own: own}), nil
}

// loadSecret returns the site's secret, which is made once and shared by all
// processes that use the same database.
func loadSecret(ctx context.Context, st *store.Store) ([]byte, error) {
	kept, err := st.Remember(ctx, trust.Fact{Kind: "setting", Name: "secret", Value: registry.NewID() + registry.NewID()})
	return []byte(kept.Value), err
}

// Close frees what New opened; the database stays open.
func (s *Site) Close() error {
	var err error
	s.closing.Do(func() {
		if s.trust.Strangers != nil {
			s.trust.Strangers.CloseIdleConnections()
		}
		err = s.store.Close()
	})
	return err
}

// Run keeps the site's knowledge of the federation fresh until ctx ends: it
// asks for views and the stop list at once and every 30 s, and forgets what
// has expired. It returns the error of ctx.
func (s *Site) Run(ctx context.Context) error {
	var purged time.Time
	soon := 0
	for {
		if err := s.Poll(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Warn("the federation does not answer as it should", "error", err)
		}
		if now := s.config.Now(); now.Sub(purged) > time.Hour {
			purged = now
			if err := s.store.Purge(ctx, now.Unix()); err != nil && ctx.Err() == nil {
				s.config.Log.Error("forget what has expired", "error", err)
			}
		}
		interval := s.trust.Interval()
		if soon > 0 {
			soon, interval = soon-1, min(interval, viewDelay)
		}
		wait := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		case <-s.kick:
			wait.Stop()
			soon = soonPolls
		}
	}
}

// Poll asks the brokers once for what is new. Run does it; a program that has
// no place for Run may call it by itself, more often than max_age.
func (s *Site) Poll(ctx context.Context) error { return s.trust.Poll(ctx) }

// pollSoon asks Run for a poll.
func (s *Site) pollSoon() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Fresh reports whether the site knows what is stopped right now. The error
// wraps registry.ErrStale and says what is missing.
func (s *Site) Fresh() error { return s.trust.Fresh() }

// Handler serves the site's endpoints: mount it at Prefix+"/" and at
// "/.well-known/oauth-protected-resource".
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	metadataPath := s.metadataURL[len(protocol.Origin(s.config.Resource)):]
	mux.HandleFunc("GET "+metadataPath, s.serveMetadata)
	mux.HandleFunc("GET "+s.config.Prefix+"/jwks", s.serveKeys)
	mux.HandleFunc("POST "+s.config.Prefix+"/events", s.serveEvents)
	mux.HandleFunc("GET "+s.config.Prefix+"/style.css", style.ServeHTTP)
	if s.config.User == nil {
		return mux // nobody logs in here
	}
	for path, page := range map[string]http.HandlerFunc{
		"GET " + s.config.Prefix + "/authorize":  s.serveAuthorize,
		"POST " + s.config.Prefix + "/authorize": s.serveConsent,
		"GET " + s.config.Prefix + "/grants":     s.serveGrants,
		"POST " + s.config.Prefix + "/grants":    s.serveEndGrant,
		"GET " + s.config.Prefix + "/blocked":    s.serveBlocked,
	} {
		mux.Handle(path, s.page(page))
	}
	return mux
}

// page guards what browsers show: no frames, no scripts, no caches, and no
// form that another origin sends.
func (s *Site) page(next http.HandlerFunc) http.Handler {
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(protocol.Origin(s.config.Resource)); err != nil {
		panic(err) // New has checked the resource
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.errorPage(w, http.StatusForbidden, "This form was sent by another site, so nothing was done.")
	}))
	return protection.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		webpage.Headers(w, "")
		next(w, r)
	}))
}
