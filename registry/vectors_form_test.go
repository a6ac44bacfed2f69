// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

func signInput(input string) string {
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(fixedKey(1).Private(), []byte(input)))
}

// viewHeader is the header of a view with further members.
func viewHeader(more string) string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q%s}`, fixedKey(1).ID(), registry.KindView, more)
}

// formVectors are wrong in the envelope, whatever the payload says.
func formVectors() []vector {
	return slices.Concat(partVectors(), headVectors(), signatureVectors(), jsonVectors())
}

func partVectors() []vector {
	good := fixedKey(1).Sign(string(registry.KindView), []byte(viewJSON))
	parts := strings.Split(good, ".")
	long := padded(registry.KindRegistration, registrationJSON, 16384)
	longRevocation := padded(registry.KindRevocation, revocationJSON, 1022)
	rows := []struct{ name, kind, slug, why, raw string }{
		{"record-too-long", string(registry.KindRegistration), "size", "16,385 bytes are one too many.",
			fixedKey(1).Sign(string(registry.KindRegistration), []byte(long)) + "A"},
		{"revocation-too-long", string(registry.KindRevocation), "size", "A revocation has at most 1,024 bytes.",
			fixedKey(1).Sign(string(registry.KindRevocation), []byte(with(longRevocation, `"more":"x"`)))},
		{"revocation-too-long-for-any", "any", "size", "The limit of its kind holds where any kind is read, too.",
			fixedKey(1).Sign(string(registry.KindRevocation), []byte(with(longRevocation, `"more":"x"`)))},
		{"view-too-long", "any", "size", "A view has at most 1,024 bytes.",
			fixedKey(1).Sign(string(registry.KindView), []byte(padded(registry.KindView, viewJSON, 1025)))},
		{"record-empty", "any", "parts", "There is nothing.", ""},
		{"record-unsigned", "any", "parts", "Two parts have no signature.", parts[0] + "." + parts[1]},
		{"record-jwe", "any", "parts", "Five parts are an encrypted message.", good + ".AAAA.AAAA"},
		{"record-json-serialisation", "any", "parts", "The JSON serialisation of a JWS is not a record.",
			fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])},
		{"record-line-feed", "any", "base64", "A line feed at the end is a trailing byte.", good + "\n"},
		{"record-leading-space", "any", "base64", "A space in front is a foreign byte.", " " + good},
		{"record-padding", "any", "base64", "Base64url has no padding here.", good + "=="},
		{"record-line-break", "any", "base64", "A line break inside a part is a foreign byte.",
			signInput(parts[0] + "." + parts[1][:40] + "\r\n" + parts[1][40:])},
		{"record-standard-alphabet", "any", "base64", "The characters + and / belong to another alphabet.",
			strings.NewReplacer("-", "+", "_", "/").Replace(fixedKey(1).Sign(string(registry.KindView),
				[]byte(with(viewJSON, `"more":"~~~???"`))))},
		{"record-stray-bits", "any", "base64", "The last character has bits that belong to no byte.", strayBits(good)},
		{"record-signature-short", "any", "sigsize", "63 bytes are no Ed25519 signature.",
			parts[0] + "." + parts[1] + "." + parts[2][:84]},
		{"record-signature-empty", "any", "sigsize", "An empty signature is none.", parts[0] + "." + parts[1] + "."},
	}
	var all []vector
	for _, r := range rows {
		all = append(all, signedVector(r.name, r.kind, r.slug, r.why, r.raw))
	}
	return all
}

// strayBits sets the lowest bit of the last character, which a lax decoder
// ignores: 64 bytes leave four spare bits in the 86th character.
func strayBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last|1:last|1+1]
}

func headVectors() []vector {
	kid := fixedKey(1).ID()
	rows := []struct{ name, kind, slug, why, head string }{
		{"record-typ-missing", "any", "typ", "The explicit type is missing.", `{"alg":"EdDSA","kid":"` + kid + `"}`},
		{"record-typ-jwt", "any", "typ", "JWT is the type of any token.", change(viewHeader(""), "comity-view+jwt", "JWT")},
		{"record-typ-case", "any", "typ", "Types are compared byte by byte.", change(viewHeader(""), "comity-view+jwt", "Comity-View+JWT")},
		{"record-typ-version", "any", "typ", "A later version has another type.", change(viewHeader(""), "comity-view+jwt", "comity-view2+jwt")},
		{"record-typ-media", "any", "typ", "The prefix application/ is left out.", change(viewHeader(""), "comity-view+jwt", "application/comity-view+jwt")},
		{"record-typ-other-kind", string(registry.KindRevocation), "typ", "A view is not a revocation, whoever signed it.", viewHeader("")},
		{"record-typ-token", "any", "typ", "An access token of the same broker is not a record.", change(viewHeader(""), "comity-view+jwt", "at+jwt")},
		{"record-typ-number", "any", "header", "The type is a string.", change(viewHeader(""), `"comity-view+jwt"`, "1")},
		{"record-alg-missing", "any", "alg", "The algorithm is missing.", change(viewHeader(""), `"alg":"EdDSA",`, "")},
		{"record-alg-case", "any", "alg", "Algorithms are compared byte by byte.", change(viewHeader(""), "EdDSA", "EDDSA")},
		{"record-alg-es256", "any", "alg", "EdDSA is the one algorithm of records.", change(viewHeader(""), "EdDSA", "ES256")},
		{"record-kid-missing", "any", "missing:kid", "The key identifier is missing.", change(viewHeader(""), `"kid":"`+kid+`",`, "")},
		{"record-kid-url", "any", "value:kid", "The key identifier is a thumbprint and not the place of a key.", change(viewHeader(""), kid, "https://evil.example/key")},
		{"record-crit", "any", "header", "There are no critical extensions.", viewHeader(`,"crit":["exp"],"exp":1`)},
		{"record-crit-b64", "any", "header", "An unencoded payload (RFC 7797) is read in two ways.", viewHeader(`,"b64":false,"crit":["b64"]`)},
		{"record-jwk", "any", "header", "A message does not bring its own key.", viewHeader(`,"jwk":` + jwkJSON(fixedKey(1)))},
		{"record-jku", "any", "header", "A message does not say where its key is.", viewHeader(`,"jku":"https://evil.example/keys"`)},
		{"record-x5c", "any", "header", "A message does not bring a certificate.", viewHeader(`,"x5c":["MAA="]`)},
		{"record-zip", "any", "header", "Nothing is compressed.", viewHeader(`,"zip":"DEF"`)},
		{"record-cty", "any", "header", "The header has three members and no more.", viewHeader(`,"cty":"JWT"`)},
		{"record-header-duplicate", "any", "duplicate", "A member is twice in the header.", viewHeader(`,"alg":"EdDSA"`)},
		{"record-header-duplicate-escaped", "any", "duplicate", "A member is twice in the header, once with an escape.", viewHeader(`,"\u0061lg":"none"`)},
		{"record-header-array", "any", "json", "The header is an object.", `["EdDSA"]`},
		{"record-header-trailing", "any", "trailing", "Bytes follow the header's object.", viewHeader("") + "{}"},
	}
	var all []vector
	for _, r := range rows {
		all = append(all, signedVector(r.name, r.kind, r.slug, r.why, signParts(r.head, viewJSON)))
	}
	return all
}

func signatureVectors() []vector {
	good := fixedKey(1).Sign(string(registry.KindView), []byte(viewJSON))
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding
	none := b64.EncodeToString([]byte(change(viewHeader(""), "EdDSA", "none"))) + "." + parts[1]
	hs256 := b64.EncodeToString([]byte(change(viewHeader(""), "EdDSA", "HS256"))) + "." + parts[1]
	mac := hmac.New(sha256.New, fixedKey(1).Public())
	mac.Write([]byte(hs256))
	other := fixedKey(2)
	forged := ed25519.Sign(other.Private(), []byte(parts[0]+"."+parts[1]))
	rows := []struct{ name, slug, why, raw string }{
		{"record-alg-none", "alg", "A message without a signature is not a record.", none + "."},
		{"record-alg-hs256", "alg", "The public key is not a secret for HMAC.", hs256 + "." + b64.EncodeToString(mac.Sum(nil))},
		{"record-other-key", "kid", "The record was signed by another key, and says so.", other.Sign(string(registry.KindView), []byte(viewJSON))},
		{"record-forged", "signature", "The record was signed by another key than it says.", parts[0] + "." + parts[1] + "." + b64.EncodeToString(forged)},
		{"record-altered", "signature", "One number in the payload was changed after signing.",
			parts[0] + "." + b64.EncodeToString([]byte(change(viewJSON, `"log_size":3`, `"log_size":4`))) + "." + parts[2]},
		{"record-reordered", "signature", "The same members in another order are another message.",
			parts[0] + "." + b64.EncodeToString([]byte(with("{"+strings.TrimPrefix(viewJSON, "{"+claimsJSON+","), claimsJSON))) + "." + parts[2]},
		{"record-other-signature", "signature", "A signature of the same key over another record.",
			parts[0] + "." + parts[1] + "." + strings.Split(fixedKey(1).Sign(string(registry.KindRevocation), []byte(revocationJSON)), ".")[2]},
		{"record-bare-signature", "signature", "The signature is over the payload alone, as another protocol would make it.",
			parts[0] + "." + parts[1] + "." + b64.EncodeToString(ed25519.Sign(fixedKey(1).Private(), []byte(viewJSON)))},
		{"record-malleable", "signature", "S is not reduced: a second signature made from the first without the key (RFC 8032, section 5.1.7).",
			parts[0] + "." + parts[1] + "." + b64.EncodeToString(malleable(parts[2]))},
	}
	var all []vector
	for _, r := range rows {
		all = append(all, signedVector(r.name, "any", r.slug, r.why, r.raw))
	}
	return append(all, smallOrderVector(), otherNameVector(good))
}

// malleable adds the order of the group to S, which leaves the equation true.
func malleable(signature string) []byte {
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		panic(err)
	}
	order, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	order.Add(order, new(big.Int).Lsh(big.NewInt(1), 252))
	s := slices.Clone(sig[32:])
	slices.Reverse(s)
	s = new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(s)
	return append(sig[:32], s...)
}

// smallOrderVector verifies, for a reader that does not check its keys: under
// the neutral element as the key, R = neutral and S = 0 sign every message.
func smallOrderVector() vector {
	neutral := make([]byte, 32)
	neutral[0] = 1
	head := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q}`, registry.Thumbprint(neutral), registry.KindView)
	b64 := base64.RawURLEncoding
	raw := b64.EncodeToString([]byte(head)) + "." + b64.EncodeToString([]byte(viewJSON)) + "." +
		b64.EncodeToString(append(neutral, make([]byte, 32)...))
	v := signedVector("record-small-order-key", "any", "value:x", "Under a key of small order everything verifies.", raw)
	v.header["key"] = fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, b64.EncodeToString(neutral))
	return v
}

