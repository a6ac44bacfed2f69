// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// request is what a client asks for: metadata with the defaults of RFC 7591,
// section 2, and without the hash of a secret, which it cannot choose.
type request struct {
	metadata  registry.ClientMetadata
	statement string // software_statement
	clientID  string // only in an update
	secret    string // likewise; the current one, if it is there
}

// read reads the body of a POST or PUT.
func read(w http.ResponseWriter, r *http.Request) (*request, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || len(r.Header.Values("Content-Type")) != 1 || r.Header.Get("Content-Encoding") != "" {
		f := failure("invalid_request", "Content-Type must be application/json, without a Content-Encoding")
		f.Status = http.StatusUnsupportedMediaType
		return nil, f
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		f := invalidMetadata("more than %d bytes", maxBody)
		f.Status = http.StatusRequestEntityTooLarge
		return nil, f
	}
	if err != nil {
		return nil, failure("invalid_request", "the body ended early")
	}
	return parse(body)
}

// Members that clients may send and that are not registered, each with why.
var (
	// dropped: the answer shows that they are not there (RFC 7591, section 2).
	// Contacts are addresses of people, and a log is for ever. The others are
	// ours, which a client sends back that has read them.
	dropped = []string{"contacts", "comity_state", "comity_reason", "comity_since", "comity_heads", "comity_expires_at"}
	// ours: a client that sends them means to choose what only the broker
	// chooses (RFC 7592, section 2.2).
	ours = []string{"client_secret_sha256", "client_id_issued_at", "client_secret_expires_at", "registration_access_token", "registration_client_uri"}
)

// parse reads a client's metadata. A member that is null counts as absent. The
// error is for the client.
func parse(body []byte) (*request, error) {
	members, err := strictjson.Object(body, strictjson.Limits{Values: registry.MaxValues, Members: registry.MaxRecordMembers})
	if err != nil {
		return nil, invalidMetadata("the body is not one JSON object without surprises: %v", err)
	}
	var q request
	metadata := []byte{'{'}
	for _, m := range members {
		switch into := q.own(m.Name); {
		case string(m.Value) == "null" || slices.Contains(dropped, m.Name):
		case slices.Contains(ours, m.Name):
			return nil, invalidMetadata("%s is set by the broker: leave it out", m.Name)
		case into != nil:
			if err := strictjson.Unmarshal(m.Value, into); err != nil || *into == "" {
				return nil, invalidMetadata("%s is not a string with something in it", m.Name)
			}
		default:
			metadata = appendMember(metadata, m)
		}
	}
	if q.statement != "" {
		return &q, nil // which speaks in the place of the rest
	}
	if q.metadata, err = registry.ParseMetadata(append(metadata, '}')); err != nil {
		return nil, judged(err)
	}
	complete(&q.metadata)
	return &q, nil
}

// own is where a member goes that is not client metadata.
func (q *request) own(name string) *string {
	switch name {
	case "software_statement":
		return &q.statement
	case "client_id":
		return &q.clientID
	case "client_secret":
		return &q.secret
	}
	return nil
}

// appendMember writes a member again, byte for byte but for its name.
func appendMember(object []byte, m strictjson.Member) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	name, err := json.Marshal(m.Name)
	if err != nil {
		return object // a string can be encoded
	}
	return append(append(append(object, name...), ':'), bytes.TrimSpace(m.Value)...)
}

// complete fills in what a client left open (RFC 7591, section 2). A client
// without a name has that of where it answers.
func complete(m *registry.ClientMetadata) {
	if m.AuthMethod == "" {
		m.AuthMethod = registry.AuthSecretBasic
	}
	m.GrantTypes = m.Grants()
	if len(m.ResponseTypes) == 0 {
		if m.AllowsGrant(registry.GrantAuthorizationCode) {
			m.ResponseTypes = append(m.ResponseTypes, "code")
		}
		if m.AllowsGrant(registry.GrantImplicit) {
			m.ResponseTypes = append(m.ResponseTypes, "token")
		}
	}
	if m.Name == "" && len(m.RedirectURIs) > 0 {
		m.Name = strings.TrimSuffix(registry.RedirectOwner(m.RedirectURIs[0]), ":")
	}
}

// bearer returns the token of a request, if there is one.
func bearer(r *http.Request) (token string, given bool, err error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", false, nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || r.URL.Query().Has("access_token") {
		return "", true, failure("invalid_request", "send the token once, in the Authorization header, as Bearer")
	}
	return token, true, nil
}
