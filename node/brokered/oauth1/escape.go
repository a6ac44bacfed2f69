// SPDX-License-Identifier: Apache-2.0

package oauth1

import (
	"strings"
	"unicode/utf8"
)

const upperHex = "0123456789ABCDEF"

// escape encodes all but the unreserved characters of RFC 3986, in upper case
// (RFC 5849, section 3.6). It differs from both encodings of net/url.
func escape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// unescape decodes percent-encoded text, and reports whether it was any: UTF-8
// without NUL. Of a form, + is a space, and other characters may stand for
// themselves, except those that are not text, and the semicolon, which some
// take for a separator. Elsewhere all but the unreserved must be encoded.
func unescape(s string, form bool) (string, bool) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, low := hex(s[i+1]), hex(s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			b.WriteByte(byte(high<<4 | low))
			i += 2
		case form && c == '+':
			b.WriteByte(' ')
		case unreserved(c), form && c > ' ' && c != 0x7f && c != ';':
			b.WriteByte(c)
		default:
			return "", false
		}
	}
	decoded := b.String()
	return decoded, utf8.ValidString(decoded) && !strings.ContainsRune(decoded, 0)
}

// hex is the value of a digit of either case, or -1.
func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
