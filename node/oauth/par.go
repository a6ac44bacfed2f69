// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const (
	// requestURIPrefix begins the name of a pushed request (RFC 9126, section
	// 2.2); 256 random bits follow.
	requestURIPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedLife is how long a pushed request may be used, in seconds.
	pushedLife = 60
)

// Pushed is an authorization request that a client handed in beforehand (RFC
// 9126).
type Pushed struct {
	Hash       string // protocol.TokenHash of its name
	ClientID   string
	Parameters map[string]string
	ExpiresAt  int64 // seconds since 1970
}

// pushedAnswer is the document of RFC 9126, section 2.2.
type pushedAnswer struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

// push is the pushed authorization request endpoint (RFC 9126). The client
// authenticates itself here, before any browser is involved; all that the
// authorization endpoint judges is judged here too, so that the client is told
// of mistakes itself.
func (s *Server) push(w http.ResponseWriter, r *http.Request) (any, error) {
	f, err := parseForm(w, r)
	if err != nil {
		return nil, err
	}
	if f["request_uri"] != "" {
		return nil, invalidRequest("request_uri cannot be pushed")
	}
	if err := s.mayMint(); err != nil {
		return nil, err
	}
	c, err := s.authenticate(r, f, s.claimStored)
	if err != nil {
		return nil, err
	}
	if err := s.mayAsk(r); err != nil {
		return nil, err
	}
	if err := s.pushedProof(w, r, f); err != nil {
		return nil, err
	}
	if !c.Metadata.AllowsRedirect(f["redirect_uri"]) {
		return nil, invalidRequest("redirect_uri is not one that the client has registered")
	}
	if err := s.checkAuthorization(f, c); err != nil {
		return nil, err
	}
	f["client_id"] = c.ID // an assertion may have named it alone
	for _, secret := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		delete(f, secret)
	}
	name := newSecret()
	err = s.cfg.Store.Push(r.Context(), Pushed{
		Hash: protocol.TokenHash(name), ClientID: c.ID, Parameters: f, ExpiresAt: s.now() + pushedLife,
	})
	if err != nil {
		return nil, err
	}
	return Reply{http.StatusCreated, pushedAnswer{requestURIPrefix + name, pushedLife}}, nil
}

// mayAsk bounds what an address can make this broker store while it waits for a
// person: a public client authenticates with nothing.
func (s *Server) mayAsk(r *http.Request) error {
	if wait := s.asks.Take(ratelimit.AddressKey(r.RemoteAddr)); wait > 0 {
		f := tooMany(wait)
		f.Description = "too many requests that wait for a person; wait before the next"
		return f
	}
	return nil
}

// pushedProof takes a DPoP proof for the key that the code shall be pinned to
// (RFC 9449, section 10.1).
func (s *Server) pushedProof(w http.ResponseWriter, r *http.Request, f form) error {
	p, err := s.readProof(r, s.paths.par)
	if p == nil || err != nil {
		return err
	}
	w.Header().Set("DPoP-Nonce", s.nonces.current())
	if f["dpop_jkt"] != "" && f["dpop_jkt"] != p.JKT {
		return invalidProof("dpop_jkt is not the thumbprint of the proof's key")
	}
	if err := s.cfg.Store.Claim(r.Context(), p.once); errors.Is(err, ErrSeen) {
		return invalidProof("jti was used before")
	} else if err != nil {
		return err
	}
	f["dpop_jkt"] = p.JKT
	return nil
}

// pulled returns the parameters of an authorization request: those of the
// query, or those that request_uri stands for, which can be used once.
func (s *Server) pulled(r *http.Request, f form) (_ form, pushed bool, err error) {
	name, ok := strings.CutPrefix(f["request_uri"], requestURIPrefix)
	if !ok {
		return f, false, nil
	}
	p, err := s.cfg.Store.Pushed(r.Context(), protocol.TokenHash(name), f["client_id"], s.now())
	if errors.Is(err, registry.ErrNotFound) {
		return nil, false, invalidRequest("the request has expired, was used before, or is another client's; go back to the app and start again")
	}
	return p.Parameters, true, err
}

// pushesAlways reports whether the client has registered that all its requests
// are pushed (RFC 9126, section 6), so that nobody else can begin one.
func (c *client) pushesAlways() bool {
	return string(c.Metadata.Extra["require_pushed_authorization_requests"]) == "true"
}
