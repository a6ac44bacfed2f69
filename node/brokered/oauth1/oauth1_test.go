// SPDX-License-Identifier: Apache-2.0

package oauth1_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"maps"
	"math"
	"math/big"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

var now = time.Unix(1795282987, 0)

func parameters(method oauth1.Method) oauth1.Parameters {
	return oauth1.Parameters{ConsumerKey: "app", Method: method, Nonce: "n1", Timestamp: now.Unix()}
}

// TestAccepted: what RFC 5849 leaves open, and what clients differ in.
func TestAccepted(t *testing.T) {
	const header, form = "Authorization: " + original, "Content-Type: " + formType
	app := oauth1.Parameters{ConsumerKey: "app", Method: oauth1.HMACSHA256, Nonce: "n1", Timestamp: 1795282987}
	with := func(change func(*oauth1.Parameters)) oauth1.Parameters {
		p := app
		change(&p)
		return p
	}
	edit := func(old, new string) []string { return []string{strings.Replace(header, old, new, 1)} }
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, target, body string
		headers            []string
		says               oauth1.Parameters
		form               map[string][]string
	}{
		{"a header", "/", "", []string{header}, app, nil},
		{"a header without spaces", "/", "", []string{strings.ReplaceAll(header, ", ", ",")}, app, nil},
		{"a header with many spaces", "/", "", []string{strings.ReplaceAll(header, ", ", " \t,\t  ") + " \t"}, app, nil},
		{"a scheme in lower case", "/", "", edit("OAuth", "oauth"), app, nil},
		{"a realm, not encoded", "/", "", edit("OAuth ", `OAuth realm="http://a b/,=ü", `), app, nil},
		{"an empty token", "/", "", edit("OAuth ", `OAuth oauth_token="", `), app, nil},
		{"a token", "/", "", edit("OAuth ", `OAuth oauth_token="t%20%2f%2F", `), with(func(p *oauth1.Parameters) { p.Token = "t //" }), nil},
		{"version 1.0", "/", "", edit("OAuth ", `OAuth oauth_version="1.0", `), app, nil},
		{"a callback", "/", "", edit("OAuth ", `OAuth oauth_callback="oob", `), with(func(p *oauth1.Parameters) { p.Callback = "oob" }), nil},
		{"a verifier", "/", "", edit("OAuth ", `OAuth oauth_verifier="v", `), with(func(p *oauth1.Parameters) { p.Verifier = "v" }), nil},
		{"what nobody knows", "/", "", edit("OAuth ", `OAuth oauth_x="1", x="2", `), app, nil},
		{"an encoded name", "/", "", edit("oauth_nonce", `oauth%5fnonce`), app, nil},
		{"a key of other letters", "/", "", edit(`"app"`, `"%C3%A4pp%F0%9F%94%91"`), with(func(p *oauth1.Parameters) { p.ConsumerKey = "äpp🔑" }), nil},
		{"the longest key", "/", "", edit(`"app"`, `"`+long(255)+`"`), with(func(p *oauth1.Parameters) { p.ConsumerKey = long(255) }), nil},
		{"the longest nonce", "/", "", edit(`"n1"`, `"`+long(128)+`"`), with(func(p *oauth1.Parameters) { p.Nonce = long(128) }), nil},
		{"the last timestamp", "/", "", edit("1795282987", "9223372036854775807"), with(func(p *oauth1.Parameters) { p.Timestamp = math.MaxInt64 }), nil},
		{"in the body", "/", asForm + "&a=1", []string{form}, app, map[string][]string{"a": {"1"}}},
		{"in the body, with a charset", "/", asForm, []string{form + "; charset=UTF-8"}, app, nil},
		{"in the query", "/?a=1&" + asForm, "", nil, app, map[string][]string{"a": {"1"}}},
		{"in the query, beside a form", "/?" + asForm, "a=1", []string{form}, app, map[string][]string{"a": {"1"}}},
		{"a repeated parameter", "/?a=2&b", "a=1&%61=3", []string{header, form}, app, map[string][]string{"a": {"2", "1", "3"}, "b": {""}}},
		{"spaces", "/?a=+%20", "b=+%2B&c+d=", []string{header, form}, app, map[string][]string{"a": {"  "}, "b": {" +"}, "c d": {""}}},
		{"empty pairs", "/?&a=1&&", "", []string{header}, app, map[string][]string{"a": {"1"}}},
		{"an empty name", "/?=1", "", []string{header}, app, map[string][]string{"": {"1"}}},
		{"raw characters", "/?a=/:?@[]=ü", "", []string{header}, app, map[string][]string{"a": {"/:?@[]=ü"}}},
		{"a realm and an Oauth_ that mean nothing here", "/?realm=1&Oauth_token=2", "", []string{header}, app, map[string][]string{"realm": {"1"}, "Oauth_token": {"2"}}},
		{"a body that is no form", "/", `{"a":"%zz"}`, []string{header, "Content-Type: application/json"}, app, nil},
		{"100 parameters", "/", strings.Repeat("a&", 94) + "a", []string{header, form}, app, map[string][]string{"a": make([]string, 95)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parsed, err := parse(t, c.target, c.body, c.headers...)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Parameters != c.says {
				t.Errorf("%+v, expected %+v", parsed.Parameters, c.says)
			}
			if form := map[string][]string(parsed.Form()); !maps.EqualFunc(form, c.form, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("%q, expected %q", form, c.form)
			}
		})
	}
}

