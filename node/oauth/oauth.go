// SPDX-License-Identifier: Apache-2.0

// Package oauth is the authorization server's core (RFC 6749): it mints access
// tokens for clients that the federation vouches for, at sites that ask for
// them, and never lets one out of which the site does not know.
//
// # Endpoints
//
//	/.well-known/oauth-authorization-server   metadata (RFC 8414), only what works
//	/oauth/authorize    sends the browser on to the site, with a signed request object (RFC 9101),
//	                    or asks the person, where people log in here
//	/oauth/par          the same request, pushed beforehand (RFC 9126)
//	/oauth/device_authorization   for devices without a browser (RFC 8628)
//	/oauth/token        all grant types
//	/oauth/one_time_token         exchanges a one-time token, by GET too
//	/oauth/userinfo     who the person is that logged in here (OpenID Connect)
//	/oauth/introspect   RFC 7662, for the site that takes the token and the client that has it
//	/oauth/revoke       RFC 7009; the site is told
//	/oauth/jwks         the token keys
//
// # The one path to a token
//
// Whatever the grant, a request goes: form, read strictly (parseForm) → client
// authenticated by its registered method and no other (authenticate) → client
// not stopped → grant checked, nothing consumed → Store.Mint: in one
// transaction the code or refresh token and the DPoP proof are claimed and the
// token is stored pending, by its hash → Sender.Deliver: the site is told the
// hash and answers after its own durable write → the client is still not
// stopped → Store.Release: pending becomes released → the answer. For example:
//
//	POST /oauth/token
//	grant_type=authorization_code&client_id=bafkrei…&code=eyJ…&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&code_verifier=Rk9…
//
//	{"access_token":"u1JW…","token_type":"Bearer","expires_in":3600,"scope":"read","refresh_token":"0sX9…"}
//
// When the site refuses, the code stays used and the family ends
// (invalid_grant). When it does not answer, the token is void, the site will be
// told so, and the same code or refresh token may be tried again (503). When
// the process dies anywhere in between, Recover does the latter at the next
// start. docs/spec/token.md is the full description.
//
// A site that takes no notifications is not asked: it has signed a code, or
// opted in by its metadata. There Store.Mint releases what it mints, and stores
// no JWT without a grant (direct.go, selfcontained.go).
//
// # Whom it trusts
//
// Clients: the registrations that the replica verified, and what they sign or
// know. Sites: for their own codes and their own tokens, by the keys that they
// publish, and for nothing else. The network's address of a caller: only to
// slow it down. The store: to do what Store says.
package oauth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// Config is what a Server needs. All of it must be set, but the lifetimes.
type Config struct {
	Issuer     string        // of this broker
	Federation func() string // id of the federation
	Clients    Clients
	Sites      Sites
	Sender     Sender
	Store      Store
	TokenKey   func() registry.SigningKey // signs request objects
	TokenKeys  func() []registry.JWK      // what verifies them, at /oauth/jwks
	// Fresh returns nil, or an error that says what is missing for the broker
	// to know what is stopped: then nothing is minted.
	Fresh func() error
	// People are those who log in at this broker; nil: nobody does, all users
	// are of sites.
	People People
	// Subject is the name by which one sector knows somebody (OpenID Connect
	// Core 1.0, section 8.1).
	Subject func(who, sector string) string
	// SAML verifies SAML assertions; nil: there are none.
	SAML SAML
	// JWTIssuers may say in a JWT who somebody is.
	JWTIssuers []JWTIssuer
	// PasswordGrant lets apps that are registered for it send passwords.
	PasswordGrant bool
	// Registration says that clients can register themselves at
	// /oauth/register, which package registration serves.
	Registration bool
	// IDTokens signs ID tokens; needed with People.
	IDTokens IDTokens
	// MaxAge returns the longest time in seconds that a stop may take to
	// arrive everywhere, of the charter.
	MaxAge func() int64
	Now    func() time.Time
	Log    *slog.Logger

	AccessLife  time.Duration // of access tokens; 0: an hour
	RefreshLife time.Duration // of refresh tokens that are not used; 0: 30 days
	FamilyLife  time.Duration // after which the user must log in again; 0: 180 days
}

// Clients knows the clients of the federation.
type Clients interface {
	// Client returns what the records say of a client right now, whoever
	// registered it; or what it says of itself, where its id is a URL. Errors:
	// registry.ErrNotFound when there is none; of a URL, those of
	// clientdoc.Fetch, and registry.ErrForm when it does not describe a client.
	Client(ctx context.Context, id string) (registry.ClientState, error)
	// State is Client for questions about stops alone: it asks nobody, and the
	// state may be without a registration where the id is a URL.
	State(ctx context.Context, id string) (registry.ClientState, error)
	// BrokerStatus returns what charter and records say of a broker.
	BrokerStatus(issuer string) registry.BrokerStatus
}

// Sites knows the sites.
type Sites interface {
	// Site returns the verified metadata and keys of a site that delegates to
	// this broker. Errors: sites.ErrUnreachable, ErrNotDelegated, ErrDenied.
	Site(ctx context.Context, resource string) (*sites.Site, error)
	// Verify runs verify with the site's keys and returns the site. When it
	// says protocol.ErrUnknownKey, the keys may be fetched again, and verify
	// run again. Errors: those of Site, and of verify.
	Verify(ctx context.Context, resource string, verify func(map[string]ed25519.PublicKey) error) (*sites.Site, error)
}

