// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"bytes"
	"math"
	"slices"
	"unicode/utf8"
)

const maxInt = math.MaxInt

// checker reads one document from left to right.
type checker struct {
	data    []byte
	i       int // next byte
	depth   int
	values  int // how many more values are allowed
	start   int // where the outermost value starts
	collect int // how many members of the outermost object to collect at most
	members []Member
	// names of the members of all objects that are open at i.
	names []span
	// unescaped holds the names that are written with escapes.
	unescaped []byte
}

// span is a name: data[from:to], or unescaped[from:to] where it had escapes.
type span struct {
	from, to int32
	escaped  bool
}

func (c *checker) document() error {
	if len(c.data) > math.MaxInt32 {
		return c.fail(Values, "document too long")
	}
	if i := invalidUTF8(c.data); i >= 0 {
		c.i = i
		return c.fail(UTF8, "not valid UTF-8")
	}
	if i := bytes.IndexByte(c.data, 0); i >= 0 {
		c.i = i
		return c.fail(NUL, "NUL byte")
	}
	c.space()
	c.start = c.i
	if err := c.value(); err != nil {
		return err
	}
	if c.space(); c.i != len(c.data) {
		return c.fail(Trailing, "bytes after the value")
	}
	return nil
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}

func (c *checker) space() {
	for c.i < len(c.data) {
		switch c.data[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end; a real 0 was refused before.
func (c *checker) peek() byte {
	if c.i < len(c.data) {
		return c.data[c.i]
	}
	return 0
}

func (c *checker) value() error {
	if c.values--; c.values < 0 {
		return c.fail(Values, "more values than are allowed")
	}
	switch b := c.peek(); {
	case b == '{':
		return c.nested(c.object)
	case b == '[':
		return c.nested(c.array)
	case b == '"':
		_, err := c.text()
		return err
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	case b == 't':
		return c.literal("true")
	case b == 'f':
		return c.literal("false")
	case b == 'n':
		return c.literal("null")
	}
	return c.fail(Syntax, "no value")
}

func (c *checker) nested(inner func() error) error {
	if c.depth++; c.depth > MaxDepth {
		return c.fail(Depth, "nested deeper than %d", MaxDepth)
	}
	c.i++ // the bracket
	err := inner()
	c.depth--
	return err
}

func (c *checker) literal(word string) error {
	if !bytes.HasPrefix(c.data[c.i:], []byte(word)) {
		return c.fail(Syntax, "unknown word")
	}
	c.i += len(word)
	return nil
}

func (c *checker) array() error {
	if c.space(); c.peek() == ']' {
		c.i++
		return nil
	}
	for {
		c.space()
		if err := c.value(); err != nil {
			return err
		}
		if done, err := c.next(']'); done || err != nil {
			return err
		}
	}
}

// next reads a comma (more follows) or the closing bracket (done).
func (c *checker) next(closing byte) (done bool, err error) {
	c.space()
	switch c.peek() {
	case ',':
		c.i++
		return false, nil
	case closing:
		c.i++
		return true, nil
	}
	return false, c.fail(Syntax, "neither a comma nor %q", closing)
}

func (c *checker) object() error {
	base := len(c.names)
	if c.space(); c.peek() == '}' {
		c.i++
		return nil
	}
	for {
		if err := c.member(); err != nil {
			return err
		}
		done, err := c.next('}')
		if err != nil {
			return err
		}
		if done {
			return c.distinct(base)
		}
	}
}

func (c *checker) member() error {
	if c.space(); c.peek() != '"' {
		return c.fail(Syntax, "no member name")
	}
	name, err := c.text()
	if err != nil {
		return err
	}
	if name.escaped {
		name = c.unescape(name)
	}
	c.names = append(c.names, name)
	if c.space(); c.peek() != ':' {
		return c.fail(Syntax, "no colon after the member name")
	}
	c.i++
	c.space()
	from := c.i
	if err := c.value(); err != nil {
		return err
	}
	if c.depth == 1 && c.collect > 0 {
		if len(c.members) == c.collect {
			return c.fail(Values, "more than %d members", c.collect)
		}
		c.members = append(c.members, Member{string(c.name(name)), c.data[from:c.i:c.i]})
	}
	return nil
}

func (c *checker) name(s span) []byte {
	if s.escaped {
		return c.unescaped[s.from:s.to]
	}
	return c.data[s.from:s.to]
}

// distinct refuses two equal names among those since base, and forgets them.
func (c *checker) distinct(base int) error {
	names := c.names[base:]
	slices.SortFunc(names, func(a, b span) int { return bytes.Compare(c.name(a), c.name(b)) })
	for i := 1; i < len(names); i++ {
		if name := c.name(names[i]); bytes.Equal(name, c.name(names[i-1])) {
			return c.fail(Duplicate, "member %.40q twice in one object, which ends", name)
		}
	}
	c.names = c.names[:base]
	return nil
}
