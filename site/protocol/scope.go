// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

// ParseScope splits a scope (RFC 6749, section 3.3) into its words. The empty
// scope has none. A word given twice, two spaces in a row, a character outside
// of the grammar and a scope over the bounds are errors.
func ParseScope(scope string) ([]string, error) {
	if scope == "" {
		return nil, nil
	}
	if len(scope) > registry.MaxScopeBytes {
		return nil, fmt.Errorf("scope has %d characters, at most %d are allowed", len(scope), registry.MaxScopeBytes)
	}
	words := strings.Split(scope, " ")
	if len(words) > maxScopes {
		return nil, fmt.Errorf("scope has %d words, at most %d are allowed", len(words), maxScopes)
	}
	for i, w := range words {
		if !isScopeWord(w) {
			return nil, errors.New("scope is not words of printable ASCII, without quotes and backslashes, separated by one space")
		}
		if slices.Contains(words[:i], w) {
			return nil, fmt.Errorf("scope names %q twice", w)
		}
	}
	return words, nil
}

func isScopeWord(w string) bool {
	for _, c := range []byte(w) {
		if c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return w != ""
}

// ScopeSubset reports whether every word of part is in whole. Both must be
// valid scopes.
func ScopeSubset(part, whole string) bool {
	words, err := ParseScope(part)
	if err != nil {
		return false
	}
	all, err := ParseScope(whole)
	if err != nil {
		return false
	}
	for _, w := range words {
		if !slices.Contains(all, w) {
			return false
		}
	}
	return true
}
