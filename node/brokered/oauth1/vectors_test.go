// SPDX-License-Identifier: Apache-2.0

package oauth1_test

import (
	"bufio"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

// exchange is one request of testdata, with what is known about it.
type exchange struct {
	name  string
	known map[string]string
	head  string // request line and headers
	body  []byte
}

// exchanges reads a file of testdata; recorded.txt says how it is written.
func exchanges(t testing.TB, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	for _, block := range strings.Split(string(text), "\n=== ")[1:] {
		parts := strings.SplitN(strings.TrimSpace(block), "\n\n", 3)
		if len(parts) < 2 {
			t.Fatalf("%s: no request in %q", file, block)
		}
		lines := strings.Split(parts[0], "\n")
		x := exchange{name: lines[0], known: map[string]string{}, head: parts[1]}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			x.known[name] = value
		}
		if len(parts) == 3 {
			x.body = []byte(parts[2])
		}
		all = append(all, x)
	}
	return all
}

// request is the request as a server reads it.
func (x exchange) request(t testing.TB) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(x.head + "\n\n")))
	if err != nil {
		t.Fatalf("%s: %v", x.name, err)
	}
	return r
}

func (x exchange) public(t testing.TB) *url.URL { return parseURL(t, x.known["public"]) }

// verify checks the signature with the key or the secrets of the exchange.
func (x exchange) verify(t testing.TB, parsed *oauth1.Request) error {
	t.Helper()
	if x.known["key"] != "" {
		return parsed.VerifyRSA(publicKey(t, x.known["key"]))
	}
	return parsed.VerifyHMAC(x.known["client-secret"], x.known["token-secret"])
}

func publicKey(t testing.TB, file string) *rsa.PublicKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PublicKey)
}

func parseURL(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestVectors: requests that other programs signed have the base string that
// other programs compute, and are accepted or refused as the file says.
func TestVectors(t *testing.T) {
	for file, count := range map[string]int{"rfc5849.txt": 8, "recorded.txt": 27, "openssl.txt": 10} {
		all := exchanges(t, file)
		if len(all) != count {
			t.Errorf("%s has %d exchanges, expected %d", file, len(all), count)
		}
		for _, x := range all {
			t.Run(x.name, func(t *testing.T) {
				parsed, err := oauth1.Parse(x.request(t), x.public(t), x.body)
				if err != nil {
					t.Fatal(err)
				}
				if parsed.BaseString() != x.known["base"] {
					t.Errorf("base string\n%s, expected\n%s", parsed.BaseString(), x.known["base"])
				}
				switch err := x.verify(t, parsed); x.known["expect"] {
				case "valid":
					if err != nil {
						t.Error(err)
					}
				case "unauthorized", "parsed":
					if !errors.Is(err, oauth1.ErrUnauthorized) {
						t.Errorf("%v", err)
					}
				default:
					t.Errorf("expect: %q", x.known["expect"])
				}
			})
		}
	}
}

// TestEveryFlippedBit: of a valid request, with one bit of its URL, its headers
// or its body flipped, no other meaning is ever accepted.
func TestEveryFlippedBit(t *testing.T) {
	tried, same := 0, 0
	for _, file := range []string{"rfc5849.txt", "recorded.txt", "openssl.txt"} {
		for _, x := range exchanges(t, file) {
			if x.known["expect"] != "valid" || x.known["key"] == "rsa4096.pem" {
				continue
			}
			original, err := oauth1.Parse(x.request(t), x.public(t), x.body)
			if err != nil {
				t.Fatal(err)
			}
			whole := x.head + "\n\n" + string(x.body)
			for i := range whole {
				for bit := range 8 {
					flipped := []byte(whole)
					flipped[i] ^= 1 << bit
					head, body, _ := strings.Cut(string(flipped), "\n\n")
					r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\n\n")))
					if err != nil {
						continue
					}
					tried++
					parsed, err := oauth1.Parse(r, x.public(t), []byte(body))
					if err != nil || x.verify(t, parsed) != nil {
						continue
					}
					same++
					if parsed.Parameters != original.Parameters || parsed.Form().Encode() != original.Form().Encode() ||
						r.URL.EscapedPath() != x.request(t).URL.EscapedPath() || !strings.EqualFold(r.Method, x.request(t).Method) {
						t.Errorf("%s: bit %d of byte %d is not covered by the signature:\n%s", x.name, bit, i, flipped)
					}
				}
			}
		}
	}
	if tried < 10_000 || same == 0 {
		t.Errorf("%d requests were read, of which %d mean the same", tried, same)
	}
	t.Logf("%d requests were read, of which %d mean the same", tried, same)
}
