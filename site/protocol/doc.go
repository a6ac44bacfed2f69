// SPDX-License-Identifier: Apache-2.0

// Package protocol holds the formats that a broker and a site share. It is
// pure: no network, disk or clock.
//
// Three things are signed with keys of the site, which its metadata
// ([SiteMetadata], RFC 9728) publish as a JWK set ([ParseJWKS]):
//
//	[Code]           typ comity-code+jwt: the site's consent, redeemed at one broker
//	[SiteAssertion]  the site authenticates at a broker (RFC 7523)
//
// and two with a token key of the broker, which sites take from the broker
// record in its log and from nowhere else:
//
//	[Event]          typ secevent+jwt: a notification (RFC 8417), pushed (RFC 8935) or polled (RFC 8936)
//	[RequestObject]  typ oauth-authz-req+jwt: an authorization request that the broker hands over to the site (RFC 9101)
//
// Each is a JWS in compact form with EdDSA and exactly one audience, written
// as a string. Each has its own explicit type, so that none is ever taken for
// another. Two steps lead to a value that may be believed: Parse… checks the
// form, every member against its bound; Verify checks signature and time. The
// fields of a parsed value are readable between the two, since the issuer that
// it names is needed to find the keys. Sign… puts its result through the same
// Parse, so that nothing leaves which the other side would refuse.
//
// A member that is not described here is ignored; a member given twice, a
// member of another type, and bytes after the end are refused.
//
// A code, decoded:
//
//	{"alg":"EdDSA","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","typ":"comity-code+jwt"}
//	{"iss":"https://wiki.example","aud":"https://broker.example",
//	 "client_id":"bafkrei…","redirect_uri":"https://app.example/cb",
//	 "code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM","code_challenge_method":"S256",
//	 "scope":"read","grant":"mSh3CvjUiKZAL1fWvQ7wIw",
//	 "iat":1790000000,"exp":1790000060,"jti":"4Nn0bCQpYpN0x5Ku1J3PXQ"}
//
// An event, decoded:
//
//	{"alg":"EdDSA","kid":"…","typ":"secevent+jwt"}
//	{"iss":"https://broker.example","aud":"https://wiki.example","jti":"…","iat":1790000001,
//	 "events":{"urn:comity:event:token-issued":{"token_hash":"…","token_type":"Bearer",
//	   "client_id":"bafkrei…","scope":"read","exp":1790003601,"grant":"…","code_jti":"…"}}}
//
// Time: seconds since 1970. A timestamp more than 10 s ahead of the reader's
// clock is [ErrClock], which names the clocks as the likely cause. Nothing may
// be used after its exp; only an assertion has 10 s of grace there, since the
// clock that made it is the clock of one party alone.
package protocol
