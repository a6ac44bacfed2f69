// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"maps"
	"slices"

	"github.com/comity-network/comity/registry"
)

// metadata is the document of RFC 8414. What is not implemented is not in it.
type metadata struct {
	Issuer                     string   `json:"issuer"`
	AuthorizationEndpoint      string   `json:"authorization_endpoint"`
	PushedEndpoint             string   `json:"pushed_authorization_request_endpoint"`
	TokenEndpoint              string   `json:"token_endpoint"`
	DeviceEndpoint             string   `json:"device_authorization_endpoint,omitempty"` // RFC 8628
	OneTimeEndpoint            string   `json:"comity_one_time_token_endpoint,omitempty"`
	IntrospectionEndpoint      string   `json:"introspection_endpoint"`
	RevocationEndpoint         string   `json:"revocation_endpoint"`
	RegistrationEndpoint       string   `json:"registration_endpoint,omitempty"` // RFC 7591
	JWKSURI                    string   `json:"jwks_uri"`
	ResponseTypes              []string `json:"response_types_supported"`
	ResponseModes              []string `json:"response_modes_supported"`
	GrantTypes                 []string `json:"grant_types_supported"`
	ChallengeMethods           []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms        []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods   []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgorithm []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	IntrospectionSigning       []string `json:"introspection_signing_alg_values_supported"` // RFC 9701
	RevocationAuthMethods      []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms   []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgorithms             []string `json:"dpop_signing_alg_values_supported"`
	IssuerInResponse           bool     `json:"authorization_response_iss_parameter_supported"`
	ClientDocuments            bool     `json:"client_id_metadata_document_supported"`
	RequestParameter           bool     `json:"request_parameter_supported"`
	RequestURIParameter        bool     `json:"request_uri_parameter_supported"` // absent would mean true
}

func (s *Server) newMetadata() metadata {
	methods := []string{registry.AuthNone, registry.AuthPrivateKeyJWT, registry.AuthSecretBasic, registry.AuthSecretPost}
	algorithms := names(assertionAlgorithms)
	modes := map[string]bool{}
	for _, r := range s.responses {
		modes[r.mode] = true
	}
	m := metadata{
		Issuer:                     s.cfg.Issuer,
		AuthorizationEndpoint:      s.paths.authorize,
		PushedEndpoint:             s.paths.par,
		TokenEndpoint:              s.paths.token,
		IntrospectionEndpoint:      s.paths.introspect,
		RevocationEndpoint:         s.paths.revoke,
		JWKSURI:                    s.paths.jwks,
		ResponseTypes:              slices.Sorted(maps.Keys(s.responses)),
		ResponseModes:              slices.Sorted(maps.Keys(modes)),
		GrantTypes:                 slices.Sorted(maps.Keys(s.grants)),
		ChallengeMethods:           []string{"S256"},
		TokenAuthMethods:           methods,
		TokenAuthAlgorithms:        algorithms,
		IntrospectionAuthMethods:   methods,
		IntrospectionAuthAlgorithm: algorithms,
		IntrospectionSigning:       []string{"EdDSA"},
		RevocationAuthMethods:      methods,
		RevocationAuthAlgorithms:   algorithms,
		DPoPAlgorithms:             names(proofAlgorithms),
		ClientDocuments:            true,
		IssuerInResponse:           true, // the site's response names this broker (RFC 9207)
	}
	if s.cfg.Registration {
		m.RegistrationEndpoint = s.paths.register
	}
	if s.cfg.People != nil {
		m.DeviceEndpoint, m.OneTimeEndpoint = s.paths.deviceAuthorization, s.paths.oneTime
	}
	return m
}

// names turns typed constants into strings.
func names[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// Endpoints are the endpoints as the broker record names them, by their names
// in the metadata.
func (s *Server) Endpoints() map[string]string {
	return map[string]string{
		"authorization_endpoint": s.paths.authorize,
		"token_endpoint":         s.paths.token,
		"introspection_endpoint": s.paths.introspect,
		"revocation_endpoint":    s.paths.revoke,
		"jwks_uri":               s.paths.jwks,
	}
}
