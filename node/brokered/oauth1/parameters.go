// SPDX-License-Identifier: Apache-2.0

package oauth1

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode"
)

// rule says what a protocol parameter may be. Required ones are not empty.
type rule struct {
	name     string
	limit    int // bytes
	required bool
}

// rules are those of the parameters that mean something here. Any other is
// signed like them, and ignored.
func rules() []rule {
	return []rule{
		{"oauth_consumer_key", maxKey, true},
		{"oauth_token", maxKey, false},
		{"oauth_signature_method", maxWord, true},
		{"oauth_signature", maxSignature, true},
		{"oauth_timestamp", maxTimestamp, true},
		{"oauth_nonce", maxNonce, true},
		{"oauth_version", maxWord, false},
		{"oauth_callback", maxCallback, false},
		{"oauth_verifier", maxKey, false},
	}
}

// known returns the name, if it is one of ours, for a sentence that holds
// nothing foreign.
func known(name string) string {
	for _, p := range rules() {
		if p.name == name {
			return name
		}
	}
	return "a parameter"
}

// read checks the protocol parameters and takes them over.
func (r *Request) read(protocol []parameter) error {
	values := map[string]string{}
	for _, p := range protocol {
		if _, twice := values[p.name]; twice {
			return malformed("%s is sent twice", known(p.name))
		}
		if strings.ContainsFunc(p.value, unicode.IsControl) {
			return malformed("%s has a control character", known(p.name))
		}
		values[p.name] = p.value
	}
	for _, p := range rules() {
		switch value := values[p.name]; {
		case p.required && value == "":
			return malformed("%s is missing", p.name)
		case len(value) > p.limit:
			return malformed("%s has more than %d bytes", p.name, p.limit)
		}
	}
	if version, sent := values["oauth_version"]; sent && version != "1.0" {
		return malformed("oauth_version must be 1.0, or left out")
	}
	r.Parameters = Parameters{
		ConsumerKey: values["oauth_consumer_key"],
		Token:       values["oauth_token"],
		Method:      Method(values["oauth_signature_method"]),
		Nonce:       values["oauth_nonce"],
		Callback:    values["oauth_callback"],
		Verifier:    values["oauth_verifier"],
	}
	if r.Method.hash() == 0 {
		return malformed("oauth_signature_method must be %s, %s, %s or %s", HMACSHA1, HMACSHA256, RSASHA1, RSASHA256)
	}
	var err error
	if r.Timestamp, err = parseTimestamp(values["oauth_timestamp"]); err != nil {
		return err
	}
	r.signature, err = parseSignature(values["oauth_signature"])
	return err
}

// parseTimestamp accepts one spelling of each number, so that it is the same
// for whoever remembers it.
func parseTimestamp(s string) (int64, error) {
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || seconds <= 0 || strconv.FormatInt(seconds, 10) != s {
		return 0, malformed("oauth_timestamp must be the seconds since 1970, a positive decimal number without leading zeros")
	}
	return seconds, nil
}

// parseSignature accepts one spelling of each signature.
func parseSignature(s string) ([]byte, error) {
	signature, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(signature) != s {
		return nil, malformed("oauth_signature is not base64 (in a form or a query, + is sent as %%2B)")
	}
	return signature, nil
}
