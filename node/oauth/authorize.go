// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/clientdoc"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// authorize is the authorization endpoint. Users of sites log in there: it
// checks the request and sends the browser on to the site that resource names
// (RFC 8707), with the request as an object that the broker has signed. Where
// people log in here, they are asked on the pages of People.
//
// Until client and redirect URI are verified every error is a page. After that
// errors go to the client, as RFC 6749, section 4.1.2.1, says.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	id := begin(w)
	if r.Method == http.MethodPost {
		s.authorizePosted(w, r, id)
		return
	}
	f, c, err := s.readAuthorization(r)
	if err != nil {
		s.writePage(w, s.explain(r, id, err), id)
		return
	}
	target, ask, err := s.handOver(r, f, c)
	if ask != nil {
		s.cfg.People.Ask(w, r, *ask)
		return
	}
	if err != nil {
		target = s.errorRedirect(f, s.explain(r, id, err))
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

// authorizePosted takes a request that an app's page posts (OpenID Connect Core
// 1.0, section 3.1.2.1), and sends the browser on to the same as a link: with
// the form of another site it sends no cookies, with a link it does.
func (s *Server) authorizePosted(w http.ResponseWriter, r *http.Request, id string) {
	f, err := parseForm(w, r)
	if err != nil {
		s.writePage(w, s.explain(r, id, err), id)
		return
	}
	query := url.Values{}
	for name, value := range f {
		query.Set(name, value)
	}
	w.Header().Set("Location", s.paths.authorize+"?"+query.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

// readAuthorization verifies who asks and where the answer would go. Without a
// resource it is about this broker itself, if people log in here.
func (s *Server) readAuthorization(r *http.Request) (form, *client, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, nil, methodNotAllowed("GET, HEAD, POST")
	}
	f, err := parseQuery(r)
	if err != nil {
		return nil, nil, err
	}
	f, pushed, err := s.pulled(r, f)
	if err != nil {
		return nil, nil, err
	}
	if f["client_id"] == "" || f["redirect_uri"] == "" {
		return nil, nil, invalidRequest("client_id and redirect_uri are needed")
	}
	if err := s.mayMint(); err != nil {
		return nil, nil, err
	}
	c, err := s.known(r.Context(), f["client_id"])
	if err != nil {
		return nil, nil, err
	}
	if !c.Metadata.AllowsRedirect(f["redirect_uri"]) {
		return nil, nil, unregisteredRedirect()
	}
	if !pushed && c.pushesAlways() {
		return nil, nil, invalidRequest("the app has registered that it pushes its requests (RFC 9126), and this one was not")
	}
	if f["resource"] == "" && s.cfg.People != nil {
		f["resource"] = s.cfg.Issuer
	}
	if f["resource"] == "" {
		return nil, nil, invalidRequest("resource is missing. Users of this broker log in at the site that the app wants to use; " +
			"the app must name that site in the parameter resource")
	}
	return f, c, nil
}

// known returns a client that is registered and not stopped, for whom nobody has
// authenticated itself. The errors are for pages.
func (s *Server) known(ctx context.Context, id string) (*client, error) {
	state, err := s.cfg.Clients.Client(ctx, id)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, undescribed(err)
	}
	if err == nil && state.Status != registry.ClientActive {
		f := notStopped(state).(*Failure)
		f.Status, f.basic = http.StatusForbidden, false
		return nil, f
	}
	if err != nil || state.Registration == nil {
		return nil, invalidRequest("no app with this client_id is registered in the federation")
	}
	c := &client{ID: id, State: state, Metadata: state.Registration.Registration.ClientMetadata}
	if err := registry.CheckMetadata(&c.Metadata); err != nil {
		return nil, invalidRequest("the app's registration is not acceptable: %v", err)
	}
	return c, nil
}

// undescribed explains why a client whose id is a URL is not known.
func undescribed(err error) error {
	switch {
	case errors.Is(err, clientdoc.ErrUnreachable):
		return unavailable(30, "the app describes itself at the URL that is its client_id, which does not answer: %v", err)
	case errors.Is(err, clientdoc.ErrNone), errors.Is(err, registry.ErrForm):
		return invalidRequest("the app describes itself at the URL that is its client_id, and that cannot be used: %v", err)
	}
	return err
}

func unregisteredRedirect() *Failure {
	return invalidRequest("redirect_uri is not one that the app has registered")
}

// handOver returns where the browser goes: the site's authorization endpoint,
// or, where people log in here, what they are asked.
func (s *Server) handOver(r *http.Request, f form, c *client) (string, *Ask, error) {
	if err := s.checkAuthorization(f, c); err != nil {
		return "", nil, err
	}
	if err := s.localOnly(c.ID, f["resource"]); err != nil {
		return "", nil, err
	}
	if err := s.mayTry(r, ""); err != nil {
		return "", nil, err
	}
	site, err := s.site(r.Context(), f["resource"], invalidTarget)
	if err != nil {
		// Each new name makes this broker fetch a document.
		s.failed(r, "")
		return "", nil, err
	}
	if s.logsInHere(site) {
		ask, err := s.newAsk(f, site)
		if err != nil {
			return "", nil, err
		}
		return "", &ask, nil
	}
	if site.AuthorizationEndpoint == "" {
		return "", nil, invalidTarget("the site has no place where its users log in, and neither has this broker")
	}
	if f["response_type"] != responseCode {
		return "", nil, failure("unsupported_response_type", "people log in at the site itself, which gives codes only")
	}
	target, err := s.signRequest(f, site)
	return target, nil, err
}

// checkAuthorization judges what the client asks for.
func (s *Server) checkAuthorization(f form, c *client) error {
	switch {
	case f["request"] != "":
		return failure("request_not_supported", "send the parameters themselves")
	case f["request_uri"] != "":
		return failure("request_uri_not_supported", "send the parameters themselves")
	case f["response_type"] == "":
		return invalidRequest("response_type is missing")
	case f["dpop_jkt"] != "" && !isDigest(f["dpop_jkt"]):
		return invalidRequest("dpop_jkt is not a thumbprint of 43 characters")
	}
	rule, ok := s.responses[f["response_type"]]
	switch {
	case !ok:
		return failure("unsupported_response_type", "response_type must be one of: %s", strings.Join(slices.Sorted(maps.Keys(s.responses)), " "))
	case f["response_mode"] != "" && f["response_mode"] != rule.mode:
		return invalidRequest("response_mode must be %s", rule.mode)
	case !c.Metadata.AllowsGrant(rule.grant):
		return unauthorizedClient("the client is not registered for the grant type %s", rule.grant)
	case f["response_type"] == responseToken && c.Metadata.DPoPBound:
		return unauthorizedClient("the client is registered to use DPoP tokens alone")
	}
	if rule.pkce || f["code_challenge"] != "" {
		if err := checkChallenge(f["code_challenge"], f["code_challenge_method"]); err != nil {
			return err
		}
	}
	return scopeWithin(f["scope"], c)
}

// signRequest makes the request object and the URL that carries it.
func (s *Server) signRequest(f form, site *sites.Site) (string, error) {
	request, err := protocol.SignRequest(s.cfg.TokenKey(), protocol.RequestObject{
		Issuer:      s.cfg.Issuer,
		Audience:    site.Resource,
		ClientID:    f["client_id"],
		RedirectURI: f["redirect_uri"],
		Scope:       f["scope"],
		State:       f["state"],
		Challenge:   f["code_challenge"],
		Method:      protocol.MethodS256,
		DPoPJKT:     f["dpop_jkt"],
		Nonce:       f["nonce"],
		IssuedAt:    s.now(),
	})
	if errors.Is(err, registry.ErrForm) { // state or nonce is too long or not printable
		return "", invalidRequest("%v", err)
	}
	if err != nil {
		return "", err
	}
	return withQuery(site.AuthorizationEndpoint, url.Values{"client_id": {f["client_id"]}, "request": {request}}), nil
}

// errorRedirect returns where the browser goes with an error: back to the
// client, whose redirect URI is verified.
func (s *Server) errorRedirect(f form, failure *Failure) string {
	q := Ask{RedirectURI: f["redirect_uri"], State: f["state"]}
	if _, served := s.responses[f["response_type"]]; served {
		q.ResponseType = f["response_type"]
	}
	return s.back(q, url.Values{"error": {failure.Code}, "error_description": {ascii(failure.Description)}})
}

// withQuery adds q to what query the URL has.
func withQuery(to string, q url.Values) string {
	u, err := url.Parse(to)
	if err != nil {
		return to // it was parsed when it was registered or fetched
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += q.Encode()
	return u.String()
}
