// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/comity-network/comity/internal/jws"
)

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// checkVerifier judges a code_verifier (RFC 7636, section 4.1) against the
// challenge of a code. S256 is the only method.
func checkVerifier(verifier, challenge string) error {
	if verifier == "" {
		return invalidGrant("code_verifier is missing: every code is bound to one (PKCE, S256)")
	}
	if len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "" {
		return invalidGrant("code_verifier is not 43 to 128 characters of A-Z a-z 0-9 - . _ ~")
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(jws.Base64.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return invalidGrant("code_verifier does not match the code_challenge")
	}
	return nil
}

// checkChallenge judges the code_challenge of an authorization request.
func checkChallenge(challenge, method string) error {
	switch {
	case challenge == "":
		return invalidRequest("code_challenge is missing: PKCE with S256 is required")
	case method != "S256":
		return invalidRequest("code_challenge_method must be S256")
	case !isDigest(challenge):
		return invalidRequest("code_challenge is not a base64url SHA-256 of 43 characters")
	}
	return nil
}

// isDigest reports whether s is a SHA-256 in canonical base64url.
func isDigest(s string) bool {
	_, ok := jws.Decode(s)
	return ok && len(s) == 43
}
