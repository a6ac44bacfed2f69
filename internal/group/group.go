// SPDX-License-Identifier: Apache-2.0

// Package group lets callers who want the same done at the same time share it:
// those who come while some are served are served together next. Nobody waits
// for a group to fill, and a caller who is alone is served alone. There is no
// goroutine: the first of each group serves it.
package group

import (
	"context"
	"slices"
	"sync"
)

// Line is where callers come, each with an item. It is safe for concurrent use.
type Line[T any] struct {
	leaders int
	most    int

	mu      sync.Mutex
	leading int          // groups that are being served
	waiting []*caller[T] // in the order in which they came
}

type caller[T any] struct {
	item  T
	leads chan bool // true: serve the next group; false: was served
}

// NewLine returns a line in which so many groups are served at a time, of at
// most that many items each.
func NewLine[T any](leaders, most int) *Line[T] {
	return &Line[T]{leaders: leaders, most: most}
}

// Join returns when item was served, by this caller or by another. serve gets
// the items of a group, in the order in which they came, and leaves in them
// what became of each. When ctx ends before the turn of item has come, it is
// not served, and Join returns the error of ctx; from its turn on ctx does not
// matter.
func (l *Line[T]) Join(ctx context.Context, item T, serve func(group []T)) error {
	c := &caller[T]{item, make(chan bool, 1)}
	if !l.lead(c) {
		leads, err := l.wait(ctx, c)
		if !leads {
			return err
		}
	}
	group := l.take(c)
	items := make([]T, len(group))
	for i, c := range group {
		items[i] = c.item
	}
	serve(items)
	for _, other := range group[1:] {
		other.leads <- false
	}
	l.pass() // last, so that who comes meanwhile is in the next group
	return nil
}

// Waiting counts the callers who wait for the next groups.
func (l *Line[T]) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// lead makes c serve when there is room for another group, and else wait.
func (l *Line[T]) lead(c *caller[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leading < l.leaders {
		l.leading++
		return true
	}
	l.waiting = append(l.waiting, c)
	return false
}

// wait returns when c is to lead, was served, or has given up.
func (l *Line[T]) wait(ctx context.Context, c *caller[T]) (leads bool, err error) {
	select {
	case leads := <-c.leads:
		return leads, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	at := slices.Index(l.waiting, c)
	if at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	l.mu.Unlock()
	if at < 0 { // its turn has come
		return <-c.leads, nil
	}
	return false, ctx.Err()
}

// take returns the group that c leads.
func (l *Line[T]) take(c *caller[T]) []*caller[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), l.most-1)
	group := append([]*caller[T]{c}, l.waiting[:n]...)
	l.waiting = slices.Delete(l.waiting, 0, n)
	return group
}

// pass lets the first of those who wait lead.
func (l *Line[T]) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.leading--
		return
	}
	next := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	next.leads <- true
}
