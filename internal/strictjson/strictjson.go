// SPDX-License-Identifier: Apache-2.0

// Package strictjson decodes JSON that somebody else wrote. It accepts a
// subset of RFC 8259 on which every implementation agrees: one value, no
// trailing bytes, valid UTF-8, no NUL and no lone surrogate even when escaped,
// no member twice in one object, bounded nesting, member names matched by
// their exact spelling. Whatever is outside of that is an error, so that two
// readers of one signed document can never see two different meanings.
package strictjson

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// MaxDepth is how deep arrays and objects may nest. The deepest document of
// ours (a JWK set inside a broker record) needs four levels.
const MaxDepth = 16

// RawMessage is one undecoded JSON value.
type RawMessage = json.RawMessage

// Unmarshal decodes data into v by the rules of the package comment. Members
// that v does not have are ignored.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// Check reports whether data is one JSON value within the rules. The whole tree
// is decoded for it, since a typed decoder does not look for duplicates in
// members that it skips.
func Check(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("json: not valid UTF-8")
	}
	if err := scan(data); err != nil {
		return err
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return fmt.Errorf("json: %w", err)
	}
	return nil
}

// scan checks nesting and string escapes; the syntax itself is the decoder's.
func scan(data []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case c == 0:
			return errors.New("json: NUL byte")
		case inString && c == '\\':
			n, err := escape(data[i:])
			if err != nil {
				return err
			}
			i += n - 1
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("json: nested deeper than %d", MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// escape checks the escape sequence at the start of b and returns its length.
func escape(b []byte) (int, error) {
	if len(b) < 2 || b[1] != 'u' {
		return 2, nil
	}
	r, ok := hex4(b)
	switch {
	case !ok:
		return 2, nil // the decoder reports it
	case r == 0:
		return 0, errors.New("json: escaped NUL")
	case r >= 0xdc00 && r < 0xe000:
		return 0, errors.New("json: lone surrogate")
	case r >= 0xd800 && r < 0xdc00:
		if low, ok := hex4(b[6:]); !ok || low < 0xdc00 || low >= 0xe000 {
			return 0, errors.New("json: lone surrogate")
		}
		return 12, nil
	}
	return 6, nil
}

func hex4(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(b[2:6]), 16, 32)
	return r, err == nil
}
