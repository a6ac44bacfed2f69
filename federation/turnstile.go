// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// turnstile bounds how many are in at a time, in all and of one peer.
type turnstile struct {
	all, each int

	mu sync.Mutex
	in map[peer.ID]int
	n  int
}

func newTurnstile(all, each int) *turnstile {
	return &turnstile{all: all, each: each, in: map[peer.ID]int{}}
}

// enter reports whether there is room. Who entered must leave.
func (t *turnstile) enter(p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n >= t.all || t.in[p] >= t.each {
		return false
	}
	t.n++
	t.in[p]++
	return true
}

func (t *turnstile) leave(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.in[p]--; t.in[p] == 0 {
		delete(t.in, p)
	}
}
