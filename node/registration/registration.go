// SPDX-License-Identifier: Apache-2.0

// Package registration lets clients register themselves (RFC 7591) and manage
// what they registered (RFC 7592).
//
//	POST   /oauth/register               registers a client
//	GET    /oauth/register/{client_id}   what is registered, and whether the client is stopped
//	PUT    /oauth/register/{client_id}   replaces all of it
//	DELETE /oauth/register/{client_id}   ends the client, everywhere and for good
//
// # Three ways to register
//
// With an initial access token, which the operator makes, a client is
// registered exactly as by the operator: its record is signed and logged, and
// every broker and site of the federation knows it.
//
//	POST /oauth/register
//	Authorization: Bearer 3q2-7w…
//	{"client_name":"My App","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}
//
//	201 {"client_id":"bafkrei…","client_name":"My App",…,"registration_access_token":"u1JW…",
//	     "registration_client_uri":"https://broker.example/oauth/register/bafkrei…"}
//
// In the open, if the operator has allowed that, anybody may register a client.
// It is local: its id begins with "local-", it is in no log, and it can do
// nothing but ask who somebody is that logs in at this broker. There are
// MaxLocal of them at most, each for LocalLife, until the operator promotes
// one: then it is registered as above. A redirect URI of an owner whose client
// was stopped, by any member, is left to the operator (fault 30).
//
// With a software statement, which is the record of a client as it stands in
// the log of any member, nothing is registered: the answer is that client, with
// the same client_id, and with neither its secret nor a right to manage it.
//
// # Whom it trusts
//
// Nobody: metadata are judged by registry.CheckMetadata as everybody's, nothing
// that they name is fetched, and an address is only used to slow it down. Tokens
// are 256 random bits, stored as their hashes and compared in constant time. The
// answer to a wrong token and to an unknown client is the same.
package registration

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
)

// Bounds of what clients may do by themselves.
const (
	// MaxLocal is how many local clients there are at most. Each takes at most
	// as much as a record, so all of them fit in 16 MB.
	MaxLocal = 1000
	// LocalLife is how long a local client is known.
	LocalLife = 30 * 24 * time.Hour
	// maxBody bounds a request: metadata and a software statement.
	maxBody = 64 << 10
)

// Config is what a Server needs. All of it must be set, but Open.
type Config struct {
	Issuer    string
	Open      bool // anybody may register a local client
	Store     Store
	Records   Records
	Registrar Registrar
	// Endpoint serves a function as the OAuth endpoints are served:
	// oauth.Server.Endpoint.
	Endpoint func(func(http.ResponseWriter, *http.Request) (any, error)) http.Handler
	// Heads returns what this broker has of each log: how much it knows.
	Heads func(ctx context.Context) []Head
	Now   func() time.Time
	Log   *slog.Logger
}

// Records are those of the federation, as the replica has them.
type Records interface {
	// Client returns what the records say of a client. registry.ErrNotFound:
	// there is none.
	Client(ctx context.Context, id string) (registry.ClientState, error)
	// Logged reports whether a record is in a log, byte for byte.
	Logged(ctx context.Context, record *registry.Record) (bool, error)
	// StoppedOwner returns a stopped client with that registry.RedirectOwner,
	// or nothing.
	StoppedOwner(owner string) string
}

// Registrar signs and logs what clients want, as for the operator. Errors are
// those of federation.Replica.Append.
type Registrar interface {
	// Register registers a client, whose metadata hold the hash of its secret.
	Register(ctx context.Context, m registry.ClientMetadata) (registry.ClientState, error)
	// Replace registers other metadata of a client of this broker.
	Replace(ctx context.Context, id string, m registry.ClientMetadata) (registry.ClientState, error)
	// Withdraw revokes a client of this broker at its own wish.
	Withdraw(ctx context.Context, id string) error
}

// Head is what this broker has of one log.
type Head struct {
	Issuer  string `json:"issuer"`
	Size    int64  `json:"size"`
	Root    string `json:"root"`     // base64, as in a checkpoint
	ViewAge *int64 `json:"view_age"` // seconds since that broker last said what it has; null: never heard
}

// Server serves the endpoints of the package comment. It is safe for concurrent
// use.
type Server struct {
	cfg       Config
	prefix    string             // path of the issuer
	byAddress *ratelimit.Limiter // requests without a token
	byNetwork *ratelimit.Limiter // the same
	failed    *ratelimit.Limiter // wrong tokens, by address
	updates   *ratelimit.Limiter // by client
}

// New returns a server.
func New(cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	if cfg.Store == nil || cfg.Records == nil || cfg.Registrar == nil || cfg.Endpoint == nil || cfg.Heads == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("registration: the configuration is not complete")
	}
	limit := func(burst int, every time.Duration) *ratelimit.Limiter {
		return ratelimit.New(ratelimit.Config{Every: every, Burst: burst, Keys: 10_000, Now: cfg.Now})
	}
	return &Server{
		cfg: cfg, prefix: strings.TrimSuffix(u.Path, "/"),
		byAddress: limit(10, 30*time.Second), byNetwork: limit(30, 10*time.Second),
		failed: limit(60, time.Second),
		// Each update is an entry of a log that everybody keeps for ever.
		updates: limit(5, 24*time.Hour),
	}, nil
}

// Handler serves the endpoints, below the issuer's path.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(s.prefix+"/oauth/register", s.cfg.Endpoint(s.register))
	mux.Handle(s.prefix+"/oauth/register/{client_id}", s.cfg.Endpoint(s.manage))
	return mux
}

// register is the client registration endpoint (RFC 7591, section 3).
func (s *Server) register(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method != http.MethodPost {
		return nil, methodNotAllowed(w, "POST")
	}
	token, given, err := bearer(r)
	if err != nil {
		return nil, err
	}
	if !given {
		if err := s.slow(r); err != nil {
			return nil, err
		}
	}
	q, err := read(w, r)
	if err != nil {
		return nil, err
	}
	switch {
	case q.clientID != "" || q.secret != "":
		return nil, invalidMetadata("client_id and client_secret are given by the broker: leave them out")
	case q.statement != "" && given:
		if err := s.slow(r); err != nil {
			return nil, err
		}
		fallthrough
	case q.statement != "":
		return s.known(r.Context(), q.statement)
	case given:
		return s.registerWithToken(w, r, q.metadata, token)
	case s.cfg.Open:
		return s.registerOpen(r, q.metadata)
	}
	return nil, unauthorized(w, "registration needs an initial access token: ask the operator of this broker for one (comity app token)")
}

// slow bounds how fast an address, and the network around it, may ask for
// something without a token (fault 27).
func (s *Server) slow(r *http.Request) error {
	wait := s.byAddress.Take(ratelimit.AddressKey(r.RemoteAddr))
	if wait == 0 {
		wait = s.byNetwork.Take(ratelimit.NetworkKey(r.RemoteAddr))
	}
	if wait > 0 {
		return tooMany(wait, "too many registrations from this address or network")
	}
	return nil
}

func (s *Server) now() int64 { return s.cfg.Now().Unix() }

// audit writes one line that an operator must be able to find later. Nothing in
// it is secret.
func (s *Server) audit(ctx context.Context, message string, attrs ...any) {
	s.cfg.Log.WarnContext(ctx, message, slog.Group("audit", attrs...))
}

// URI is where a client manages its registration.
func (s *Server) URI(id string) string { return s.cfg.Issuer + "/oauth/register/" + id }
