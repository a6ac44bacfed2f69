// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// NewToken makes a token or a secret: 256 random bits.
func NewToken() string {
	var random [32]byte
	rand.Read(random[:]) // never fails
	return jws.Base64.EncodeToString(random[:])
}

// giveSecret makes a secret for a client whose method needs one.
func giveSecret(m *registry.ClientMetadata) (secret string) {
	if m.AuthMethod != registry.AuthSecretBasic && m.AuthMethod != registry.AuthSecretPost {
		return ""
	}
	secret = NewToken()
	m.SecretHash = protocol.TokenHash(secret)
	return secret
}

// registerWithToken registers a client as the operator would, and uses up an
// initial access token once. A registration that is refused gives it back.
func (s *Server) registerWithToken(w http.ResponseWriter, r *http.Request, m registry.ClientMetadata, token string) (any, error) {
	if err := s.mayTry(r); err != nil {
		return nil, err
	}
	id, err := s.cfg.Store.UseInitialToken(r.Context(), protocol.TokenHash(token), s.now())
	if errors.Is(err, registry.ErrNotFound) {
		s.wrongToken(r)
		return nil, unauthorized(w, "the initial access token is unknown, used up or expired: ask the operator for another one")
	}
	if err != nil {
		return nil, err
	}
	secret := giveSecret(&m)
	// From here on a client that hangs up must not leave half of it.
	ctx := context.WithoutCancel(r.Context())
	state, err := s.cfg.Registrar.Register(ctx, m)
	if err != nil {
		told, sure := refused(err)
		if sure {
			if err := s.cfg.Store.ReturnInitialToken(ctx, id); err != nil && !errors.Is(err, registry.ErrNotFound) {
				return nil, err
			}
		}
		return nil, told
	}
	s.audit(ctx, "a client has registered itself", "event", "client-registered", "client", state.ID, "token", id,
		"grants", strings.Join(m.GrantTypes, " "))
	manager, err := s.Manage(ctx, state.ID)
	if err != nil {
		return nil, err
	}
	d, err := s.document(state)
	if err != nil {
		return nil, err
	}
	return oauth.Reply{Status: http.StatusCreated, Document: s.withRights(d, manager, secret, 0)}, nil
}

// Manage makes the token that manages a client of this broker; the one before
// ends.
func (s *Server) Manage(ctx context.Context, id string) (token string, err error) {
	token = NewToken()
	return token, s.cfg.Store.SetManager(ctx, id, protocol.TokenHash(token))
}

// openGrants are what a client may have that nobody vouches for: logins, in the
// forms in which nothing but a code passes through a browser.
var openGrants = []string{registry.GrantAuthorizationCode, registry.GrantRefreshToken, registry.GrantDeviceCode}

// registerOpen registers a local client.
func (s *Server) registerOpen(r *http.Request, m registry.ClientMetadata) (any, error) {
	ctx := r.Context()
	secret := giveSecret(&m)
	id := oauth.LocalPrefix + registry.NewID()
	if err := s.checkAlone(r, id, &m, registry.ClientMetadata{}); err != nil {
		return nil, err
	}
	token := NewToken()
	l := Local{
		ID: id, Token: protocol.TokenHash(token), Metadata: m,
		CreatedAt: s.now(), ExpiresAt: s.now() + int64(LocalLife.Seconds()),
	}
	err := s.cfg.Store.AddLocal(ctx, l, MaxLocal)
	if errors.Is(err, registry.ErrLimit) {
		f := failure("temporarily_unavailable", "this broker has as many local clients as it keeps: ask the operator to register yours")
		f.Status, f.RetryAfter = http.StatusServiceUnavailable, 3600
		return nil, f
	}
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "a client has registered itself in the open", "event", "client-registered-open",
		"client", l.ID, "remote", ratelimit.AddressKey(r.RemoteAddr))
	d, err := s.localDocument(l)
	if err != nil {
		return nil, err
	}
	return oauth.Reply{Status: http.StatusCreated, Document: s.withRights(d, token, secret, l.ExpiresAt)}, nil
}

// checkAlone judges what a client wants without the operator's word: in the
// open, or in the place of what it has, which is old.
func (s *Server) checkAlone(r *http.Request, id string, m *registry.ClientMetadata, old registry.ClientMetadata) error {
	if err := registry.CheckMetadata(m); err != nil {
		return judged(err)
	}
	for _, g := range m.GrantTypes {
		if !slices.Contains(openGrants, g) && !slices.Contains(old.GrantTypes, g) {
			return invalidMetadata("grant_types holds %s, which the operator must give (comity app update); by itself a client may have authorization_code, refresh_token and device_code", g)
		}
	}
	for _, uri := range m.RedirectURIs {
		owner := registry.RedirectOwner(uri)
		if owner == "" || slices.Contains(old.RedirectURIs, uri) {
			continue
		}
		if stopped := s.cfg.Records.StoppedOwner(owner); stopped != "" && stopped != id {
			s.audit(r.Context(), "a registration is left to the operator: its redirect host belongs to a stopped client",
				"event", "registration-held", "owner", owner, "stopped", stopped, "client", id, "remote", ratelimit.AddressKey(r.RemoteAddr))
			return invalidRedirect("a client of %s was stopped, so the operator of this broker must register this one: comity app register", owner)
		}
	}
	return nil
}

// known answers a software statement: the record of a client that is in a log
// of the federation.
func (s *Server) known(ctx context.Context, statement string) (any, error) {
	record, err := registry.ParseRecord([]byte(statement), registry.KindRegistration)
	if err != nil {
		return nil, invalidStatement("software_statement is not a registration record of this federation: %v", err)
	}
	logged, err := s.cfg.Records.Logged(ctx, record)
	if err != nil {
		return nil, err
	}
	var state registry.ClientState
	if logged {
		state, err = s.cfg.Records.Client(ctx, record.ClientID())
	}
	if !logged || errors.Is(err, registry.ErrNotFound) {
		return nil, invalidStatement("software_statement is in no log that this broker knows: send the record as /federation/clients/{client_id} of the home broker shows it, or try again when this broker has heard of it")
	}
	if err != nil {
		return nil, err
	}
	if state.Status != registry.ClientActive {
		return nil, failure("unapproved_software_statement", "%s", oauth.WhyStopped(state))
	}
	d, err := s.document(state)
	if err != nil {
		return nil, err
	}
	d["software_statement"] = statement
	return oauth.Reply{Status: http.StatusCreated, Document: d}, nil
}
