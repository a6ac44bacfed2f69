// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How many attempts wait for a hash at most, for each that is computed. The
// last in line waits for some two seconds; more would only be told later that
// they are too many.
const (
	placesKnown   = 16
	placesUnknown = 16
	// placesAddress is for one address, in both lines and at work: one that
	// floods does not fill the line.
	placesAddress = 8
)

// busyWait is what an attempt is told that finds no place.
const busyWait = 2 * time.Second

// gate bounds how many hashes are computed at once, and how many attempts wait
// for one: more are refused, so that memory stays bounded however many come.
// There are two lines. Addresses from which somebody has logged in lately go
// first: strangers, however many, take from them the hash that is under way and
// nothing more.
type gate struct {
	places int // for each line
	each   int // for each address

	mu    sync.Mutex
	free  int                // hashes that may begin now; guarded by mu
	lines [2][]chan struct{} // known, unknown; guarded by mu
	from  map[string]int     // places taken by each address; guarded by mu
}

const (
	lineKnown = iota
	lineUnknown
)

func newGate(at int) *gate {
	return &gate{places: placesKnown * at, each: placesAddress * at, free: at, from: map[string]int{}}
}

// enter waits until a hash may be computed; leave must be called after it. The
// error is a *TryAgainError when there is no place to wait, or that of ctx.
func (g *gate) enter(ctx context.Context, address string, known bool) (leave func(), err error) {
	line := lineUnknown
	if known {
		line = lineKnown
	}
	turn, err := g.queue(address, line)
	if err != nil {
		return nil, err
	}
	leave = func() { g.leave(address) }
	select {
	case <-turn:
		return leave, nil
	case <-ctx.Done():
	}
	if g.withdraw(address, line, turn) {
		return nil, ctx.Err()
	}
	leave() // its turn came just now
	return nil, ctx.Err()
}

// queue takes a place. The channel is closed when the turn has come.
func (g *gate) queue(address string, line int) (chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.from[address] >= g.each || g.free == 0 && len(g.lines[line]) >= g.places {
		return nil, &TryAgainError{After: busyWait, busy: true}
	}
	g.from[address]++
	turn := make(chan struct{})
	if g.free > 0 {
		g.free--
		close(turn)
	} else {
		g.lines[line] = append(g.lines[line], turn)
	}
	return turn, nil
}

// withdraw gives a place back whose turn has not come; false: it has.
func (g *gate) withdraw(address string, line int, turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.lines[line], turn)
	if i < 0 {
		return false
	}
	g.lines[line] = slices.Delete(g.lines[line], i, i+1)
	g.forget(address)
	return true
}

// leave lets the next one in.
func (g *gate) leave(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(address)
	for line := range g.lines {
		if len(g.lines[line]) > 0 {
			close(g.lines[line][0])
			g.lines[line] = slices.Delete(g.lines[line], 0, 1)
			return
		}
	}
	g.free++
}

func (g *gate) forget(address string) {
	if g.from[address]--; g.from[address] <= 0 {
		delete(g.from, address)
	}
}
