// SPDX-License-Identifier: Apache-2.0

package oauth

import "github.com/comity-network/comity/registry"

// keySet is the document at /oauth/jwks (RFC 7517): the token keys, which the
// broker record names too. The record is what sites of the federation believe.
func (s *Server) keySet() any {
	keys := s.cfg.TokenKeys()
	set := struct {
		Keys []registry.JWK `json:"keys"`
	}{make([]registry.JWK, len(keys))}
	for i, k := range keys {
		k.Use, k.Alg = "sig", "EdDSA"
		set.Keys[i] = k
	}
	return set
}