// TestBaseString: each rule of RFC 5849, section 3.4.1, that its examples leave
// out.
func TestBaseString(t *testing.T) {
	const form = "Content-Type: " + formType
	const end = "oauth_consumer_key%3Dapp%26oauth_nonce%3Dn1%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1795282987"
	for _, c := range []struct{ name, public, target, body, base string }{
		{"a host in upper case", "HTTPS://Broker.EXAMPLE", "/", "", "https%3A%2F%2Fbroker.example%2F&"},
		{"the port of https", "https://broker.example:443", "/", "", "https%3A%2F%2Fbroker.example%2F&"},
		{"the port of http", "http://broker.example:80", "/", "", "http%3A%2F%2Fbroker.example%2F&"},
		{"an empty port", "http://broker.example:", "/", "", "http%3A%2F%2Fbroker.example%2F&"},
		{"the port of the other", "http://broker.example:443", "/", "", "http%3A%2F%2Fbroker.example%3A443%2F&"},
		{"a port that ends like it", "http://broker.example:8080", "/", "", "http%3A%2F%2Fbroker.example%3A8080%2F&"},
		{"an IPv6 address that ends like it", "http://[::80]", "/", "", "http%3A%2F%2F%5B%3A%3A80%5D%2F&"},
		{"the path of the public URL", "https://broker.example/x/?y=1#z", "/a", "", "https%3A%2F%2Fbroker.example%2Fa&"},
		{"the Host that a client claims", "https://broker.example", "http://evil.example/a", "", "https%3A%2F%2Fbroker.example%2Fa&"},
		{"a path as it was sent", "https://broker.example", "/%7e/%41%2f/a%20b/../!$'()*,;:@", "", "https%3A%2F%2Fbroker.example%2F%257e%2F%2541%252f%2Fa%2520b%2F..%2F%21%24%27%28%29%2A%2C%3B%3A%40&"},
		{"the name before the value", "https://broker.example", "/?a=z&a-b=&a%20=", "", "https%3A%2F%2Fbroker.example%2F&a%3Dz%26a%2520%3D%26a-b%3D%26"},
		{"encoded before sorted", "https://broker.example", "/?a=~&a=%C3%A4&a=z&a=Z&a=9&a=%2F", "", "https%3A%2F%2Fbroker.example%2F&a%3D%252F%26a%3D%25C3%25A4%26a%3D9%26a%3DZ%26a%3Dz%26a%3D~%26"},
		{"query and body together", "https://broker.example", "/?b=2&b=1", "b=3&a=+", "https%3A%2F%2Fbroker.example%2F&a%3D%2520%26b%3D1%26b%3D2%26b%3D3%26"},
		{"the same twice", "https://broker.example", "/?a=1&a=1", "a=1", "https%3A%2F%2Fbroker.example%2F&a%3D1%26a%3D1%26a%3D1%26"},
		{"reserved characters", "https://broker.example", "/", "a=%21*%27()%7E&b=a:/?", "https%3A%2F%2Fbroker.example%2F&a%3D%2521%252A%2527%2528%2529~%26b%3Da%253A%252F%253F%26"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sent(t, c.target, c.body, "Authorization: "+strings.Replace(original, "OAuth ", `OAuth realm="x", `, 1), form, "Host: evil.example")
			parsed, err := oauth1.Parse(r, parseURL(t, c.public), []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if expected := "POST&" + c.base + end; parsed.BaseString() != expected {
				t.Errorf("%s, expected\n%s", parsed.BaseString(), expected)
			}
		})
	}
}

