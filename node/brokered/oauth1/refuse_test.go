// SPDX-License-Identifier: Apache-2.0

package oauth1_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

const (
	clientSecret = "hush & hush"
	formType     = "application/x-www-form-urlencoded"
	original     = `OAuth oauth_consumer_key="app", oauth_nonce="n1", oauth_signature_method="HMAC-SHA256", oauth_timestamp="1795282987", oauth_signature="c2ln"`
	asForm       = `oauth_consumer_key=app&oauth_nonce=n1&oauth_signature_method=HMAC-SHA256&oauth_timestamp=1795282987&oauth_signature=c2ln`
)

// sent is a request as a server reads it from the wire.
func sent(t testing.TB, target, body string, headers ...string) *http.Request {
	t.Helper()
	head := "POST " + target + " HTTP/1.1\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n" + body)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func parse(t testing.TB, target, body string, headers ...string) (*oauth1.Request, error) {
	t.Helper()
	return oauth1.Parse(sent(t, target, body, headers...), parseURL(t, "https://broker.example"), []byte(body))
}

// TestRefusedHeader: changes of a header that is accepted as it is.
func TestRefusedHeader(t *testing.T) {
	if _, err := parse(t, "/", "", "Authorization: "+original); err != nil {
		t.Fatal(err)
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `x%d="", `, i)
		}
		return b.String()
	}
	for _, c := range []struct{ name, old, new, sentence string }{
		{"another scheme", "OAuth ", "Bearer ", "another scheme than OAuth"},
		{"no scheme", "OAuth ", "", "another scheme than OAuth"},
		{"nothing but a scheme", original, "OAuth", "not of the form"},
		{"nothing but a scheme and a space", original, "OAuth  ", "not of the form"},
		{"nothing but a realm", original, `OAuth realm="x"`, "oauth_consumer_key is missing"},
		{"no quotes", `"n1"`, `n1`, "not of the form"},
		{"no quote at the end", `"c2ln"`, `"c2ln`, "not of the form"},
		{"single quotes", `"n1"`, `'n1'`, "not of the form"},
		{"a space before =", `nonce="`, `nonce ="`, "not of the form"},
		{"a space behind =", `nonce="`, `nonce= "`, "not of the form"},
		{"no comma", `"n1",`, `"n1"`, "not of the form"},
		{"two commas", `"n1",`, `"n1",,`, "not of the form"},
		{"a semicolon", `"n1",`, `"n1";`, "not of the form"},
		{"a comma at the end", `"c2ln"`, `"c2ln",`, "not of the form"},
		{"more behind the end", `"c2ln"`, `"c2ln" x`, "not of the form"},
		{"a nameless parameter", `OAuth `, `OAuth ="x", `, "not of the form"},
		{"a name that is not encoded", `OAuth `, `OAuth x[]="x", `, "not of the form"},
		{"a realm with a quote", `OAuth `, `OAuth realm="a\"b", `, "not of the form"},
		{"two realms", `OAuth `, `OAuth realm="a", realm="b", `, "sent twice"},
		{"101 parameters", `OAuth `, `OAuth ` + many(96), "more than 100 parameters"},
		{"1,000 parameters", `OAuth `, `OAuth ` + many(500), "more than 100 parameters"},
		{"more than 8 KiB", `OAuth `, `OAuth x="` + long(8<<10) + `", `, "more than 8192 bytes"},

		{"a raw plus", `"n1"`, `"n+1"`, "the value of oauth_nonce is not percent-encoded"},
		{"a raw slash", `"n1"`, `"n/1"`, "the value of oauth_nonce is not percent-encoded"},
		{"a raw space", `"n1"`, `"n 1"`, "the value of oauth_nonce is not percent-encoded"},
		{"raw base64", `"c2ln"`, `"c2lnbg=="`, "the value of oauth_signature is not percent-encoded"},
		{"raw UTF-8", `"app"`, `"äpp"`, "the value of oauth_consumer_key is not percent-encoded"},
		{"a percent sign at the end", `"n1"`, `"n1%"`, "the value of oauth_nonce is not percent-encoded"},
		{"half of an escape", `"n1"`, `"n1%4"`, "the value of oauth_nonce is not percent-encoded"},
		{"an escape of other letters", `"n1"`, `"n1%4g"`, "the value of oauth_nonce is not percent-encoded"},
		{"no UTF-8", `"app"`, `"%e4pp"`, "the value of oauth_consumer_key is not percent-encoded UTF-8"},
		{"UTF-8 that is too long", `"app"`, `"%c0%af"`, "the value of oauth_consumer_key is not percent-encoded UTF-8"},
		{"half of a surrogate", `"app"`, `"%ed%a0%80"`, "the value of oauth_consumer_key is not percent-encoded UTF-8"},
		{"NUL", `"app"`, `"app%00"`, "the value of oauth_consumer_key is not"},
		{"a line break in the key", `"app"`, `"app%0a"`, "oauth_consumer_key has a control character"},
		{"a control character of Latin 1", `"app"`, `"app%c2%85"`, "oauth_consumer_key has a control character"},
		{"DEL in the nonce", `"n1"`, `"n1%7f"`, "oauth_nonce has a control character"},
		{"a control character in what nobody knows", `OAuth `, `OAuth oauth_x="%01", `, "a parameter has a control character"},

		{"no key", `oauth_consumer_key="app", `, ``, "oauth_consumer_key is missing"},
		{"an empty key", `"app"`, `""`, "oauth_consumer_key is missing"},
		{"a long key", `"app"`, `"` + long(256) + `"`, "oauth_consumer_key has more than 255 bytes"},
		{"two keys", `"app"`, `"app", oauth_consumer_key="app"`, "oauth_consumer_key is sent twice"},
		{"two keys, one encoded", `"app"`, `"app", oauth%5Fconsumer_key="app"`, "oauth_consumer_key is sent twice"},
		{"two of what nobody knows", `"app"`, `"app", oauth_x="1", oauth_x="2"`, "a parameter is sent twice"},
		{"two signatures", `"c2ln"`, `"c2ln", oauth_signature="c2ln"`, "oauth_signature is sent twice"},
		{"a key in upper case", `oauth_consumer_key`, `OAUTH_CONSUMER_KEY`, "oauth_consumer_key is missing"},
		{"a long token", `"app"`, `"app", oauth_token="` + long(256) + `"`, "oauth_token has more than 255 bytes"},
		{"a long verifier", `"app"`, `"app", oauth_verifier="` + long(256) + `"`, "oauth_verifier has more than 255 bytes"},
		{"a long callback", `"app"`, `"app", oauth_callback="` + long(2049) + `"`, "oauth_callback has more than 2048 bytes"},
		{"no nonce", `oauth_nonce="n1", `, ``, "oauth_nonce is missing"},
		{"an empty nonce", `"n1"`, `""`, "oauth_nonce is missing"},
		{"a long nonce", `"n1"`, `"` + long(129) + `"`, "oauth_nonce has more than 128 bytes"},

		{"no method", `oauth_signature_method="HMAC-SHA256", `, ``, "oauth_signature_method is missing"},
		{"PLAINTEXT", `HMAC-SHA256`, `PLAINTEXT`, "oauth_signature_method must be"},
		{"another method", `HMAC-SHA256`, `HMAC-MD5`, "oauth_signature_method must be HMAC-SHA1, HMAC-SHA256, RSA-SHA1 or RSA-SHA256"},
		{"a method in lower case", `HMAC-SHA256`, `hmac-sha256`, "oauth_signature_method must be"},
		{"version 2.0", `"app"`, `"app", oauth_version="2.0"`, "oauth_version must be 1.0"},
		{"version 1.0a", `"app"`, `"app", oauth_version="1.0a"`, "oauth_version must be 1.0"},
		{"an empty version", `"app"`, `"app", oauth_version=""`, "oauth_version must be 1.0"},

		{"no timestamp", `oauth_timestamp="1795282987", `, ``, "oauth_timestamp is missing"},
		{"the time zero", `1795282987`, `0`, "oauth_timestamp must be"},
		{"a negative timestamp", `1795282987`, `-1795282987`, "oauth_timestamp must be"},
		{"a timestamp with a plus", `1795282987`, `%2B1795282987`, "oauth_timestamp must be"},
		{"a timestamp with a zero before it", `1795282987`, `01795282987`, "oauth_timestamp must be"},
		{"a timestamp with a space", `1795282987`, `%201795282987`, "oauth_timestamp must be"},
		{"a timestamp with a fraction", `1795282987`, `1795282987.5`, "oauth_timestamp must be"},
		{"a timestamp in other digits", `1795282987`, `%D9%A1`, "oauth_timestamp must be"},
		{"a timestamp in hexadecimal", `1795282987`, `0x6b01f7ab`, "oauth_timestamp must be"},
		{"a timestamp with underscores", `1795282987`, `1_795_282_987`, "oauth_timestamp must be"},
		{"a timestamp beyond int64", `1795282987`, `9223372036854775808`, "oauth_timestamp must be"},
		{"a timestamp that is longer yet", `1795282987`, `17952829871795282987`, "oauth_timestamp has more than 19 bytes"},

		{"no signature", `, oauth_signature="c2ln"`, ``, "oauth_signature is missing"},
		{"an empty signature", `"c2ln"`, `""`, "oauth_signature is missing"},
		{"a signature without padding", `"c2ln"`, `"c2lnbg"`, "oauth_signature is not base64"},
		{"a signature with loose bits", `"c2ln"`, `"c2lnbh%3D%3D"`, "oauth_signature is not base64"},
		{"a signature in base64url", `"c2ln"`, `"-_-_"`, "oauth_signature is not base64"},
		{"a signature with a space", `"c2ln"`, `"c2%20ln"`, "oauth_signature is not base64"},
		{"a signature in hexadecimal", `"c2ln"`, `"c2ln1"`, "oauth_signature is not base64"},
		{"a signature in lines", `"c2ln"`, `"c2%0Aln"`, "oauth_signature has a control character"},
		{"a long signature", `"c2ln"`, `"` + strings.Repeat("c2ln", 172) + `"`, "oauth_signature has more than 684 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := strings.Replace(original, c.old, c.new, 1)
			if header == original {
				t.Fatalf("nothing was changed: %q", c.old)
			}
			_, err := parse(t, "/", "", "Authorization: "+header)
			expectRefusal(t, err, c.sentence, c.sentence != "another scheme than OAuth")
		})
	}
}

