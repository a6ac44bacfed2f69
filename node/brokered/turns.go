// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"sync"
	"time"
)

// turns lets a number of callers in at a time for each key, and a number wait.
// It keeps nothing about keys that nobody uses.
type turns struct {
	width, queue int

	mu    sync.Mutex
	lines map[string]*line // guarded by mu
}

type line struct {
	places chan struct{}
	users  int // inside and waiting; guarded by turns.mu
}

func newTurns(width, queue int) *turns {
	return &turns{width: width, queue: queue, lines: map[string]*line{}}
}

// enter waits for a place, until ctx ends. The caller leaves once. Where too
// many wait already, the error says so at once; what is what is too many.
func (t *turns) enter(ctx context.Context, key, what string) (leave func(), err error) {
	t.mu.Lock()
	l, ok := t.lines[key]
	if !ok {
		l = &line{places: make(chan struct{}, t.width)}
		t.lines[key] = l
	}
	if l.users >= t.width+t.queue {
		t.mu.Unlock()
		return nil, tooMany(retryAfter*time.Second, "too many %s at a time; try again in %d s", what, retryAfter)
	}
	l.users++
	t.mu.Unlock()
	select {
	case l.places <- struct{}{}:
		return func() { <-l.places; t.left(key, l) }, nil
	case <-ctx.Done():
		t.left(key, l)
		return nil, context.Cause(ctx)
	}
}

func (t *turns) left(key string, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(t.lines, key)
	}
}
