// SPDX-License-Identifier: Apache-2.0

package store

import "sync"

// remembered bounds a memory, in values. So many tokens take about 20 MB.
const remembered = 1 << 15

// memory keeps values of rows that are read far more often than they change.
// It is never behind what was written: whoever changes rows calls forget after
// the commit and before anybody is told of it, and a value that was looked up
// before that is not kept after it. It relies on all changes coming through
// this Store.
//
// When it is half full, its values become the old ones, and those that were old
// and were not asked for since are dropped.
type memory[V any] struct {
	mu      sync.RWMutex
	changes uint64 // calls of forget
	young   map[string]V
	old     map[string]V
}

// value returns the value of key, from memory or by load, which also says
// whether it may be kept.
func (m *memory[V]) value(key string, load func() (value V, keep bool, err error)) (V, error) {
	m.mu.RLock()
	changes := m.changes
	value, young := m.young[key]
	old := false
	if !young {
		value, old = m.old[key]
	}
	m.mu.RUnlock()
	if young {
		return value, nil
	}
	if !old {
		var keep bool
		var err error
		if value, keep, err = load(); err != nil || !keep {
			return value, err
		}
	}
	m.keep(key, value, changes)
	return value, nil
}

// keep keeps a value that was good at the given number of changes.
func (m *memory[V]) keep(key string, value V, changes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changes != changes {
		return
	}
	if m.young == nil || len(m.young) >= remembered/2 {
		m.young, m.old = map[string]V{}, m.young
	}
	m.young[key] = value
	delete(m.old, key)
}

// forget drops values that have changed; without keys it drops all.
func (m *memory[V]) forget(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	if len(keys) == 0 {
		m.young, m.old = nil, nil
	}
	for _, key := range keys {
		delete(m.young, key)
		delete(m.old, key)
	}
}
