// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

// claimRow changes one thing in the plainest payload of a kind; what is
// changed from "" is added to its end.
type claimRow struct{ name, slug, why, old, replacement string }

func claimVectors() []vector {
	return slices.Concat(
		changed(registry.KindView, viewJSON, commonRows()),
		changed(registry.KindRegistration, registrationJSON, registrationRows()),
		changed(registry.KindRegistration, registrationJSON, metadataRows()),
		changed(registry.KindRevocation, revocationJSON, revocationRows()),
		changed(registry.KindView, viewJSON, viewRows()),
		changed(registry.KindBroker, brokerJSON(), brokerRows()),
	)
}

func changed(kind registry.Kind, payload string, rows []claimRow) []vector {
	var all []vector
	for _, r := range rows {
		p := with(payload, r.replacement)
		if r.old != "" {
			p = change(payload, r.old, r.replacement)
		}
		all = append(all, signedVector(r.name, string(kind), r.slug, r.why, fixedKey(1).Sign(string(kind), []byte(p))))
	}
	return all
}

// commonRows are about the members that every record has.
func commonRows() []claimRow {
	const iss, iat, jti = `"iss":"https://broker.example"`, `"iat":1790000000`, `"jti":"AAECAwQFBgcICQoLDA0ODw"`
	return []claimRow{
		{"record-iss-missing", "missing:iss", "Who signed is missing.", iss + ",", ""},
		{"record-iss-case-of-name", "missing:iss", "Member names are compared byte by byte.", `"iss"`, `"ISS"`},
		{"record-iss-http", "value:iss", "An issuer is https.", iss, `"iss":"http://broker.example"`},
		{"record-iss-slash", "value:iss", "An issuer does not end in a slash.", iss, `"iss":"https://broker.example/"`},
		{"record-iss-upper-case", "value:iss", "A host in upper case is not canonical.", iss, `"iss":"https://Broker.example"`},
		{"record-iss-port", "value:iss", "The default port is left out.", iss, `"iss":"https://broker.example:443"`},
		{"record-iss-query", "value:iss", "An issuer has no query.", iss, `"iss":"https://broker.example?x=1"`},
		{"record-iss-userinfo", "value:iss", "An issuer has no user info.", iss, `"iss":"https://broker.example@evil.example"`},
		{"record-iss-array", "type:iss", "An issuer is a string.", iss, `"iss":["https://broker.example"]`},
		{"record-iss-null", "type:iss", "Null is not a value.", iss, `"iss":null`},
		{"record-iss-empty", "empty:iss", "An empty string says nothing.", iss, `"iss":""`},
		{"record-iat-missing", "missing:iat", "When it was signed is missing.", iat + ",", ""},
		{"record-iat-text", "type:iat", "A time is a number.", iat, `"iat":"1790000000"`},
		{"record-iat-fraction", "type:iat", "A time is a whole number.", iat, `"iat":1790000000.5`},
		{"record-iat-exponent", "type:iat", "A time is written without an exponent.", iat, `"iat":1.79e9`},
		{"record-iat-milliseconds", "limit:iat", "Seconds, not milliseconds.", iat, `"iat":1790000000000`},
		{"record-iat-9999", "limit:iat", "A time in the year 9999 locks its signer out.", iat, `"iat":253402300799`},
		{"record-iat-2019", "value:iat", "A clock that was never set.", iat, `"iat":1577836799`},
		{"record-jti-missing", "missing:jti", "Every record has a jti.", "," + jti, ""},
		{"record-jti-short", "value:jti", "15 bytes are one too few.", jti, `"jti":"AAECAwQFBgcICQoLDA0O"`},
		{"record-jti-long", "value:jti", "17 bytes are one too many.", jti, `"jti":"AAECAwQFBgcICQoLDA0ODxA"`},
		{"record-jti-stray-bits", "value:jti", "The last character has bits that belong to no byte.", jti, `"jti":"AAECAwQFBgcICQoLDA0ODx"`},
		{"record-jti-padding", "value:jti", "Base64url has no padding here.", jti, `"jti":"AAECAwQFBgcICQoLDA0ODw=="`},
		{"record-exp", "unwanted:exp", "Records do not expire.", "", `"exp":1790000060`},
		{"record-nbf", "unwanted:nbf", "Records are not postponed.", "", `"nbf":1790000060`},
		{"record-aud", "unwanted:aud", "Records have no audience.", "", `"aud":"https://site.example"`},
	}
}