// TestBaseStringMethod: the base string has the method in upper case, and where
// none is given that of net/http's client.
func TestBaseStringMethod(t *testing.T) {
	for method, expected := range map[string]string{"post": "POST&", "PATCH": "PATCH&", "": "GET&"} {
		r := sent(t, "/", "", "Authorization: "+original)
		r.Method = method
		parsed, err := oauth1.Parse(r, parseURL(t, "https://broker.example"), nil)
		if err != nil || !strings.HasPrefix(parsed.BaseString(), expected) {
			t.Errorf("%q: %v, %+v", method, err, parsed)
		}
	}
}

func TestValue(t *testing.T) {
	parsed, err := parse(t, "/?once=1&twice=1&empty", "twice=1", "Authorization: "+original, "Content-Type: "+formType)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := parsed.Value("once"); v != "1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	for name, sentence := range map[string]string{"twice": "twice is sent 2 times", "empty": "empty is missing", "never": "never is missing"} {
		_, err := parsed.Value(name)
		expectRefusal(t, err, sentence, true)
	}
}

func TestCheckTime(t *testing.T) {
	for _, c := range []struct {
		timestamp int64
		sentence  string
	}{
		{now.Unix(), ""}, {now.Unix() - 900, ""}, {now.Unix() + 900, ""},
		{now.Unix() - 901, "901 s behind"}, {now.Unix() + 901, "901 s ahead"},
		{1, "s behind"}, {math.MaxInt64, "s ahead"},
	} {
		r := oauth1.Request{Parameters: oauth1.Parameters{Timestamp: c.timestamp}}
		if err := r.CheckTime(now); c.sentence != "" {
			expectRefusal(t, err, c.sentence, false)
		} else if err != nil {
			t.Errorf("%d: %v", c.timestamp, err)
		}
	}
}

// signed is a request that was signed with the method, and parsed.
func signed(t testing.TB, method oauth1.Method, secret, tokenSecret string) *oauth1.Request {
	t.Helper()
	body := []byte("server_url=https%3A%2F%2Fblog.example%2F")
	r, err := http.NewRequest("POST", "https://broker.example/broker/connect/?x=%2f&x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	if strings.HasPrefix(string(method), "RSA") {
		err = oauth1.SignRSA(r, body, parameters(method), rsaKey())
	} else {
		err = oauth1.SignHMAC(r, body, parameters(method), secret, tokenSecret)
	}
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := oauth1.Parse(r, parseURL(t, "https://broker.example"), body)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Parameters != parameters(method) {
		t.Errorf("%+v", parsed.Parameters)
	}
	return parsed
}

