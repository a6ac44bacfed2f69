// SPDX-License-Identifier: Apache-2.0

package jws_test

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/internal/jws"
)

const typ = "comity-test+jwt"

// fixedKey is the key whose 32 seed bytes are all n.
func fixedKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func strict() jws.Rules {
	return jws.Rules{Types: []string{typ}, Algorithms: jws.EdDSA, MaxBytes: 4096}
}

func slug(err error) string {
	var s interface{ Slug() string }
	if errors.As(err, &s) {
		return s.Slug()
	}
	return ""
}

// compact joins a header and a payload of any form with a signature of 64 zeros.
func compact(header, payload string) string {
	enc := jws.Base64.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(payload)) + "." + enc(make([]byte, 64))
}

func TestSignParseVerify(t *testing.T) {
	k := fixedKey(1)
	kid := jws.Thumbprint(public(k))
	token := jws.Sign(k, kid, typ, []byte("payload"))
	m, err := jws.Parse(token, strict())
	if err != nil {
		t.Fatal(err)
	}
	if m.Algorithm != "EdDSA" || m.KeyID != kid || m.Type != typ || string(m.Payload) != "payload" {
		t.Errorf("parsed %+v", m)
	}
	if err := m.Verify(public(k)); err != nil {
		t.Error(err)
	}
	if err := m.Verify(&jose.JSONWebKey{Key: public(k)}); err != nil {
		t.Errorf("as a JWK: %v", err)
	}
	for name, key := range map[string]any{
		"another key":     public(fixedKey(2)),
		"another JWK":     &jose.JSONWebKey{Key: public(fixedKey(2))},
		"no key":          ed25519.PublicKey(nil),
		"half a key":      public(k)[:16],
		"a shared secret": []byte(public(k)),
	} {
		if err := m.Verify(key); !errors.Is(err, jws.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The independent implementation of the same format reads what we sign.
func TestSignIsReadByJose(t *testing.T) {
	k := fixedKey(1)
	sig, err := jose.ParseSignedCompact(jws.Sign(k, "kid", typ, []byte("payload")), jws.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := sig.Verify(public(k)); err != nil || string(payload) != "payload" {
		t.Errorf("%q, %v", payload, err)
	}
}

// RFC 8037, appendix A.3: the thumbprint of its example key.
func TestThumbprint(t *testing.T) {
	pub, _ := jws.Decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if have := jws.Thumbprint(pub); have != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("thumbprint %s", have)
	}
}

// RFC 8037, appendix A.4 and A.5: its example message.
func TestForeignMessage(t *testing.T) {
	pub, _ := jws.Decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	m, err := jws.Parse("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."+
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
		jws.Rules{Types: []string{""}, Algorithms: jws.EdDSA, MaxBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(ed25519.PublicKey(pub)); err != nil || string(m.Payload) != "Example of Ed25519 signing" {
		t.Errorf("%q, %v", m.Payload, err)
	}
}

// fault 8: what names a key, changes the algorithm or is another format is
// refused in Parse, which does no cryptography.
func TestFault08Header(t *testing.T) {
	header := func(more string) string { return `{"alg":"EdDSA","typ":"` + typ + `"` + more + `}` }
	for _, tc := range []struct{ name, header, slug string }{
		{"none", `{"alg":"none","typ":"` + typ + `"}`, "alg"},
		{"None", `{"alg":"None","typ":"` + typ + `"}`, "alg"},
		{"HS256", `{"alg":"HS256","typ":"` + typ + `"}`, "alg"},
		{"RS256", `{"alg":"RS256","typ":"` + typ + `"}`, "alg"},
		{"ES256", `{"alg":"ES256","typ":"` + typ + `"}`, "alg"},
		{"no alg", `{"typ":"` + typ + `"}`, "alg"},
		{"alg of another type", `{"alg":["EdDSA"],"typ":"` + typ + `"}`, "header"},
		{"alg null", `{"alg":null,"typ":"` + typ + `"}`, "header"},
		{"no typ", `{"alg":"EdDSA"}`, "typ"},
		{"empty typ", `{"alg":"EdDSA","typ":""}`, "header"},
		{"other typ", `{"alg":"EdDSA","typ":"JWT"}`, "typ"},
		{"typ before alg", `{"alg":"none","typ":"JWT"}`, "typ"},
		{"crit", header(`,"crit":["exp"],"exp":0`), "header"},
		{"crit of nothing", header(`,"crit":[]`), "header"},
		{"b64", header(`,"crit":["b64"],"b64":false`), "header"},
		{"jwk", header(`,"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), "header"},
		{"jku", header(`,"jku":"https://evil.example"`), "header"},
		{"x5u", header(`,"x5u":"https://evil.example"`), "header"},
		{"x5c", header(`,"x5c":["MAA="]`), "header"},
		{"x5t", header(`,"x5t":"AAAA"`), "header"},
		{"zip", header(`,"zip":"DEF"`), "header"},
		{"enc", header(`,"enc":"A256GCM"`), "header"},
		{"huge p2c", `{"alg":"PBES2-HS256+A128KW","typ":"` + typ + `","p2c":2147483647,"p2s":"AAAA"}`, "alg"},
		{"huge p2c beside EdDSA", header(`,"p2c":2147483647`), "header"},
		{"empty kid", header(`,"kid":""`), "header"},
		{"kid of another type", header(`,"kid":{"a":1}`), "header"},
		{"twice", header(`,"alg":"none"`), "duplicate"},
		{"not JSON", `alg: EdDSA`, "json"},
		{"trailing", header("") + "{}", "trailing"},
		{"many members", header("," + strings.TrimSuffix(strings.Repeat(`"a":0,`, 70), ",")), "values"},
	} {
		for _, foreign := range []bool{false, true} {
			rules := strict()
			rules.Foreign = foreign
			if _, err := jws.Parse(compact(tc.header, "{}"), rules); slug(err) != tc.slug {
				t.Errorf("%s (foreign %v): %v, expected %s", tc.name, foreign, err, tc.slug)
			}
		}
	}
	rules := strict()
	if _, err := jws.Parse(compact(header(`,"cty":"x"`), "{}"), rules); slug(err) != "header" {
		t.Errorf("a foreign member: %v", err)
	}
	rules.Foreign = true
	if _, err := jws.Parse(compact(header(`,"cty":"x","kid":"any"`), "{}"), rules); err != nil {
		t.Errorf("a foreign member where they are allowed: %v", err)
	}
}

// fault 8: the public key is no shared secret, whatever the header says.
func TestFault08PublicKeyAsSecret(t *testing.T) {
	pub := public(fixedKey(1))
	input := jws.Base64.EncodeToString([]byte(`{"alg":"HS256","typ":"`+typ+`"}`)) + "." + jws.Base64.EncodeToString([]byte("{}"))
	mac := hmac.New(sha256.New, pub)
	mac.Write([]byte(input))
	token := input + "." + jws.Base64.EncodeToString(mac.Sum(nil))
	if _, err := jws.Parse(token, strict()); slug(err) != "alg" {
		t.Errorf("parsed: %v", err)
	}
	// Even where a careless caller lists HS256, an Ed25519 key verifies EdDSA only.
	rules := strict()
	rules.Algorithms = append([]jose.SignatureAlgorithm{jose.HS256}, rules.Algorithms...)
	m, err := jws.Parse(token, rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(pub); !errors.Is(err, jws.ErrSignature) {
		t.Errorf("verified with the public key as the secret: %v", err)
	}
}

// fault 8: an Ed25519 signature under the name of another algorithm is none.
func TestFault08OtherAlgorithm(t *testing.T) {
	input := jws.Base64.EncodeToString([]byte(`{"alg":"ES256","typ":"`+typ+`"}`)) + "." + jws.Base64.EncodeToString([]byte("{}"))
	rules := strict()
	rules.Algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA}
	m, err := jws.Parse(input+"."+jws.Base64.EncodeToString(ed25519.Sign(fixedKey(1), []byte(input))), rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(public(fixedKey(1))); !errors.Is(err, jws.ErrSignature) {
		t.Errorf("verified: %v", err)
	}
}

// encrypted is a JWE in compact form of 10 MB of zeros, which compress to 10 kB.
func encrypted(t testing.TB) string {
	t.Helper()
	var zipped bytes.Buffer
	w, err := flate.NewWriter(&zipped, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 10<<20))
	w.Close()
	enc := jws.Base64.EncodeToString
	return enc([]byte(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`)) + ".." + enc(make([]byte, 12)) + "." +
		enc(zipped.Bytes()) + "." + enc(make([]byte, 16))
}

// fault 8
func TestFault08OtherFormats(t *testing.T) {
	rules := strict()
	rules.MaxBytes = 1 << 20
	for _, tc := range []struct{ name, token, slug string }{
		{"JWE", encrypted(t), "parts"},
		{"10 MB", strings.Repeat("A", 10<<20), "size"},
		{"a million dots", strings.Repeat(".", 1_000_000), "parts"},
		{"empty", "", "parts"},
		{"two parts", "a.b", "parts"},
		{"detached payload", strings.Replace(compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}"), ".e30.", "..", 1), ""},
		{"JSON", `{"payload":"e30","signatures":[]}`, "parts"},
		{"padding", compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}") + "=", "base64"},
		{"line feed", compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}") + "\n", "base64"},
		{"line break inside", strings.Replace(compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}"), ".e3", ".e\r\n3", 1), "base64"},
		{"other alphabet", strings.Replace(compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}"), ".e30.", ".+/30.", 1), "base64"},
		{"stray bits", strings.Replace(compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}"), ".e30.", ".e31.", 1), "base64"},
		{"short signature", strings.TrimSuffix(compact(`{"alg":"EdDSA","typ":"`+typ+`"}`, "{}"), "AA"), "sigsize"},
	} {
		if _, err := jws.Parse(tc.token, rules); slug(err) != tc.slug {
			t.Errorf("%s: %v, expected %q", tc.name, err, tc.slug)
		}
	}
}

// fault 26: no byte of a message may be another one.
func TestFault26EveryByte(t *testing.T) {
	k := fixedKey(1)
	token := jws.Sign(k, "kid", typ, []byte(`{"a":1}`))
	accepted := func(s string) bool {
		m, err := jws.Parse(s, strict())
		return err == nil && m.Verify(public(k)) == nil
	}
	if !accepted(token) {
		t.Fatal("the message itself is refused")
	}
	for i := range token {
		if accepted(token[:i]) {
			t.Fatalf("the first %d bytes are accepted", i)
		}
		// All values of a part's last character, which has unused bits, and a
		// quarter of them elsewhere.
		last := i == len(token)-1 || token[i+1] == '.'
		for b := range 256 {
			if !last && b%4 != i%4 {
				continue
			}
			if altered := token[:i] + string([]byte{byte(b)}) + token[i+1:]; altered != token && accepted(altered) {
				t.Fatalf("byte %d may be 0x%02x", i, b)
			}
		}
	}
}

// A header in the form that Sign gives it takes a shorter way. With a space in it
// the same header takes the long one, to the same end, whatever one byte is.
func TestBothWaysToAHeader(t *testing.T) {
	header := []byte(`{"alg":"EdDSA","kid":"VIIZ1CAsScSMSnAyVNdkqLlISV1TG65jyQ-Cp84SI7U","typ":"comity-view+jwt"}`)
	rules := jws.Rules{Types: []string{"comity-view+jwt", "other"}, Algorithms: jws.EdDSA, MaxBytes: 1000}
	read := func(header []byte) (jws.Header, bool) {
		m, err := jws.Parse(jws.Base64.EncodeToString(header)+".e30."+strings.Repeat("A", 86), rules)
		if err != nil {
			return jws.Header{}, false
		}
		return m.Header, true
	}
	good := 0
	for i := range header {
		for _, b := range []byte{header[i], 0, '"', '\\', '\'', ' ', '=', '+', '{', '}', ',', 'A', 0x80, 0xff} {
			short := bytes.Clone(header)
			short[i] = b
			long := append([]byte("{ "), short[1:]...)
			if short[0] != '{' {
				continue
			}
			h, ok := read(short)
			if slow, also := read(long); ok != also || h != slow {
				t.Errorf("%s: %+v, %v; with a space %+v, %v", short, h, ok, slow, also)
			}
			if ok {
				good++
			}
		}
	}
	if good < len(header) {
		t.Errorf("only %d good headers", good)
	}
}

func TestEmbeddedKey(t *testing.T) {
	rules := jws.Rules{Types: []string{"dpop+jwt"}, Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA}, MaxBytes: 4096, EmbedKey: true}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	m, err := jws.Parse(token, rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(m.Key); err != nil {
		t.Error(err)
	}
	if _, err := jws.Parse(token, strict()); err == nil {
		t.Error("a key in the header is accepted where none is asked for")
	}
	header := func(jwk string) string {
		return compact(`{"alg":"ES256","typ":"dpop+jwt"`+jwk+`}`, "{}")
	}
	for _, tc := range []struct{ name, token, slug string }{
		{"none", header(""), "jwk"},
		{"null", header(`,"jwk":null`), "jwk"},
		{"symmetric", header(`,"jwk":{"kty":"oct","k":"AAAA"}`), "jwk"},
		{"private", header(`,"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`), "jwk"},
		{"not on the curve", header(`,"jwk":{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}`), "jwk"},
		{"kid beside it", header(`,"kid":"x","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), "header"},
	} {
		if _, err := jws.Parse(tc.token, rules); slug(err) != tc.slug {
			t.Errorf("%s: %v, expected %s", tc.name, err, tc.slug)
		}
	}
}

// Whatever is accepted has one spelling: its parts, encoded again, are it.
func FuzzParse(f *testing.F) {
	f.Add(jws.Sign(fixedKey(1), "kid", typ, []byte(`{"a":1}`)))
	f.Add(compact(`{"alg":"EdDSA","typ":"`+typ+`","cty":"x"}`, ""))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		for _, foreign := range []bool{false, true} {
			rules := strict()
			rules.Foreign = foreign
			m, err := jws.Parse(token, rules)
			if err != nil {
				if slug(err) == "" {
					t.Fatalf("an error without a slug: %v", err)
				}
				continue
			}
			parts := strings.Split(token, ".")
			if m.Type != typ || m.Algorithm != "EdDSA" || len(parts) != 3 || jws.Base64.EncodeToString(m.Payload) != parts[1] {
				t.Fatalf("%q was read as %+v", token, m)
			}
			if m.Verify(public(fixedKey(2))) == nil {
				t.Fatal("verified under a key that signed nothing")
			}
		}
	})
}

// The messages of fault 8: each must be refused in less than 5 ms.
func BenchmarkFault08(b *testing.B) {
	rules := strict()
	rules.MaxBytes = 1 << 24
	for name, token := range map[string]string{
		"JWE":      encrypted(b),
		"10MB":     strings.Repeat("A", 10<<20),
		"p2c":      compact(`{"alg":"PBES2-HS256+A128KW","typ":"`+typ+`","p2c":2147483647,"p2s":"AAAA"}`, "{}"),
		"none":     compact(`{"alg":"none","typ":"`+typ+`"}`, "{}"),
		"jwk":      compact(`{"alg":"EdDSA","typ":"`+typ+`","jwk":{"kty":"oct","k":"`+strings.Repeat("A", 3000)+`"}}`, "{}"),
		"members":  compact("{"+strings.Repeat(`"a":0,`, 100_000)+`"b":0}`, "{}"),
		"deepness": compact(strings.Repeat("[", 1_000_000), "{}"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jws.Parse(token, rules); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

func ExampleSign() {
	k := fixedKey(1)
	token := jws.Sign(k, jws.Thumbprint(public(k)), "comity-test+jwt", []byte(`{"iss":"https://broker.example"}`))
	header, _ := jws.Decode(token[:strings.IndexByte(token, '.')])
	fmt.Println(string(header))
	// Output: {"alg":"EdDSA","kid":"UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4","typ":"comity-test+jwt"}
}