func registrationRows() []claimRow {
	seq := func(n string) string { return `"seq":` + n + `,"sub":"` + someCID + `","prev":"` + someCID + `"` }
	later := func(sub, prev string) string { return `"seq":1,"sub":"` + sub + `","prev":"` + prev + `"` }
	return []claimRow{
		{"registration-seq-missing", "missing:seq", "The place in the client's history is missing.", `"seq":0,`, ``},
		{"registration-seq-negative", "value:seq", "Records are counted from 0.", `"seq":0`, seq("-1")},
		{"registration-seq-huge", "limit:seq", "After 2^31 nobody could count on.", `"seq":0`, seq("2147483649")},
		{"registration-seq-max-int64", "number", "2^63-1 is not exact everywhere.", `"seq":0`, seq("9223372036854775807")},
		{"registration-first-sub", "unwanted:sub", "The first record is its own client_id.", `"seq":0`, `"seq":0,"sub":"` + someCID + `"`},
		{"registration-first-prev", "unwanted:prev", "Before the first record is none.", `"seq":0`, `"seq":0,"prev":"` + someCID + `"`},
		{"registration-first-compromised", "unwanted:compromised", "The first record replaces nothing.", `"seq":0`, `"seq":0,"compromised":true`},
		{"registration-sub-missing", "missing:sub", "A later record says whom it is about.", `"seq":0`, `"seq":1,"prev":"` + someCID + `"`},
		{"registration-sub-empty", "empty:sub", "An empty sub is not an absent one.", `"seq":0`, `"seq":0,"sub":""`},
		{"registration-prev-missing", "missing:prev", "A later record names the one before.", `"seq":0`, `"seq":1,"sub":"` + someCID + `"`},
		{"registration-sub-upper-case", "value:sub", "A CID in upper case is another spelling.", `"seq":0`, later(strings.ToUpper(someCID), someCID)},
		{"registration-prev-identity", "value:prev", "The identity hash names nothing.", `"seq":0`, later(someCID, "bafkqaaik")},
		{"registration-client-id", "unwanted:client_id", "The client_id is sub, or the record's own CID.", "", `"client_id":"` + someCID + `"`},
		{"registration-contacts", "unwanted:contacts", "Addresses of people do not belong in a public log.", "", `"contacts":["a@example.com"]`},
		{"registration-jwks-uri", "unwanted:jwks_uri", "Keys are in the record and are not fetched.", "", `"jwks_uri":"https://printer.example/keys"`},
		{"registration-client-secret", "unwanted:client_secret", "A secret is not published.", "", `"client_secret":"s3cr3t"`},
	}
}

