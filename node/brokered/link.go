// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"slices"
	"strings"
)

// relAPI is the relation of a site's page to its API index.
const relAPI = "https://api.w.org/"

// findLink returns the target of the first link with the relation, as it is
// written in the Link headers (RFC 8288, section 3): one header may hold
// several links, and a link its parameters in any order. A link about another
// page (anchor) does not count. What follows a mistake in a header is not read.
func findLink(headers []string, rel string) (target string, found bool) {
	for _, header := range headers {
		for rest := header; ; {
			var l link
			var ok bool
			if l, rest, ok = cutLink(rest); !ok {
				break
			}
			if !l.anchored && slices.ContainsFunc(strings.Fields(l.rel), func(r string) bool { return strings.EqualFold(r, rel) }) {
				return l.target, true
			}
		}
	}
	return "", false
}

type link struct {
	target   string
	rel      string // of the first rel parameter; others do not count
	anchored bool
}

// cutLink reads the first link of s.
func cutLink(s string) (l link, rest string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, ", \t"), "<")
	if !ok {
		return l, "", false
	}
	if l.target, s, ok = strings.Cut(s, ">"); !ok {
		return l, "", false
	}
	seenRel := false
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == ',' {
			return l, s, true
		}
		if s, ok = strings.CutPrefix(s, ";"); !ok {
			return l, "", false
		}
		var name, value string
		if name, value, s, ok = cutParameter(s); !ok {
			return l, "", false
		}
		switch {
		case strings.EqualFold(name, "rel") && !seenRel:
			l.rel, seenRel = value, true
		case strings.EqualFold(name, "anchor"):
			l.anchored = true
		}
	}
}

// cutParameter reads a name, and a value if there is one, a token or a quoted
// string. A name may be missing altogether: "; ;" is allowed.
func cutParameter(s string) (name, value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	end := strings.IndexAny(s, "=;, \t")
	if end < 0 {
		return s, "", "", true
	}
	name, s = s[:end], strings.TrimLeft(s[end:], " \t")
	if s, ok = strings.CutPrefix(s, "="); !ok {
		return name, "", s, true
	}
	s = strings.TrimLeft(s, " \t")
	if quoted, isQuoted := strings.CutPrefix(s, `"`); isQuoted {
		value, rest, ok = cutQuoted(quoted)
		return name, value, rest, ok
	}
	if end = strings.IndexAny(s, ";, \t"); end < 0 {
		end = len(s)
	}
	return name, s[:end], s[end:], true
}

// cutQuoted reads a quoted string behind its first quote.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
