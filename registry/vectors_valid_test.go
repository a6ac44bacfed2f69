// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// Payloads of the plainest record of each kind; the invalid vectors change one
// thing in them.
const (
	claimsJSON = `"iss":"https://broker.example","iat":1790000000,"jti":"AAECAwQFBgcICQoLDA0ODw"`

	registrationJSON = `{` + claimsJSON + `,"seq":0,"client_name":"Photo Printer",` +
		`"redirect_uris":["https://printer.example/callback"],"token_endpoint_auth_method":"none"}`
	revocationJSON = `{` + claimsJSON + `,"client_id":"` + someCID + `","action":"suspend","reason":"malicious",` +
		`"until":1790003600,"charter":"` + someCID + `"}`
	viewJSON = `{` + claimsJSON + `,"charter":"` + someCID + `","log_size":3,"log_root":"` + someDigest + `",` +
		`"stop_count":0,"stop_hash":"` + someDigest + `"}`

	someCID    = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" // of no bytes
	someDigest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"                 // of no bytes

	keysEd25519 = `{"kty":"OKP","crv":"Ed25519","x":"7Ui9Cwh_6Pz5vH-TBVTBDn7Q2a_S1ZcVsOvRLyNLJx0"}`
	keysP256    = `{"kty":"EC","crv":"P-256","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
		`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	keysRSA = `{"kty":"RSA","use":"sig","kid":"2026","e":"AQAB","n":"uFj7LQyeAph3OuOsc5jhHJEFbsIqc_4A9WHnLeGdZOWOfn5Z2nhz2ggVxUonYFM68hO` +
		`-mnI99llML9Z2ETur2bMeSa6rOaI3MV8kTqAUgUTY9xUza4LXzvzo3Zv_LMuWd8GES2llBpZAxV9ApNxilVgr7Z7ORS69IeuIO8QkiRERNyPHjMm_PUknn30DBWC0HWd` +
		`fkGMa8taG-T84b10y1egR8B5p-OxRYEL0rGTboKcO0tmfa8GfpKqg_gJ4r8bd25Df-103T5nI3g-0hoviYnc09ru6UuHe21AA_87egHJwMND50hiVNuzluw14vkT6u7n` +
		`zOPmNmQ9496g_jBBNFw"}`
	keysRSA1024 = `{"kty":"RSA","e":"AQAB","n":"vtLDiLVTbY0DBohHniP7nap6mECeymz51Ln3StN_oNfswOdaHW4W4dnL6Ff65Z6AxEkD2b1sUhR0qtrYBOPMaMJ` +
		`TiL7qBTcuKd8lBOwFyXyh2-01k8xbUpyeimHtcXdJUm7S9QEjhB6KvhgcYrhGDmOS4w1AidbdR5LjAqWiXXk"}`
)

// brokerJSON is a function only because it holds a key.
func brokerJSON() string {
	return `{` + claimsJSON + `,"organisation":"Example Broker","record_key":` + jwkJSON(fixedKey(1)) +
		`,"endpoints":{"token_endpoint":"https://broker.example/oauth/token"},"token_keys":[` + jwkJSON(fixedKey(3)) +
		`],"peers":[{"id":"12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo","addrs":["/dns4/broker.example/tcp/4001"]}]}`
}

func jwkJSON(k registry.SigningKey) string {
	b, err := json.Marshal(k.JWK())
	if err != nil {
		panic(err)
	}
	return string(b)
}

// change replaces the one place in s where old stands.
func change(s, old, replacement string) string {
	if strings.Count(s, old) != 1 {
		panic(fmt.Sprintf("%q is not exactly once in %s", old, s))
	}
	return strings.Replace(s, old, replacement, 1)
}

// with adds members to the end of a payload.
func with(payload, members string) string {
	return strings.TrimSuffix(payload, "}") + "," + members + "}"
}

