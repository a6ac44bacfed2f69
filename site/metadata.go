// SPDX-License-Identifier: Apache-2.0

package site

import (
	"encoding/json"
	"net/http"

	"github.com/comity-network/comity/registry"
)

// serveMetadata answers with the RFC 9728 document. Browsers of any origin may
// read it: it is public.
func (s *Site) serveMetadata(w http.ResponseWriter, r *http.Request) {
	s.servePublic(w, s.config.metadata())
}

// serveKeys answers with the public keys that sign codes and assertions.
func (s *Site) serveKeys(w http.ResponseWriter, r *http.Request) {
	key := s.config.Key.JWK()
	key.Use, key.Alg = "sig", "EdDSA"
	s.servePublic(w, map[string][]registry.JWK{"keys": {key}})
}

func (s *Site) servePublic(w http.ResponseWriter, v any) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "max-age=300")
	s.writeJSON(w, http.StatusOK, v)
}

func (s *Site) writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.config.Log.Debug("answer not written", "error", err)
	}
}
