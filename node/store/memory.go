// SPDX-License-Identifier: Apache-2.0

package store

import "sync"

// remembered bounds a memory, in values. So many tokens take about 20 MB.
const remembered = 1 << 15

// memory keeps values of rows that are read far more often than they change.
// It is never behind what was written: whoever changes rows says so before the
// commit, and from then on until the transaction has ended their values are
// looked up, and what was looked up is not kept. So a value of before the commit
// is not seen by anybody who has seen one of after it. It relies on all changes
// coming through this Store.
//
// When it is half full, its values become the old ones, and those that were old
// and were not asked for since are dropped.
type memory[V any] struct {
	mu    sync.RWMutex
	begun uint64 // changes that have begun
	ended uint64 // those of them that have ended
	young map[string]V
	old   map[string]V
}

// value returns the value of key, from memory or by load, which also says
// whether it may be kept.
func (m *memory[V]) value(key string, load func() (value V, keep bool, err error)) (V, error) {
	m.mu.RLock()
	begun, settled := m.begun, m.begun == m.ended
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
		if value, keep, err = load(); err != nil || !keep || !settled {
			return value, err
		}
	}
	m.keep(key, value, begun)
	return value, nil
}

// keep keeps a value that was looked up when so many changes had begun, and all
// of them had ended.
func (m *memory[V]) keep(key string, value V, begun uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.begun != begun {
		return
	}
	if m.young == nil || len(m.young) >= remembered/2 {
		m.young, m.old = map[string]V{}, m.young
	}
	m.young[key] = value
	delete(m.old, key)
}

// change drops values that are about to change, or without keys all. The
// transaction that changes them has not been committed; call what change returns
// when it has ended.
func (m *memory[V]) change(keys ...string) (ended func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun++
	if len(keys) == 0 {
		m.young, m.old = nil, nil
	}
	for _, key := range keys {
		delete(m.young, key)
		delete(m.old, key)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.ended++
	}
}
