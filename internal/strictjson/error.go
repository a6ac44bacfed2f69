// SPDX-License-Identifier: Apache-2.0

package strictjson

import "fmt"

// Reason is a stable word for why a document is refused. Test vectors name it.
type Reason string

// The reasons.
const (
	Syntax    Reason = "json"
	Trailing  Reason = "trailing"
	Duplicate Reason = "duplicate"
	Depth     Reason = "depth"
	UTF8      Reason = "utf8"
	NUL       Reason = "nul"
	Surrogate Reason = "surrogate"
	Number    Reason = "number"
	Values    Reason = "values"
)

// Error says why and where a document is refused.
type Error struct {
	Reason Reason
	Offset int // in bytes from the start of the document
	text   string
}

func (e *Error) Error() string {
	return fmt.Sprintf("json: %s at byte %d", e.text, e.Offset)
}

// Slug returns the reason.
func (e *Error) Slug() string { return string(e.Reason) }

func (c *checker) fail(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Offset: c.i, text: fmt.Sprintf(format, args...)}
}
