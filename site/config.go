// SPDX-License-Identifier: Apache-2.0

package site

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// Config describes one site. Resource, Brokers, Federation, Store, Key and
// Scopes are required, and User, unless all its users log in at a broker. A site
// that takes no tokens, since it gives apps credentials of its own
// (Site.Client), leaves out User, Scopes and all that begins with Allow.
type Config struct {
	// Resource is the identifier of the site (RFC 9728): its https URL, without
	// a slash at the end. Clients name it, tokens are for it, and the endpoints
	// are of its origin.
	Resource string
	// Name is what the pages call the site; empty: its host.
	Name string
	// Brokers are the issuers that the site delegates to, the preferred first.
	Brokers []string
	// Federation is the id of the federation, which any of its brokers names
	// at /federation. It is pinned: compare it with what the brokers publish
	// elsewhere before you write it down.
	Federation string
	// Witnesses are issuers of members whose views certify the stop list. Empty:
	// the site's own brokers and others drawn at random, five in all.
	Witnesses []string

	// Store is the site's database, SQLite or PostgreSQL; the tables of the
	// site are named comity_…. What was acknowledged to a broker is as durable
	// as its commits: open SQLite with journal_mode(WAL), synchronous(FULL) and
	// a busy_timeout.
	Store *sql.DB
	// Key signs the site's codes and assertions. It is the site's own and
	// lives longer than the process.
	Key registry.SigningKey

	// Scopes are what clients may ask for, each with what the consent page
	// says of it: "Read your photos".
	Scopes map[string]string
	// User tells who is logged in at the site in this request's browser. The
	// id never leaves the site. Nil, where AllowBrokerUsers is not: the site has
	// no users of its own and no pages, and people log in at its broker.
	User func(*http.Request) (userID string, ok bool)
	// LoginURL is where a browser without login is sent, with the parameter
	// return_to: a path and query of this origin to come back to.
	LoginURL string

	// SelfDescribed lets in apps that no broker has registered: their client_id is
	// the https URL of a document in which they describe themselves (client id
	// metadata documents), which the site then fetches. The pages say that nobody
	// else vouches for them; the federation can stop them like all others.
	SelfDescribed bool

	// WhenStale is what becomes of requests while the site cannot know what is
	// stopped.
	WhenStale StalePolicy
	// AllowClientCredentials says whether a broker may mint a token without a
	// grant for this client and scope. Nil: never.
	AllowClientCredentials func(broker, clientID, scope string) bool
	// AllowBrokerUsers says whether a broker may mint tokens for people whom it
	// knows and the site does not: those with an account at the broker, or at an
	// identity provider that it trusts. Access.Subject names them, by a name that
	// is good for this site alone. Nil: never.
	AllowBrokerUsers func(broker, clientID, scope string) bool

	// Apps are the owner's rules about apps, by the issuer of the broker through
	// which they come; those under the key "" hold for all brokers, and both
	// must let an app in. They hold for new logins and tokens, and for what
	// was given before. Nil: every app of the federation may ask users.
	Apps map[string]AppRules

	// Prefix is the path under which the endpoints live; empty: /comity.
	Prefix string
	// Client fetches from brokers; nil: one with a limit of 3 s. Redirects are
	// never followed.
	Client *http.Client
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: slog.Default
}

// StalePolicy is what a site does while it cannot know what is stopped: its
// stop list was certified longer than the federation's max_age ago.
type StalePolicy int

const (
	// RefuseWhenStale answers 503 to every request with a token. The promise
	// that a stopped app is stopped within max_age holds only with it.
	RefuseWhenStale StalePolicy = iota
	// AcceptWhenStale keeps accepting the tokens that were issued before. New
	// tokens and new grants are refused all the same.
	AcceptWhenStale
)

// maxTokenLife is the longest life of a token that a site accepts: cutoffs
// stay in the stop list for as long.
const maxTokenLife = registry.ListedFor

// complete checks c and fills what was left out.
func (c *Config) complete() error {
	switch {
	case c.Store == nil:
		return errors.New("config: Store is missing: open the site's database")
	case len(c.Key.Private()) == 0:
		return errors.New("config: Key is missing: make one with registry.GenerateSigningKey and keep it")
	case len(c.Scopes) == 0 && (c.User != nil || c.AllowBrokerUsers != nil || c.AllowClientCredentials != nil):
		return errors.New("config: Scopes is empty: name what apps may ask for")
	case len(c.Scopes) != 0 && c.User == nil && c.AllowBrokerUsers == nil:
		return errors.New("config: User is missing: who is logged in?")
	case c.WhenStale != RefuseWhenStale && c.WhenStale != AcceptWhenStale:
		return errors.New("config: WhenStale is neither RefuseWhenStale nor AcceptWhenStale")
	}
	c.defaults()
	if !strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") {
		return errors.New("config: Prefix does not begin with a slash, or ends with one")
	}
	if c.LoginURL != "" {
		if u, err := url.Parse(c.LoginURL); err != nil || u.Fragment != "" {
			return errors.New("config: LoginURL is not a URL without fragment")
		}
	}
	if err := c.metadata().Check(); err != nil {
		return err
	}
	return c.checkApps()
}

func (c *Config) defaults() {
	if c.Prefix == "" {
		c.Prefix = "/comity"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Name == "" {
		c.Name = webpage.Host(c.Resource)
	}
	client := http.Client{Timeout: 3 * time.Second}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Client = &client
}

// metadata are the site's metadata document (RFC 9728).
func (c *Config) metadata() *protocol.SiteMetadata {
	base := protocol.Origin(c.Resource) + c.Prefix
	scopes := make([]string, 0, len(c.Scopes))
	for scope := range c.Scopes {
		scopes = append(scopes, scope)
	}
	slices.Sort(scopes)
	m := &protocol.SiteMetadata{
		Resource: c.Resource, AuthorizationServers: c.Brokers, JWKSURI: base + "/jwks", ScopesSupported: scopes,
		Federation: c.Federation, EventsEndpoint: base + "/events", EventBatches: true, LimitsUses: true,
	}
	if c.User != nil {
		m.AuthorizationEndpoint = base + "/authorize"
	}
	return m
}

// elapsed is the monotonic clock since New, or, where Now is a clock of the
// caller's that has no monotonic part, its difference.
func elapsed(now func() time.Time) func() time.Duration {
	start := now()
	return func() time.Duration { return now().Sub(start) }
}

func wrap(err error) error { return fmt.Errorf("site: %w", err) }
