// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// introspection is the answer of RFC 7662, section 2.2. About whatever is not
// good, or not the caller's business, it says the same: {"active":false}.
type introspection struct {
	Active       bool          `json:"active"`
	Issuer       string        `json:"iss,omitempty"`
	Audience     string        `json:"aud,omitempty"` // the site
	ClientID     string        `json:"client_id,omitempty"`
	Scope        string        `json:"scope,omitempty"`
	TokenType    string        `json:"token_type,omitempty"`
	IssuedAt     int64         `json:"iat,omitempty"`
	ExpiresAt    int64         `json:"exp,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`   // RFC 9449, section 6.2
	Grant        string        `json:"grant,omitempty"` // only to the site
	Subject      string        `json:"sub,omitempty"`   // likewise; of people whom the broker knows and the site does not
}

type confirmation struct {
	JKT string `json:"jkt"`
}

// caller is who asks about a token: a site or a client.
type caller struct {
	site   string // resource; empty: a client
	client *client
}

// caller authenticates a site, by an assertion that its key signed, or a
// client.
func (s *Server) caller(r *http.Request, f form, claim claimFunc) (caller, error) {
	if f["client_assertion"] == "" || f["client_assertion_type"] != assertionType {
		c, err := s.authenticate(r, f, claim)
		return caller{client: c}, err
	}
	a, err := protocol.ParseSiteAssertion(f["client_assertion"])
	if err != nil { // not of a site: iss is no resource
		c, err := s.authenticate(r, f, claim)
		return caller{client: c}, err
	}
	if err := s.mayTry(r, a.Issuer); err != nil {
		return caller{}, err
	}
	if err := s.checkSite(r.Context(), f, a, claim); err != nil {
		if f := (*Failure)(nil); errors.As(err, &f) {
			s.failed(r, a.Issuer)
		}
		return caller{}, err
	}
	return caller{site: a.Issuer}, nil
}

func (s *Server) checkSite(ctx context.Context, f form, a *protocol.SignedAssertion, claim claimFunc) error {
	switch {
	case f["client_secret"] != "":
		return invalidRequest("the request uses 2 ways of authentication; use one")
	case f["client_id"] != "" && f["client_id"] != a.Issuer:
		return invalidClient("site assertion: sub is not the client_id of the request")
	case a.Audience != s.cfg.Issuer: // before the site is asked for its keys
		return invalidClient("site assertion: aud must be %s", s.cfg.Issuer)
	}
	_, err := s.signedBy(ctx, a.Issuer, invalidClient, func(keys map[string]ed25519.PublicKey) error {
		return a.Verify(keys, s.cfg.Issuer, s.cfg.Now())
	})
	if err != nil {
		return err
	}
	err = claim(ctx, OneTime{
		Key:       "site:" + protocol.TokenHash(a.Issuer+"\n"+a.ID),
		ExpiresAt: a.ExpiresAt + skew + 1,
	})
	if errors.Is(err, ErrSeen) {
		return invalidClient("site assertion: jti was used before")
	}
	return err
}

// aboutToken reads a request about one token: who asks, and the token.
func (s *Server) aboutToken(w http.ResponseWriter, r *http.Request, claim claimFunc) (who caller, token string, err error) {
	f, err := parseForm(w, r)
	if err != nil {
		return who, "", err
	}
	if token, err = f.need("token"); err != nil {
		return who, "", err
	}
	if who, err = s.caller(r, f, claim); err != nil {
		return who, "", err
	}
	if who.client != nil && s.away(who.client) {
		return who, "", unauthorizedClient("away from its home broker a client needs private_key_jwt for this")
	}
	return who, token, nil
}

// introspect is the introspection endpoint. It does not depend on the broker
// being fresh, nor on its being able to write.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) (any, error) {
	who, token, err := s.aboutToken(w, r, s.claimRecent)
	if err != nil {
		return nil, err
	}
	answer, err := s.describeAccess(r.Context(), who, token)
	if errors.Is(err, registry.ErrNotFound) && who.client != nil {
		answer, err = s.describeRefresh(r.Context(), who, token)
	}
	if errors.Is(err, registry.ErrNotFound) {
		answer, err = introspection{}, nil
	}
	if err != nil || !wantsSigned(r) {
		return answer, err
	}
	return s.signIntrospection(who, answer)
}

// describeAccess answers about an access token. registry.ErrNotFound: it is
// not good, or not the caller's.
func (s *Server) describeAccess(ctx context.Context, who caller, token string) (introspection, error) {
	t, _, err := s.accessToken(ctx, token)
	switch {
	case err != nil:
		return introspection{}, err
	case !who.owns(t.Site, t.ClientID) || t.State != TokenReleased || t.ExpiresAt <= s.now():
		return introspection{}, registry.ErrNotFound
	}
	if err := s.alive(ctx, t.ClientID, t.IssuedAt); err != nil {
		return introspection{}, err
	}
	a := introspection{
		Active: true, Issuer: s.cfg.Issuer, Audience: t.Site, ClientID: t.ClientID, Scope: t.Scope,
		TokenType: t.Type, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt,
	}
	if t.JKT != "" {
		a.Confirmation = &confirmation{t.JKT}
	}
	if who.site != "" {
		a.Grant, a.Subject = t.Grant, t.Subject
		return a, s.use(ctx, t)
	}
	return a, nil
}

// describeRefresh answers a client about its refresh token.
func (s *Server) describeRefresh(ctx context.Context, who caller, token string) (introspection, error) {
	r, f, err := s.cfg.Store.Refresh(ctx, tokenKey(token))
	now := s.now()
	switch {
	case err != nil:
		return introspection{}, err
	case f.ClientID != who.client.ID || !r.Live || f.RevokedAt != 0 || r.ExpiresAt <= now || f.ExpiresAt <= now:
		return introspection{}, registry.ErrNotFound
	}
	if err := s.alive(ctx, f.ClientID, f.CreatedAt); err != nil {
		return introspection{}, err
	}
	return introspection{
		Active: true, Issuer: s.cfg.Issuer, ClientID: f.ClientID, Scope: f.Scope,
		IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt,
	}, nil
}

func (c caller) owns(site, clientID string) bool {
	if c.client != nil {
		return c.client.ID == clientID
	}
	return c.site == site
}

// alive is nil when the records let the client use what it got at issuedAt,
// and registry.ErrNotFound when they do not.
func (s *Server) alive(ctx context.Context, clientID string, issuedAt int64) error {
	state, err := s.cfg.Clients.State(ctx, clientID)
	if err != nil {
		return err
	}
	if !state.Accepts(issuedAt) || s.cfg.Clients.BrokerStatus(s.cfg.Issuer) != registry.BrokerActive {
		return registry.ErrNotFound
	}
	return nil
}
