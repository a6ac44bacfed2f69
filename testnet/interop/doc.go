// SPDX-License-Identifier: Apache-2.0

// Package interop lets programs that we did not write talk to a broker: a real
// process, and for logins at a site a real site. It has tests only.
//
//	Go       golang.org/x/oauth2, github.com/coreos/go-oidc
//	Node.js  openid-client, oauth4webapi, @modelcontextprotocol/sdk: the scripts
//	         and the pinned versions are in testdata/interop
//	Apache   mod_auth_openidc, as a relying party and as a resource server
//	Chromium the pages, as a person sees them
//
// Each does what it can of discovery, registration, code with PKCE, refresh,
// introspection and revocation, with DPoP and pushed requests, and verifies
// what it gets as it would anywhere else. Beside them, github.com/luikyv/go-oidc,
// an authorization server that others certified, is sent the same wrong
// requests as our broker, and the answers are compared.
package interop
