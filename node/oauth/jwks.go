// SPDX-License-Identifier: Apache-2.0

package oauth

// keySet is the document at /oauth/jwks (RFC 7517): the token keys, which the
// broker record names too. The record is what sites of the federation believe.
func (s *Server) keySet() (any, error) {
	keys := s.cfg.TokenKeys()
	set := struct {
		Keys []any `json:"keys"`
	}{make([]any, len(keys))}
	for i, k := range keys {
		k.Use, k.Alg = "sig", "EdDSA"
		set.Keys[i] = k
	}
	if s.cfg.IDTokens == nil {
		return set, nil
	}
	more, err := s.cfg.IDTokens.PublicKeys()
	for _, k := range more {
		set.Keys = append(set.Keys, k)
	}
	return set, err
}
