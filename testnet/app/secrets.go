// SPDX-License-Identifier: Apache-2.0

package app

import (
	"maps"
	"slices"
	"sync"
)

// Secrets remembers every token, code, verifier and secret that an app has
// seen, so that a test can look for them where they must not be. The zero
// value is ready; a nil one remembers nothing.
type Secrets struct {
	mu   sync.Mutex
	seen map[string]string // value to what it is
}

// Add remembers a value; an empty one is nothing.
func (s *Secrets) Add(kind, value string) {
	if s == nil || value == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]string{}
	}
	s.seen[value] = kind
}

// All returns what was seen: the value, and what it is.
func (s *Secrets) All() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.seen)
}

// Kinds lists the kinds of secrets that were seen, sorted.
func (s *Secrets) Kinds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Compact(slices.Sorted(maps.Values(s.seen)))
}
