// SPDX-License-Identifier: Apache-2.0

// Package registry is the vocabulary of the federation and its rules: signed
// records, the charter, logs and checkpoints, views, the stop list, and the
// fold from records to the state of every client. It is pure: it reads no
// network, no disk and no clock, and two programs that are given the same bytes
// and the same time come to the same result. The pages in docs/spec say the
// same for other languages, and testdata/vectors has signed examples.
//
// # Records
//
// A record is one JSON Web Signature in compact form (RFC 7515). The header has
// exactly three members: alg is EdDSA (Ed25519), kid is the RFC 7638 thumbprint
// of the signing record key, and typ is the kind of the record:
//
//	comity-broker+jwt        what a broker says of itself: Broker
//	comity-registration+jwt  makes a client known, or changes it: Registration
//	comity-revocation+jwt    suspends, reinstates or revokes a client: Revocation
//	comity-view+jwt          what a member holds to be true now: View
//
// The payload is strict JSON (package strictjson). Every record has iss (the
// issuer of the signing broker), iat (seconds since 1970) and jti (128 random
// bits). The bytes are kept and forwarded as they were received and never
// encoded again; a record's name is the CID of these bytes.
//
// This is a registration, the first record about its client, before encoding:
//
//	{"alg":"EdDSA","kid":"UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4","typ":"comity-registration+jwt"}
//	{"iss":"https://broker.example","iat":1790000000,"jti":"AAECAwQFBgcICQoLDA0ODw","seq":0,
//	 "client_name":"Photo Printer","redirect_uris":["https://printer.example/callback"],
//	 "token_endpoint_auth_method":"none"}
//
// Signed with the key whose 32 seed bytes are all 1 (and written without the
// line breaks), its CID is
//
//	bafkreic7cmj353ziszoeye52tdc5lbbm2nbf3wqq5nbmxrhmz64kfjijfq
//
// and that is the client_id. The next record about the client has seq 1, sub
// with this client_id and prev with the CID of this record. So a client_id is
// bound to the broker that made it and to the first metadata, and no second
// broker can be asked for "the same id".
//
// # What is checked where
//
// ParseRecord accepts exactly one spelling and checks, in this order: the size,
// the three parts, typ, alg, the other header members, canonical base64url, the
// JSON, each member, and the members together (CheckMetadata is the one judge
// of client metadata). It has no effect and no memory: it may be fed anything.
// Every error is a FormError or wraps one of the layer below, is ErrForm (and
// ErrLimit when a bound of limits.go was passed), says in one sentence what to
// do, and has a stable Slug.
//
// Record.Verify checks the signature under a key that the caller got from the
// charter, never from the record. Whether the signer was allowed to say what it
// says, is for Chain and Fold to judge.
//
// # Whom it trusts
//
// Nobody: each byte that comes in is checked here. What it guarantees rests on
// Ed25519, SHA-256 and on the callers giving it keys from the charter. A
// charter is trusted by its CID, which an operator or a site pins.
//
// # What is refused, and why
//
// Keys of small order and signatures with an unreduced S (one signature, two
// meanings); members that are there but null or empty (readers differ on them);
// exp, nbf and aud (a JWT library would act on them, and the federation would
// split); contacts, jwks_uri and secrets (a log is public and for ever).
// Members that are not known are kept in a registration and ignored elsewhere,
// so that a newer member's records pass through an older node unchanged.
package registry
