// SPDX-License-Identifier: Apache-2.0

// Package sites knows the sites that a broker serves. Recognition is mutual
// and needs no registration: a site is what its metadata say (RFC 9728), which
// are fetched when it is first met and again after ten minutes of use, and it
// is served when they name this broker and this federation.
//
//	GET https://wiki.example/.well-known/oauth-protected-resource   metadata, ≤ 64 KiB
//	GET jwks_uri, of the same origin                                keys, ≤ 64 KiB
//
// What it promises: a site that was fetched less than ten minutes ago costs no
// network. Any number of callers that ask for one site cause one fetch. A
// failure is remembered for ten seconds. Fetches run at most 64 at a time, and
// strangers, whom anybody can name, never take the places of sites that were
// good before. Memory is bounded: 10,000 sites.
//
// It trusts a site for what the site says about itself and for nothing else,
// and the guarded client (internal/guard) to reach no address that it should
// not. The operator's rules (allow, deny) are in the database and are read
// each time, so that a denial acts at once.
package sites

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/comity-network/comity/site/protocol"
)

const (
	goodFor  = 10 * time.Minute // how long metadata are used
	badFor   = 10 * time.Second // how long a failure is; and the least time between fetches for unknown keys
	maxSites = 10_000           // in memory
	parallel = 64               // fetches at a time: of sites known to be good, and as many of strangers
	// fetchTime bounds one fetch: two exchanges of the guarded client, and a
	// wait for a place.
	fetchTime = 8 * time.Second
)

// Errors of a Directory. All wrapped, with the reason.
var (
	// ErrUnreachable: the site publishes no metadata that can be used.
	ErrUnreachable = errors.New("the site's metadata cannot be used")
	// ErrNotDelegated: the metadata name other brokers, or another federation.
	ErrNotDelegated = errors.New("the site does not delegate to this broker")
	// ErrDenied: the operator of this broker does not serve the site.
	ErrDenied = errors.New("the site is not served here")
	// ErrReplay: the assertion was used before.
	ErrReplay = errors.New("assertion was used before")
)

// Site is one site as its metadata describe it.
type Site struct {
	protocol.SiteMetadata
	Keys      map[string]ed25519.PublicKey // by kid
	FetchedAt time.Time
}

// Config of a Directory. All fields are needed.
type Config struct {
	Client     *http.Client  // of internal/guard
	Store      Store         // rules and times
	Issuer     string        // of this broker
	Federation func() string // id of the federation
	Policy     Policy        // which sites are served; empty: Open
	// Claim uses up an identifier until a second since 1970. It fails when
	// the identifier was used before.
	Claim func(ctx context.Context, id string, until int64) error
	Now   func() time.Time
	Log   *slog.Logger
}

// Directory finds sites. It is safe for concurrent use.
type Directory struct {
	cfg       Config
	fetches   context.Context // ends with Close
	stop      context.CancelFunc
	running   sync.WaitGroup
	known     chan struct{} // places for fetches of sites that were good before
	strangers chan struct{} // places for all others

	mu      sync.Mutex
	entries map[string]*entry // by resource
	closed  bool
}

// New makes a directory. Close ends it.
func New(cfg Config) *Directory {
	if cfg.Policy == "" {
		cfg.Policy = Open
	}
	d := &Directory{
		cfg:       cfg,
		known:     make(chan struct{}, parallel),
		strangers: make(chan struct{}, parallel),
		entries:   map[string]*entry{},
	}
	d.fetches, d.stop = context.WithCancel(context.Background())
	return d
}

// Close ends fetches that are under way and waits for them.
func (d *Directory) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.running.Wait()
	return nil
}
