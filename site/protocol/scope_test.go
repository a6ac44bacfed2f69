// SPDX-License-Identifier: Apache-2.0

package protocol_test

import (
	"strings"
	"testing"

	"github.com/comity-network/comity/site/protocol"
)

// fault 17: unknown shapes, duplicates and floods of words.
func TestFault17Scope(t *testing.T) {
	for _, tt := range []struct {
		scope string
		n     int
	}{
		{"", 0}, {"read", 1}, {"read write", 2}, {"a:b/c?d=!", 1},
		{" ", -1}, {"read ", -1}, {" read", -1}, {"a  b", -1}, {"a\tb", -1}, {`a"b`, -1}, {`a\b`, -1}, {"é", -1}, {"a\x00", -1},
		{"a a", -1}, {strings.Repeat("a", 1025), -1}, {strings.TrimSpace(strings.Repeat("a ", 10000)), -1},
	} {
		words, err := protocol.ParseScope(tt.scope)
		if (err != nil) != (tt.n < 0) || err == nil && len(words) != tt.n {
			t.Errorf("ParseScope(%.20q) = %d words, %v", tt.scope, len(words), err)
		}
	}
	for _, tt := range []struct {
		part, whole string
		want        bool
	}{
		{"", "", true}, {"", "a", true}, {"a", "b a", true}, {"a b", "b a", true},
		{"a", "", false}, {"a", "ab", false}, {"A", "a", false}, {"a c", "a b", false}, {"a", "a a", false}, {"a a", "a", false},
	} {
		if got := protocol.ScopeSubset(tt.part, tt.whole); got != tt.want {
			t.Errorf("ScopeSubset(%q, %q) = %v", tt.part, tt.whole, got)
		}
	}
}

func TestTokenHash(t *testing.T) {
	// From `printf token | sha256sum`, in base64url.
	if got := protocol.TokenHash("token"); got != "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A" {
		t.Errorf("got %s", got)
	}
}
