// SPDX-License-Identifier: Apache-2.0

// Package urlclient knows clients whose client_id is an https URL, at which
// they describe themselves (OAuth client id metadata documents). No broker has
// registered them and no log holds them, so nobody but the host of the URL
// vouches for what they say; pages say so. The document is RFC 7591 metadata:
//
//	GET https://app.example/oauth/client.json
//
//	{"client_id":"https://app.example/oauth/client.json","client_name":"App",
//	 "redirect_uris":["https://app.example/callback"]}
//
// Stops of such clients are records of members like all others, and the replica
// judges them.
//
// It trusts the replica, and of the network nothing: the HTTP client is guarded
// against addresses that are not public; redirects are not followed; a document
// is short, is kept for ten minutes, and names its own URL. What may be fetched
// in a second is bounded for all callers together.
package urlclient

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/comity-network/comity/internal/clientdoc"
	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

const (
	// keptFor is how long a document counts without being fetched again.
	keptFor = 10 * time.Minute
	// heldFor is how long it counts while its host does not answer.
	heldFor = time.Hour
	// failedFor is how long a failure counts.
	failedFor = 30 * time.Second
	// maxKept bounds the documents in memory, 16 KiB each at most.
	maxKept = 1000
)

// Replica knows what the federation's records say.
type Replica interface {
	Client(ctx context.Context, id string) (registry.ClientState, error)
	BrokerStatus(issuer string) registry.BrokerStatus
}

// Config is what Clients need. All of it must be set.
type Config struct {
	Replica
	HTTP *http.Client // guarded
	Now  func() time.Time
}

// Clients are those of the replica, and those that describe themselves. It
// implements oauth.Clients and is safe for concurrent use.
type Clients struct {
	Config
	fetches singleflight.Group
	limit   *ratelimit.Limiter

	mu   sync.Mutex
	kept map[string]kept // guarded by mu
}

// kept is what the last fetches of one URL gave.
type kept struct {
	metadata *registry.ClientMetadata // nil: never fetched
	at       time.Time                // when it was fetched
	failure  error                    // of a later fetch; nil: none failed
	failedAt time.Time
}

var _ oauth.Clients = (*Clients)(nil)

// New returns the clients.
func New(cfg Config) *Clients {
	return &Clients{
		Config: cfg, kept: map[string]kept{},
		limit: ratelimit.New(ratelimit.Config{Every: 100 * time.Millisecond, Burst: 50, Keys: 1, Now: cfg.Now}),
	}
}

// State implements oauth.Clients.
func (c *Clients) State(ctx context.Context, id string) (registry.ClientState, error) {
	state, err := c.Replica.Client(ctx, id)
	if errors.Is(err, registry.ErrNotFound) && registry.IsClientURL(id) {
		return registry.ClientState{ID: id, HomeStatus: registry.BrokerActive, Status: registry.ClientActive}, nil
	}
	return state, err
}

// Client implements oauth.Clients.
func (c *Clients) Client(ctx context.Context, id string) (registry.ClientState, error) {
	state, err := c.State(ctx, id)
	if err != nil || !registry.IsClientURL(id) || state.Status != registry.ClientActive {
		return state, err // a stopped client is not asked anything
	}
	m, err := c.metadata(ctx, id)
	if err == nil {
		state.Registration = &registry.Record{Registration: &registry.Registration{Client: id, ClientMetadata: *m}}
	}
	return state, err
}

// metadata returns what a client says of itself, from memory or from its URL.
func (c *Clients) metadata(ctx context.Context, id string) (*registry.ClientMetadata, error) {
	now := c.Now()
	c.mu.Lock()
	k := c.kept[id]
	c.mu.Unlock()
	switch {
	case k.metadata != nil && now.Sub(k.at) < keptFor:
		return k.metadata, nil
	case k.failure != nil && now.Sub(k.failedAt) < failedFor:
		return k.usable(now)
	}
	// Whoever asks first may go away; the others still want the answer.
	fetched, _, _ := c.fetches.Do(id, func() (any, error) { return c.refresh(context.WithoutCancel(ctx), id, k), nil })
	return fetched.(kept).usable(now)
}

// refresh fetches a document and keeps what came of it.
func (c *Clients) refresh(ctx context.Context, id string, k kept) kept {
	if wait := c.limit.Take(""); wait > 0 {
		k.failure, k.failedAt = clientdoc.ErrUnreachable, time.Time{} // not the host's fault, and not remembered
		return k
	}
	var m *registry.ClientMetadata
	document, err := clientdoc.Fetch(ctx, c.HTTP, id)
	if err == nil {
		m, err = registry.ParseClientDocument(id, document)
	}
	if now := c.Now(); err == nil {
		k = kept{metadata: m, at: now}
	} else {
		k.failure, k.failedAt = err, now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxKept {
		c.forget()
	}
	c.kept[id] = k
	return k
}

// usable is what is known, or why nothing is. A document outlives a host that
// does not answer, but not one that has taken it back.
func (k kept) usable(now time.Time) (*registry.ClientMetadata, error) {
	if k.failure == nil || k.metadata != nil && errors.Is(k.failure, clientdoc.ErrUnreachable) && now.Sub(k.at) < heldFor {
		return k.metadata, nil
	}
	return nil, k.failure
}

// forget makes room: what is old first, else everything.
func (c *Clients) forget() {
	now := c.Now()
	for id, k := range c.kept {
		if now.Sub(k.at) >= keptFor && now.Sub(k.failedAt) >= failedFor {
			delete(c.kept, id)
		}
	}
	if len(c.kept) >= maxKept {
		clear(c.kept)
	}
}
