// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// People are those who have an account at this broker, and the pages on which
// they log in and decide.
type People interface {
	// Ask answers a browser that came with an authorization request for a
	// login at this broker. When its person has decided, Server.Decide says
	// where the browser goes.
	Ask(w http.ResponseWriter, r *http.Request, q Ask)
	// Person returns who gave a grant. registry.ErrNotFound: the grant has
	// ended, or the account is disabled or gone.
	Person(ctx context.Context, grant string) (Person, error)
}

// Person is who gave a grant.
type Person struct {
	ID          string // never leaves this broker
	Name        string // what is typed at the login
	DisplayName string
}

// Ask is an authorization request for a login at this broker, all of it judged.
type Ask struct {
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri"`
	ResponseType string `json:"response_type"`
	Resource     string `json:"resource"` // a site, or this broker's issuer
	Scope        string `json:"scope"`
	State        string `json:"state,omitempty"`
	Challenge    string `json:"code_challenge,omitempty"`
	DPoPJKT      string `json:"dpop_jkt,omitempty"`
	Nonce        string `json:"nonce,omitempty"`
	Prompt       string `json:"prompt,omitempty"`
	MaxAge       int64  `json:"max_age"` // seconds since the password was typed; negative: any
	LoginHint    string `json:"login_hint,omitempty"`
}

// Answer is what a person said to an Ask.
type Answer struct {
	Error    string // access_denied, login_required, consent_required; empty: allowed
	User     string // Person.ID
	Grant    string
	AuthTime int64 // when the password was typed, seconds since 1970
}

// IssuedCode is a code that this broker made. It is opaque, unlike a site's.
type IssuedCode struct {
	Hash      string `json:"-"` // protocol.TokenHash of it
	Ask       Ask    `json:"ask"`
	User      string `json:"user"`
	Grant     string `json:"grant"`
	AuthTime  int64  `json:"auth_time"`
	ExpiresAt int64  `json:"exp"` // seconds since 1970
}

// codeLife is how long a code of this broker may be redeemed, in seconds.
const codeLife = 60

// logsInHere reports whether a login for a resource is one at this broker: it
// is for the broker itself, or the site has no place where people log in.
func (s *Server) logsInHere(site *sites.Site) bool {
	return s.cfg.People != nil && (site == s.self || site.AuthorizationEndpoint == "")
}

// newAsk makes the request for the pages.
func (s *Server) newAsk(f form, site *sites.Site) (Ask, error) {
	q := Ask{
		ClientID: f["client_id"], RedirectURI: f["redirect_uri"], ResponseType: f["response_type"], Resource: site.Resource,
		Scope: f["scope"], State: f["state"], Challenge: f["code_challenge"], DPoPJKT: f["dpop_jkt"], Nonce: f["nonce"],
		Prompt: f["prompt"], MaxAge: -1, LoginHint: limit(f["login_hint"], 64),
	}
	if age := f["max_age"]; age != "" {
		n, err := strconv.ParseInt(age, 10, 32)
		if err != nil || n < 0 {
			return q, invalidRequest("max_age is not a number of seconds")
		}
		q.MaxAge = n
	}
	if len(q.State) > maxEcho || len(q.Nonce) > maxEcho {
		return q, invalidRequest("state and nonce may have %d characters each", maxEcho)
	}
	return q, nil
}

// maxEcho bounds what is given back to the app as it came.
const maxEcho = 1024

