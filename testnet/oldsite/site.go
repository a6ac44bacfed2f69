// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/site"
)

// Config says which site to start. Brokers is required; without one the site
// refuses every connection request.
type Config struct {
	Brokers map[string]string // confirm URL by the broker's identifier, an exact string
	Listen  string            // default: a free port of 127.0.0.1
	Path    string            // where the site lies below its host, as /blog; default: the root
	Name    string            // default: Old Site
	// Description is the site's own; default: empty.
	Description string
	// PlainPermalinks: the API is at /index.php?rest_route=/ and not at /wp-json/.
	PlainPermalinks bool
	// Workers answer requests; who comes when all are busy waits. Zero: as
	// many as are needed.
	Workers int
	// ConfirmTimeout is when the site gives up on a confirm request; default:
	// 5 s, as measured.
	ConfirmTimeout time.Duration
	// Roots verify a broker's TLS certificate; default: those of the system.
	Roots *x509.CertPool
	// SDK makes it a site of the federation: nil for one that knows nothing of
	// it. It decides about clients, and its endpoints are served as well.
	SDK *site.Site
	// User is who logs in and authorizes; default: admin, admin@example.org.
	User      User
	Now       func() time.Time
	Behaviour Behaviour
}

// User is the one user of the site.
type User struct{ Name, Password, Email string }

// Site is one running site.
type Site struct {
	*host
	cfg    Config
	keys   credentials
	logins logins
	worker chan struct{} // nil: no limit

	mu        sync.Mutex
	behaviour Behaviour
}

// New starts a site.
func New(c Config) (*Site, error) {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	c.Name = cmp.Or(c.Name, "Old Site")
	c.User.Name = cmp.Or(c.User.Name, "admin")
	c.User.Password = cmp.Or(c.User.Password, random(12))
	c.User.Email = cmp.Or(c.User.Email, "admin@example.org")
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, 5*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Path != "" && (!strings.HasPrefix(c.Path, "/") || strings.HasSuffix(c.Path, "/")) {
		return nil, fmt.Errorf("the path %q of a site must start with a slash and not end with one", c.Path)
	}
	s := &Site{cfg: c, behaviour: c.Behaviour}
	s.keys.now = c.Now
	if c.Workers > 0 {
		s.worker = make(chan struct{}, c.Workers)
	}
	var err error
	if s.host, err = listen(c.Listen, c.Path, c.Roots); err != nil {
		return nil, fmt.Errorf("starting an old site: %w", err)
	}
	s.host.serve(s.answers)
	return s, nil
}

// IndexURL is the address of the API index.
func (s *Site) IndexURL() string { return s.api("/") }

// ConnectURL is the connection endpoint.
func (s *Site) ConnectURL() string { return s.api("/broker/v1/connect") }

// APIURL is a resource that wants a signed request and names the user.
func (s *Site) APIURL() string { return s.api("/wp/v2/users/me") }

// Behave changes what the site does from now on.
func (s *Site) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
}

func (s *Site) behaves() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// api is the URL of a route of the REST API.
func (s *Site) api(route string) string {
	if s.cfg.PlainPermalinks {
		return s.base.String() + "/index.php?rest_route=" + route
	}
	return s.base.String() + "/wp-json" + route
}

// answers one request.
func (s *Site) answers(w http.ResponseWriter, r *http.Request) {
	if s.worker != nil {
		select {
		case s.worker <- struct{}{}:
			defer func() { <-s.worker }()
		case <-s.ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	b := s.behaves()
	kind, handle := s.route(r, b)
	answer, err := s.log.receive(w, r, kind)
	if err != nil {
		return // the request broke off
	}
	defer answer.end()
	if fault := b.fault(kind, r.Method); fault != None {
		s.fail(answer, r, fault)
		return
	}
	handle(answer, r)
}

// route finds what a request is for. It makes no redirects of its own.
func (s *Site) route(r *http.Request, b Behaviour) (Kind, http.HandlerFunc) {
	path, below := strings.CutPrefix(r.URL.Path, s.cfg.Path)
	if !below {
		return Other, http.NotFound
	}
	query := r.URL.Query()
	rest, isREST := strings.CutPrefix(path, "/wp-json")
	if query.Has("rest_route") && (path == "/index.php" || path == "/") {
		rest, isREST = query.Get("rest_route"), true
	}
	switch {
	case isREST && (rest == "/" || rest == ""):
		return Index, s.index
	case isREST && rest == "/broker/v1/connect" || path == "/" && r.Method == http.MethodPost && b.Link == EndpointHeader:
		return Connect, s.connect
	case isREST && rest == "/wp/v2/users/me":
		return API, s.me
	case isREST:
		return Other, s.noRoute
	}
	if s.isSDK(path) {
		return Other, s.cfg.SDK.Handler().ServeHTTP
	}
	switch path {
	case "/":
		return Discovery, s.front
	case "/oauth1/request":
		return RequestToken, s.requestToken
	case "/oauth1/authorize":
		return Authorize, s.authorize
	case "/oauth1/access":
		return AccessToken, s.accessToken
	case "/wp-login.php":
		return Login, s.login
	}
	return Other, http.NotFound
}
