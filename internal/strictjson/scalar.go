// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"strconv"
	"unicode/utf8"
)

// text reads a string, quotes included, and returns what is between them; the
// span says whether that has escapes.
func (c *checker) text() (span, error) {
	c.i++
	from := c.i
	escaped := false
	for c.i < len(c.data) {
		switch b := c.data[c.i]; {
		case b == '"':
			c.i++
			return span{int32(from), int32(c.i - 1), escaped}, nil
		case b < 0x20:
			return span{}, c.fail(Syntax, "control character in a string")
		case b == '\\':
			escaped = true
			if err := c.escape(); err != nil {
				return span{}, err
			}
		default:
			c.i++
		}
	}
	return span{}, c.fail(Syntax, "string without an end")
}

// escape checks and skips the escape sequence at i; a surrogate pair is one.
func (c *checker) escape() error {
	b := c.data[c.i:]
	if len(b) < 2 {
		return c.fail(Syntax, "string without an end")
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.i += 2
		return nil
	case 'u':
	default:
		return c.fail(Syntax, "unknown escape sequence")
	}
	r, ok := hex4(b)
	switch {
	case !ok:
		return c.fail(Syntax, "unknown escape sequence")
	case r == 0:
		return c.fail(NUL, "escaped NUL")
	case 0xdc00 <= r && r < 0xe000:
		return c.fail(Surrogate, "lone surrogate")
	case 0xd800 <= r && r < 0xdc00:
		if low, ok := hex4(b[6:]); !ok || low < 0xdc00 || low >= 0xe000 {
			return c.fail(Surrogate, "lone surrogate")
		}
		c.i += 6
	}
	c.i += 6
	return nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, d := range b[2:6] {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// short escapes and what they stand for; others stand for themselves.
var short = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape appends the string in data[s.from:s.to], whose escapes are checked,
// to c.unescaped and returns its place there.
func (c *checker) unescape(place span) span {
	from := len(c.unescaped)
	s := c.data[place.from:place.to]
	for len(s) > 0 {
		switch r, isHex := hex4(s); {
		case isHex && 0xd800 <= r && r < 0xdc00:
			low, _ := hex4(s[6:])
			c.unescaped = utf8.AppendRune(c.unescaped, (r-0xd800)<<10+(low-0xdc00)+0x10000)
			s = s[12:]
		case isHex:
			c.unescaped = utf8.AppendRune(c.unescaped, r)
			s = s[6:]
		case s[0] == '\\':
			b, ok := short[s[1]]
			if !ok {
				b = s[1]
			}
			c.unescaped = append(c.unescaped, b)
			s = s[2:]
		default:
			c.unescaped = append(c.unescaped, s[0])
			s = s[1:]
		}
	}
	return span{int32(from), int32(len(c.unescaped)), true}
}

// maxWhole is the largest whole number that every implementation keeps exact.
const maxWhole = 1<<53 - 1

func (c *checker) number() error {
	from := c.i
	if c.peek() == '-' {
		c.i++
	}
	if c.peek() == '0' {
		c.i++
	} else if c.digits() == 0 {
		return c.fail(Syntax, "malformed number")
	}
	whole := true
	if c.peek() == '.' {
		c.i++
		whole = false
		if c.digits() == 0 {
			return c.fail(Syntax, "malformed number")
		}
	}
	if b := c.peek(); b == 'e' || b == 'E' {
		c.i++
		whole = false
		if b := c.peek(); b == '+' || b == '-' {
			c.i++
		}
		if c.digits() == 0 {
			return c.fail(Syntax, "malformed number")
		}
	}
	return c.inRange(string(c.data[from:c.i]), whole)
}

func (c *checker) inRange(s string, whole bool) error {
	if !whole {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return c.fail(Number, "number out of range")
		}
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxWhole || n < -maxWhole || s == "-0" {
		return c.fail(Number, "number out of range")
	}
	return nil
}

func (c *checker) digits() int {
	from := c.i
	for '0' <= c.peek() && c.peek() <= '9' {
		c.i++
	}
	return c.i - from
}