func metadataRows() []claimRow {
	const uri = `"https://printer.example/callback"`
	name := `"client_name":"Photo Printer"`
	keys := func(jwks string) string { return `"private_key_jwt","jwks":{"keys":[` + jwks + `]}` }
	rows := []claimRow{
		{"registration-name-missing", "missing:client_name", "People are shown a name.", name + ",", ""},
		{"registration-name-bidi", "value:client_name", "A bidirectional override turns the text around.", name, `"client_name":"Photo \u202eretnirP"`},
		{"registration-name-zero-width", "value:client_name", "A zero-width space is invisible.", name, `"client_name":"Pho\u200bto"`},
		{"registration-name-control", "value:client_name", "A line feed is a control character.", name, `"client_name":"Photo\nPrinter"`},
		{"registration-name-nfd", "value:client_name", "A name is in normalisation form C.", name, `"client_name":"Cafe\u0301"`},
		{"registration-name-unassigned", "value:client_name", "The character is not assigned.", name, `"client_name":"Photo\u0378"`},
		{"registration-name-space", "value:client_name", "A space at the end is invisible.", name, `"client_name":"Photo "`},
		{"registration-name-long", "limit:client_name", "81 characters are one too many.", name, `"client_name":"` + strings.Repeat("é", 81) + `"`},
		{"registration-redirect-missing", "missing:redirect_uris", "There is no place to send the browser to.", `"redirect_uris":[` + uri + `],`, ""},
		{"registration-redirect-twice", "value:redirect_uris", "The same URI is there twice.", `[` + uri + `]`, `[` + uri + `,` + uri + `]`},
		{"registration-redirect-http", "value:redirect_uris", "Plain http is for loopback addresses.", uri, `"http://printer.example/callback"`},
		{"registration-redirect-null", "type:redirect_uris", "Null is not a URI.", uri, uri + `,null`},
		{"registration-redirect-many", "limit:redirect_uris", "41 URIs are one too many.", uri, manyURIs(41)},
		{"registration-redirect-scheme-web", "value:redirect_uris", "A scheme of its own is for native clients.", uri, `"com.example.printer:/callback"`},
		{"registration-application-type", "value:application_type", "An application is web or native.", "", `"application_type":"mobile"`},
		{"registration-method-missing", "missing:token_endpoint_auth_method", "How the client authenticates is missing.", `,"token_endpoint_auth_method":"none"`, ""},
		{"registration-method-unknown", "value:token_endpoint_auth_method", "No other broker could check client_secret_jwt.", `"none"`, `"client_secret_jwt"`},
		{"registration-secret-missing", "missing:client_secret_sha256", "The hash of the secret is missing.", `"none"`, `"client_secret_basic"`},
		{"registration-secret-unused", "unwanted:client_secret_sha256", "A public client has no secret.", "", `"client_secret_sha256":"` + someDigest + `"`},
		{"registration-secret-hex", "value:client_secret_sha256", "The hash is in base64url.", `"none"`, `"client_secret_post","client_secret_sha256":"` + strings.Repeat("e3", 32) + `"`},
		{"registration-keys-missing", "missing:jwks", "The keys are missing.", `"none"`, `"private_key_jwt"`},
		{"registration-keys-none", "empty:jwks", "A set without keys is none.", `"none"`, keys("")},
		{"registration-keys-unused", "unwanted:jwks", "A public client has no keys.", "", `"jwks":{"keys":[` + keysEd25519 + `]}`},
		{"registration-keys-many", "limit:jwks", "Eleven keys are one too many.", `"none"`, keys(strings.Repeat(keysP256+",", 10) + keysEd25519)},
		{"registration-keys-private", "unwanted:jwks", "A private key is published.", `"none"`, keys(with(keysEd25519, `"d":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"`))},
		{"registration-keys-symmetric", "unwanted:jwks", "A symmetric key is a secret.", `"none"`, keys(`{"kty":"oct","k":"AQEBAQEBAQEBAQEBAQEBAQ"}`)},
		{"registration-keys-rsa-1024", "value:jwks", "1,024 bits are too few.", `"none"`, keys(keysRSA1024)},
		{"registration-keys-rsa-exponent", "value:jwks", "With the exponent 1 everything verifies.", `"none"`, keys(change(keysRSA, "AQAB", "AQ"))},
		{"registration-keys-not-on-curve", "value:jwks", "The point is not on the curve P-256.", `"none"`, keys(change(keysP256, `"y":"x_`, `"y":"y_`))},
		{"registration-keys-small-order", "value:jwks", "Under a key of small order everything verifies.", `"none"`, keys(`{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`)},
		{"registration-keys-alg", "value:jwks", "The algorithm does not fit the key.", `"none"`, keys(change(keysP256, "ES256", "RS256"))},
		{"registration-keys-encryption", "value:jwks", "A key for encryption does not sign.", `"none"`, keys(change(keysRSA, `"sig"`, `"enc"`))},
		{"registration-keys-same-kid", "value:jwks", "Two keys have one kid.", `"none"`, keys(with(keysP256, `"kid":"2026"`) + "," + keysRSA)},
		{"registration-grant-unknown", "value:grant_types", "The grant type is not known.", "", `"grant_types":["magic"]`},
		{"registration-grant-public", "value:grant_types", "Client credentials need a client that authenticates.", "", `"grant_types":["authorization_code","client_credentials"]`},
		{"registration-response-types", "value:response_types", "The response type does not fit the grant types.", "", `"response_types":["token"]`},
		{"registration-scope-twice", "value:scope", "A scope is there twice.", "", `"scope":"read write read"`},
		{"registration-scope-spaces", "value:scope", "Two spaces hold an empty scope.", "", `"scope":"read  write"`},
		{"registration-scope-quote", "value:scope", "A quotation mark is not allowed in a scope.", "", `"scope":"re\"ad"`},
		{"registration-scope-array", "type:scope", "Scopes are one string.", "", `"scope":["read"]`},
		{"registration-logo-javascript", "value:logo_uri", "A script is not a picture.", "", `"logo_uri":"javascript:alert(1)"`},
		{"registration-logo-data", "value:logo_uri", "A picture is linked and not embedded.", "", `"logo_uri":"data:image/png;base64,AAAA"`},
		{"registration-policy-http", "value:policy_uri", "Links for people are https.", "", `"policy_uri":"http://printer.example/privacy"`},
		{"registration-dpop-text", "type:dpop_bound_access_tokens", "True is not a string.", "", `"dpop_bound_access_tokens":"true"`},
	}
	return rows
}