// expectRefusal expects one clear sentence of one of the two kinds.
func expectRefusal(t *testing.T, err error, sentence string, malformed bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), sentence) {
		t.Fatalf("%v, expected %q", err, sentence)
	}
	if errors.Is(err, oauth1.ErrMalformed) != malformed || errors.Is(err, oauth1.ErrUnauthorized) == malformed {
		t.Errorf("of the wrong kind: %v", err)
	}
}

// TestRefusedRequest: what is wrong outside of the Authorization header, or
// between it and the rest.
func TestRefusedRequest(t *testing.T) {
	const header, form = "Authorization: " + original, "Content-Type: " + formType
	for _, c := range []struct {
		name, target, body string
		headers            []string
		sentence           string
	}{
		{"not signed", "/?a=1", "b=1", []string{form}, "not signed"},
		{"signed in a body that is no form", "/", asForm, []string{"Content-Type: text/plain"}, "not signed"},
		{"signed in a body of no type", "/", asForm, nil, "not signed"},
		{"two headers", "/", "", []string{header, header}, "2 Authorization headers"},
		{"a header of another scheme beside", "/", asForm, []string{"Authorization: Basic eDp5", form}, "another scheme than OAuth"},
		{"in header and body", "/", asForm, []string{header, form}, "in two places"},
		{"in header and query", "/?" + asForm, "", []string{header}, "in two places"},
		{"in body and query", "/?" + asForm, asForm, []string{form}, "in two places"},
		{"one parameter in the query", "/?oauth_token=t", "", []string{header}, "in two places"},
		{"one parameter in the body", "/", "oauth_token=t", []string{header, form}, "in two places"},
		{"one encoded parameter in the query", "/?%6fauth_token=t", "", []string{header}, "in two places"},
		{"one unknown parameter in the query", "/?oauth_x", "", []string{header}, "in two places"},
		{"a realm beside", "/?" + asForm, "", []string{`Authorization: OAuth realm="x"`}, "in two places"},
		{"two keys in the body", "/", asForm + "&oauth_consumer_key=app", []string{form}, "oauth_consumer_key is sent twice"},
		{"two keys in the query", "/?" + asForm + "&oauth_consumer_key=app", "", nil, "oauth_consumer_key is sent twice"},
		{"a raw plus in a signature", "/?" + strings.Replace(asForm, "c2ln", "c2+n", 1), "", nil, "sent as %2B"},
		{"a body that is badly encoded", "/", "a=%zz", []string{header, form}, "the body is not form-encoded"},
		{"a body that ends early", "/", "a=%4", []string{header, form}, "the body is not form-encoded"},
		{"a body of no UTF-8", "/", "a=%ff", []string{header, form}, "the body is not form-encoded"},
		{"a body of raw bytes that are no UTF-8", "/", "a=\xff", []string{header, form}, "the body is not form-encoded"},
		{"a body with a name of no UTF-8", "/", "%ff=a", []string{header, form}, "the body is not form-encoded"},
		{"a body with NUL", "/", "a=%00", []string{header, form}, "the body is not form-encoded"},
		{"a body that ends in a line break", "/", "a=1\n", []string{header, form}, "the body is not form-encoded"},
		{"a body with a space", "/", "a=1 2", []string{header, form}, "the body is not form-encoded"},
		{"a body with DEL", "/", "a=\x7f", []string{header, form}, "the body is not form-encoded"},
		{"a body with a semicolon", "/", "a=1;b=2", []string{header, form}, "the body is not form-encoded"},
		{"a query with a semicolon", "/?a=1;b=2", "", []string{header}, "the query is not form-encoded"},
		{"a query that is badly encoded", "/?a=%", "", []string{header}, "the query is not form-encoded"},
		{"a body that is too long", "/", "a=" + strings.Repeat("x", 64<<10), []string{header, form}, "the body has more than 65536 bytes"},
		{"a query that is too long", "/?a=" + strings.Repeat("x", 8<<10), "", []string{header}, "the query has more than 8192 bytes"},
		{"101 parameters in the body", "/", strings.Repeat("a&", 95) + "a", []string{header, form}, "more than 100 parameters"},
		{"101 parameters in both", "/?" + strings.Repeat("a&", 48), strings.Repeat("a&", 48), []string{header, form}, "more than 100 parameters"},
		{"10,000 empty parameters", "/", strings.Repeat("&", 10_000), []string{header, form}, "more than 100 parameters"},
		{"two content types", "/", "a=1", []string{header, form, form}, "2 Content-Type headers"},
		{"a content type that cannot be read", "/", "a=1", []string{header, form + "; charset"}, "the Content-Type cannot be read"},
		{"a compressed form", "/", "a=1", []string{header, form, "Content-Encoding: gzip"}, "Content-Encoding is not supported"},
		{"no path", "*", "", []string{header}, "has no path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.target, c.body, c.headers...)
			expectRefusal(t, err, c.sentence, c.sentence != "not signed" && c.sentence != "another scheme than OAuth")
		})
	}
}

