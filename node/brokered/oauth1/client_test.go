// SPDX-License-Identifier: Apache-2.0

package oauth1_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	client "github.com/dghubble/oauth1"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

// rsa256 makes the client sign with RSA-SHA256, which it does not bring along:
// the base string is the client's.
type rsa256 struct{ key *rsa.PrivateKey }

func (rsa256) Name() string { return "RSA-SHA256" }

func (s rsa256) Sign(_, message string) (string, error) {
	digest := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, digest[:])
	return base64.StdEncoding.EncodeToString(signature), err
}

// TestAnotherClient: over real HTTP, a client that we did not write signs in
// every method, for itself and for a user.
func TestAnotherClient(t *testing.T) {
	const tokenSecret = "t&s ü"
	for name, signer := range map[oauth1.Method]client.Signer{
		oauth1.HMACSHA1:   nil, // its default
		oauth1.HMACSHA256: &client.HMAC256Signer{ConsumerSecret: clientSecret},
		oauth1.RSASHA1:    &client.RSASigner{PrivateKey: rsaKey()},
		oauth1.RSASHA256:  rsa256{rsaKey()},
	} {
		t.Run(string(name), func(t *testing.T) {
			var public *url.URL
			verified := map[string]int{}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				parsed, err := oauth1.Parse(r, public, body)
				if err != nil {
					t.Errorf("%s: %v", r.URL, err)
					return
				}
				token := ""
				if parsed.Token != "" {
					token = tokenSecret
				}
				if strings.HasPrefix(string(name), "RSA") {
					err = parsed.VerifyRSA(&rsaKey().PublicKey)
				} else {
					err = parsed.VerifyHMAC(clientSecret, token)
				}
				if err != nil || parsed.Method != name || parsed.ConsumerKey != "app & key" {
					t.Errorf("%s: %v, %+v, %s", r.URL, err, parsed.Parameters, parsed.BaseString())
				}
				verified[r.URL.Path]++
				switch r.URL.Path {
				case "/request":
					if parsed.Callback != "https://app.example/back?x=1&y=%20" {
						t.Errorf("callback %q", parsed.Callback)
					}
					io.WriteString(w, "oauth_token=t1&oauth_token_secret="+url.QueryEscape(tokenSecret)+"&oauth_callback_confirmed=true")
				case "/access":
					if parsed.Token != "t1" || parsed.Verifier != "v/1" {
						t.Errorf("token %q, verifier %q", parsed.Token, parsed.Verifier)
					}
					io.WriteString(w, "oauth_token=t2&oauth_token_secret="+url.QueryEscape(tokenSecret))
				case "/broker/connect/":
					if site, err := parsed.Value("server_url"); site != "https://blog.example/ü?a=b&c=+" || err != nil {
						t.Errorf("server_url %q, %v", site, err)
					}
				}
			}))
			defer server.Close()
			public = parseURL(t, server.URL)

			config := client.Config{
				ConsumerKey: "app & key", ConsumerSecret: clientSecret, Signer: signer, Realm: "a realm",
				CallbackURL: "https://app.example/back?x=1&y=%20",
				Endpoint:    client.Endpoint{RequestTokenURL: server.URL + "/request", AccessTokenURL: server.URL + "/access"},
			}
			token, secret, err := config.RequestToken()
			if err != nil {
				t.Fatal(err)
			}
			token, secret, err = config.AccessToken(token, secret, "v/1")
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{"server_url": {"https://blog.example/ü?a=b&c=+"}, "": {"~!*'()"}}
			for _, c := range []*http.Client{
				config.Client(client.NoContext, client.NewToken("", "")),
				config.Client(client.NoContext, client.NewToken(token, secret)),
			} {
				for _, call := range []func() (*http.Response, error){
					func() (*http.Response, error) { return c.PostForm(server.URL+"/broker/connect/", form) },
					func() (*http.Response, error) { return c.Get(server.URL + "/a%20b/%C3%BC?q=x+y&r=%2B&s=~") },
					func() (*http.Response, error) {
						return c.Post(server.URL+"/json", "application/json", strings.NewReader(`{"a":1}`))
					},
				} {
					response, err := call()
					if err != nil {
						t.Fatal(err)
					}
					response.Body.Close()
				}
			}
			if len(verified) != 5 || verified["/broker/connect/"] != 2 || verified["/json"] != 2 {
				t.Errorf("verified %v", verified)
			}
		})
	}
}
