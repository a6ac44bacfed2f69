// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// metadata gathers what the command line says, as RFC 7591 members.
func (f metadataFlags) metadata() (map[string]any, error) {
	members := map[string]any{}
	if f.From != "" {
		data, err := os.ReadFile(f.From)
		if err != nil {
			return nil, err
		}
		var given map[string]json.RawMessage // as they are, whatever they are
		if err := strictjson.Unmarshal(data, &given); err != nil {
			return nil, fmt.Errorf("%s: %w", f.From, err)
		}
		for name, value := range given {
			if members[name] = value; string(value) == "null" {
				members[name] = nil
			}
		}
	}
	set := func(name string, value any, given bool) {
		if given {
			members[name] = value
		}
	}
	set("redirect_uris", f.RedirectURI, len(f.RedirectURI) > 0)
	set("grant_types", f.GrantType, len(f.GrantType) > 0)
	set("token_endpoint_auth_method", f.AuthMethod, f.AuthMethod != "")
	set("application_type", "native", f.Native)
	set("scope", f.Scope, f.Scope != nil)
	set("client_uri", f.URI, f.URI != nil)
	set("logo_uri", f.Logo, f.Logo != nil)
	return members, nil
}

// keys adds the app's public keys, making a key where that was asked for.
func (f metadataFlags) keys(members map[string]any) error {
	switch {
	case f.JWKS != "":
		data, err := os.ReadFile(f.JWKS)
		if err != nil {
			return err
		}
		var set registry.JWKSet
		if err := strictjson.Unmarshal(data, &set); err != nil {
			return fmt.Errorf("%s: %w", f.JWKS, err)
		}
		members["jwks"] = set
	case f.NewKey != "":
		public, err := makeKey(f.NewKey)
		if err != nil {
			return err
		}
		members["jwks"] = registry.JWKSet{Keys: []json.RawMessage{public}}
	}
	return nil
}

// defaults fills what the command line leaves open in a new registration.
func defaults(members map[string]any) {
	if members["token_endpoint_auth_method"] == nil {
		members["token_endpoint_auth_method"] = registry.AuthNone
		if members["jwks"] != nil {
			members["token_endpoint_auth_method"] = registry.AuthPrivateKeyJWT
		}
	}
	if members["grant_types"] == nil {
		members["grant_types"] = []string{"authorization_code", "refresh_token"}
	}
}

// makeKey writes a new Ed25519 key to path as a private JWK and returns the
// public one. It never replaces a file.
func makeKey(path string) (json.RawMessage, error) {
	key := registry.GenerateSigningKey()
	private, err := jose.JSONWebKey{
		Key: ed25519.PrivateKey(key.Private()), KeyID: key.ID(), Algorithm: string(jose.EdDSA), Use: "sig",
	}.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if err := durable.CreateSecret(path, append(private, '\n')); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%s exists: name a new file, keys are never overwritten", path)
		}
		return nil, err
	}
	return json.Marshal(key.JWK())
}
