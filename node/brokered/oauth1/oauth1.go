// SPDX-License-Identifier: Apache-2.0

// Package oauth1 reads, verifies and signs requests of OAuth 1.0a (RFC 5849):
// those by which a client asks its broker for a connection to a site, and those
// of sites that tests set up. It does no I/O, has no clock, keeps nothing and
// logs nothing.
//
// # Whom it trusts
//
// Nobody. Of a request whose signature was verified it vouches for method, URL,
// form and protocol parameters: whoever has the client's secret (or key), and
// the token's secret, has signed just these. It does not vouch for other
// headers, for a body that is no form, for the order of parameters, or for which
// of them are in the query and which in the body. SHA-1 is safe in HMAC; with
// RSA it is as weak as SHA-1 is, and here for clients that know nothing better.
//
// # Format
//
//	POST /broker/connect/?lang=de HTTP/1.1
//	Host: broker.example
//	Authorization: OAuth oauth_consumer_key="app%201",
//	    oauth_nonce="kllo9940pd9333jh", oauth_signature_method="HMAC-SHA256",
//	    oauth_timestamp="1795282987", oauth_version="1.0",
//	    oauth_signature="vx7H%2B%2F%2BJSV2Fge%2B%2FWD3bttYcwXHB6HgBCvB6aboMaq8%3D"
//	Content-Type: application/x-www-form-urlencoded
//
//	server_url=https%3A%2F%2Fblog.example%2F
//
// (The Authorization header is one line.) To the server that its clients know
// as https://broker.example, this has the signature base string
//
//	POST&https%3A%2F%2Fbroker.example%2Fbroker%2Fconnect%2F&lang%3Dde%26oauth_
//	consumer_key%3Dapp%25201%26oauth_nonce%3Dkllo9940pd9333jh%26oauth_signatur
//	e_method%3DHMAC-SHA256%26oauth_timestamp%3D1795282987%26oauth_version%3D1.
//	0%26server_url%3Dhttps%253A%252F%252Fblog.example%252F
//
// (one line, too), and the signature is that of the secret "kd94hf93k423kf44"
// without a token: HMAC-SHA256 with the key "kd94hf93k423kf44&".
//
// # What is accepted
//
// The protocol parameters are in one place (section 3.5): an Authorization
// header, a form body or the query. If there is an Authorization header it is
// that one. A parameter that begins with oauth_ in a second place refuses the
// request, and so does one that is there twice. The signature covers those that
// nobody knows, and they mean nothing.
//
//	oauth_consumer_key      1 to 255 bytes
//	oauth_token             up to 255 bytes, may be empty or absent
//	oauth_signature_method  HMAC-SHA1, HMAC-SHA256, RSA-SHA1, RSA-SHA256
//	oauth_timestamp         positive decimal number below 2^63, without leading zeros
//	oauth_nonce             1 to 128 bytes
//	oauth_version           1.0, or absent
//	oauth_signature         canonical base64 with padding
//	oauth_callback          up to 2048 bytes
//	oauth_verifier          up to 255 bytes
//
// All are UTF-8 without control characters. PLAINTEXT is not accepted: it sends
// the secret along.
//
// In the header, names and values are percent-encoded: anything but letters,
// digits and "-._~" is %XX, in upper or lower case. Only the realm is a quoted
// string without quotes in it; nobody reads it, and no signature covers it.
//
// Query and body are application/x-www-form-urlencoded UTF-8 without NUL: "+" is
// a space, and other characters may stand for themselves, but for control
// characters, spaces and ";". A body counts if the Content-Type says that it is
// such a form. Names may repeat; [Request.Value] is for those that must not.
//
// The base string is that of section 3.4.1: scheme and host from configuration,
// in lower case and without the port that the scheme implies; the path as it
// was sent; all parameters but realm and oauth_signature, encoded, and then
// sorted by name and value. limits.go has the sizes.
//
// # What the caller does
//
// After the signature is verified, it checks the time with [Request.CheckTime],
// and claims the client, token, timestamp and nonce in one statement of its
// store, until [Window] after the timestamp (which may be as far ahead of the
// clock): a request whose four were claimed is a replay (section 3.3). Before,
// nothing is claimed, or strangers could use up a client's nonces. It knows by
// the client whether to call [Request.VerifyHMAC] or [Request.VerifyRSA], never
// by the request.
package oauth1

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

