// SPDX-License-Identifier: Apache-2.0

// Package brokered is the broker's side of Brokered Authentication, which
// gives clients credentials at sites that speak OAuth 1.0a (docs/spec/brokered.md).
//
//	client → broker   POST /broker/connect    signed (node/brokered/oauth1), server_url=…; held open ≤ 25 s
//	broker → site     HEAD server_url         Link: <…/wp-json/>; rel="https://api.w.org/"
//	broker → site     GET <API index>         authentication.broker names the endpoint
//	broker → site     POST <endpoint>         client_id, broker, verifier, callback_url, …; held open ≤ 20 s
//	site → broker     POST /broker/confirm    verifier, client_id, client_token, client_secret
//	broker → site     200 {}                  only now the site stores the credentials
//	site → broker     202                     last
//	broker → client   200 {"client_token", "client_secret", "api_root", "site_data"}
//
// A site that does not know this broker may know another member of the
// federation. That one then runs the exchange under its own identifier, and
// hands the credentials to the client's home, which answers the client.
//
// What it promises:
//
//   - The client has credentials only after the site's confirm and its 202: before,
//     they do not work. They pass through memory and are never stored or logged.
//   - Each verifier is good once, for one client, and only while the request of
//     that client, or of the member that asked for it, is open. A confirm that was
//     answered late, or whose answer could not be sent, does not count.
//   - A client that the records do not call active gets nothing; this is looked
//     up when it asks, at the confirm and right before the credentials are released.
//   - That a client has credentials at a site is durable before it has them.
//   - Connects of one client at one site take turns, those of a site are two at
//     a time, and time, memory and places are bounded (limits.go).
//   - No path redirects: a site would follow, and carry the secret along.
//
// Whom it trusts: a client for what it has signed; a site for what it says about
// itself, within bounds, and for nothing about others; a member of the
// federation only for its own clients, and for the credentials that it brings.
// Every URL that somebody else chose goes through the guarded client
// (internal/guard), each redirect anew.
package brokered

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
)

// userAgent of requests to sites.
const userAgent = "comity"

// Config of a Server. All fields but Fresh are needed.
type Config struct {
	Issuer  string // this broker's; its identifier towards sites is Issuer + "/", an exact string
	Clients Clients
	Secrets Secrets
	Store   Store
	Members Members
	Sites   Sites
	// Discovery is a client of internal/guard: 3 s an exchange.
	Discovery *http.Client
	// Requests is one for connection requests, which a site holds open: 20 s.
	Requests *http.Client
	// Fresh returns nil when this broker knows what is stopped; otherwise the
	// error says what is missing, and nothing is connected. Nil: it always does.
	Fresh func() error
	Now   func() time.Time
	Log   *slog.Logger
}

// Clients are what the records say.
type Clients interface {
	// Client returns registry.ErrNotFound for an unknown client.
	Client(ctx context.Context, id string) (registry.ClientState, error)
}

// Secrets knows the OAuth 1.0a secrets of the clients whose home this broker is.
type Secrets interface {
	// OAuth1Secret returns registry.ErrNotFound when the client has none.
	OAuth1Secret(ctx context.Context, clientID string) (string, error)
}

// Store keeps what must outlive a restart. What a method that returned nil
// wrote is durable.
type Store interface {
	// Nonce claims a nonce, in one statement: false when it was claimed before.
	// It may be forgotten after until (seconds since 1970).
	Nonce(ctx context.Context, key string, until int64) (fresh bool, err error)
	// SaveConnection notes that a client has credentials at a site. There is
	// one row for client and site: the new one replaces it, but for FirstAt.
	SaveConnection(ctx context.Context, c Connection) error
	// Connections returns those of one client, by site.
	Connections(ctx context.Context, clientID string) ([]Connection, error)
}

// Connection says that a client has, or had, credentials at a site.
type Connection struct {
	ClientID string
	Site     string // URL of the API index; of the endpoint, where the site has no index
	Name     string // what the site calls itself, at most 80 characters; may be empty
	Through  string // issuer of the broker that ran the exchange
	Resource string // the site's resource identifier when it takes this broker's notifications, else empty
	FirstAt  int64  // seconds since 1970
	LastAt   int64
}

