// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// client is an authenticated client that is not stopped.
type client struct {
	ID       string
	State    registry.ClientState
	Metadata registry.ClientMetadata
}

// away reports whether c is a client of another broker that has authenticated
// itself with a secret, which this broker could now use in its stead. Such a
// secret opens only what a site has signed for, and what came of that.
func (s *Server) away(c *client) bool {
	m := c.Metadata.AuthMethod
	return c.State.Home != s.cfg.Issuer && (m == registry.AuthSecretBasic || m == registry.AuthSecretPost)
}

// credentials are what a request says to show who sent it.
type credentials struct {
	method    string // registry.AuthNone and so on
	id        string // client_id; with an assertion perhaps empty
	secret    string
	assertion string
}

// readCredentials finds the one method that a request uses (RFC 6749, section
// 2.3; RFC 7521, section 4.2).
func readCredentials(r *http.Request, f form) (credentials, error) {
	c := credentials{method: registry.AuthNone, id: f["client_id"]}
	methods := 0
	if r.Header.Values("Authorization") != nil {
		methods++
		id, secret, err := readBasic(r)
		if err != nil {
			return c, err
		}
		if c.id != "" && c.id != id {
			return c, invalidRequest("client_id differs from the user of the Authorization header")
		}
		c.method, c.id, c.secret = registry.AuthSecretBasic, id, secret
	}
	if f["client_secret"] != "" {
		methods++
		c.method, c.secret = registry.AuthSecretPost, f["client_secret"]
	}
	if f["client_assertion"] != "" || f["client_assertion_type"] != "" {
		methods++
		if f["client_assertion_type"] != assertionType {
			return c, invalidRequest("client_assertion_type must be %s", assertionType)
		}
		c.method, c.assertion = registry.AuthPrivateKeyJWT, f["client_assertion"]
	}
	switch {
	case methods > 1:
		return c, invalidRequest("the request uses %d ways of client authentication; use one", methods)
	case c.id == "" && c.assertion == "":
		return c, invalidClient("client_id is missing")
	}
	return c, nil
}

// readBasic reads the Authorization header. Both parts are form-encoded before
// they are joined (RFC 6749, section 2.3.1).
func readBasic(r *http.Request) (id, secret string, err error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", "", invalidRequest("more than one Authorization header")
	}
	scheme, encoded, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", invalidClient("clients authenticate with Basic in the Authorization header, or with parameters")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", invalidClient("the Authorization header is not base64")
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if ok {
		if id, err = url.QueryUnescape(user); err == nil {
			secret, err = url.QueryUnescape(password)
		}
	}
	if !ok || err != nil || !isText(id) || !isText(secret) {
		return "", "", invalidClient("the Authorization header is not client_id:client_secret, each form-encoded")
	}
	return id, secret, nil
}

// authenticate returns the client that sent the request. claim is what uses up
// an assertion.
func (s *Server) authenticate(r *http.Request, f form, claim claimFunc) (*client, error) {
	cred, err := readCredentials(r, f)
	if err != nil {
		return nil, err
	}
	if cred.assertion != "" {
		if cred.id, err = assertionSubject(cred); err != nil {
			return nil, err
		}
	}
	if err := s.mayTry(r, cred.id); err != nil {
		return nil, err
	}
	c, err := s.verifyClient(r.Context(), cred, claim)
	if f := (*Failure)(nil); errors.As(err, &f) && f.Code == "invalid_client" {
		s.failed(r, cred.id)
	}
	if err != nil {
		return nil, err
	}
	if err := notStopped(c.State); err != nil {
		return nil, err
	}
	return c, nil
}

