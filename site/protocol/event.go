// SPDX-License-Identifier: Apache-2.0

package protocol

// Event is one notification from a broker to a site: a security event token
// (RFC 8417) with exactly one of the five events, pushed as RFC 8935 says.
type Event struct {
	Issuer   string // iss: issuer URL of the broker
	Audience string // aud: resource of the site; federation id for ClientDisabled and ClientEnabled
	ID       string // jti: the same on every delivery attempt
	IssuedAt int64  // iat: seconds since 1970, fresh on every delivery attempt

	TokenIssued    *TokenIssued
	TokenRevoked   *TokenRevoked
	TokensRevoked  *TokensRevoked
	ClientDisabled *ClientChange
	ClientEnabled  *ClientChange
}

// URIs of the events, the member names of "events".
const (
	EventTokenIssued    = "urn:comity:event:token-issued"
	EventTokenRevoked   = "urn:comity:event:token-revoked"
	EventTokensRevoked  = "urn:comity:event:tokens-revoked"
	EventClientDisabled = "urn:comity:event:client-disabled"
	EventClientEnabled  = "urn:comity:event:client-enabled"
)

// TokenIssued: the broker minted a token and waits for the site to accept it.
type TokenIssued struct {
	TokenHash string `json:"token_hash"` // base64url SHA-256 over the token's characters
	TokenType string `json:"token_type"` // Bearer or DPoP
	JKT       string `json:"jkt,omitempty"`
	ClientID  string `json:"client_id"`
	Scope     string `json:"scope"`
	ExpiresAt int64  `json:"exp"`
	Grant     string `json:"grant,omitempty"`    // absent: a token without a grant (client credentials)
	CodeJTI   string `json:"code_jti,omitempty"` // absent on refresh and without a grant
	Subject   string `json:"sub,omitempty"`      // only for logins at the broker
	Uses      string `json:"uses,omitempty"`     // UseOnce, UseWindow; absent: as often as one likes
}

// TokenRevoked: one token is dead.
type TokenRevoked struct {
	TokenHash string `json:"token_hash"`
	ExpiresAt int64  `json:"exp"` // how long the site must remember it
	Reason    string `json:"reason"`
}

// TokensRevoked: all tokens of one grant, or of one client, that were issued
// up to Cutoff are dead. Exactly one of Grant and ClientID is set.
type TokensRevoked struct {
	Grant    string `json:"grant,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Cutoff   int64  `json:"cutoff"`
	Reason   string `json:"reason"`
}

// ClientChange says that a client was stopped or may be used again. It has no
// authority of its own: the site verifies the records and folds them.
type ClientChange struct {
	ClientID string   `json:"client_id"`
	Records  []string `json:"records"` // compact JWS each, byte for byte
}

// URI is the member name of the one event that e holds, "" if it does not
// hold exactly one.
func (e *Event) URI() string {
	uri, _ := e.body()
	return uri
}

// body returns the one event that is set.
func (e *Event) body() (uri string, body interface{ check() error }) {
	n := 0
	if e.TokenIssued != nil {
		uri, body, n = EventTokenIssued, e.TokenIssued, n+1
	}
	if e.TokenRevoked != nil {
		uri, body, n = EventTokenRevoked, e.TokenRevoked, n+1
	}
	if e.TokensRevoked != nil {
		uri, body, n = EventTokensRevoked, e.TokensRevoked, n+1
	}
	if e.ClientDisabled != nil {
		uri, body, n = EventClientDisabled, e.ClientDisabled, n+1
	}
	if e.ClientEnabled != nil {
		uri, body, n = EventClientEnabled, e.ClientEnabled, n+1
	}
	if n != 1 {
		return "", nil
	}
	return uri, body
}

// forFederation reports whether e is addressed to the federation as a whole:
// one signature serves every site.
func (e *Event) forFederation() bool {
	return e.ClientDisabled != nil || e.ClientEnabled != nil
}
