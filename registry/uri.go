// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/netip"
	"strconv"
	"strings"
)

// uri is a URI in its one canonical form, taken apart.
type uri struct {
	scheme string
	opaque bool   // no "//": scheme:/path
	host   string // DNS name, IPv4 address, or IPv6 address in brackets
	port   string // empty for the default
	path   string // starts with a slash, or empty
	query  string // with its question mark, or empty
}

func (u uri) String() string {
	if u.opaque {
		return u.scheme + ":" + u.path + u.query
	}
	return u.origin() + u.path + u.query
}

func (u uri) origin() string {
	if u.port != "" {
		return u.scheme + "://" + u.host + ":" + u.port
	}
	return u.scheme + "://" + u.host
}

// originOf is the origin of a URI that has been checked.
func originOf(s string) string {
	u, err := parseURI(s)
	if err != nil {
		return ""
	}
	return u.origin()
}

// loopback reports whether the host is a literal loopback address. The name
// localhost is not: it may resolve to anything (RFC 8252 section 8.3).
func (u uri) loopback() bool { return u.host == "127.0.0.1" || u.host == "[::1]" }

// parseURI accepts an absolute URI (RFC 3986) that is already in canonical
// form, and otherwise says what that form is. It has no fragment, no user
// info, no character or escape that some reader treats as another one, and no
// dot segment.
func parseURI(s string) (uri, error) {
	u, err := readURI(s)
	if err != nil {
		return uri{}, err
	}
	return u, u.checkCanonical(s)
}

// checkCanonical compares the canonical form with what was given.
func (u uri) checkCanonical(given string) error {
	if canonical := u.String(); canonical != given {
		return badURI(given, "it is not in canonical form: write "+strconv.Quote(canonical))
	}
	return nil
}

// readURI is parseURI without the comparison with the canonical form.
func readURI(s string) (uri, error) {
	if len(s) > MaxURIBytes {
		return uri{}, wrong(classLimit, "uri", "the URI has %d bytes, at most %d are allowed", len(s), MaxURIBytes)
	}
	if err := checkCharacters(s); err != nil {
		return uri{}, err
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !isScheme(scheme) {
		return uri{}, badURI(s, "it has no scheme: start it with https://")
	}
	u := uri{scheme: strings.ToLower(scheme)}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		if err := u.authority(s, after[:end]); err != nil {
			return uri{}, err
		}
		rest = after[end:]
	} else if u.opaque = true; !strings.HasPrefix(rest, "/") {
		return uri{}, badURI(s, "a slash must follow the scheme")
	}
	return u, u.pathAndQuery(s, rest)
}

func badURI(s, why string) error {
	return wrong(classValue, "uri", "the URI %.200q cannot be used: %s", s, why)
}

func checkCharacters(s string) error {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			return badURI(s, "it holds a character outside of ASCII: write the host in punycode (xn--) and the rest percent-encoded")
		case c <= ' ' || c == 0x7f:
			return badURI(s, "it holds a space or a control character")
		case c == '#':
			return badURI(s, "it has a fragment: leave out # and what follows")
		case c == '\\':
			return badURI(s, "it holds a backslash, which some browsers read as a slash")
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			return badURI(s, "it holds "+strconv.QuoteRune(rune(c))+", which must be percent-encoded")
		}
	}
	return nil
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !strings.Contains("0123456789+-.", s[i:i+1])) {
			return false
		}
	}
	return s != ""
}

func (u *uri) authority(s, authority string) error {
	if strings.Contains(authority, "@") {
		return badURI(s, "it holds user info: leave out what stands before @, and the @")
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return badURI(s, "its port is not a number from 1 to 65535")
		}
		port = strconv.FormatUint(n, 10)
	}
	if u.scheme == "https" && port == "443" || u.scheme == "http" && port == "80" {
		port = ""
	}
	u.host, u.port = strings.ToLower(host), port
	if !isHost(u.host) {
		return badURI(s, "its host is neither a DNS name nor an IP address in its usual form")
	}
	return nil
}

// isHost accepts an IPv6 address in brackets, an IPv4 address, or a DNS name
// of letters, digits and hyphens. A name that ends in a number is read as an
// IPv4 address by browsers (0x7f.1 is 127.0.0.1), so it must be one.
func isHost(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" && host == "["+a.String()+"]"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Is4()
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if !isLabel(l) {
			return false
		}
	}
	last := labels[len(labels)-1]
	hex, isHex := strings.CutPrefix(last, "0x")
	number := strings.Trim(last, "0123456789") == "" || isHex && strings.Trim(hex, "0123456789abcdef") == ""
	return len(host) <= 253 && !number
}

func isLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	if len(l) >= 4 && l[2:4] == "--" && !strings.HasPrefix(l, "xn--") {
		return false
	}
	return strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (u *uri) pathAndQuery(s, rest string) error {
	escaped, err := canonicalEscapes(s, rest)
	if err != nil {
		return err
	}
	path, query, hasQuery := strings.Cut(escaped, "?")
	if hasQuery && query != "" {
		u.query = "?" + query
	}
	if lower := strings.ToLower(path); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
		return badURI(s, "its path holds an encoded slash or backslash")
	}
	u.path = withoutDots(path)
	return nil
}

const hexDigits = "0123456789ABCDEF"

// canonicalEscapes decodes what need not be escaped and spells the others in
// upper case (RFC 3986 section 6.2.2).
func canonicalEscapes(whole, s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		n, err := strconv.ParseUint(s[i+1:min(i+3, len(s))], 16, 8)
		if err != nil || i+3 > len(s) {
			return "", badURI(whole, "a % in it is not followed by two hexadecimal digits")
		}
		c := byte(n)
		switch {
		case c < ' ' || c == 0x7f:
			return "", badURI(whole, "it holds an encoded control character")
		case isUnreserved(c):
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
		i += 2
	}
	return b.String(), nil
}

func isUnreserved(c byte) bool {
	letter := c | 0x20
	return 'a' <= letter && letter <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// withoutDots removes the segments "." and ".." (RFC 3986 section 5.2.4).
func withoutDots(path string) string {
	if path == "" {
		return ""
	}
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch s {
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		case ".":
		default:
			kept = append(kept, s)
			continue
		}
		if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}
