// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// leastSite is the smallest site: it stores each event durably, as one row, and
// checks nothing; or it takes no events. Beside it a figure is that of the broker alone; real sites are
// on machines of their own.
type leastSite struct {
	resource string
	key      registry.SigningKey
}

// newLeastSite starts one; change may alter what it says of itself.
func newLeastSite(w *bench, change func(*protocol.SiteMetadata)) *leastSite {
	w.Helper()
	events, s := newRows(w.B), &leastSite{key: registry.GenerateSigningKey()}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	w.Cleanup(server.Close)
	s.resource = server.URL
	document := func(v any) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			json.NewEncoder(rw).Encode(v)
		}
	}
	meta := protocol.SiteMetadata{
		Resource: s.resource, AuthorizationServers: []string{w.issuer}, JWKSURI: s.resource + "/jwks", ScopesSupported: []string{benchScope},
		Federation: w.federation, AuthorizationEndpoint: s.resource + "/authorize", EventsEndpoint: s.resource + "/events",
	}
	change(&meta)
	check(w, meta.Check())
	mux.HandleFunc("GET /.well-known/oauth-protected-resource", document(meta))
	mux.HandleFunc("GET /jwks", document(map[string]any{"keys": []registry.JWK{s.key.JWK()}}))
	mux.HandleFunc("POST /events", func(rw http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil || events.insert(registry.NewID()) != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusAccepted)
	})
	return s
}

// newUntoldSite starts a site that takes no events, and has opted in to tokens
// of clients for themselves, in this format.
func newUntoldSite(w *bench, format string) *leastSite {
	w.Helper()
	return newLeastSite(w, func(m *protocol.SiteMetadata) {
		m.EventsEndpoint, m.AccessTokenFormat = "", format
		m.DirectGrants = map[string][]string{w.issuer: {registry.GrantClientCredentials}}
	})
}

// codes makes codes of this site; each is the form that redeems it.
func (s *leastSite) codes(b *testing.B, w *bench, count int) [][]byte {
	b.Helper()
	now := time.Now().Unix()
	forms := make([][]byte, count)
	for i := range forms {
		verifier := newVerifier()
		signed, err := protocol.SignCode(s.key, w.code(s.resource, verifier, now))
		check(b, err)
		forms[i] = w.codeForm(signed, verifier)
	}
	return forms
}
