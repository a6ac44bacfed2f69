// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"encoding/json"

	"github.com/comity-network/comity/registry"
)

// document is the client information response (RFC 7591, section 3.2.1): all
// that is registered, and what the broker adds.
type document map[string]any

// describe writes down metadata as they are registered. The hash of a secret is
// none of the client's.
func describe(m registry.ClientMetadata) (document, error) {
	m.SecretHash = ""
	data, err := m.Document()
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	d := document{}
	for name, value := range members {
		d[name] = value
	}
	return d, nil
}

// document describes a client that is in a log.
func (s *Server) document(state registry.ClientState) (document, error) {
	d, err := describe(state.Registration.Registration.ClientMetadata)
	if err != nil {
		return nil, err
	}
	d["client_id"], d["client_id_issued_at"] = state.ID, state.First.IssuedAt
	return d, nil
}

// localDocument describes a local client.
func (s *Server) localDocument(l Local) (document, error) {
	d, err := describe(l.Metadata)
	if err != nil {
		return nil, err
	}
	d["client_id"], d["client_id_issued_at"] = l.ID, l.CreatedAt
	d["comity_state"], d["comity_expires_at"] = "local", l.ExpiresAt
	return d, nil
}

// withRights adds what the client manages its registration with, and its
// secret, where that is new.
func (s *Server) withRights(d document, token, secret string, secretExpires int64) document {
	d["registration_access_token"] = token
	d["registration_client_uri"] = s.URI(d["client_id"].(string))
	if secret != "" {
		d["client_secret"], d["client_secret_expires_at"] = secret, secretExpires
	}
	return d
}