func manyURIs(n int) string {
	var uris []string
	for i := range n {
		uris = append(uris, fmt.Sprintf(`"https://printer.example/callback/%d"`, i))
	}
	return strings.Join(uris, ",")
}

func revocationRows() []claimRow {
	const until = `"until":1790003600`
	home := `"seq":1,"prev":"` + someCID + `"`
	return []claimRow{
		{"revocation-client-missing", "missing:client_id", "Whom it stops is missing.", `"client_id":"` + someCID + `",`, ""},
		{"revocation-client-url", "value:client_id", "A client_id is a CID.", `"client_id":"` + someCID + `"`, `"client_id":"https://app.example/"`},
		{"revocation-action-unknown", "value:action", "There are three actions.", `"suspend"`, `"delete"`},
		{"revocation-action-case", "value:action", "Actions are compared byte by byte.", `"suspend"`, `"Suspend"`},
		{"revocation-reason-missing", "missing:reason", "Every stop has a reason.", `"reason":"malicious",`, ""},
		{"revocation-reason-text", "value:reason", "A reason is one of a list, and no free text.", `"malicious"`, `"Bob was rude"`},
		{"revocation-charter-missing", "missing:charter", "By which charter it is judged is missing.", `,"charter":"` + someCID + `"`, ""},
		{"revocation-until-revoke", "unwanted:until", "A revocation does not end.", `"suspend"`, `"revoke"`},
		{"revocation-until-past", "value:until", "It would be over before it began.", until, `"until":1790000000`},
		{"revocation-until-9999", "limit:until", "The year 9999 is out of bounds.", until, `"until":253402300799`},
		{"revocation-until-zero", "empty:until", "Zero is left out.", until, `"until":0`},
		{"revocation-cutoff-future", "value:cutoff", "61 s after iat are one too many.", "", `"cutoff":1790000061`},
		{"revocation-cutoff-zero", "empty:cutoff", "Zero is left out.", "", `"cutoff":0`},
		{"revocation-seq-zero", "empty:seq", "The first record of a client is a registration.", until, change(home, `"seq":1`, `"seq":0`)},
		{"revocation-seq-alone", "missing:prev", "The home broker gives both.", until, `"seq":1`},
		{"revocation-prev-alone", "missing:seq", "The home broker gives both.", until, `"prev":"` + someCID + `"`},
		{"revocation-seq-negative", "value:seq", "Records are counted up.", until, change(home, `"seq":1`, `"seq":-1`)},
		{"revocation-seq-huge", "limit:seq", "After 2^31 nobody could count on.", until, change(home, `"seq":1`, `"seq":2147483649`)},
	}
}

