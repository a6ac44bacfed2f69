// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/comity-network/comity/node/store"
)

// rows are what a memory stands in front of.
type rows struct {
	store.Memory
	t       *testing.T
	value   int
	keep    bool
	err     error
	loads   int
	ended   func()
	between func() // runs when the row was read and is not yet returned
}

func (r *rows) read(key string) int {
	r.t.Helper()
	value, err := r.Value(key, func() (int, bool, error) {
		r.loads++
		value := r.value
		if r.between != nil {
			r.between()
		}
		return value, r.keep, r.err
	})
	if !errors.Is(err, r.err) {
		r.t.Errorf("%s: %v", key, err)
	}
	return value
}

func (r *rows) want(key string, value, loads int) {
	r.t.Helper()
	r.loads = 0
	if got := r.read(key); got != value || r.loads != loads {
		r.t.Errorf("%s is %d after %d readings, expected %d after %d", key, got, r.loads, value, loads)
	}
}

func TestMemory(t *testing.T) {
	r := &rows{t: t, value: 1}
	r.want("a", 1, 1) // may not be kept
	r.keep = true
	r.want("a", 1, 1)
	r.want("a", 1, 0)
	r.want("b", 1, 1)
	r.value = 2
	r.want("a", 1, 0)
	r.Change("a", "c")()
	r.want("a", 2, 1)
	r.want("b", 1, 0)
	r.Change()()
	r.want("b", 2, 1)
	r.err = errors.New("no")
	r.Change("b")()
	r.want("b", 2, 1)
	r.err = nil
	r.want("b", 2, 1)
	r.want("b", 2, 0)
}

// What was read while a row changed is not kept, wherever in the change it was
// read and whenever it arrives.
func TestMemoryRace(t *testing.T) {
	none := func() {}
	for name, test := range map[string]struct{ before, between func(r *rows) }{
		"read before the change, arrives after it": {between: func(r *rows) { r.Change("a")() }},
		"read before the change, arrives in it":    {between: func(r *rows) { r.ended = r.Change("a") }},
		"read in the change, arrives in it":        {before: func(r *rows) { r.ended = r.Change("a") }},
		"read in the change, arrives after it":     {before: func(r *rows) { r.ended = r.Change("a") }, between: func(r *rows) { r.ended() }},
		"read in two changes, arrives after one": {
			before:  func(r *rows) { r.ended = r.Change("a"); r.Change("b")() },
			between: func(r *rows) { r.ended() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rows{t: t, value: 1, keep: true, ended: none}
			r.want("kept", 1, 1)
			if test.before != nil {
				test.before(r)
			}
			r.between = func() {
				r.value = 2
				if test.between != nil {
					test.between(r)
				}
			}
			r.want("a", 1, 1)
			r.between = nil
			r.want("a", 2, 1) // and whoever has seen 2 sees 1 no more
			r.want("kept", 1, 0)
			r.ended()
		})
	}
	r := &rows{t: t, value: 1, keep: true}
	r.Change("a")()
	r.want("a", 1, 1)
	r.want("a", 1, 0)
}

// A memory is bounded, and what is in use stays in it.
func TestMemoryBound(t *testing.T) {
	r := &rows{t: t, value: 1, keep: true}
	for i := range 3 * store.Remembered {
		r.read(fmt.Sprint(i))
		if i%1000 == 0 {
			r.want("in use", 1, min(1, max(0, 1-i)))
		}
	}
	if n := r.Len(); n > store.Remembered || n < store.Remembered/2 {
		t.Errorf("%d values, the bound is %d", n, store.Remembered)
	}
	r.want("0", 1, 1)
}
