// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// mood is how a test site answers events.
type mood int

const (
	accepts      mood = iota
	refuses           // 400 invalid_grant
	denies            // 400 access_denied
	stale             // 400 stale
	fails             // 500, nothing stored
	storesFails       // 500, but stored (fault 37)
	silent            // no answer, nothing stored
	storesSilent      // no answer, but stored
)

// testSite is a resource server with the endpoints that brokers see, over real
// HTTP. It keeps what events told it.
type testSite struct {
	*httptest.Server
	t     testing.TB
	clock *clock
	key   registry.SigningKey
	meta  protocol.SiteMetadata
	// brokerKeys are the token keys of the brokers that it trusts.
	brokerKeys map[string]ed25519.PublicKey

	mu       sync.Mutex
	mood     mood
	during   func() // runs before an event is answered
	tokens   map[string]protocol.TokenIssued
	dead     map[string]bool // hashes, also of tokens that never came
	disabled []protocol.Event
	enabled  []protocol.Event
	events   []protocol.Event // all that were accepted, but those seen before
	release  chan struct{}    // closed to end silence
}

func newSite(t testing.TB, c *clock, federation string, brokers ...string) *testSite {
	t.Helper()
	s := &testSite{
		t: t, clock: c, key: registry.GenerateSigningKey(),
		brokerKeys: map[string]ed25519.PublicKey{},
		tokens:     map[string]protocol.TokenIssued{}, dead: map[string]bool{},
		release: make(chan struct{}),
	}
	mux := http.NewServeMux()
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() { close(s.release); s.Close() })
	s.meta = protocol.SiteMetadata{
		Resource: s.URL, AuthorizationServers: brokers, JWKSURI: s.URL + "/jwks",
		ScopesSupported: []string{"read", "write"}, Federation: federation,
		AuthorizationEndpoint: s.URL + "/authorize?lang=en", EventsEndpoint: s.URL + "/events",
	}
	check(t, s.meta.Check())
	mux.HandleFunc("GET /.well-known/oauth-protected-resource", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(s.meta)
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"keys": []registry.JWK{s.key.JWK()}})
	})
	mux.HandleFunc("POST /events", s.event)
	return s
}

func (s *testSite) event(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, protocol.MaxEventBytes+1))
	if err != nil {
		return
	}
	e, err := protocol.ParseEvent(string(body))
	if err == nil {
		err = e.Verify(s.brokerKeys, s.clock.now())
	}
	if err == nil {
		err = e.CheckAudience(s.meta.Resource, s.meta.Federation)
	}
	if err != nil {
		s.t.Errorf("the site got a bad event: %v", err)
		answer(w, protocol.ErrInvalidRequest)
		return
	}
	s.mu.Lock()
	during, m := s.during, s.mood
	s.mu.Unlock()
	if during != nil {
		during()
	}
	if e.TokenIssued == nil { // moods are about tokens
		m = accepts
	}
	switch m {
	case refuses:
		answer(w, protocol.ErrInvalidGrant)
		return
	case denies:
		answer(w, protocol.ErrAccessDenied)
		return
	case stale:
		answer(w, protocol.ErrStale)
		return
	case accepts, storesFails, storesSilent:
		s.keep(&e.Event)
	}
	switch m {
	case fails, storesFails:
		w.WriteHeader(http.StatusInternalServerError)
	case silent, storesSilent:
		select {
		case <-s.release:
		case <-r.Context().Done():
		}
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func answer(w http.ResponseWriter, err string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(protocol.PushError{Err: err, Description: "because"})
}

func (s *testSite) keep(e *protocol.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.events, func(old protocol.Event) bool { return old.ID == e.ID }) {
		return
	}
	s.events = append(s.events, *e)
	switch {
	case e.TokenIssued != nil:
		s.tokens[e.TokenIssued.TokenHash] = *e.TokenIssued
	case e.TokenRevoked != nil:
		s.dead[e.TokenRevoked.TokenHash] = true
	case e.ClientDisabled != nil:
		s.disabled = append(s.disabled, *e)
	case e.ClientEnabled != nil:
		s.enabled = append(s.enabled, *e)
	}
}

func (s *testSite) setMood(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
}

func (s *testSite) setDuring(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.during = f
}

// live lists the hashes of the tokens that the site would accept.
func (s *testSite) live() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for hash := range s.tokens {
		if !s.dead[hash] {
			out = append(out, hash)
		}
	}
	return out
}

// accepted reports whether the site would accept the token.
func (s *testSite) accepted(token string) bool {
	return slices.Contains(s.live(), protocol.TokenHash(token))
}

// code makes the code that the site would send to the client after consent;
// change may alter it before it is signed.
func (s *testSite) code(broker, client, verifier string, change func(*protocol.Code)) string {
	s.t.Helper()
	c := protocol.Code{
		Issuer: s.meta.Resource, Audience: broker, ClientID: client, RedirectURI: redirectURI,
		Challenge: challenge(verifier), Scope: "read write", Grant: registry.NewID(),
		IssuedAt: s.clock.now().Unix(),
	}
	if change != nil {
		change(&c)
	}
	code, err := protocol.SignCode(s.key, c)
	check(s.t, err)
	return code
}

// assertion authenticates the site at the broker.
func (s *testSite) assertion(broker string) string {
	s.t.Helper()
	a, err := protocol.SignSiteAssertion(s.key, protocol.SiteAssertion{
		Issuer: s.meta.Resource, Audience: broker, IssuedAt: s.clock.now().Unix(),
		ExpiresAt: s.clock.now().Add(time.Minute).Unix(),
	})
	check(s.t, err)
	return a
}
