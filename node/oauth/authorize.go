// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// authorize is the authorization endpoint. Users log in at sites: it checks
// the request and sends the browser on to the site that resource names (RFC
// 8707), with the request as an object that the broker has signed.
//
// Until client and redirect URI are verified every error is a page. After that
// errors go to the client, as RFC 6749, section 4.1.2.1, says.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	id := begin(w)
	f, m, err := s.readAuthorization(r)
	if err != nil {
		s.writePage(w, s.explain(r, id, err), id)
		return
	}
	target, ask, err := s.handOver(r, f, m)
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

// readAuthorization verifies who asks and where the answer would go. Without a
// resource there is nowhere to send the browser on to.
func (s *Server) readAuthorization(r *http.Request) (form, *registry.ClientMetadata, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, nil, methodNotAllowed("GET, HEAD")
	}
	f, err := parseQuery(r)
	if err != nil {
		return nil, nil, err
	}
	if f, err = s.pulled(r, f); err != nil {
		return nil, nil, err
	}
	if f["client_id"] == "" || f["redirect_uri"] == "" {
		return nil, nil, invalidRequest("client_id and redirect_uri are needed")
	}
	if err := s.mayMint(); err != nil {
		return nil, nil, err
	}
	m, err := s.redirectable(r.Context(), f)
	if err != nil {
		return nil, nil, err
	}
	if f["resource"] == "" && s.cfg.People != nil {
		f["resource"] = s.cfg.Issuer
	}
	if f["resource"] == "" {
		return nil, nil, invalidRequest("resource is missing. Users of this broker log in at the site that the app wants to use; " +
			"the app must name that site in the parameter resource")
	}
	return f, m, nil
}

// redirectable verifies client and redirect URI.
func (s *Server) redirectable(ctx context.Context, f form) (*registry.ClientMetadata, error) {
	state, err := s.cfg.Clients.Client(ctx, f["client_id"])
	if errors.Is(err, registry.ErrNotFound) || err == nil && state.Registration == nil {
		return nil, invalidRequest("no app with this client_id is registered in the federation")
	}
	if err != nil {
		return nil, err
	}
	if err := notStopped(state); err != nil {
		f := err.(*Failure)
		f.Status, f.basic = http.StatusForbidden, false
		return nil, f
	}
	m := &state.Registration.Registration.ClientMetadata
	if err := registry.CheckMetadata(m); err != nil {
		return nil, invalidRequest("the app's registration is not acceptable: %v", err)
	}
	if !m.AllowsRedirect(f["redirect_uri"]) {
		return nil, invalidRequest("redirect_uri is not one that the app has registered")
	}
	return m, nil
}

// handOver returns where the browser goes: the site's authorization endpoint,
// or, where people log in here, what they are asked.
func (s *Server) handOver(r *http.Request, f form, m *registry.ClientMetadata) (string, *Ask, error) {
	if err := checkAuthorization(f, m); err != nil {
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
	target, err := s.signRequest(f, site)
	return target, nil, err
}

func checkAuthorization(f form, m *registry.ClientMetadata) error {
	switch {
	case f["request"] != "":
		return failure("request_not_supported", "send the parameters themselves")
	case f["request_uri"] != "":
		return failure("request_uri_not_supported", "send the parameters themselves")
	case f["response_type"] == "":
		return invalidRequest("response_type is missing")
	case f["response_type"] != "code":
		return failure("unsupported_response_type", "response_type must be code")
	case f["response_mode"] != "" && f["response_mode"] != "query":
		return invalidRequest("response_mode must be query")
	case !m.AllowsGrant(registry.GrantAuthorizationCode):
		return unauthorizedClient("the client is not registered for the grant type authorization_code")
	case f["dpop_jkt"] != "" && !isDigest(f["dpop_jkt"]):
		return invalidRequest("dpop_jkt is not a thumbprint of 43 characters")
	}
	if err := checkChallenge(f["code_challenge"], f["code_challenge_method"]); err != nil {
		return err
	}
	return scopeWithin(f["scope"], &client{Metadata: *m})
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
	return s.back(f["redirect_uri"], f["state"], url.Values{
		"error":             {failure.Code},
		"error_description": {ascii(failure.Description)},
	})
}

// back is the way back to the client with an answer, the state that it gave,
// and who answers (RFC 9207).
func (s *Server) back(redirectURI, state string, answer url.Values) string {
	answer.Set("iss", s.cfg.Issuer)
	if state != "" {
		answer.Set("state", state)
	}
	return withQuery(redirectURI, answer)
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