func viewRows() []claimRow {
	return []claimRow{
		{"view-size-missing", "missing:log_size", "Zero is written out.", `"log_size":3,`, ""},
		{"view-size-negative", "value:log_size", "A size is not negative.", `"log_size":3`, `"log_size":-1`},
		{"view-size-huge", "limit:log_size", "No log is that long.", `"log_size":3`, `"log_size":281474976710657`},
		{"view-root-short", "value:log_root", "A root has 32 bytes.", `"log_root":"` + someDigest + `"`, `"log_root":"` + someDigest[:42] + `"`},
		{"view-stop-hash-missing", "missing:stop_hash", "The stop list is what a view is for.", `,"stop_hash":"` + someDigest + `"`, ""},
		{"view-stop-count-text", "type:stop_count", "A count is a number.", `"stop_count":0`, `"stop_count":"0"`},
	}
}

func brokerRows() []claimRow {
	recordKey := `"record_key":` + jwkJSON(fixedKey(1))
	tokenKeys := `"token_keys":[` + jwkJSON(fixedKey(3))
	endpoint := `"https://broker.example/oauth/token"`
	const peer = `"id":"12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"`
	return []claimRow{
		{"broker-organisation-empty", "empty:organisation", "Who runs the broker is missing.", `"Example Broker"`, `""`},
		{"broker-record-key-other", "kid:record_key", "The record is not signed by the key that it names.", recordKey, `"record_key":` + jwkJSON(fixedKey(2))},
		{"broker-record-key-kid-missing", "missing:kid", "Keys are named by their thumbprint.", recordKey, strings.Replace(recordKey, `,"kid":"`+fixedKey(1).ID()+`"`, ``, 1)},
		{"broker-token-keys-empty", "empty:token_keys", "Without a token key nothing can be notified.", tokenKeys, `"token_keys":[`},
		{"broker-token-keys-record-key", "value:token_keys", "The record key signs no tokens.", tokenKeys, `"token_keys":[` + jwkJSON(fixedKey(1))},
		{"broker-token-keys-private", "unwanted:token_keys", "A private key is published.", tokenKeys, with(tokenKeys, `"d":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"`)},
		{"broker-token-keys-kid", "kid:token_keys", "The kid is the thumbprint of another key.", tokenKeys, strings.Replace(tokenKeys, fixedKey(3).ID(), fixedKey(2).ID(), 1)},
		{"broker-token-keys-p256", "value:token_keys", "Token keys in a broker record are Ed25519.", tokenKeys, `"token_keys":[` + change(keysP256, `"alg":"ES256"`, `"kid":"x"`)},
		{"broker-endpoint-elsewhere", "value:endpoints", "Endpoints have the origin of the issuer.", endpoint, `"https://evil.example/oauth/token"`},
		{"broker-endpoint-port", "value:endpoints", "Another port is another origin.", endpoint, `"https://broker.example:8443/oauth/token"`},
		{"broker-endpoint-name", "value:endpoints", "The name is not one of RFC 8414.", `"token_endpoint"`, `"Token Endpoint"`},
		{"broker-peer-id", "value:peers", "A peer ID is in base58.", peer, `"id":"12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2X0"`},
		{"broker-peer-address", "value:peers", "An address is a multiaddr.", `"/dns4/broker.example/tcp/4001"`, `"broker.example:4001"`},
		{"broker-peers-missing", "missing:peers", "An empty list is written out.", `,"peers":[{` + peer + `,"addrs":["/dns4/broker.example/tcp/4001"]}]`, ``},
	}
}
