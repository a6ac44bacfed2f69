// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// IssuedCode is a code, or a one-time token, that this broker made. It is
// opaque, unlike a site's code.
type IssuedCode struct {
	Hash      string `json:"-"` // protocol.TokenHash of it
	Ask       Ask    `json:"ask"`
	Answer    Answer `json:"answer"`
	ExpiresAt int64  `json:"exp"` // seconds since 1970
}

// oneTimeLife is how long a one-time token may be exchanged, in seconds: its
// app may have to start first.
const oneTimeLife = 120

// codeLife is how long what comes with a redirect may be redeemed, in seconds.
func codeLife(responseType string) int64 {
	if responseType == responseOneTime {
		return oneTimeLife
	}
	return 60
}

// issuedCodeGrant redeems a code of this broker. Like a site's it is judged
// completely before it is claimed.
func (s *Server) issuedCodeGrant(ctx context.Context, raw string, x exchange) (*offer, error) {
	code, err := s.issuedCode(ctx, raw, responseCode, x)
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
	return s.allowed(ctx, x, code.Ask, code.Answer, &OneTime{Key: code.Hash, ExpiresAt: code.ExpiresAt + skew})
}

// oneTimeGrant exchanges a one-time token for an access token: what came with
// the redirect is of no use to whoever reads it later, and nobody can use it
// unnoticed, since the second use ends what the first one gave.
func (s *Server) oneTimeGrant(ctx context.Context, x exchange) (*offer, error) {
	raw, err := x.form.need("one_time_token")
	if err != nil {
		return nil, err
	}
	code, err := s.issuedCode(ctx, raw, responseOneTime, x)
	if err != nil {
		return nil, err
	}
	if code.Ask.Challenge != "" {
		if err := checkVerifier(x.form["code_verifier"], code.Ask.Challenge); err != nil {
			return nil, err
		}
	}
	o, err := s.allowed(ctx, x, code.Ask, code.Answer, &OneTime{Key: code.Hash, ExpiresAt: code.ExpiresAt + skew})
	if err != nil {
		return nil, err
	}
	o.refresh = false
	return o, nil
}

// oneTimeToken is the endpoint for apps that can do no more than fetch a URL:
// the same as oneTimeGrant, with the parameters in the query of a GET.
func (s *Server) oneTimeToken(w http.ResponseWriter, r *http.Request) (any, error) {
	var f form
	var err error
	switch r.Method {
	case http.MethodGet:
		f, err = parseQuery(r)
	case http.MethodPost:
		f, err = parseForm(w, r)
	default:
		err = methodNotAllowed("GET, POST")
	}
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet && (f["client_secret"] != "" || f["client_assertion"] != "") {
		return nil, invalidRequest("a query ends in logs: authenticate in the Authorization header, or use POST")
	}
	f["grant_type"] = registry.GrantOneTimeToken
	return s.exchange(w, r, f)
}

// issuedCode looks up what came with a redirect, and whether it may be used by
// this client with this key now.
func (s *Server) issuedCode(ctx context.Context, raw, responseType string, x exchange) (IssuedCode, error) {
	code, err := s.cfg.Store.Code(ctx, protocol.TokenHash(raw))
	switch {
	case errors.Is(err, registry.ErrNotFound) || err == nil && code.Ask.ResponseType != responseType:
		return code, invalidGrant("it is unknown, or has expired")
	case err != nil:
		return code, err
	case code.Ask.ClientID != x.client.ID:
		return code, invalidGrant("it was given to another client")
	case code.ExpiresAt <= s.now():
		return code, invalidGrant("it has expired")
	}
	return code, bound(x.client, x.proof, code.Ask.DPoPJKT)
}