// TestVerify: a signature is accepted with its secrets or its key, and with
// nothing else.
func TestVerify(t *testing.T) {
	for _, m := range []oauth1.Method{oauth1.HMACSHA1, oauth1.HMACSHA256} {
		r := signed(t, m, clientSecret, "token's")
		if err := r.VerifyHMAC(clientSecret, "token's"); err != nil {
			t.Errorf("%s: %v", m, err)
		}
		for _, secrets := range [][2]string{{clientSecret, ""}, {clientSecret, "token"}, {"hush", "token's"}, {"token's", clientSecret}, {clientSecret + "&token's", ""}} {
			expectRefusal(t, r.VerifyHMAC(secrets[0], secrets[1]), "the signature does not fit", false)
		}
		expectRefusal(t, r.VerifyHMAC("", "token's"), "no secret", false)
		expectRefusal(t, r.VerifyRSA(&rsaKey().PublicKey), "signs with an RSA key", false)
	}
	other := publicKey(t, "rsa2048.pem")
	for _, m := range []oauth1.Method{oauth1.RSASHA1, oauth1.RSASHA256} {
		r := signed(t, m, "", "")
		if err := r.VerifyRSA(&rsaKey().PublicKey); err != nil {
			t.Errorf("%s: %v", m, err)
		}
		expectRefusal(t, r.VerifyRSA(other), "the signature does not fit", false)
		expectRefusal(t, r.VerifyRSA(&rsa.PublicKey{N: rsaKey().N, E: 1}), "the signature does not fit", false)
		expectRefusal(t, r.VerifyRSA(&rsa.PublicKey{N: new(big.Int).Rsh(rsaKey().N, 1), E: 65537}), "no RSA key of 2048 to 4096 bits", false)
		expectRefusal(t, r.VerifyRSA(&rsa.PublicKey{E: 65537}), "no RSA key", false)
		expectRefusal(t, r.VerifyRSA(nil), "no RSA key", false)
		expectRefusal(t, r.VerifyHMAC(clientSecret, ""), "signs with a secret", false)
	}
	var nothing oauth1.Request
	if nothing.VerifyHMAC("s", "") == nil || nothing.VerifyRSA(other) == nil {
		t.Error("a request that was never parsed is verified")
	}
}

// TestSignRefuses: what a server would refuse is not signed, and nothing is left
// in the request.
func TestSignRefuses(t *testing.T) {
	for name, change := range map[string]func(*oauth1.Parameters, *http.Request){
		"no key":      func(p *oauth1.Parameters, _ *http.Request) { p.ConsumerKey = "" },
		"no nonce":    func(p *oauth1.Parameters, _ *http.Request) { p.Nonce = "" },
		"no time":     func(p *oauth1.Parameters, _ *http.Request) { p.Timestamp = 0 },
		"no method":   func(p *oauth1.Parameters, _ *http.Request) { p.Method = "" },
		"RSA":         func(p *oauth1.Parameters, _ *http.Request) { p.Method = oauth1.RSASHA256 },
		"not a URL":   func(_ *oauth1.Parameters, r *http.Request) { r.URL.Host = "" },
		"bad query":   func(_ *oauth1.Parameters, r *http.Request) { r.URL.RawQuery = "a=%" },
		"signed, too": func(_ *oauth1.Parameters, r *http.Request) { r.URL.RawQuery = asForm },
	} {
		r, err := http.NewRequest("POST", "https://broker.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		p := parameters(oauth1.HMACSHA256)
		change(&p, r)
		if err := oauth1.SignHMAC(r, nil, p, clientSecret, ""); err == nil || len(r.Header) != 0 {
			t.Errorf("%s: %v, %v", name, err, r.Header)
		}
	}
	r, err := http.NewRequest("POST", "https://broker.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := oauth1.SignHMAC(r, nil, parameters(oauth1.HMACSHA1), "", ""); !errors.Is(err, oauth1.ErrUnauthorized) {
		t.Errorf("signed without a secret: %v", err)
	}
	if err := oauth1.SignRSA(r, nil, parameters(oauth1.HMACSHA1), rsaKey()); !errors.Is(err, oauth1.ErrUnauthorized) {
		t.Errorf("an RSA signature called %s: %v", oauth1.HMACSHA1, err)
	}
}
