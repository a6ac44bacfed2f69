// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/node/brokered/oauth1"
	"github.com/comity-network/comity/registry"
)

// authenticate returns the signed request of a client whose home this broker
// is, and what the records say of it. Each request is good once.
func (s *Server) authenticate(ctx context.Context, r *http.Request, body []byte) (*oauth1.Request, registry.ClientState, error) {
	var none registry.ClientState
	signed, err := oauth1.Parse(r, s.public, body)
	switch {
	case errors.Is(err, oauth1.ErrMalformed):
		return nil, none, invalidRequest("%v", err)
	case errors.Is(err, oauth1.ErrUnauthorized):
		return nil, none, unauthorized("%v", err)
	case err != nil:
		return nil, none, err
	case signed.Token != "":
		return nil, none, invalidRequest("a connect is signed without a token: oauth_token must be empty or absent")
	}
	if err := signed.CheckTime(s.cfg.Now()); err != nil {
		return nil, none, unauthorized("%v", err)
	}
	remote := ratelimit.AddressKey(r.RemoteAddr)
	both := remote + " " + digest(signed.ConsumerKey)
	if wait := max(s.byRemote.Wait(remote), s.byClient.Wait(both)); wait > 0 {
		return nil, none, tooMany(wait, "too many failed attempts; wait before the next")
	}
	state, err := s.verify(ctx, signed)
	if errors.Is(err, oauth1.ErrUnauthorized) {
		s.byRemote.Take(remote)
		s.byClient.Take(both)
		s.cfg.Log.InfoContext(ctx, "client authentication failed", "remote", remote, "client", known(signed.ConsumerKey))
		return nil, none, notAuthenticated()
	}
	if err != nil {
		return nil, none, err
	}
	return signed, state, s.claimNonce(ctx, signed)
}

// verify checks the signature. An unknown client takes the same way as a wrong
// secret, to the same error.
func (s *Server) verify(ctx context.Context, signed *oauth1.Request) (registry.ClientState, error) {
	state, err := s.cfg.Clients.Client(ctx, signed.ConsumerKey)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return state, fmt.Errorf("look up the client: %w", err)
	}
	mine := err == nil && state.Home == s.cfg.Issuer
	if err == nil && !mine && state.Home != "" {
		return state, otherHome(state.Home, s.cfg.Members.Online(state.Home))
	}
	if signed.Method == oauth1.RSASHA1 || signed.Method == oauth1.RSASHA256 {
		return state, verifyRSA(signed, state, mine)
	}
	secret, err := s.cfg.Secrets.OAuth1Secret(ctx, signed.ConsumerKey)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return state, fmt.Errorf("look up the client's OAuth 1.0a secret: %w", err)
	}
	if mine = mine && err == nil && secret != ""; !mine {
		secret = s.noSecret
	}
	if err := signed.VerifyHMAC(secret, ""); err != nil {
		return state, err
	}
	if !mine {
		return state, oauth1.ErrUnauthorized
	}
	return state, nil
}

// verifyRSA tries the RSA keys of the registration.
func verifyRSA(signed *oauth1.Request, state registry.ClientState, mine bool) error {
	if !mine || state.Registration == nil || state.Registration.Registration.Keys == nil {
		return oauth1.ErrUnauthorized
	}
	keys, err := state.Registration.Registration.Keys.PublicKeys()
	if err != nil {
		return oauth1.ErrUnauthorized
	}
	for _, k := range keys {
		if public, ok := k.Key.(*rsa.PublicKey); ok && signed.VerifyRSA(public) == nil {
			return nil
		}
	}
	return oauth1.ErrUnauthorized
}

// claimNonce uses up the nonce of a request whose signature was verified (RFC
// 5849, section 3.3), for as long as its timestamp is accepted.
func (s *Server) claimNonce(ctx context.Context, signed *oauth1.Request) error {
	key := digest(fmt.Sprintf("%s\n%d\n%s", signed.ConsumerKey, signed.Timestamp, signed.Nonce))
	fresh, err := s.cfg.Store.Nonce(ctx, key, signed.Timestamp+int64(oauth1.Window.Seconds())+1)
	if err != nil {
		s.cfg.Log.ErrorContext(ctx, "cannot claim a nonce", "error", err)
		return unavailable(staleAfter, "the broker cannot store anything at the moment; nothing was connected")
	}
	if !fresh {
		return unauthorized("the request was used before: sign each one with a new nonce")
	}
	return nil
}

// known is a consumer key for the log: whatever else was sent may be a secret
// in the wrong place.
func known(id string) string {
	if registry.CheckClientID(id) == nil {
		return id
	}
	return "unknown"
}
