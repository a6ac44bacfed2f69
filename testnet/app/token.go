// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Tokens is what a token endpoint answers (RFC 6749, section 5.1).
type Tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}

// Error is an answer with an OAuth error document (RFC 6749, section 5.2).
type Error struct {
	Status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
	RetryAfter  string
	RequestID   string
}

// Error makes it an error.
func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Description)
}

// Redeem exchanges the code for tokens.
func (a *App) Redeem(ctx context.Context, t *Target, r *Request, code string) (*Tokens, error) {
	return a.Ask(ctx, t, url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {r.RedirectURI}, "code_verifier": {r.Verifier},
	})
}

// Refresh exchanges a refresh token for new tokens.
func (a *App) Refresh(ctx context.Context, t *Target, refresh string) (*Tokens, error) {
	return a.Ask(ctx, t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// ClientCredentials asks for a token without a user (RFC 6749, section 4.4).
func (a *App) ClientCredentials(ctx context.Context, t *Target, scope string) (*Tokens, error) {
	return a.Ask(ctx, t, url.Values{"grant_type": {"client_credentials"}, "resource": {t.Resource}, "scope": {scope}})
}

// Revoke revokes one token (RFC 7009).
func (a *App) Revoke(ctx context.Context, t *Target, token string) error {
	res, err := a.authenticated(ctx, t, t.Revocation, url.Values{"token": {token}})
	if err != nil {
		return err
	}
	return res.oauthError()
}

// Introspect asks whether a token of the app is good (RFC 7662).
func (a *App) Introspect(ctx context.Context, t *Target, token string) (active bool, err error) {
	res, err := a.authenticated(ctx, t, t.Introspection, url.Values{"token": {token}})
	if err != nil {
		return false, err
	}
	if err := res.oauthError(); err != nil {
		return false, err
	}
	var answer struct {
		Active bool `json:"active"`
	}
	err = json.Unmarshal(res.body, &answer)
	return answer.Active, err
}

// Ask sends a request to the token endpoint, authenticated, with a DPoP proof
// where the app has a key. A server that asks for a nonce gets it.
func (a *App) Ask(ctx context.Context, t *Target, form url.Values) (*Tokens, error) {
	res, err := a.authenticated(ctx, t, t.Token, form)
	if err != nil {
		return nil, err
	}
	if err := res.oauthError(); err != nil {
		return nil, err
	}
	var tokens Tokens
	if err := json.Unmarshal(res.body, &tokens); err != nil {
		return nil, fmt.Errorf("token endpoint: %w", err)
	}
	a.Secrets.Add("access token", tokens.AccessToken)
	a.Secrets.Add("refresh token", tokens.RefreshToken)
	return &tokens, nil
}

// authenticated posts form with the client's authentication.
func (a *App) authenticated(ctx context.Context, t *Target, endpoint string, form url.Values) (*response, error) {
	for {
		header := http.Header{}
		a.authenticate(t, header, form)
		if a.DPoP != nil {
			header.Set("DPoP", a.DPoP.Make(http.MethodPost, endpoint, ""))
		}
		res, err := a.do(ctx, http.MethodPost, endpoint, header, form)
		if err != nil || a.DPoP == nil {
			return res, err
		}
		if !a.DPoP.learn(endpoint, res.Header.Get("DPoP-Nonce")) || res.StatusCode == http.StatusOK {
			return res, err
		}
		if wanted := (*Error)(nil); !asError(res.oauthError(), &wanted) || wanted.Code != "use_dpop_nonce" {
			return res, err
		}
	}
}

func (a *App) authenticate(t *Target, header http.Header, form url.Values) {
	form.Set("client_id", a.ClientID)
	switch a.AuthMethod {
	case "client_secret_basic":
		form.Del("client_id")
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(a.ClientID), url.QueryEscape(a.Secret))
	case "client_secret_post":
		form.Set("client_secret", a.Secret)
	case "private_key_jwt":
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		assertion := a.Assertion(t.Issuer)
		a.Secrets.Add("client assertion", assertion)
		form.Set("client_assertion", assertion)
	}
	a.Secrets.Add("client secret", a.Secret)
}

func (r *response) oauthError() error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	e := &Error{Status: r.StatusCode, RetryAfter: r.Header.Get("Retry-After"), RequestID: r.Header.Get("X-Request-Id")}
	if err := json.Unmarshal(r.body, e); err != nil || e.Code == "" {
		e.Description = strings.TrimSpace(string(r.body))
	}
	return e
}

// Answer is what a site's API answered.
type Answer struct {
	Status     int
	Body       string
	Challenge  string // WWW-Authenticate
	RetryAfter string
}

// Call calls the site's API with a token, with a DPoP proof where the token is
// pinned.
func (a *App) Call(ctx context.Context, t *Target, tokens *Tokens) (*Answer, error) {
	for {
		header := http.Header{"Authorization": {tokens.TokenType + " " + tokens.AccessToken}}
		if a.DPoP != nil && tokens.TokenType == "DPoP" {
			header.Set("DPoP", a.DPoP.Make(http.MethodGet, t.API, tokens.AccessToken))
		}
		res, err := a.do(ctx, http.MethodGet, t.API, header, nil)
		if err != nil {
			return nil, err
		}
		answer := &Answer{
			Status: res.StatusCode, Body: string(res.body),
			Challenge: res.Header.Get("WWW-Authenticate"), RetryAfter: res.Header.Get("Retry-After"),
		}
		if a.DPoP == nil || res.StatusCode != http.StatusUnauthorized ||
			!a.DPoP.learn(t.API, res.Header.Get("DPoP-Nonce")) || !strings.Contains(answer.Challenge, "use_dpop_nonce") {
			return answer, nil
		}
	}
}
