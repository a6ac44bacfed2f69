// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ed25519"
	"encoding/json"
)

// Kind is the explicit type (typ, RFC 8725 section 3.11) of a signed record.
type Kind string

// The closed set of record kinds.
const (
	KindBroker       Kind = "comity-broker+jwt"
	KindRegistration Kind = "comity-registration+jwt"
	KindRevocation   Kind = "comity-revocation+jwt"
	KindView         Kind = "comity-view+jwt"
	// KindCharter is signed as JWS general JSON, see Charter.
	KindCharter Kind = "comity-charter+jws"
)

// Claims are the members that every record carries.
type Claims struct {
	Issuer   string `json:"iss"` // issuer URL of the signing broker
	IssuedAt int64  `json:"iat"` // seconds since 1970
	ID       string `json:"jti"` // 128 random bits, base64url
}

// Record is one signed record: its exact bytes and what they say. Exactly one
// of the four bodies is set. Records are immutable.
type Record struct {
	Raw    string // the compact JWS, byte for byte as it was signed
	CID    string // of Raw: version 1, raw, sha2-256, base32 lower case
	Kind   Kind
	KeyID  string // RFC 7638 thumbprint of the signing record key
	Claims        // the same values as in the body

	Broker       *Broker
	Registration *Registration
	Revocation   *Revocation
	View         *View
}

// Broker is the body of a broker record: what one broker says about itself.
// The one with the highest log index counts.
type Broker struct {
	Claims
	Organisation string            `json:"organisation"`
	RecordKey    JWK               `json:"record_key"` // the key that signs this record
	Endpoints    map[string]string `json:"endpoints"`  // RFC 8414 member names, same origin as iss
	TokenKeys    []JWK             `json:"token_keys"` // public keys that sign JWTs and notifications; Ed25519 each
	Peers        []Peer            `json:"peers"`
}

// Peer is one libp2p host of a broker.
type Peer struct {
	ID        string   `json:"id"`    // peer ID in base58
	Addresses []string `json:"addrs"` // multiaddrs
}

// Registration is the body of a registration record: client metadata (RFC
// 7591) as top-level claims, beside the chain of the client's history.
type Registration struct {
	Claims
	Sequence int64  `json:"seq"`            // counts the home broker's records about the client
	Client   string `json:"sub,omitempty"`  // client_id; absent exactly when seq is 0
	Previous string `json:"prev,omitempty"` // CID of the record with seq-1; absent exactly when seq is 0
	// Compromised says that this registration replaces credentials that
	// somebody else may know: registrations with a lower seq are void.
	Compromised bool `json:"compromised,omitempty"`
	ClientMetadata
}

// Action is what a revocation does.
type Action string

// The three actions of a revocation.
const (
	Suspend   Action = "suspend"
	Reinstate Action = "reinstate"
	Revoke    Action = "revoke"
)

// Reasons are the accepted values of Revocation.Reason.
var Reasons = []string{"malicious", "compromised", "policy", "superseded", "developer-request", "unspecified"}

// Revocation is the body of a revocation record.
type Revocation struct {
	Claims
	Client   string `json:"client_id"`
	Action   Action `json:"action"`
	Reason   string `json:"reason"`
	Cutoff   int64  `json:"cutoff,omitempty"` // tokens issued up to this second are dead for good
	Until    int64  `json:"until,omitempty"`  // suspend only: when it ends by itself; needed from a member that is not the home
	Charter  string `json:"charter"`          // CID of the charter that it is judged by
	Sequence int64  `json:"seq,omitempty"`    // from the home broker only, at least 1
	Previous string `json:"prev,omitempty"`   // from the home broker only
}

// View is the body of a view: what one member holds to be true right now.
// Its bytes travel by gossip and are in no log.
type View struct {
	Claims
	Charter   string `json:"charter"`    // CID of the newest charter
	LogSize   int64  `json:"log_size"`   // of the member's own log
	LogRoot   string `json:"log_root"`   // base64url
	StopCount int64  `json:"stop_count"` // lines of its stop list
	StopHash  string `json:"stop_hash"`  // base64url SHA-256 of its stop list
}

// ClientMetadata are the RFC 7591 members of a registration. CheckMetadata is
// the one place that judges them.
type ClientMetadata struct {
	Name            string   `json:"client_name"`
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	GrantTypes      []string `json:"grant_types,omitempty"`
	ResponseTypes   []string `json:"response_types,omitempty"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	Scope           string   `json:"scope,omitempty"`
	ApplicationType string   `json:"application_type,omitempty"` // web or native
	URI             string   `json:"client_uri,omitempty"`
	LogoURI         string   `json:"logo_uri,omitempty"`
	PolicyURI       string   `json:"policy_uri,omitempty"`
	TermsURI        string   `json:"tos_uri,omitempty"`
	Keys            *JWKSet  `json:"jwks,omitempty"`                 // for private_key_jwt
	SecretHash      string   `json:"client_secret_sha256,omitempty"` // base64url SHA-256 of a secret that the broker made
	SoftwareID      string   `json:"software_id,omitempty"`
	SoftwareVersion string   `json:"software_version,omitempty"`
	DPoPBound       bool     `json:"dpop_bound_access_tokens,omitempty"`
	// Extra are the members that this version does not know, kept as they
	// are so that a newer node's registrations survive an older one.
	Extra map[string]json.RawMessage `json:"-"`
}

// Client authentication methods at the token endpoint that a broker serves.
const (
	AuthNone          = "none"
	AuthPrivateKeyJWT = "private_key_jwt"
	AuthSecretBasic   = "client_secret_basic"
	AuthSecretPost    = "client_secret_post"
)

// JWK is an Ed25519 public key as RFC 8037 writes it.
type JWK struct {
	KeyType string `json:"kty"` // OKP
	Curve   string `json:"crv"` // Ed25519
	X       string `json:"x"`
	KeyID   string `json:"kid,omitempty"` // the RFC 7638 thumbprint
	Use     string `json:"use,omitempty"`
	Alg     string `json:"alg,omitempty"`
}

// JWKSet is the key set of a client (RFC 7517): Ed25519, P-256 or RSA keys of
// 2048 bits and more. Keys are kept as they were given.
type JWKSet struct {
	Keys []json.RawMessage `json:"keys"`
}

// SigningKey is a record key or a token key.
type SigningKey struct {
	private ed25519.PrivateKey
	id      string
}
