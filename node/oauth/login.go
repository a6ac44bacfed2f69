// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

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
	// LogIn checks a password and notes that its person allows what is asked.
	// Errors are those of accounts.Accounts.Authenticate.
	LogIn(ctx context.Context, l LogIn) (Answer, error)
}

// Person is who gave a grant.
type Person struct {
	ID          string // never leaves this broker
	Name        string // what is typed at the login
	DisplayName string
}

// LogIn is a password in the hands of an app (RFC 6749, section 4.3).
type LogIn struct {
	Name, Password            string
	Remote                    string // address of the app
	ClientID, Resource, Scope string
}

// Ask is an authorization request for a login at this broker, all of it judged.
type Ask struct {
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri,omitempty"`
	ResponseType string `json:"response_type,omitempty"`
	Device       string `json:"device,omitempty"` // hash of the device code, in place of the two before
	Resource     string `json:"resource"`         // a site, or this broker's issuer
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
	Error    string `json:"error,omitempty"` // access_denied, login_required, consent_required; empty: allowed
	User     string `json:"user,omitempty"`  // Person.ID
	Grant    string `json:"grant,omitempty"`
	AuthTime int64  `json:"auth_time,omitempty"` // when the password was typed, seconds since 1970
}

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
	q.Scope = s.withoutUnserved(site, q.Scope)
	return q, s.scopeAt(site, q.Scope)
}

// unserved are scopes of OpenID Connect (Core 1.0, sections 5.4 and 11) that
// clients ask for unasked. This broker knows of people nothing but their name,
// and who gets a refresh token is in the registration.
var unserved = []string{"email", "address", "phone", "offline_access"}

// withoutUnserved leaves out, beside openid, what a client may ask an OpenID
// provider for in vain; the answer says what it got. Any other unknown scope is
// an error, here as at sites.
func (s *Server) withoutUnserved(site *sites.Site, scope string) string {
	words := strings.Fields(scope)
	if site != s.self || !slices.Contains(words, scopeOpenID) {
		return scope
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return slices.Contains(unserved, w) }), " ")
}

// maxEcho bounds what is given back to the app as it came.
const maxEcho = 1024

// scopeAt checks that a resource has what a person shall be asked for.
func (s *Server) scopeAt(site *sites.Site, scope string) error {
	words := s.accessScope(site, scope)
	if words == "" {
		return invalidScope("name at least one scope of the resource")
	}
	if known := strings.Join(site.ScopesSupported, " "); known != "" && !protocol.ScopeSubset(words, known) {
		return invalidScope("the resource has no more than: %s", known)
	}
	return nil
}

// accessScope is the scope of the access token. At a site openid is none: it
// asks this broker for an ID token beside the access token.
func (s *Server) accessScope(site *sites.Site, scope string) string {
	if site == s.self {
		return scope
	}
	return strings.Join(slices.DeleteFunc(strings.Fields(scope), func(w string) bool { return w == scopeOpenID }), " ")
}

// Decide returns where the browser goes with the answer of a person: back to
// the app, which is verified again, since the page may have been open while the
// app was stopped; or nowhere, when the app is on a device of its own and will
// ask. A *Failure is for a page.
func (s *Server) Decide(ctx context.Context, q Ask, a Answer) (string, error) {
	if err := s.mayMint(); err != nil {
		return "", err
	}
	c, err := s.known(ctx, q.ClientID)
	if err != nil {
		return "", err
	}
	if q.Device != "" {
		return "", s.decideDevice(ctx, q, a)
	}
	if !c.Metadata.AllowsRedirect(q.RedirectURI) {
		return "", unregisteredRedirect()
	}
	if a.Error != "" {
		return s.back(q, url.Values{"error": {a.Error}}), nil
	}
	if q.ResponseType == responseToken {
		return s.implicit(ctx, c, q, a)
	}
	code := newSecret()
	err = s.cfg.Store.AddCode(ctx, IssuedCode{
		Hash: protocol.TokenHash(code), Ask: q, Answer: a, ExpiresAt: s.now() + codeLife(q.ResponseType),
	})
	if err != nil {
		return "", err
	}
	if q.ResponseType == responseOneTime {
		return s.back(q, url.Values{"one_time_token": {code}, "expires_in": {strconv.Itoa(oneTimeLife)}}), nil
	}
	return s.back(q, url.Values{"code": {code}}), nil
}

// back is the way back to the client with an answer, the state that it gave,
// and who answers (RFC 9207). What could be used by whoever reads it is in the
// fragment, which browsers send to nobody (RFC 6749, section 4.2.2).
func (s *Server) back(q Ask, answer url.Values) string {
	answer.Set("iss", s.cfg.Issuer)
	if q.State != "" {
		answer.Set("state", q.State)
	}
	if q.ResponseType == responseToken || q.ResponseType == responseOneTime {
		return q.RedirectURI + "#" + answer.Encode()
	}
	return withQuery(q.RedirectURI, answer)
}

// ClaimOnce uses up an identifier for all times. ErrSeen: it was used before.
func (s *Server) ClaimOnce(ctx context.Context, id OneTime) error { return s.cfg.Store.Claim(ctx, id) }

// EndGrant kills everything that was minted from a grant that was given here.
func (s *Server) EndGrant(ctx context.Context, grant string) error {
	const reason = "grant-ended"
	return s.cfg.Store.RevokeGrant(ctx, grant, s.now(), reason, s.deadToken(reason))
}

// allowed makes the offer for what a person has allowed: x shows who redeems
// it, once is what it can be redeemed with only once.
func (s *Server) allowed(ctx context.Context, x exchange, q Ask, a Answer, once *OneTime) (*offer, error) {
	person, err := s.person(ctx, a.Grant)
	if err != nil {
		return nil, err
	}
	site, err := s.site(ctx, q.Resource, invalidGrant)
	if err != nil {
		return nil, err
	}
	o := &offer{
		client: x.client, proof: x.proof, site: site, scope: s.accessScope(site, q.Scope), grant: a.Grant, code: once,
		refresh: x.client.Metadata.AllowsGrant(registry.GrantRefreshToken),
	}
	o.family = s.newFamily(o)
	o.family.Subject = s.cfg.Subject(person.ID, s.sector(x.client, site))
	if protocol.ScopeSubset(scopeOpenID, q.Scope) {
		o.identity = &identity{
			subject: s.cfg.Subject(person.ID, clientSector(x.client)), nonce: q.Nonce, authTime: a.AuthTime,
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
	if host == "" {
		return c.ID
	}
	return host
}
