// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
)

// call is one connect, of a client or of a member for its client.
type call struct {
	client   string
	server   string                 // server_url
	callback string                 // one of the client's redirect URIs
	speaks   func(home string) bool // whether who asks speaks for the clients of that home
	state    registry.ClientState   // what the records said when it began
}

func (c call) metadata() *registry.ClientMetadata {
	return &c.state.Registration.Registration.ClientMetadata
}

// connected is what a client gets.
type connected struct {
	given
	site *site
}

// connectDocument is the answer to a client.
type connectDocument struct {
	unprinted
	Token  string    `json:"client_token"`
	Secret string    `json:"client_secret"`
	API    string    `json:"api_root"`
	Site   *siteData `json:"site_data,omitempty"` // absent where the site named no index
}

// serveConnect holds the request of a client open until it is connected to the
// site.
func (s *Server) serveConnect(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	// Nothing here looks at cookies or at where a request comes from, so the
	// script of a page can do no more than any program (CORS).
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), total, timedOut())
	defer cancel()
	done, err := s.serveClient(ctx, w, r)
	if err != nil {
		s.writeFailure(w, s.explain(ctx, err), "error")
		return
	}
	token, secret := done.open()
	writeJSON(w, http.StatusOK, connectDocument{Token: token, Secret: secret, API: done.site.apiRoot, Site: done.site.data})
}

func (s *Server) serveClient(ctx context.Context, w http.ResponseWriter, r *http.Request) (*connected, error) {
	body, err := readForm(w, r, maxConnectBytes)
	if err != nil {
		return nil, err
	}
	signed, state, err := s.authenticate(ctx, r, body)
	if err != nil {
		return nil, err
	}
	c := call{client: state.ID, state: state, speaks: func(home string) bool { return home == s.cfg.Issuer }}
	if c.server, c.callback, err = parameters(signed.Form(), state); err != nil {
		return nil, err
	}
	done, err := s.connect(ctx, c)
	if err != nil {
		s.refused(ctx, c, err)
	}
	return done, err
}

// parameters reads what the client has signed.
func parameters(form url.Values, state registry.ClientState) (server, callback string, err error) {
	for name, values := range form {
		if len(values) != 1 {
			return "", "", invalidRequest("%.64q is sent %d times", name, len(values))
		}
	}
	if server = form.Get("server_url"); server == "" {
		return "", "", invalidRequest("server_url is missing: send the address of the site")
	}
	callback = form.Get("callback_url")
	if reg := state.Registration; callback == "" && reg != nil && len(reg.Registration.RedirectURIs) > 0 {
		callback = reg.Registration.RedirectURIs[0]
	}
	return server, callback, nil
}

// connect is the one way to credentials.
func (s *Server) connect(ctx context.Context, c call) (*connected, error) {
	var err error
	if c.state, err = s.mayConnect(ctx, c); err != nil {
		return nil, err
	}
	leave, err := s.takePlace(ctx, c)
	if err != nil {
		return nil, err
	}
	defer leave()
	found, err := s.discover(ctx, c.server)
	if err != nil {
		return nil, err
	}
	if err := s.permitted(ctx, found); err != nil {
		return nil, err
	}
	// Or the site makes several sets of credentials for one client.
	next, err := s.ofPair.enter(ctx, c.client+" "+found.endpoint.String(), "connects of this client to this site")
	if err != nil {
		return nil, err
	}
	defer next()
	notified := s.notified(ctx, found)
	got, err := s.run(ctx, c, found)
	if err != nil {
		return nil, err
	}
	if resource := <-notified; got.through == s.cfg.Issuer {
		got.resource = resource
	}
	if err := s.save(ctx, c, found, got); err != nil {
		return nil, err
	}
	// The site may have taken its time, and the records have changed.
	if _, err := s.mayConnect(ctx, c); err != nil {
		return nil, err
	}
	s.audit(ctx, "a client was connected to a site", "event", "connect-done", "client", c.client,
		"site", found.name(), "through", got.through, "home", c.state.Home)
	return &connected{got, found}, nil
}

// run exchanges with the site, or lets another member do it that the site
// knows, and says which did.
func (s *Server) run(ctx context.Context, c call, found *site) (given, error) {
	own := c.state.Home == s.cfg.Issuer
	if f, ok := s.unknown.lookup(found.endpoint.String()); ok && !own {
		return given{}, f
	}
	got, err := s.exchange(ctx, c, found)
	var f *Failure
	unknown := errors.As(err, &f) && f.Code == codeUnknownBroker
	switch {
	case err == nil:
		s.unknown.forget(found.endpoint.String())
		return given{credentials: got, through: s.cfg.Issuer}, nil
	case unknown && own:
		return s.ask(ctx, c, found)
	case unknown:
		s.unknown.keep(found.endpoint.String(), f)
	case f != nil && endpointFailed(f):
		s.found.forget(c.server)
	}
	return given{}, err
}

