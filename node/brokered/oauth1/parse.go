// SPDX-License-Identifier: Apache-2.0

package oauth1

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// parameter is one decoded parameter of a request.
type parameter struct{ name, value string }

// prefix is reserved for protocol parameters.
const prefix = "oauth_"

// Parse reads a signed request and computes its base string; it does not look
// at the signature. public is the URL of this server as its clients know it, of
// which scheme and host count: they come from configuration and never from the
// Host header, which no signature protects if the server believes it. Path and
// query are those of r.URL, as they were sent. body is r's body, which the
// caller has read; r.Body is not touched.
//
// A refusal wraps [ErrMalformed], or [ErrUnauthorized] where there is no
// signature. Any other error means that public is unusable.
func Parse(r *http.Request, public *url.URL, body []byte) (*Request, error) {
	uri, err := baseURI(r.URL, public)
	if err != nil {
		return nil, err
	}
	inHeader, authorized, err := headerParameters(r.Header)
	if err != nil {
		return nil, err
	}
	inBody, err := bodyParameters(r.Header, body)
	if err != nil {
		return nil, err
	}
	inQuery, err := formParameters(r.URL.RawQuery, "the query", maxQuery)
	if err != nil {
		return nil, err
	}
	sent := append(inQuery, inBody...)
	if len(inHeader)+len(sent) > maxParameters {
		return nil, malformed("more than %d parameters", maxParameters)
	}

	// Exactly one place has the protocol parameters (RFC 5849, section 3.5).
	protocol := inHeader
	switch b, q := hasProtocol(inBody), hasProtocol(inQuery); {
	case authorized && (b || q) || b && q:
		return nil, malformed("oauth_ parameters are in two places: send all of them in the Authorization header, or in the body, or in the query")
	case !authorized && !b && !q:
		return nil, unauthorized("the request is not signed: it has no oauth_ parameters in an Authorization header, a form body or the query")
	}
	parsed := &Request{form: url.Values{}}
	for _, p := range sent {
		if strings.HasPrefix(p.name, prefix) {
			protocol = append(protocol, p)
		} else {
			parsed.form[p.name] = append(parsed.form[p.name], p.value)
		}
	}
	if err := parsed.read(protocol); err != nil {
		return nil, err
	}
	parsed.base = baseString(r.Method, uri, inHeader, sent)
	return parsed, nil
}

func hasProtocol(parameters []parameter) bool {
	for _, p := range parameters {
		if strings.HasPrefix(p.name, prefix) {
			return true
		}
	}
	return false
}

// headerParameters reads the Authorization header (RFC 5849, section 3.5.1),
// without its realm. It reports whether there is such a header.
func headerParameters(h http.Header) ([]parameter, bool, error) {
	lines := h.Values("Authorization")
	switch {
	case len(lines) == 0:
		return nil, false, nil
	case len(lines) > 1:
		return nil, false, malformed("there are %d Authorization headers: send one", len(lines))
	case len(lines[0]) > maxHeader:
		return nil, false, malformed("the Authorization header has more than %d bytes", maxHeader)
	}
	scheme, rest, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return nil, false, unauthorized("the Authorization header has another scheme than OAuth")
	}
	var all []parameter
	seen := map[string]bool{}
	for more := true; more; {
		var p parameter
		var err error
		if p, rest, err = headerParameter(rest); err != nil {
			return nil, false, err
		}
		if seen[p.name] {
			return nil, false, malformed("%s is sent twice", known(p.name))
		}
		seen[p.name] = true
		if p.name != "realm" {
			all = append(all, p)
		}
		if rest = trim(rest); rest == "" {
			return all, true, nil
		}
		rest, more = strings.CutPrefix(rest, ",")
	}
	return nil, false, errHeader()
}

// headerParameter takes one name="value" from the front.
func headerParameter(header string) (p parameter, rest string, err error) {
	name, rest, ok := strings.Cut(trim(header), `="`)
	if !ok {
		return p, "", errHeader()
	}
	value, rest, ok := strings.Cut(rest, `"`)
	if !ok {
		return p, "", errHeader()
	}
	if p.name, ok = unescape(name, false); !ok || name == "" {
		return p, "", errHeader()
	}
	if p.name == "realm" { // a quoted string like that of other schemes: nobody reads it
		return p, rest, nil
	}
	if p.value, ok = unescape(value, false); !ok {
		return p, "", malformed("the value of %s is not percent-encoded UTF-8: encode all but letters, digits and - . _ ~ (RFC 5849, section 3.6)", known(p.name))
	}
	return p, rest, nil
}

func errHeader() error {
	return malformed(`the Authorization header is not of the form: OAuth name="value", name="value"`)
}

func trim(s string) string { return strings.Trim(s, " \t") }

// bodyParameters reads a body that is a form (RFC 5849, section 3.4.1.3.1); any
// other body is not covered by the signature, and not read.
func bodyParameters(h http.Header, body []byte) ([]parameter, error) {
	types := h.Values("Content-Type")
	if len(types) == 0 {
		return nil, nil
	}
	media, _, err := mime.ParseMediaType(types[0])
	switch {
	case len(types) > 1:
		return nil, malformed("there are %d Content-Type headers: send one", len(types))
	case err != nil:
		return nil, malformed("the Content-Type cannot be read")
	case media != "application/x-www-form-urlencoded":
		return nil, nil
	case h.Get("Content-Encoding") != "":
		return nil, malformed("a form with a Content-Encoding is not supported")
	}
	return formParameters(string(body), "the body", maxBody)
}

// formParameters reads what HTML calls application/x-www-form-urlencoded. Of
// "a&b=", both names have an empty value.
func formParameters(encoded, where string, limit int) ([]parameter, error) {
	if len(encoded) > limit {
		return nil, malformed("%s has more than %d bytes", where, limit)
	}
	if strings.Count(encoded, "&") >= maxParameters {
		return nil, malformed("more than %d parameters", maxParameters)
	}
	var all []parameter
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok := unescape(name, true)
		value, valid := unescape(value, true)
		if !ok || !valid {
			return nil, malformed("%s is not form-encoded UTF-8 text", where)
		}
		all = append(all, parameter{name, value})
	}
	return all, nil
}