// Sender tells sites.
type Sender interface {
	// Deliver pushes one event, once, and returns what the site answered,
	// after a few seconds at most.
	Deliver(ctx context.Context, m notify.Message) notify.Answer
}

// Server is the authorization server of one broker, safe for concurrent use.
type Server struct {
	cfg        Config
	log        *slog.Logger
	paths      paths
	grants     map[string]grantFunc
	responses  map[string]response
	metadata   metadata
	openID     openIDMetadata
	jwtIssuers map[string]*registry.JWKSet
	self       *sites.Site // this broker as what an app may ask for
	nonces     *nonces
	recent     *recent
	vetted     vetted
	byClient   *ratelimit.Limiter // failed authentications, by client and address
	byRemote   *ratelimit.Limiter // failed authentications, by address
	byUserCode *ratelimit.Limiter // wrong user codes, by address
	asks       *ratelimit.Limiter // requests that wait for a person, by address
	polls      *ratelimit.Limiter // by device
}

// paths are the URLs of the endpoints.
type paths struct {
	metadata, openID                                          string // paths only
	authorize, par, token, userinfo, introspect, revoke, jwks string // path and all
	deviceAuthorization, device, oneTime, register            string // likewise
	prefix                                                    string // path of the issuer
}

// New returns a server. Call Recover before it serves, and Run while it does.
func New(cfg Config) (*Server, error) {
	if err := registry.CheckIssuer(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	if cfg.Federation == nil || cfg.Clients == nil || cfg.Sites == nil || cfg.Sender == nil || cfg.Store == nil ||
		cfg.TokenKey == nil || cfg.TokenKeys == nil || cfg.Fresh == nil || cfg.MaxAge == nil || cfg.Subject == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("oauth: the configuration is not complete")
	}
	if cfg.People != nil && cfg.IDTokens == nil {
		return nil, errors.New("oauth: people need ID tokens")
	}
	setDefault(&cfg.AccessLife, time.Hour)
	setDefault(&cfg.RefreshLife, 30*24*time.Hour)
	setDefault(&cfg.FamilyLife, 180*24*time.Hour)
	s := &Server{cfg: cfg, log: cfg.Log, nonces: newNonces(cfg.Now), recent: newRecent(cfg.Now)}
	s.byClient = ratelimit.New(ratelimit.Config{Every: 6 * time.Second, Burst: 10, Keys: 10_000, Now: cfg.Now})
	s.byRemote = ratelimit.New(ratelimit.Config{Every: time.Second, Burst: 60, Keys: 10_000, Now: cfg.Now})
	s.byUserCode = ratelimit.New(ratelimit.Config{Every: 6 * time.Second, Burst: 10, Keys: 10_000, Now: cfg.Now})
	s.asks = ratelimit.New(ratelimit.Config{Every: time.Second, Burst: 60, Keys: 10_000, Now: cfg.Now})
	// A device that polls a little early is not told to slow down.
	s.polls = ratelimit.New(ratelimit.Config{Every: (deviceInterval - 1) * time.Second, Burst: 1, Keys: 10_000, Now: cfg.Now})
	s.self = &sites.Site{SiteMetadata: protocol.SiteMetadata{Resource: cfg.Issuer, ScopesSupported: []string{scopeOpenID, scopeProfile}}}
	s.grants = s.newGrants()
	s.responses = s.newResponses()
	s.jwtIssuers = issuersOf(cfg.JWTIssuers)
	u, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oauth: issuer: %w", err)
	}
	s.paths = newPaths(cfg.Issuer, u.Path)
	s.metadata = s.newMetadata()
	s.openID = s.newOpenIDMetadata()
	return s, nil
}

// newGrants are the grant types that this broker serves.
func (s *Server) newGrants() map[string]grantFunc {
	served := map[string]grantFunc{
		registry.GrantAuthorizationCode: s.codeGrant,
		registry.GrantRefreshToken:      s.refreshGrant,
		registry.GrantClientCredentials: s.credentialsGrant,
	}
	if s.cfg.SAML != nil {
		served[registry.GrantSAML2Bearer] = s.samlGrant
	}
	if len(s.cfg.JWTIssuers) > 0 {
		served[registry.GrantJWTBearer] = s.jwtGrant
	}
	if s.cfg.People != nil {
		served[registry.GrantDeviceCode] = s.deviceGrant
		served[registry.GrantOneTimeToken] = s.oneTimeGrant
		if s.cfg.PasswordGrant {
			served[registry.GrantPassword] = s.passwordGrant
		}
	}
	return served
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// now is the time in whole seconds, as claims have it.
func (s *Server) now() int64 { return s.cfg.Now().Unix() }

// audit writes one line about something that an operator must be able to find
// later. Nothing in it is secret.
func (s *Server) audit(ctx context.Context, message string, attrs ...any) {
	s.log.WarnContext(ctx, message, slog.Group("audit", attrs...))
}
