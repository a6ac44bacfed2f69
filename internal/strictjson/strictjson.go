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
	"bytes"
	"errors"
	"fmt"
	"strconv"

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

// Fields decodes the JSON object data as Unmarshal does, where what is wanted of it
// are strings and whole numbers: field returns where the member of that name
// goes, a *string or an *int64, or nil. It is for documents that are read at
// each request, and takes less than half of the time.
func Fields(data []byte, field func(name string) any) error {
	members, err := Object(data, Limits{Values: maxInt, Members: maxInt})
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := m.decode(field(m.Name)); err != nil {
			return fmt.Errorf("json: %.40q: %w", m.Name, err)
		}
	}
	return nil
}

// decode decodes the value, whose form is checked. null leaves what is there.
func (m Member) decode(to any) error {
	first := m.Value[0]
	switch to := to.(type) {
	case *string:
		switch {
		case first == 'n':
		case first != '"':
			return errors.New("is not a string")
		case bytes.IndexByte(m.Value, '\\') >= 0:
			return json.Unmarshal(m.Value, to)
		default:
			*to = string(m.Value[1 : len(m.Value)-1])
		}
	case *int64:
		if first == 'n' {
			return nil
		}
		n, err := strconv.ParseInt(string(m.Value), 10, 64)
		if err != nil {
			return errors.New("is not a whole number")
		}
		*to = n
	}
	return nil
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