// verifyClient checks the credentials against the registration. An unknown
// client takes the same way as a wrong secret, to the same answer.
func (s *Server) verifyClient(ctx context.Context, cred credentials, claim claimFunc) (*client, error) {
	c := &client{ID: cred.id}
	var err error
	c.State, err = s.cfg.Clients.Client(ctx, cred.id)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, undescribed(err)
	}
	if err == nil && c.State.Registration == nil {
		if err := notStopped(c.State); err != nil {
			return nil, err // a URL that is stopped is not asked who it is
		}
	}
	if reg := c.State.Registration; err == nil && reg != nil {
		c.Metadata = reg.Registration.ClientMetadata
	}
	ok := false
	switch cred.method {
	case registry.AuthNone:
		ok = true
	case registry.AuthSecretBasic, registry.AuthSecretPost:
		ok = secretMatches(cred.secret, c.Metadata.SecretHash)
	case registry.AuthPrivateKeyJWT:
		if err := s.checkAssertion(ctx, cred, c.Metadata.Keys, claim); err != nil {
			return nil, err
		}
		ok = true
	}
	// An unknown client has no method, so that none is its own.
	if !ok || c.Metadata.AuthMethod != cred.method {
		return nil, notAuthenticated()
	}
	if err := s.vetted.check(c.State.Registration); err != nil {
		return nil, unauthorizedClient("the client's registration is not acceptable: %v", err)
	}
	return c, nil
}

// maxVetted bounds vetted, in records of up to 32 KiB.
const maxVetted = 1024

// vetted are registrations that were judged good: records never change, and
// each request asks.
type vetted struct {
	mu      sync.Mutex
	records map[*registry.Record]struct{}
}

// check is registry.CheckMetadata, once for each record.
func (v *vetted) check(r *registry.Record) error {
	v.mu.Lock()
	_, good := v.records[r]
	v.mu.Unlock()
	if good {
		return nil
	}
	if err := registry.CheckMetadata(&r.Registration.ClientMetadata); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.records == nil || len(v.records) >= maxVetted {
		v.records = map[*registry.Record]struct{}{}
	}
	v.records[r] = struct{}{}
	return nil
}

// secretMatches compares in constant time, also when there is nothing to
// compare with.
func secretMatches(secret, hash string) bool {
	known := hash != ""
	if !known {
		hash = protocol.TokenHash("")
	}
	equal := subtle.ConstantTimeCompare([]byte(protocol.TokenHash(secret)), []byte(hash)) == 1
	return equal && known && secret != ""
}

// notStopped judges a client that the records know.
func notStopped(state registry.ClientState) error {
	if state.Status == registry.ClientActive {
		return nil
	}
	return invalidClient("%s", WhyStopped(state))
}

// WhyStopped says in a sentence, for whoever asks, how a client is stopped.
func WhyStopped(state registry.ClientState) string {
	if state.Since == 0 {
		return fmt.Sprintf("the client is %s, because its home broker %s is %s", state.Status, state.Home, state.HomeStatus)
	}
	reason, until := state.Reason, ""
	if reason == "" {
		reason = "unspecified"
	}
	if state.Until > 0 {
		until = ", until " + rfc3339(state.Until)
	}
	return fmt.Sprintf("the client is %s since %s%s; reason: %s", state.Status, rfc3339(state.Since), until, reason)
}

func rfc3339(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

// Failed authentications are counted for the address, and for the client at
// this address: somebody who only knows a client_id, which is public, cannot
// lock the client out elsewhere.

func (s *Server) mayTry(r *http.Request, id string) error {
	remote := ratelimit.AddressKey(r.RemoteAddr)
	if wait := max(s.byRemote.Wait(remote), s.byClient.Wait(clientKey(remote, id))); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

func (s *Server) failed(r *http.Request, id string) {
	remote := ratelimit.AddressKey(r.RemoteAddr)
	s.byRemote.Take(remote)
	s.byClient.Take(clientKey(remote, id))
	client := "unknown"
	if registry.CheckClientID(id) == nil { // whatever else was sent may be a secret in the wrong place
		client = id
	}
	s.log.InfoContext(r.Context(), "client authentication failed", "remote", remote, "client", client)
}

func clientKey(remote, id string) string { return remote + " " + limit(id, 128) }

func limit(s string, n int) string { return s[:min(len(s), n)] }
