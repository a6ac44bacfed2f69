// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"reflect"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// managed is a client whose registration access token was sent.
type managed struct {
	token string
	state registry.ClientState // in the log; the zero value for a local client that is not promoted
	local *Local               // nil: the client was asked for by its id in the log
}

// manage is the client configuration endpoint (RFC 7592, section 2).
func (s *Server) manage(w http.ResponseWriter, r *http.Request) (any, error) {
	var answer func(http.ResponseWriter, *http.Request, managed) (any, error)
	switch r.Method {
	case http.MethodGet:
		answer = s.show
	case http.MethodPut:
		answer = s.replace
	case http.MethodDelete:
		answer = s.withdraw
	default:
		return nil, methodNotAllowed(w, "GET, PUT, DELETE")
	}
	token, _, err := bearer(r)
	if err != nil {
		return nil, err
	}
	if err := s.mayTry(r); err != nil {
		return nil, err
	}
	m, err := s.authorize(r.Context(), r.PathValue("client_id"), token)
	if errors.Is(err, registry.ErrNotFound) {
		s.wrongToken(r)
		return nil, unauthorized(w, "the registration access token is not that of this client")
	}
	if err != nil {
		return nil, err
	}
	return answer(w, r, m)
}

// authorize returns the client with that id, if the token manages it.
// registry.ErrNotFound: it does not, or there is no such client; both take the
// same way.
func (s *Server) authorize(ctx context.Context, id, token string) (managed, error) {
	m := managed{token: token}
	hash, err := "", error(nil)
	if oauth.IsLocal(id) {
		var l Local
		l, err = s.cfg.Store.Local(ctx, id, s.now())
		hash, m.local = l.Token, &l
		id = l.Promoted
	} else {
		hash, err = s.cfg.Store.Manager(ctx, id)
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return m, err
	}
	if !matches(token, hash) {
		return m, registry.ErrNotFound
	}
	if id != "" {
		m.state, err = s.cfg.Records.Client(ctx, id)
	}
	return m, err
}

// matches compares in constant time, also when there is nothing to compare with.
func matches(token, hash string) bool {
	known := hash != ""
	if !known {
		hash = protocol.TokenHash("")
	}
	equal := subtle.ConstantTimeCompare([]byte(protocol.TokenHash(token)), []byte(hash)) == 1
	return equal && known && token != ""
}

// mayTry and wrongToken slow down an address that sends wrong tokens.
func (s *Server) mayTry(r *http.Request) error {
	if wait := s.failed.Wait(ratelimit.AddressKey(r.RemoteAddr)); wait > 0 {
		return tooMany(wait, "too many wrong tokens")
	}
	return nil
}

func (s *Server) wrongToken(r *http.Request) {
	remote := ratelimit.AddressKey(r.RemoteAddr)
	s.failed.Take(remote)
	s.cfg.Log.InfoContext(r.Context(), "a registration token is wrong", "remote", remote)
}

// show answers what is registered, and whether the client is stopped.
func (s *Server) show(_ http.ResponseWriter, r *http.Request, m managed) (any, error) {
	d, err := s.standing(r.Context(), m)
	if err != nil {
		return nil, err
	}
	if m.promoted() {
		// It knows its new name now; the old one ends.
		if err := s.cfg.Store.FetchedLocal(r.Context(), m.local.ID, s.now()); err != nil {
			return nil, err
		}
	}
	return s.withRights(d, m.token, "", 0), nil
}

func (m managed) promoted() bool { return m.local != nil && m.local.Promoted != "" }

// standing describes a client, whatever its state. How fresh that is, show the
// heads: a stop that is in none of them is not known here.
func (s *Server) standing(ctx context.Context, m managed) (document, error) {
	if m.state.ID == "" {
		return s.localDocument(*m.local)
	}
	d, err := s.document(m.state)
	if err != nil {
		return nil, err
	}
	d["comity_state"], d["comity_heads"] = string(m.state.Status), s.cfg.Heads(ctx)
	if m.state.Reason != "" {
		d["comity_reason"] = m.state.Reason
	}
	if m.state.Since > 0 {
		d["comity_since"] = m.state.Since
	}
	return d, nil
}

// replace registers other metadata in the place of all that was registered.
func (s *Server) replace(w http.ResponseWriter, r *http.Request, m managed) (any, error) {
	q, err := read(w, r)
	if err != nil {
		return nil, err
	}
	id, old := m.current()
	switch {
	case q.statement != "":
		return nil, invalidStatement("a software statement registers a client; it changes none: leave it out")
	case q.clientID != id:
		return nil, failure("invalid_request", "client_id must be there, and be %s", id)
	case q.secret != "" && !matches(q.secret, old.SecretHash):
		return nil, failure("invalid_request", "client_secret is not the current one: it cannot be chosen; leave it out")
	}
	next, secret := q.metadata, ""
	if next.AuthMethod == registry.AuthSecretBasic || next.AuthMethod == registry.AuthSecretPost {
		if next.SecretHash = old.SecretHash; next.SecretHash == "" {
			secret = giveSecret(&next)
		}
	}
	if m.state.ID == "" {
		return s.replaceLocal(r, m, next, secret)
	}
	if err := s.checkAlone(r, id, &next, old); err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(next, old) {
		if err := s.mayUpdate(id); err != nil {
			return nil, err
		}
		ctx := context.WithoutCancel(r.Context())
		if m.state, err = s.cfg.Registrar.Replace(ctx, id, next); err != nil {
			told, _ := refused(err)
			return nil, told
		}
		s.audit(ctx, "a client has changed its registration", "event", "client-updated", "client", id)
	}
	d, err := s.standing(r.Context(), m)
	if err != nil {
		return nil, err
	}
	return s.withRights(d, m.token, secret, 0), nil
}

// current is the id and what is registered under it.
func (m managed) current() (string, registry.ClientMetadata) {
	if m.state.ID == "" {
		return m.local.ID, m.local.Metadata
	}
	return m.state.ID, m.state.Registration.Registration.ClientMetadata
}

func (s *Server) replaceLocal(r *http.Request, m managed, next registry.ClientMetadata, secret string) (any, error) {
	if err := s.checkAlone(r, m.local.ID, &next, registry.ClientMetadata{}); err != nil {
		return nil, err
	}
	if err := s.cfg.Store.ReplaceLocal(r.Context(), m.local.ID, next, s.now()); err != nil {
		return nil, err
	}
	m.local.Metadata = next
	d, err := s.localDocument(*m.local)
	if err != nil {
		return nil, err
	}
	return s.withRights(d, m.token, secret, m.local.ExpiresAt), nil
}

func (s *Server) mayUpdate(id string) error {
	if wait := s.updates.Take(id); wait > 0 {
		return tooMany(wait, "each change is kept for ever by every broker, so a client may make few of them")
	}
	return nil
}

// withdraw ends a client at its own wish. One that is revoked already stays so.
func (s *Server) withdraw(_ http.ResponseWriter, r *http.Request, m managed) (any, error) {
	ctx := context.WithoutCancel(r.Context())
	if m.state.ID != "" {
		err := s.cfg.Registrar.Withdraw(ctx, m.state.ID)
		if err != nil && !errors.Is(err, registry.ErrRevoked) {
			told, _ := refused(err)
			return nil, told
		}
	}
	if m.local != nil {
		if err := s.cfg.Store.RemoveLocal(ctx, m.local.ID); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return nil, err
		}
		s.audit(ctx, "a client has ended its registration", "event", "client-removed", "client", m.local.ID)
	}
	return oauth.Reply{Status: http.StatusNoContent}, nil
}
