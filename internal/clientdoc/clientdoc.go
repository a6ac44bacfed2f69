// SPDX-License-Identifier: Apache-2.0

// Package clientdoc fetches and reads the documents in which clients describe
// themselves, at the URL that is their client_id (OAuth client id metadata
// documents). Brokers and sites read them alike. It keeps nothing, and trusts
// its caller for a guarded HTTP client that follows no redirects.
package clientdoc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// MaxBytes bounds a document: that of a registration.
const MaxBytes = registry.MaxRecordBytes

// ErrUnreachable: the URL does not answer, or not now.
var ErrUnreachable = errors.New("no answer")

// Fetch gets the document at a client's URL. Errors: ErrUnreachable, and
// registry.ErrForm when the answer is none.
func Fetch(ctx context.Context, client *http.Client, id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer res.Body.Close()
	switch media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w: status %d", ErrUnreachable, res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d, expected 200 without a redirect", registry.ErrForm, res.StatusCode)
	case media != "application/json" && !strings.HasSuffix(media, "+json"):
		return nil, fmt.Errorf("%w: Content-Type is %.60q, expected application/json", registry.ErrForm, media)
	}
	body, err := guard.ReadLimited(res.Body, MaxBytes)
	if errors.Is(err, guard.ErrTooLong) {
		return nil, fmt.Errorf("%w: %w", registry.ErrForm, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return body, nil
}

// Parse reads the document of the client with that URL. The error wraps
// registry.ErrForm and says what to change.
//
// It is as strict as for a registration, with three allowances for documents
// that were written for other servers too: contacts are passed over, since
// nothing here goes into a log; redirect URIs that this federation never
// accepts are left out, as long as one remains; and a client that is answered
// on its user's own machine is a native one.
func Parse(id string, document []byte) (*registry.ClientMetadata, error) {
	members := map[string]json.RawMessage{}
	if err := strictjson.Unmarshal(document, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", registry.ErrForm, err)
	}
	var self string
	if json.Unmarshal(members["client_id"], &self) != nil || self != id {
		return nil, fmt.Errorf("%w: client_id in it is not %s", registry.ErrForm, id)
	}
	for name := range members {
		if strings.HasPrefix(name, "client_secret") {
			return nil, fmt.Errorf("%w: it holds %.60q: whoever can read it would know the secret", registry.ErrForm, name)
		}
	}
	delete(members, "client_id")
	delete(members, "contacts")
	plain, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	m, err := registry.ParseMetadata(plain)
	if err != nil {
		return nil, err
	}
	if err := complete(id, &m); err != nil {
		return nil, err
	}
	return &m, registry.CheckMetadata(&m)
}

// complete fills in what the document may leave out.
func complete(id string, m *registry.ClientMetadata) error {
	switch m.AuthMethod {
	case "":
		m.AuthMethod = registry.AuthNone
	case registry.AuthNone, registry.AuthPrivateKeyJWT:
	default:
		return fmt.Errorf("%w: token_endpoint_auth_method is %.40q: without a secret it can be none or private_key_jwt", registry.ErrForm, m.AuthMethod)
	}
	if m.Name == "" {
		u, err := url.Parse(id)
		if err != nil {
			return err
		}
		m.Name = u.Host
	}
	if m.ApplicationType == "" && slices.ContainsFunc(m.RedirectURIs, isLocal) {
		m.ApplicationType = "native"
	}
	asked := len(m.RedirectURIs)
	m.RedirectURIs = slices.DeleteFunc(m.RedirectURIs, func(uri string) bool { return registry.CheckRedirectURI(uri, m.Native()) != nil })
	if asked > 0 && len(m.RedirectURIs) == 0 {
		return errors.Join(registry.ErrForm, errors.New("none of its redirect_uris can be used: https, or http on 127.0.0.1 or [::1]"))
	}
	return nil
}

// isLocal reports whether a redirect URI leads to a program on the user's
// machine.
func isLocal(uri string) bool { return !strings.HasPrefix(uri, "https://") }
