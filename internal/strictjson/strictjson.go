// SPDX-License-Identifier: Apache-2.0

// Package strictjson decodes JSON that somebody else wrote. It accepts a
// subset of RFC 8259 on which every implementation agrees, so that two readers
// of one signed document can never see two different meanings:
//
//   - one value, no byte order mark and no trailing bytes;
//   - valid UTF-8, no NUL and no lone surrogate, even when escaped;
//   - no member twice in one object, names compared after unescaping;
//   - member names matched by their exact spelling, upper and lower case;
//   - arrays and objects nested at most MaxDepth deep;
//   - whole numbers between -(2^53-1) and 2^53-1 and never "-0" (RFC 7493),
//     others within the range of a double.
//
// For example {"iss":"a"} is accepted; {"iss":"a","\u0069ss":"b"}, {"seq":1}{}
// and {"seq":9007199254740993} are refused. The check reads the bytes once and
// builds no tree: beyond the document itself it allocates some fifty bytes for
// each member of the objects that are open at one place, and nothing else.
package strictjson

import (
	"github.com/go-jose/go-jose/v4/json"
)

// MaxDepth is how deep arrays and objects may nest. The deepest document of
// ours (a JWK set inside a broker record) needs four levels.
const MaxDepth = 16

// RawMessage is one undecoded JSON value.
type RawMessage = json.RawMessage

// Member is one member of an object, as Object returns it.
type Member struct {
	Name  string     // unescaped
	Value RawMessage // aliases the input
}

// Limits bound what Object accepts.
type Limits struct {
	Values  int // values of any type in the whole document, at every depth
	Members int // members of the outermost object
}

// Check reports whether data is one JSON value within the rules of the package
// comment. The error is an *Error.
func Check(data []byte) error {
	c := checker{data: data, values: maxInt}
	return c.document()
}

// Unmarshal decodes data into v by the rules of the package comment. Members
// that v does not have are ignored.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// Object checks that data is one JSON object within the rules and the limits,
// and returns its members in the order in which they stand.
func Object(data []byte, limits Limits) ([]Member, error) {
	c := checker{data: data, values: limits.Values, collect: limits.Members}
	if err := c.document(); err != nil {
		return nil, err
	}
	if data[c.start] != '{' {
		return nil, &Error{Reason: Syntax, Offset: c.start, text: "not an object"}
	}
	return c.members, nil
}