// mayConnect looks the client up again, and refuses unless it is active, its
// home is the broker that asks, its callback is registered, and this broker
// knows what is stopped.
func (s *Server) mayConnect(ctx context.Context, c call) (registry.ClientState, error) {
	state, err := s.cfg.Clients.Client(ctx, c.client)
	if errors.Is(err, registry.ErrNotFound) {
		return state, unregistered()
	}
	if err != nil {
		return state, fmt.Errorf("look up the client: %w", err)
	}
	switch {
	case state.Status != registry.ClientActive || state.HomeStatus != registry.BrokerActive:
		return state, rejectedClient(state)
	case state.Registration == nil || state.Home == "":
		return state, unregistered()
	case !c.speaks(state.Home):
		return state, otherHome(state.Home, s.cfg.Members.Online(state.Home))
	case !plain(state.ID):
		return state, unregistered() // sites would read another id
	case !slices.Contains(state.Registration.Registration.RedirectURIs, c.callback):
		return state, invalidCallback()
	}
	if s.cfg.Fresh != nil {
		if err := s.cfg.Fresh(); err != nil {
			return state, unavailable(staleAfter, "this broker does not know at the moment what is stopped (%v); try again", err)
		}
	}
	return state, nil
}

// takePlace bounds what is held open: for one client, for all of one home, and
// for those of all other members together.
func (s *Server) takePlace(ctx context.Context, c call) (leave func(), err error) {
	one, err := s.ofClient.enter(ctx, c.client, "connects of this client")
	if err != nil {
		return nil, err
	}
	home, err := s.ofHome.enter(ctx, c.state.Home, "connects of clients of one broker")
	if err != nil {
		one()
		return nil, err
	}
	if c.state.Home == s.cfg.Issuer { // for whom others leave room
		return func() { home(); one() }, nil
	}
	all, err := s.ofMembers.enter(ctx, "", "connects of clients of other brokers")
	if err != nil {
		home()
		one()
		return nil, err
	}
	return func() { all(); home(); one() }, nil
}

// permitted asks the operator's rules about the site: about its home, and also
// about its endpoint's origin where the home is said to be elsewhere.
func (s *Server) permitted(ctx context.Context, found *site) error {
	about := []string{found.resource()}
	if found.data != nil {
		if home := found.data.resource(); home != "" && home != about[0] {
			about = append(about, home)
		}
	}
	for _, resource := range about {
		err := s.cfg.Sites.Permitted(ctx, resource)
		if errors.Is(err, sites.ErrDenied) {
			return siteDenied()
		}
		if err != nil {
			return fmt.Errorf("look up the rule for %s: %w", resource, err)
		}
	}
	return nil
}

// notified asks, beside the exchange, whether the site takes notifications.
func (s *Server) notified(ctx context.Context, found *site) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- s.cfg.Sites.Notified(ctx, found.resource()) }()
	return answer
}

// endpointFailed reports whether an error may mean that the endpoint is no
// longer the one that was discovered.
func endpointFailed(f *Failure) bool {
	return f.Code == codeSiteUnusable || f.Code == codeTimedOut || strings.HasPrefix(f.Code, "rest_")
}

func (s *Server) save(ctx context.Context, c call, found *site, got given) error {
	now := s.cfg.Now().Unix()
	n := Connection{ClientID: c.client, Site: found.name(), Through: got.through, Resource: got.resource, FirstAt: now, LastAt: now}
	if found.data != nil {
		n.Name = cut(found.data.Name, maxNameRunes)
	}
	if err := s.cfg.Store.SaveConnection(ctx, n); err != nil {
		s.cfg.Log.ErrorContext(ctx, "cannot save a connection", "error", err)
		return unavailable(staleAfter, "the broker cannot store anything at the moment; try again")
	}
	return nil
}

func (s *Server) refused(ctx context.Context, c call, err error) {
	code := codeInternal
	if f := (*Failure)(nil); errors.As(err, &f) {
		code = f.Code
	} else if errors.Is(err, context.Canceled) {
		code = "canceled"
	}
	s.audit(ctx, "a client was not connected to a site", "event", "connect-refused", "client", c.client,
		"site", originOf(c.server), "code", code, "home", c.state.Home)
}

// originOf is what the log says of a URL: its path and query may hold anything.
func originOf(server string) string {
	u, err := checkURL(server, nil)
	if err != nil {
		return "unusable"
	}
	return origin(u)
}

// plain reports whether a client id reaches a site unchanged: the original
// plugin does not encode it when it sends it back.
func plain(id string) bool {
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '.', b == '_', b == '~':
		default:
			return false
		}
	}
	return id != "" && len(id) <= 255
}

// describe is what the registration says beside the name.
func describe(m *registry.ClientMetadata) string {
	var text string
	if raw, ok := m.Extra["client_description"]; ok && strictjson.Unmarshal(json.RawMessage(raw), &text) == nil && text != "" {
		return cut(text, maxTextRunes)
	}
	return m.Name
}
