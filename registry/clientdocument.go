// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
)

// ParseClientDocument reads the document of the client with that URL. The error wraps
// ErrForm and says what to change.
//
// It is as strict as for a registration, with three allowances for documents
// that were written for other servers too: contacts are passed over, since
// nothing here goes into a log; redirect URIs that this federation never
// accepts are left out, as long as one remains; and a client that is answered
// on its user's own machine is a native one.
func ParseClientDocument(id string, document []byte) (*ClientMetadata, error) {
	members := map[string]json.RawMessage{}
	if err := strictjson.Unmarshal(document, &members); err != nil {
		return nil, wrong(classType, "", "the document: %v", err)
	}
	var self string
	if json.Unmarshal(members["client_id"], &self) != nil || self != id {
		return nil, wrong(classValue, "client_id", "client_id in the document is not %s", id)
	}
	for name := range members {
		if strings.HasPrefix(name, "client_secret") {
			return nil, wrong(classUnwanted, name, "the document holds %.60q: whoever can read it would know the secret", name)
		}
	}
	delete(members, "client_id")
	delete(members, "contacts")
	plain, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	m, err := ParseMetadata(plain)
	if err != nil {
		return nil, err
	}
	if err := completeDocument(id, &m); err != nil {
		return nil, err
	}
	return &m, CheckMetadata(&m)
}

// completeDocument fills in what the document may leave out.
func completeDocument(id string, m *ClientMetadata) error {
	switch m.AuthMethod {
	case "":
		m.AuthMethod = AuthNone
	case AuthNone, AuthPrivateKeyJWT:
	default:
		return wrong(classValue, "token_endpoint_auth_method", "token_endpoint_auth_method is %.40q: without a secret it can be none or private_key_jwt", m.AuthMethod)
	}
	if m.Name == "" {
		u, err := parseURI(id)
		if err != nil {
			return err
		}
		m.Name = u.host
	}
	if m.ApplicationType == "" && slices.ContainsFunc(m.RedirectURIs, leadsToDevice) {
		m.ApplicationType = "native"
	}
	asked := len(m.RedirectURIs)
	m.RedirectURIs = slices.DeleteFunc(m.RedirectURIs, func(uri string) bool { return CheckRedirectURI(uri, m.Native()) != nil })
	if asked > 0 && len(m.RedirectURIs) == 0 {
		return wrong(classValue, "redirect_uris", "none of its redirect_uris can be used: https, or http on 127.0.0.1 or [::1]")
	}
	return nil
}

// leadsToDevice reports whether a redirect URI leads to a program on the user's
// machine.
func leadsToDevice(uri string) bool { return !strings.HasPrefix(uri, "https://") }
