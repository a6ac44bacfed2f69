// SPDX-License-Identifier: Apache-2.0

// Package app is the third party: an OAuth client and the browser of its user,
// written by hand over HTTP from the RFCs, so that the tests do not check our
// code with our code.
//
// An App knows nothing but a site's API. It calls it without a token, and the
// 401 leads it on: to the site's metadata (RFC 9728), from there to the broker
// and its metadata (RFC 8414). Then come the authorization code grant with
// PKCE (RFC 7636), resource (RFC 8707) and the check of iss (RFC 9207), client
// authentication by none, client_secret_basic, client_secret_post or
// private_key_jwt (RFC 7523), tokens pinned to a key (RFC 9449), refresh and
// client credentials.
//
// It trusts what its broker answers over HTTP, and checks state and iss of an
// answer that comes through the browser before it uses the code.
package app

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// App is one OAuth client. Copy it to let one client act as several.
type App struct {
	ClientID    string
	RedirectURI string
	AuthMethod  string // token_endpoint_auth_method; empty: none
	Secret      string // client_secret_*
	Key         Key    // private_key_jwt
	DPoP        *Proof // the key that tokens are pinned to; nil: bearer tokens
	Native      bool
	HTTP        *http.Client
	Secrets     *Secrets // remembers what must never be seen elsewhere; may be nil
}

// Key is a private key with the name that the registration gives it.
type Key struct {
	ID      string
	Private ed25519.PrivateKey
}

// Target is a site, the broker that it delegates to, and how to reach both:
// what discovery finds.
type Target struct {
	API           string // the URL that was asked for
	Resource      string
	Servers       []string
	Issuer        string // the broker that is used
	Authorize     string // the site's authorization endpoint
	Through       string // the broker's, which sends the browser on to the site's
	Token         string
	Revocation    string
	Introspection string
}

var resourceMetadata = regexp.MustCompile(`resource_metadata="([^"]*)"`)

// Discover calls api without a token and follows the metadata to the site's
// preferred broker, or to issuer where one is named.
func (a *App) Discover(ctx context.Context, api, issuer string) (*Target, error) {
	res, err := a.do(ctx, http.MethodGet, api, nil, nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusUnauthorized {
		return nil, fmt.Errorf("%s answered %d without a token, expected 401", api, res.StatusCode)
	}
	at := resourceMetadata.FindStringSubmatch(res.Header.Get("WWW-Authenticate"))
	if at == nil {
		return nil, fmt.Errorf("no resource_metadata in WWW-Authenticate: %q", res.Header.Get("WWW-Authenticate"))
	}
	var site struct {
		Resource  string   `json:"resource"`
		Servers   []string `json:"authorization_servers"`
		Authorize string   `json:"comity_authorization_endpoint"`
	}
	if err := a.getJSON(ctx, at[1], &site); err != nil {
		return nil, err
	}
	if len(site.Servers) == 0 {
		return nil, errors.New("the site delegates to nobody")
	}
	if issuer == "" {
		issuer = site.Servers[0]
	}
	if !slices.Contains(site.Servers, issuer) {
		return nil, fmt.Errorf("the site does not delegate to %s", issuer)
	}
	t := &Target{API: api, Resource: site.Resource, Servers: site.Servers, Issuer: issuer, Authorize: site.Authorize}
	return t, a.discoverBroker(ctx, t)
}

// Broker finds out about one broker. The target names no site.
func (a *App) Broker(ctx context.Context, issuer string) (*Target, error) {
	t := &Target{Issuer: issuer}
	return t, a.discoverBroker(ctx, t)
}

func (a *App) discoverBroker(ctx context.Context, t *Target) error {
	var server struct {
		Issuer        string `json:"issuer"`
		Authorize     string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
		Introspection string `json:"introspection_endpoint"`
	}
	u, err := url.Parse(t.Issuer)
	if err != nil {
		return err
	}
	u.Path = "/.well-known/oauth-authorization-server" + u.Path // RFC 8414, section 3
	if err := a.getJSON(ctx, u.String(), &server); err != nil {
		return err
	}
	if server.Issuer != t.Issuer {
		return fmt.Errorf("the metadata at %s are those of %s", t.Issuer, server.Issuer)
	}
	t.Through, t.Token = server.Authorize, server.Token
	t.Revocation, t.Introspection = server.Revocation, server.Introspection
	return nil
}

// response is an answer that was read to its end.
type response struct {
	*http.Response
	body []byte
}

func (a *App) do(ctx context.Context, method, target string, header http.Header, form url.Values) (*response, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header.Clone()
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if a.HTTP != nil {
		client.Transport = a.HTTP.Transport
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return &response{res, data}, err
}

func (a *App) getJSON(ctx context.Context, target string, out any) error {
	res, err := a.do(ctx, http.MethodGet, target, nil, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", target, res.Status, res.body)
	}
	if err := json.Unmarshal(res.body, out); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	return nil
}
