// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"net/url"
	"strconv"

	"github.com/comity-network/comity/registry"
)

// Response types of the authorization endpoint.
const (
	responseCode    = "code"
	responseToken   = "token"          // RFC 6749, section 4.2; only for clients that registered it
	responseOneTime = "one_time_token" // in its place: see oneTimeGrant
)

// response says what goes with a response type.
type response struct {
	grant string // that the client must be registered for
	mode  string // response_mode
	pkce  bool   // required
}

// newResponses are the response types that this broker serves. Those that carry
// something in the fragment are for logins at the broker: sites give codes.
func (s *Server) newResponses() map[string]response {
	served := map[string]response{responseCode: {registry.GrantAuthorizationCode, "query", true}}
	if s.cfg.People != nil {
		served[responseToken] = response{registry.GrantImplicit, "fragment", false}
		served[responseOneTime] = response{registry.GrantOneTimeToken, "fragment", false}
	}
	return served
}

// implicit mints an access token that the browser carries to the app (RFC 6749,
// section 4.2). RFC 9700, section 2.1.2, advises against it: whoever reads the
// address of the page has the token. So a client must have registered for it,
// there is never a refresh token, and each one is in the audit log.
func (s *Server) implicit(ctx context.Context, c *client, q Ask, a Answer) (string, error) {
	o, err := s.allowed(ctx, exchange{client: c}, q, a, nil)
	if err != nil {
		return "", err
	}
	o.refresh, o.identity, o.family.ID = false, nil, ""
	t, err := s.issue(ctx, o)
	if err != nil {
		return "", err
	}
	s.audit(ctx, "a token was sent through a browser; PKCE or a one-time token would be safer",
		"event", "implicit", "client", c.ID, "site", o.site.Resource)
	return s.back(q, url.Values{
		"access_token": {t.AccessToken}, "token_type": {t.TokenType}, "expires_in": {strconv.FormatInt(t.ExpiresIn, 10)}, "scope": {t.Scope},
	}), nil
}
