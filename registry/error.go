// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/strictjson"
)

// Classes of what can be wrong with the form of a record. Together with the
// name of the member they make the slug of a FormError. Further slugs come
// from the layers below: see docs/spec/vectors.md for all of them.
const (
	classSize     = "size"     // the whole is too long
	classMissing  = "missing"  // a member that must be there is not
	classUnwanted = "unwanted" // a member is there that must not be
	classType     = "type"     // a member has another JSON type
	classEmpty    = "empty"    // a member is there and says nothing
	classValue    = "value"    // a member has a value that is not accepted
	classLimit    = "limit"    // a member is too long, too many or too large
	classKid      = "kid"      // kid is not the thumbprint of the key
	classSign     = "signature"
)

// FormError says what is wrong with a record, a key, a CID or client metadata,
// in one sentence that names the member. It is ErrForm, and ErrLimit too when
// a bound was passed.
type FormError struct {
	Class  string // one of a closed set of words, see docs/spec/vectors.md
	Member string // the member that is wrong, empty when the whole is
	text   string
	cause  error // the sentinel that it is
}

func (e *FormError) Error() string { return e.text }

// Unwrap returns the sentinels that the error is.
func (e *FormError) Unwrap() []error {
	switch {
	case e.cause != nil:
		return []error{e.cause}
	case e.Class == classLimit || e.Class == classSize:
		return []error{ErrForm, ErrLimit}
	}
	return []error{ErrForm}
}

// Slug is the class and, after a colon, the member: "missing:jti".
func (e *FormError) Slug() string {
	if e.Member == "" {
		return e.Class
	}
	return e.Class + ":" + e.Member
}

// Slug returns the stable word for what err says is wrong with the form of a
// record, as the test vectors name it, or "" when err is no such error.
func Slug(err error) string {
	var s interface{ Slug() string }
	if errors.As(err, &s) {
		return s.Slug()
	}
	return ""
}

func wrong(class, member, format string, args ...any) error {
	return &FormError{Class: class, Member: member, text: fmt.Sprintf(format, args...)}
}

// lower turns an error of strictjson or jws into one of this package.
func lower(err error) error {
	switch slug := Slug(err); strictjson.Reason(slug) {
	case classSize, strictjson.Depth, strictjson.Values, strictjson.Number:
		return fmt.Errorf("%w, %w: %w", ErrForm, ErrLimit, err)
	}
	return fmt.Errorf("%w: %w", ErrForm, err)
}
