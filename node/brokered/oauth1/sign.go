// SPDX-License-Identifier: Apache-2.0

package oauth1

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// SignHMAC signs a request that is about to be sent, and puts all protocol
// parameters into its Authorization header. r.URL is absolute and final; body is
// what r.Body will send. The secret of the token is empty where p has no token.
// What [Parse] would refuse is not signed.
func SignHMAC(r *http.Request, body []byte, p Parameters, clientSecret, tokenSecret string) error {
	return sign(r, body, p, func(parsed *Request) ([]byte, error) {
		parsed.signature = p.Method.mac(parsed.base, clientSecret, tokenSecret)
		return parsed.signature, parsed.VerifyHMAC(clientSecret, tokenSecret)
	})
}

// SignRSA is like SignHMAC, with the client's RSA key.
func SignRSA(r *http.Request, body []byte, p Parameters, key *rsa.PrivateKey) error {
	return sign(r, body, p, func(parsed *Request) (_ []byte, err error) {
		if parsed.signature, err = rsa.SignPKCS1v15(nil, key, p.Method.hash(), p.Method.digest(parsed.base)); err != nil {
			return nil, err
		}
		return parsed.signature, parsed.VerifyRSA(&key.PublicKey)
	})
}

// sign lets Parse read the request with a signature that is none, has its base
// string signed, and puts the signature in its place.
func sign(r *http.Request, body []byte, p Parameters, with func(*Request) ([]byte, error)) error {
	r.Header.Set("Authorization", p.header([]byte("none")))
	parsed, err := Parse(r, r.URL, body)
	if err == nil {
		var signature []byte
		if signature, err = with(parsed); err == nil {
			r.Header.Set("Authorization", p.header(signature))
			return nil
		}
	}
	r.Header.Del("Authorization")
	return fmt.Errorf("signing a request: %w", err)
}

// header writes the Authorization header.
func (p Parameters) header(signature []byte) string {
	var all []string
	add := func(name, value string) { all = append(all, name+`="`+escape(value)+`"`) }
	add("oauth_consumer_key", p.ConsumerKey)
	add("oauth_nonce", p.Nonce)
	add("oauth_signature_method", string(p.Method))
	add("oauth_timestamp", strconv.FormatInt(p.Timestamp, 10))
	add("oauth_version", "1.0")
	if p.Token != "" {
		add("oauth_token", p.Token)
	}
	if p.Callback != "" {
		add("oauth_callback", p.Callback)
	}
	if p.Verifier != "" {
		add("oauth_verifier", p.Verifier)
	}
	add("oauth_signature", base64.StdEncoding.EncodeToString(signature))
	return "OAuth " + strings.Join(all, ", ")
}