func otherNameVector(good string) vector {
	v := signedVector("record-other-name", "any", "value:cid", "A good record is offered under the CID of another one.", good)
	v.header["cid"] = someCID
	return v
}

// jsonVectors hold payloads that parsers read in different ways, or at all.
func jsonVectors() []vector {
	rows := []struct{ name, slug, why, payload string }{
		{"record-payload-empty", "json", "The payload is empty.", ""},
		{"record-payload-array", "json", "The payload is an array.", "[" + viewJSON + "]"},
		{"record-payload-text", "json", "The payload is not JSON.", "iss=https://broker.example"},
		{"record-payload-bom", "json", "A byte order mark is a foreign byte.", "\ufeff" + viewJSON},
		{"record-payload-comma", "json", "A comma before the closing brace is not JSON.", strings.TrimSuffix(viewJSON, "}") + ",}"},
		{"record-payload-comment", "json", "JSON has no comments.", change(viewJSON, `"log_size":3`, `"log_size":/*three*/3`)},
		{"record-payload-control", "json", "A control character in a string must be escaped.", with(viewJSON, "\"more\":\"\t\"")},
		{"record-payload-leading-zero", "json", "Numbers have no leading zero.", change(viewJSON, `"log_size":3`, `"log_size":03`)},
		{"record-trailing", "trailing", "A second value follows the first.", viewJSON + "{}"},
		{"record-duplicate", "duplicate", "A member is there twice.", with(viewJSON, `"log_size":4`)},
		{"record-duplicate-escaped", "duplicate", "A member is there twice, once with an escape.", with(viewJSON, `"log\u005fsize":4`)},
		{"record-duplicate-deep", "duplicate", "A member is twice in an object inside of an unknown member.", with(viewJSON, `"more":[{"a":1,"b":2,"a":3}]`)},
		{"record-utf8", "utf8", "A byte is not UTF-8.", with(viewJSON, "\"more\":\"\xff\"")},
		{"record-utf8-overlong", "utf8", "A slash in two bytes is not UTF-8.", with(viewJSON, "\"more\":\"\xc0\xaf\"")},
		{"record-nul", "nul", "A NUL ends strings in some languages.", with(viewJSON, "\"more\":\"a\x00b\"")},
		{"record-nul-escaped", "nul", "An escaped NUL is a NUL.", with(viewJSON, `"more":"a\u0000b"`)},
		{"record-surrogate", "surrogate", "Half of a surrogate pair is not a character.", with(viewJSON, `"more":"\ud83d"`)},
		{"record-surrogate-low", "surrogate", "The second half comes first.", with(viewJSON, `"more":"\udda8\ud83d"`)},
		{"record-depth", "depth", "Seventeen levels are one too many.", with(viewJSON, `"more":`+strings.Repeat("[", 16)+strings.Repeat("]", 16))},
		{"record-number", "number", "2^53 is not exact everywhere.", change(viewJSON, `"log_size":3`, `"log_size":9007199254740992`)},
		{"record-number-minus-zero", "number", "Minus zero is a whole number for some and not for others.", change(viewJSON, `"stop_count":0`, `"stop_count":-0`)},
		{"record-number-infinite", "number", "A number that no double holds, in an unknown member.", with(viewJSON, `"more":1e999`)},
	}
	var all []vector
	for _, r := range rows {
		all = append(all, signedVector(r.name, "any", r.slug, r.why, signParts(viewHeader(""), r.payload)))
	}
	kind := string(registry.KindRegistration)
	members := with(registrationJSON, manyMembers(58))
	values := with(registrationJSON, `"more":[`+strings.Repeat("0,", 1014)+`0]`)
	return append(all,
		signedVector("record-members", "any", "values", "65 members are one too many.", fixedKey(1).Sign(kind, []byte(members))),
		signedVector("record-values", "any", "values", "1,025 values are one too many.", fixedKey(1).Sign(kind, []byte(values))))
}

func manyMembers(n int) string {
	var m []string
	for i := range n {
		m = append(m, fmt.Sprintf(`"m%d":0`, i))
	}
	return strings.Join(m, ",")
}
