// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"strings"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// grantFunc checks a grant, consuming nothing, and returns what it entitles to.
type grantFunc func(ctx context.Context, x exchange) (*offer, error)

// exchange is one request at the token endpoint, after client authentication.
type exchange struct {
	form   form
	client *client
	proof  *proof // nil: none was sent
	remote string // address of whoever sent it
}

// offer is a token that may be minted, and what is claimed for it.
type offer struct {
	client  *client
	proof   *proof
	site    *sites.Site
	scope   string   // of the access token
	grant   string   // the site's name of the consent; empty: without a grant
	code    *OneTime // claimed
	codeJTI string   // as the site knows the code
	rotate  string   // key of the refresh token that is claimed
	family  Family   // the family, new when code is set; zero without a grant
	refresh bool     // with a refresh token

	identity *identity // for the ID token; nil: none is asked for
}

// tokenAnswer is the document of RFC 6749, section 5.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
	IDToken      string `json:"id_token,omitempty"`
}

// token is the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) (any, error) {
	f, err := parseForm(w, r)
	if err != nil {
		return nil, err
	}
	return s.exchange(w, r, f)
}

// exchange answers a request for a token, whose parameters are f.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request, f form) (any, error) {
	grantType, err := f.need("grant_type")
	if err != nil {
		return nil, err
	}
	grant, ok := s.grants[grantType]
	if !ok {
		return nil, failure("unsupported_grant_type", "this broker does not serve the grant type %.64s", grantType)
	}
	if err := s.mayMint(); err != nil {
		return nil, err
	}
	c, err := s.authenticate(r, f, s.claimStored)
	if err != nil {
		return nil, err
	}
	if !c.Metadata.AllowsGrant(grantType) {
		return nil, unauthorizedClient("the client is not registered for the grant type %s", grantType)
	}
	if wait := c.State.Cutoff - s.now() + 1; wait > 0 {
		return nil, unavailable(int(wait), "what the client is given before %s is dead", rfc3339(c.State.Cutoff+1))
	}
	p, err := s.readProof(r, s.cfg.Issuer+strings.TrimPrefix(r.URL.Path, s.paths.prefix))
	if err != nil {
		return nil, err
	}
	if p != nil {
		w.Header().Set("DPoP-Nonce", s.nonces.current())
	}
	o, err := grant(r.Context(), exchange{f, c, p, r.RemoteAddr})
	if err != nil {
		return nil, err
	}
	return s.issue(r.Context(), o)
}

// mayMint is nil when the broker knows what is stopped, and is not stopped
// itself.
func (s *Server) mayMint() error {
	if status := s.cfg.Clients.BrokerStatus(s.cfg.Issuer); status != registry.BrokerActive {
		return unavailable(60, "this broker is %s in its federation", status)
	}
	if err := s.cfg.Fresh(); err != nil {
		return unavailable(10, "this broker does not know what is stopped right now: %v", err)
	}
	return nil
}

// refusal makes the answer when a site is not there for this broker.
type refusal func(format string, args ...any) *Failure

// site looks up a site.
func (s *Server) site(ctx context.Context, resource string, refuse refusal) (*sites.Site, error) {
	if err := protocol.CheckResource(resource); err != nil {
		return nil, refuse("%v", err)
	}
	if resource == s.cfg.Issuer && s.cfg.People != nil {
		return s.self, nil
	}
	site, err := s.cfg.Sites.Site(ctx, resource)
	return site, siteFailure(err, refuse)
}

// signedBy looks up a site and checks with its keys what it has signed.
func (s *Server) signedBy(ctx context.Context, resource string, refuse refusal, verify func(map[string]ed25519.PublicKey) error) (*sites.Site, error) {
	site, err := s.cfg.Sites.Verify(ctx, resource, func(keys map[string]ed25519.PublicKey) error {
		err := verify(keys)
		if errors.Is(err, protocol.ErrUnknownKey) || err == nil {
			return err
		}
		return refuse("%v", err)
	})
	return site, siteFailure(err, refuse)
}

func siteFailure(err error, refuse refusal) error {
	switch {
	case errors.Is(err, sites.ErrUnreachable):
		return unavailable(5, "%v", err)
	case errors.Is(err, sites.ErrNotDelegated), errors.Is(err, sites.ErrDenied), errors.Is(err, protocol.ErrUnknownKey):
		return refuse("%v", err)
	}
	return err
}

// scopeWithin checks that scope is well-formed and, when the client is
// registered for a scope, not wider than that.
func scopeWithin(scope string, c *client) error {
	if _, err := protocol.ParseScope(scope); err != nil {
		return invalidScope("%v", err)
	}
	if c.Metadata.Scope != "" && !protocol.ScopeSubset(scope, c.Metadata.Scope) {
		return invalidScope("the client is registered for no more than: %s", c.Metadata.Scope)
	}
	return nil
}
