// SPDX-License-Identifier: Apache-2.0

package oauth1_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

// FuzzHeader: whatever the Authorization header holds, there is an answer of
// one of the two kinds; and what is accepted holds only what it may, and can be
// signed and read again.
func FuzzHeader(f *testing.F) {
	f.Add(original)
	for _, file := range []string{"rfc5849.txt", "recorded.txt", "openssl.txt"} {
		for _, x := range exchanges(f, file) {
			f.Add(x.request(f).Header.Get("Authorization"))
		}
	}
	public := parseURL(f, "https://broker.example")
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Method: "POST", URL: &url.URL{Scheme: "https", Host: "broker.example", Path: "/"}, Header: http.Header{"Authorization": {header}}}
		parsed, err := oauth1.Parse(r, public, nil)
		if err != nil {
			if parsed != nil || errors.Is(err, oauth1.ErrMalformed) == errors.Is(err, oauth1.ErrUnauthorized) {
				t.Fatalf("%+v, %v", parsed, err)
			}
			return
		}
		for _, s := range []string{parsed.ConsumerKey, parsed.Token, parsed.Nonce, parsed.Callback, parsed.Verifier} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || len(s) > 2048 {
				t.Fatalf("%q", s)
			}
		}
		if parsed.ConsumerKey == "" || parsed.Nonce == "" || parsed.Timestamp <= 0 || len(parsed.Form()) != 0 {
			t.Fatalf("%+v, %v", parsed.Parameters, parsed.Form())
		}
		if strings.HasPrefix(string(parsed.Method), "RSA") {
			return
		}
		if err := oauth1.SignHMAC(r, nil, parsed.Parameters, clientSecret, ""); err != nil {
			if len(header) < 2048 { // a callback that is encoded may be too long for a header
				t.Fatal(err)
			}
			return
		}
		if again, err := oauth1.Parse(r, public, nil); err != nil || again.Parameters != parsed.Parameters || again.VerifyHMAC(clientSecret, "") != nil {
			t.Fatalf("%+v, %v, expected %+v", again, err, parsed.Parameters)
		}
	})
}

// FuzzRequest: what was signed verifies as it was sent, and a changed byte of
// the path, the query or the body is refused unless it means the same.
func FuzzRequest(f *testing.F) {
	f.Add("/broker/connect/", "x=1", "server_url=https%3A%2F%2Fblog.example%2F", uint(3), byte(1))
	f.Add("/a%2fb", "a=+&%61=%20&b", "a=&=", uint(20), byte(0x20))
	f.Add("/~", "", "z=%C3%BC", uint(1), byte(2))
	f.Fuzz(func(t *testing.T, path, query, body string, at uint, mask byte) {
		request := func(path, query string) *http.Request {
			u, err := url.ParseRequestURI(path)
			if err != nil || u.IsAbs() || u.Host != "" || strings.ContainsAny(path, "?#") {
				return nil
			}
			u.Scheme, u.Host, u.RawQuery = "https", "broker.example", query
			return &http.Request{Method: "POST", URL: u, Header: http.Header{"Content-Type": {formType}}}
		}
		r := request(path, query)
		if r == nil {
			return
		}
		if err := oauth1.SignHMAC(r, []byte(body), parameters(oauth1.HMACSHA256), clientSecret, "t"); err != nil {
			return
		}
		parsed, err := oauth1.Parse(r, r.URL, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := parsed.VerifyHMAC(clientSecret, "t"); err != nil {
			t.Fatal(err)
		}

		whole := []byte(path + query + body)
		whole[at%uint(len(whole))] ^= mask
		changed := string(whole)
		path2, query2, body2 := changed[:len(path)], changed[len(path):len(path)+len(query)], changed[len(path)+len(query):]
		r2 := request(path2, query2)
		if r2 == nil {
			return
		}
		r2.Header = r.Header
		parsed2, err := oauth1.Parse(r2, r2.URL, []byte(body2))
		if err != nil || parsed2.VerifyHMAC(clientSecret, "t") != nil {
			return
		}
		if r2.URL.EscapedPath() != r.URL.EscapedPath() || !sameForm(parsed2.Form(), parsed.Form()) {
			t.Fatalf("%q %q %q is taken for %q %q %q", path2, query2, body2, path, query, body)
		}
	})
}

// sameForm compares the values of each name without their order, which no
// signature covers.
func sameForm(a, b url.Values) bool {
	count := func(v url.Values) map[[2]string]int {
		n := map[[2]string]int{}
		for name, values := range v {
			for _, value := range values {
				n[[2]string{name, value}]++
			}
		}
		return n
	}
	x, y := count(a), count(b)
	if len(x) != len(y) {
		return false
	}
	for k, n := range x {
		if y[k] != n {
			return false
		}
	}
	return true
}

// BenchmarkVerify reads and verifies a recorded request.
func BenchmarkVerify(b *testing.B) {
	for _, x := range exchanges(b, "openssl.txt") {
		if x.known["expect"] != "valid" {
			continue
		}
		b.Run(x.name, func(b *testing.B) {
			r, public := x.request(b), x.public(b)
			b.ReportAllocs()
			for b.Loop() {
				parsed, err := oauth1.Parse(r, public, x.body)
				if err != nil {
					b.Fatal(err)
				}
				if err := x.verify(b, parsed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