// Decide returns where the browser goes with the answer of a person: back to
// the app, which is verified again, since the page may have been open while the
// app was stopped. A *Failure is for a page.
func (s *Server) Decide(ctx context.Context, q Ask, a Answer) (string, error) {
	if err := s.mayMint(); err != nil {
		return "", err
	}
	if _, err := s.redirectable(ctx, form{"client_id": q.ClientID, "redirect_uri": q.RedirectURI}); err != nil {
		return "", err
	}
	if a.Error != "" {
		return s.back(q.RedirectURI, q.State, url.Values{"error": {a.Error}}), nil
	}
	code := newToken()
	err := s.cfg.Store.AddCode(ctx, IssuedCode{
		Hash: protocol.TokenHash(code), Ask: q, User: a.User, Grant: a.Grant, AuthTime: a.AuthTime, ExpiresAt: s.now() + codeLife,
	})
	if err != nil {
		return "", err
	}
	return s.back(q.RedirectURI, q.State, url.Values{"code": {code}}), nil
}

// ClaimOnce uses up an identifier for all times. ErrSeen: it was used before.
func (s *Server) ClaimOnce(ctx context.Context, id OneTime) error { return s.cfg.Store.Claim(ctx, id) }

// EndGrant kills everything that was minted from a grant that was given here.
func (s *Server) EndGrant(ctx context.Context, grant string) error {
	const reason = "grant-ended"
	return s.cfg.Store.RevokeGrant(ctx, grant, s.now(), reason, s.deadToken(reason))
}

// issuedCodeGrant redeems a code of this broker. Like a site's it is judged
// completely before it is claimed.
func (s *Server) issuedCodeGrant(ctx context.Context, raw string, x exchange) (*offer, error) {
	code, err := s.cfg.Store.Code(ctx, protocol.TokenHash(raw))
	if errors.Is(err, registry.ErrNotFound) {
		return nil, invalidGrant("the code is unknown or has expired")
	}
	if err != nil {
		return nil, err
	}
	q := &code.Ask
	err = s.checkCode(&protocol.Code{
		Issuer: q.Resource, Audience: s.cfg.Issuer, ClientID: q.ClientID, RedirectURI: q.RedirectURI, Challenge: q.Challenge,
	}, x)
	if err != nil {
		return nil, err
	}
	if code.ExpiresAt <= s.now() {
		return nil, invalidGrant("the code has expired")
	}
	if err := bound(x.client, x.proof, q.DPoPJKT); err != nil {
		return nil, err
	}
	person, err := s.person(ctx, code.Grant)
	if err != nil {
		return nil, err
	}
	site, err := s.site(ctx, q.Resource, invalidGrant)
	if err != nil {
		return nil, err
	}
	o := s.codeOffer(&protocol.Code{
		Issuer: q.Resource, ID: code.Hash, Scope: q.Scope, Grant: code.Grant, ExpiresAt: code.ExpiresAt,
	}, site, x)
	o.codeJTI = "" // no code of the site
	o.family.Subject = s.cfg.Subject(person.ID, s.sector(x.client, site))
	if protocol.ScopeSubset("openid", q.Scope) {
		o.identity = &identity{
			subject: s.cfg.Subject(person.ID, clientSector(x.client)), nonce: q.Nonce, authTime: code.AuthTime,
		}
	}
	return o, nil
}

// person returns who gave a grant that has not ended.
func (s *Server) person(ctx context.Context, grant string) (Person, error) {
	if s.cfg.People == nil {
		return Person{}, invalidGrant("this broker has no accounts any more")
	}
	person, err := s.cfg.People.Person(ctx, grant)
	if errors.Is(err, registry.ErrNotFound) {
		return person, invalidGrant("the person has ended the grant")
	}
	return person, err
}

// sector is who shares one name for a person: a site, or, at this broker
// itself, the app.
func (s *Server) sector(c *client, site *sites.Site) string {
	if site == s.self {
		return clientSector(c)
	}
	return site.Resource
}

// clientSector is the host of the app's redirect URIs where they have one, so
// that apps of one host know a person by one name, and else the app itself.
// (OpenID Connect Core 1.0, section 8.1; registration checks the rest.)
func clientSector(c *client) string {
	host := ""
	for i, uri := range c.Metadata.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" || i > 0 && u.Host != host {
			return c.ID
		}
		host = u.Host
	}
	return host
}
