// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"sync"
	"time"
)

// memory keeps values for a while, a bounded number of them: when it is full,
// what is too old goes, and otherwise any one.
type memory[V any] struct {
	size int
	life time.Duration
	now  func() time.Time

	mu   sync.Mutex
	kept map[string]remembered[V] // guarded by mu
}

type remembered[V any] struct {
	value V
	until time.Time
}

func newMemory[V any](size int, life time.Duration, now func() time.Time) *memory[V] {
	return &memory[V]{size: size, life: life, now: now, kept: map[string]remembered[V]{}}
}

func (m *memory[V]) lookup(key string) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.kept[key]
	if !ok || !m.now().Before(r.until) {
		delete(m.kept, key)
		var none V
		return none, false
	}
	return r.value, true
}

func (m *memory[V]) keep(key string, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.kept[key]; !ok && len(m.kept) >= m.size {
		m.makeRoom()
	}
	m.kept[key] = remembered[V]{value, m.now().Add(m.life)}
}

func (m *memory[V]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, key)
}

func (m *memory[V]) makeRoom() {
	now := m.now()
	for key, r := range m.kept {
		if !now.Before(r.until) {
			delete(m.kept, key)
		}
	}
	for key := range m.kept {
		if len(m.kept) < m.size {
			return
		}
		delete(m.kept, key) // any one: the order of a map is random
	}
}