func validVectors(t testing.TB) []vector {
	t.Helper()
	reg := registrationJSON
	later := change(reg, `"seq":0`, `"seq":1,"sub":"`+someCID+`","prev":"`+someCID+`"`)
	authenticated := func(method string) string { return change(reg, `"none"`, `"`+method+`"`) }
	home := change(revocationJSON, `"until":1790003600`, `"seq":4,"prev":"`+someCID+`"`)
	rows := []struct {
		name    string
		kind    registry.Kind
		payload string
		about   string
	}{
		{"broker", registry.KindBroker, brokerJSON(), ""},
		{"broker-loopback", registry.KindBroker, strings.ReplaceAll(change(change(brokerJSON(),
			`{"id":"12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo","addrs":["/dns4/broker.example/tcp/4001"]}`, ``),
			`"token_endpoint":"https://broker.example/oauth/token"`, ``),
			"https://broker.example", "http://127.0.0.1:8080"), "Endpoints and peers may be empty, and http is for literal loopback addresses."},
		{"broker-unknown-members", registry.KindBroker, with(brokerJSON(), `"motto":"later","more":{"deep":[null,1.5,true]}`),
			"Members that a reader does not know are ignored, null included."},
		{"registration", registry.KindRegistration, reg, "The client_id is the CID of this record."},
		{"registration-update", registry.KindRegistration, later, "From seq 1 on sub is the client_id and prev the CID of the record before."},
		{"registration-compromised", registry.KindRegistration, with(later, `"compromised":true`), ""},
		{"registration-keys", registry.KindRegistration, with(authenticated("private_key_jwt"),
			`"jwks":{"keys":[`+keysEd25519+`,`+keysP256+`,`+keysRSA+`]}`), "The three types of key that a client may have."},
		{"registration-secret", registry.KindRegistration, with(authenticated("client_secret_basic"),
			`"client_secret_sha256":"`+someDigest+`"`), ""},
		{"registration-service", registry.KindRegistration, with(change(change(reg, `"redirect_uris":["https://printer.example/callback"],`, ``),
			`"none"`, `"private_key_jwt"`), `"grant_types":["client_credentials"],"jwks":{"keys":[`+keysEd25519+`]}`),
			"No redirect URI is needed where nobody is redirected."},
		{"registration-native", registry.KindRegistration, with(change(reg, `"https://printer.example/callback"`,
			`"http://127.0.0.1/callback","http://[::1]/callback","com.example.printer:/callback"`), `"application_type":"native"`), ""},
		{"registration-full", registry.KindRegistration, with(reg, `"grant_types":["authorization_code","refresh_token"],`+
			`"response_types":["code"],"scope":"read write:photos","application_type":"web","client_uri":"https://printer.example/",`+
			`"logo_uri":"https://printer.example/logo.png","policy_uri":"https://printer.example/privacy?lang=en",`+
			`"tos_uri":"https://printer.example/terms","software_id":"4NRB1-0XZABZI9E6-5SM3R","software_version":"2.1",`+
			`"dpop_bound_access_tokens":true`), "Every member that is known and may stand beside the others."},
		{"registration-unknown-members", registry.KindRegistration, with(reg, `"oauth1_secret":"x","client_name#de":"Fotodrucker","ratio":1e-3`),
			"Unknown members are kept, byte for byte."},
		{"registration-spelling", registry.KindRegistration, "\t{ \"client_name\" : \"\\u0050hoto \\ud83d\\udda8 Printer\",\t " +
			strings.TrimPrefix(change(reg, `"client_name":"Photo Printer",`, ``), "{") + " \t",
			"Order, white space and escapes of JSON are free: what counts are the bytes that were signed."},
		{"registration-name", registry.KindRegistration, change(reg, "Photo Printer", "Φωτό 写真 طابعة №5 \U0001F5A8"), "Names may be in every script."},
		{"registration-longest", registry.KindRegistration, padded(registry.KindRegistration, reg, 16384), "Exactly 16,384 bytes."},
		{"revocation-suspend", registry.KindRevocation, revocationJSON, "From a member that is not the home: neither seq nor prev, and it ends by itself."},
		{"revocation-suspend-home", registry.KindRevocation, with(home, `"cutoff":1790000060`), "A cutoff may lie 60 s after iat."},
		{"revocation-reinstate", registry.KindRevocation, change(home, "suspend", "reinstate"), ""},
		{"revocation-revoke", registry.KindRevocation, change(change(home, "suspend", "revoke"), "malicious", "developer-request"), ""},
		{"revocation-longest", registry.KindRevocation, padded(registry.KindRevocation, home, 1024), "Exactly 1,024 bytes."},
		{"view", registry.KindView, viewJSON, ""},
		{"view-empty-log", registry.KindView, change(viewJSON, `"log_size":3`, `"log_size":0`), ""},
	}
	var all []vector
	for _, row := range rows {
		raw := fixedKey(1).Sign(string(row.kind), []byte(row.payload))
		v := signedVector(row.name, string(row.kind), "valid", "", raw)
		v.header["cid"] = registry.CID([]byte(raw))
		v.header["claims"] = row.payload
		v.header["about"] = row.about
		r, err := registry.ParseRecord(v.object)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		v.header["client_id"] = r.ClientID()
		all = append(all, v)
	}
	return append(all, headerOrderVector(t))
}

// headerOrderVector has a header that is spelled in another way than ours.
func headerOrderVector(t testing.TB) vector {
	head := fmt.Sprintf(`{"typ":%q, "kid":%q, "\u0061lg":"EdDSA"}`, registry.KindView, fixedKey(1).ID())
	raw := signParts(head, viewJSON)
	v := signedVector("view-header-spelling", string(registry.KindView), "valid", "", raw)
	v.header["cid"] = registry.CID([]byte(raw))
	v.header["claims"] = viewJSON
	v.header["about"] = "Order, white space and escapes of the header are free too."
	return v
}

// padded adds an unknown member to payload, so that the signed record has size
// bytes.
func padded(kind registry.Kind, payload string, size int) string {
	for n := 1; ; n++ {
		p := with(payload, `"padding":"`+strings.Repeat("x", n)+`"`)
		if have := len(fixedKey(1).Sign(string(kind), []byte(p))); have >= size {
			if have != size {
				panic("base64 has no such length: change the payload")
			}
			return p
		}
		if n == 1 { // come near in one step
			n = max(1, (size-len(fixedKey(1).Sign(string(kind), []byte(p))))*3/4-8)
		}
	}
}

func signedVector(name, kind, expect, why, raw string) vector {
	return vector{name: name, kind: kind, expect: expect, why: why,
		header: map[string]string{"key": jwkJSON(fixedKey(1))}, object: []byte(raw)}
}

// signParts signs a header and a payload of any form with key 1.
func signParts(head, payload string) string {
	b64 := base64.RawURLEncoding
	return signInput(b64.EncodeToString([]byte(head)) + "." + b64.EncodeToString([]byte(payload)))
}