// TestRefusalsHoldNothingForeign: what the request says is not in the error,
// which is shown and logged.
func TestRefusalsHoldNothingForeign(t *testing.T) {
	for _, header := range []string{
		strings.Replace(original, `"n1"`, `"evil\"`, 1),
		strings.Replace(original, "oauth_nonce", "oauth_evil=, oauth_nonce", 1),
		strings.Replace(original, "OAuth ", `OAuth oauth_evil="1", oauth_evil="1", `, 1),
		strings.Replace(original, "OAuth ", `OAuth oauth_evil="%zz", `, 1),
		strings.Replace(original, "HMAC-SHA256", "evil", 1),
		strings.Replace(original, "1795282987", "evil", 1),
		strings.Replace(original, "c2ln", "evil1", 1),
		"evil",
	} {
		_, err := parse(t, "/", "", "Authorization: "+header)
		if err == nil || strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// TestPublic: an unusable public URL is the server's fault and no client's.
func TestPublic(t *testing.T) {
	for _, public := range []*url.URL{
		nil, {}, {Scheme: "https"}, {Scheme: "https", Host: ":443"}, {Host: "broker.example"},
		{Scheme: "ftp", Host: "broker.example"}, {Scheme: "https", Host: "broker.example", User: url.User("x")},
	} {
		_, err := oauth1.Parse(sent(t, "/", "", "Authorization: "+original), public, nil)
		if err == nil || errors.Is(err, oauth1.ErrMalformed) || errors.Is(err, oauth1.ErrUnauthorized) {
			t.Errorf("%v: %v", public, err)
		}
	}
}
