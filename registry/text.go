// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxMarks is how many combining marks may follow one another: enough for
// every living script, too few to paint over the next line.
const maxMarks = 4

// CheckName judges a name that people are shown, as that of an app. member is
// what the error calls it.
func CheckName(member, s string) error { return checkText(member, s, MaxNameRunes) }

// checkText judges a text that people are shown: printable, of at most runes
// characters, in normalisation form C, so that two names that look alike are
// more often the same bytes. Control characters, bidirectional controls,
// everything invisible and everything that Unicode 15 leaves unassigned are
// refused. (A name may still imitate another one: show its origin beside it.)
func checkText(member, s string, runes int) error {
	switch {
	case s == "":
		return wrong(classEmpty, member, "%s is empty: give it a value", member)
	case utf8.RuneCountInString(s) > runes:
		return wrong(classLimit, member, "%s has more than %d characters: make it shorter", member, runes)
	case s != strings.TrimSpace(s) || strings.Contains(s, "  "):
		return wrong(classValue, member, "%s has spaces at an end or two in a row: remove them", member)
	case !norm.NFC.IsNormalString(s):
		return wrong(classValue, member, "%s is not in Unicode normalisation form C: write it as %+q", member, norm.NFC.String(s))
	}
	marks := 0
	for i, r := range s {
		if !isShown(r) {
			return wrong(classValue, member, "%s holds the character %U, which is a control, invisible or unassigned: remove it", member, r)
		}
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		if marks > maxMarks || marks > i {
			return wrong(classValue, member, "%s has a combining mark %U with nothing to combine with: remove it", member, r)
		}
	}
	return nil
}

// isShown reports whether r leaves a trace on paper, or is the plain space.
func isShown(r rune) bool {
	const brailleBlank = 0x2800
	return unicode.IsPrint(r) && r != brailleBlank && r != utf8.RuneError &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// isVisible reports whether s is printable ASCII without spaces.
func isVisible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
