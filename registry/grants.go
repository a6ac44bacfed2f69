// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"slices"
	"strings"
)

var knownGrants = []string{
	GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials, GrantPassword, GrantImplicit,
	GrantDeviceCode, GrantJWTBearer, GrantSAML2Bearer, GrantOneTimeToken,
}

// checkGrants judges grant_types and response_types, which say the same thing
// twice (RFC 7591 section 2.1) and must agree.
func checkGrants(m *ClientMetadata) error {
	for i, g := range m.GrantTypes {
		if !slices.Contains(knownGrants, g) {
			return wrong(classValue, "grant_types", "grant_types holds %.80q: use some of %s", g, strings.Join(knownGrants, ", "))
		}
		if slices.Contains(m.GrantTypes[:i], g) {
			return wrong(classValue, "grant_types", "grant_types holds %s twice: remove one", g)
		}
	}
	if m.AuthMethod == AuthNone && m.AllowsGrant(GrantClientCredentials) {
		return wrong(classValue, "grant_types", "grant_types holds client_credentials, which needs a client that authenticates (RFC 6749 section 4.4): use private_key_jwt")
	}
	if len(m.ResponseTypes) == 0 {
		return nil
	}
	return checkResponseTypes(m)
}

func checkResponseTypes(m *ClientMetadata) error {
	for i, t := range m.ResponseTypes {
		if t != "code" && t != "token" {
			return wrong(classValue, "response_types", "response_types holds %.40q: use code", t)
		}
		if slices.Contains(m.ResponseTypes[:i], t) {
			return wrong(classValue, "response_types", "response_types holds %s twice: remove one", t)
		}
	}
	for _, pair := range []struct{ grant, response string }{
		{GrantAuthorizationCode, "code"}, {GrantImplicit, "token"},
	} {
		if m.AllowsGrant(pair.grant) != slices.Contains(m.ResponseTypes, pair.response) {
			return wrong(classValue, "response_types", "response_types does not fit grant_types: %s goes with the grant type %s, both or neither", pair.response, pair.grant)
		}
	}
	return nil
}

// checkAuthMethod judges the method together with the keys or the secret that
// it needs, and refuses those that it does not use: what nobody needs to know
// is not published.
func checkAuthMethod(m *ClientMetadata) error {
	secret := m.AuthMethod == AuthSecretBasic || m.AuthMethod == AuthSecretPost
	switch {
	case m.AuthMethod == "":
		return wrong(classMissing, "token_endpoint_auth_method", "token_endpoint_auth_method is missing: use private_key_jwt, or none for a client that cannot keep a key")
	case !secret && m.AuthMethod != AuthNone && m.AuthMethod != AuthPrivateKeyJWT:
		return wrong(classValue, "token_endpoint_auth_method", "token_endpoint_auth_method is %.40q: use private_key_jwt, client_secret_basic, client_secret_post or none", m.AuthMethod)
	case secret && m.SecretHash == "":
		return wrong(classMissing, "client_secret_sha256", "client_secret_sha256 is missing: with %s it holds the hash of the secret", m.AuthMethod)
	case !secret && m.SecretHash != "":
		return wrong(classUnwanted, "client_secret_sha256", "client_secret_sha256 must be left out with %s, which uses no secret", m.AuthMethod)
	case m.AuthMethod == AuthPrivateKeyJWT && m.Keys == nil:
		return wrong(classMissing, "jwks", "jwks is missing: with private_key_jwt it holds the public keys of the client")
	case m.AuthMethod != AuthPrivateKeyJWT && m.Keys != nil:
		return wrong(classUnwanted, "jwks", "jwks must be left out with %s, which uses no keys", m.AuthMethod)
	}
	if secret {
		return checkDigest("client_secret_sha256", m.SecretHash)
	}
	if m.Keys == nil {
		return nil
	}
	_, err := m.Keys.PublicKeys()
	return err
}
