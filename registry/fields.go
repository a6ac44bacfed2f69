// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	josejson "github.com/go-jose/go-jose/v4/json"

	"github.com/comity-network/comity/internal/strictjson"
)

// field is one member of a signed body: its name, where its value goes and
// whether it must, or may, be there.
type field struct {
	name     string
	into     any
	required bool // must be present
	zero     bool // may be "", 0, [] or {}; others are left out instead
}

// decode reads the members of the object data into fields. Members that no
// field names are handed to rest. A value may not be null, nor hold null.
func decode(data []byte, fields []field, rest func(strictjson.Member) error) error {
	return decodeWithin(strictjson.Limits{Values: MaxValues, Members: MaxRecordMembers}, data, fields, rest)
}

// decodeWithin is decode with other limits.
func decodeWithin(limits strictjson.Limits, data []byte, fields []field, rest func(strictjson.Member) error) error {
	members, err := strictjson.Object(data, limits)
	if err != nil {
		return lower(err)
	}
	seen := make([]bool, len(fields))
	for _, m := range members {
		i := fieldIndex(fields, m.Name)
		if i < 0 {
			if err := rest(m); err != nil {
				return err
			}
			continue
		}
		seen[i] = true
		if err := fields[i].decode(m.Value); err != nil {
			return err
		}
	}
	for i, f := range fields {
		if f.required && !seen[i] {
			return wrong(classMissing, f.name, "%s is missing: add it", f.name)
		}
	}
	return nil
}

func fieldIndex(fields []field, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

func (f field) decode(value []byte) error {
	if hasNull(value) {
		return wrong(classType, f.name, "%s holds null: leave out what has no value", f.name)
	}
	if err := josejson.Unmarshal(value, f.into); err != nil {
		if Slug(err) != "" { // from JWK.UnmarshalJSON, which says more
			return relabel(err, f.name)
		}
		return wrong(classType, f.name, "%s has the wrong JSON type: %s is expected", f.name, jsonType(f.into))
	}
	if !f.zero && isEmpty(f.into) {
		return wrong(classEmpty, f.name, "%s is there but empty: give it a value or leave it out", f.name)
	}
	return nil
}

// hasNull reports whether a valid JSON value holds null anywhere.
func hasNull(value []byte) bool {
	inString := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && c == 'n':
			return true
		}
	}
	return false
}

// isEmpty reports whether the decoded value says nothing. False says something.
func isEmpty(pointer any) bool {
	switch v := reflect.ValueOf(pointer).Elem(); v.Kind() {
	case reflect.Bool:
		return false
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

func jsonType(pointer any) string {
	switch reflect.TypeOf(pointer).Elem().Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

// encode returns v as JSON without the escapes that only HTML needs.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// ignore accepts members that this version does not know, except for those of
// RFC 7519 that a JWT library acts on: a record that expires for one reader
// and not for another would split the federation.
func ignore(m strictjson.Member) error {
	switch m.Name {
	case "exp", "nbf", "aud":
		return wrong(classUnwanted, m.Name, "%s is not a member of a record: records neither expire nor have an audience", m.Name)
	}
	return nil
}

// relabel gives a form error another member name, and says where it was.
func relabel(err error, member string) error {
	e, ok := err.(*FormError)
	if !ok {
		return err
	}
	text := e.text
	if !strings.HasPrefix(text, member) {
		text = member + ": " + text
	}
	return &FormError{Class: e.Class, Member: member, text: text, cause: e.cause}
}