var (
	// ErrMalformed is wrapped by the refusal of a request that no client should
	// send, whoever it is: answer 400.
	ErrMalformed = errors.New("malformed OAuth 1.0a request")
	// ErrUnauthorized is wrapped by the refusal of a request that does not prove
	// who sent it, now: answer 401.
	ErrUnauthorized = errors.New("unauthorized OAuth 1.0a request")
)

// malformed and unauthorized make the two kinds of refusals. Nothing in their
// sentences comes from the request but numbers.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func unauthorized(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnauthorized, fmt.Sprintf(format, args...))
}

// Method is a signature method (RFC 5849, section 3.4).
type Method string

// The methods that are accepted. Those with SHA-256 are no part of the RFC, but
// what its users agreed upon since: the same computation with another hash.
const (
	HMACSHA1   Method = "HMAC-SHA1"
	HMACSHA256 Method = "HMAC-SHA256"
	RSASHA1    Method = "RSA-SHA1"
	RSASHA256  Method = "RSA-SHA256"
)

// Parameters are the protocol parameters of a request (RFC 5849, section 3.1),
// decoded.
type Parameters struct {
	// ConsumerKey names the client. 1 to 255 bytes.
	ConsumerKey string
	// Token is empty where the client speaks only for itself. Up to 255 bytes.
	Token  string
	Method Method
	// Nonce is unique for its client, token and timestamp. 1 to 128 bytes.
	Nonce string
	// Timestamp is in seconds since 1970, positive.
	Timestamp int64
	// Callback is where the user is to be sent (section 2.1), "oob" for nowhere,
	// or empty when it was not sent. Up to 2,048 bytes; it need not be a URL.
	Callback string
	// Verifier is what the user brought back (section 2.3), or empty. Up to 255
	// bytes.
	Verifier string
}

// Request is one parsed request. Until VerifyHMAC or VerifyRSA has said so,
// nobody vouches for anything in it.
type Request struct {
	Parameters

	signature []byte
	base      string
	form      url.Values
}

// Form returns the request parameters of query and body together: all that are
// no protocol parameters, with each value of a name that was sent repeatedly.
// It is covered by the signature, unlike a body that is no form.
func (r *Request) Form() url.Values { return r.form }

// Value returns the request parameter of that name, which must have been sent
// once, and not empty: otherwise the error wraps [ErrMalformed].
func (r *Request) Value(name string) (string, error) {
	switch values := r.form[name]; {
	case len(values) > 1:
		return "", malformed("%s is sent %d times: send it once", name, len(values))
	case len(values) == 0 || values[0] == "":
		return "", malformed("%s is missing", name)
	default:
		return values[0], nil
	}
}

// BaseString returns the signature base string (RFC 5849, section 3.4.1). It
// holds no secret, and helps whoever looks for why signatures differ.
func (r *Request) BaseString() string { return r.base }

// CheckTime refuses a timestamp that is more than [Window] from now. The error
// wraps [ErrUnauthorized].
func (r *Request) CheckTime(now time.Time) error {
	const window = int64(Window / time.Second)
	ahead := r.Timestamp - now.Unix()
	switch {
	case ahead > window:
		return unauthorized("oauth_timestamp is %d s ahead of this server's clock, more than %d s: set the client's clock", ahead, window)
	case ahead < -window:
		return unauthorized("oauth_timestamp is %d s behind this server's clock, more than %d s: set the client's clock, and sign each request anew", -ahead, window)
	}
	return nil
}