// Members reaches the other brokers of the federation.
type Members interface {
	// Others returns the issuers of the other active members, those that are
	// online first.
	Others() []string
	// Online reports whether a member is connected at the moment.
	Online(issuer string) bool
	// Ask sends a request to a member, on a stream that is authenticated both
	// ways, and returns its answer. When ctx ends, the stream does, and the
	// member's work with it. An error means that there is no answer.
	Ask(ctx context.Context, issuer string, request []byte) ([]byte, error)
}

// Sites is what the operator and the federation say of sites.
type Sites interface {
	// Permitted applies the operator's policy and rules to a resource
	// identifier. A site that is not served is sites.ErrDenied.
	Permitted(ctx context.Context, resource string) error
	// Notified returns the resource identifier when the site with that home
	// takes notifications of this broker, and "" otherwise. It may take 3 s.
	Notified(ctx context.Context, home string) string
}

// Server is the broker's side of the protocol. It is safe for concurrent use.
type Server struct {
	cfg       Config
	public    *url.URL // of the issuer
	noSecret  string   // what clients without a secret are compared with
	discovery *http.Client
	requests  *http.Client

	byClient *ratelimit.Limiter // failed authentications, by address and client
	byRemote *ratelimit.Limiter // failed authentications, by address
	guesses  *ratelimit.Limiter // wrong verifiers, by address

	ofClient    *turns // by client
	ofHome      *turns // by issuer
	ofMembers   *turns // all but this broker's clients
	discoveries *turns // by origin
	ofPair      *turns // by client and endpoint
	atSite      *turns // by origin

	pending pending
	found   *memory[*site]    // by server_url
	unknown *memory[*Failure] // by endpoint: sites that do not know this broker
}

// New makes a server. The error says what is wrong with cfg.
func New(cfg Config) (*Server, error) {
	public, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || public.Host == "" || strings.HasSuffix(cfg.Issuer, "/"):
		return nil, errors.New("brokered: Issuer must be a URL without a slash at its end")
	case cfg.Clients == nil || cfg.Secrets == nil || cfg.Store == nil || cfg.Members == nil || cfg.Sites == nil ||
		cfg.Discovery == nil || cfg.Requests == nil || cfg.Now == nil || cfg.Log == nil:
		return nil, errors.New("brokered: all fields of Config but Fresh are needed")
	}
	limiter := func(every time.Duration, burst int) *ratelimit.Limiter {
		return ratelimit.New(ratelimit.Config{Every: every, Burst: burst, Keys: maxLimited, Now: cfg.Now})
	}
	return &Server{
		cfg: cfg, public: public, noSecret: rand.Text(),
		discovery: manual(cfg.Discovery), requests: manual(cfg.Requests),
		byClient: limiter(6*time.Second, 10), byRemote: limiter(time.Second, 60), guesses: limiter(time.Second, 20),
		ofClient: newTurns(maxOfClient, 0), ofHome: newTurns(maxOfHome, 0), ofMembers: newTurns(maxOfOthers, 0),
		discoveries: newTurns(maxAtSite, maxForSite), ofPair: newTurns(1, maxTurns), atSite: newTurns(maxAtSite, maxForSite),
		pending: pending{byHash: map[[sha256.Size]byte]*waiting{}},
		found:   newMemory[*site](maxSites, cachedFor, cfg.Now),
		unknown: newMemory[*Failure](maxUnknown, unknownFor, cfg.Now),
	}, nil
}

// manual is the same client, but shows redirects as they are.
func manual(c *http.Client) *http.Client {
	m := *c
	m.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &m
}

// Handler serves the three paths below the path of the issuer, each with and
// without a slash at its end. It never redirects, whatever a path looks like.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, below := strings.CutPrefix(r.URL.Path, s.public.Path)
		switch {
		case !below:
			http.NotFound(w, r)
		case path == "/broker/connect" || path == "/broker/connect/":
			s.serveConnect(w, r)
		case path == "/broker/confirm" || path == "/broker/confirm/", path == "/broker/verify" || path == "/broker/verify/":
			s.serveConfirm(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

// digest is a short name for something long.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
