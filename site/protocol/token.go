// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"crypto/sha256"

	"github.com/comity-network/comity/internal/jws"
)

// Values of token_type (RFC 6750, RFC 9449).
const (
	TokenBearer = "Bearer"
	TokenDPoP   = "DPoP"
)

// What access tokens are made of.
const (
	FormatOpaque = "opaque" // 256 random bits
	FormatJWT    = "jwt"    // RFC 9068, signed with a token key of the broker
)

// TypeAccessToken is the typ of an access token that is a JWT (RFC 9068).
const TypeAccessToken = "at+jwt"

// TokenHash is what events and databases hold of a token: the base64url
// SHA-256 over its characters. Tokens have 256 random bits, so a plain hash
// cannot be searched.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return jws.Base64.EncodeToString(sum[:])
}

// How often an access token may be used, where that is limited.
const (
	UseOnce   = "once"
	UseWindow = "30s" // from the first use

	// UseWindowSeconds is how long UseWindow is.
	UseWindowSeconds = 30
)
