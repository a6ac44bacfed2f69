// SPDX-License-Identifier: Apache-2.0

package group_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/comity-network/comity/internal/group"
)

// office is a line whose groups are served when the test says so.
type office struct {
	*group.Line[string]
	mu     sync.Mutex
	groups [][]string // in the order in which their turns came
	finish []func()   // of each
	done   []string   // who returned from Join, in order
}

func newOffice(leaders, most int) *office {
	return &office{Line: group.NewLine[string](leaders, most)}
}

// come lets callers come, one after the other; each waits for its turn.
func (o *office) come(ctx context.Context, items ...string) {
	for _, item := range items {
		go func() {
			err := o.Join(ctx, item, func(items []string) {
				finished := make(chan struct{})
				o.mu.Lock()
				o.groups, o.finish = append(o.groups, items), append(o.finish, func() { close(finished) })
				o.mu.Unlock()
				<-finished
			})
			if err != nil {
				item = err.Error()
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.done = append(o.done, item)
		}()
		synctest.Wait()
	}
}

func (o *office) serve(group int) {
	o.finish[group]()
	synctest.Wait()
}

func (o *office) want(t *testing.T, groups string, done ...string) {
	t.Helper()
	if got := fmt.Sprint(o.groups); got != groups {
		t.Errorf("groups %s, expected %s", got, groups)
	}
	slices.Sort(o.done)
	if !slices.Equal(o.done, done) {
		t.Errorf("returned %s, expected %s", o.done, done)
	}
}

// Who comes while one is served is served next, with the others, in order.
func TestOneLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(1, 3)
		o.come(t.Context(), "a", "b", "c", "d", "e")
		if n := o.Waiting(); n != 4 {
			t.Errorf("%d wait", n)
		}
		o.want(t, "[[a]]")
		o.serve(0)
		o.want(t, "[[a] [b c d]]", "a")
		o.come(t.Context(), "f")
		o.serve(1)
		o.want(t, "[[a] [b c d] [e f]]", "a", "b", "c", "d")
		o.serve(2)
		o.want(t, "[[a] [b c d] [e f]]", "a", "b", "c", "d", "e", "f")
		o.come(t.Context(), "g") // nobody leads any more
		o.serve(3)
		o.want(t, "[[a] [b c d] [e f] [g]]", "a", "b", "c", "d", "e", "f", "g")
	})
}

// A group that takes long does not hold up the others.
func TestTwoLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(2, 64)
		o.come(t.Context(), "a", "b", "c", "d")
		o.want(t, "[[a] [b]]")
		o.serve(1)
		o.want(t, "[[a] [b] [c d]]", "b")
		o.come(t.Context(), "e")
		o.serve(2)
		o.want(t, "[[a] [b] [c d] [e]]", "b", "c", "d")
		o.serve(0)
		o.serve(3)
		o.come(t.Context(), "f", "g", "h")
		o.want(t, "[[a] [b] [c d] [e] [f] [g]]", "a", "b", "c", "d", "e")
		o.serve(4)
		o.serve(5)
		o.serve(6)
		o.want(t, "[[a] [b] [c d] [e] [f] [g] [h]]", "a", "b", "c", "d", "e", "f", "g", "h")
	})
}

// A context counts until the turn has come, and not after.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(1, 64)
		ctx, cancel := context.WithCancelCause(t.Context())
		o.come(t.Context(), "a")
		o.come(ctx, "b")
		o.serve(0) // b leads
		o.come(t.Context(), "c")
		o.come(ctx, "d")
		cancel(errors.New("late"))
		synctest.Wait()
		o.want(t, "[[a] [b]]", "a", context.Canceled.Error())
		o.serve(1)
		o.want(t, "[[a] [b] [c]]", "a", "b", context.Canceled.Error())
		o.serve(2)

		ctx, cancel = context.WithCancelCause(t.Context())
		o.done = nil
		o.come(t.Context(), "e")
		o.come(t.Context(), "f")
		o.come(ctx, "g")
		o.serve(3) // g is served with f, and cannot give up
		cancel(errors.New("late"))
		synctest.Wait()
		o.want(t, "[[a] [b] [c] [e] [f g]]", "e")
		o.serve(4)
		o.want(t, "[[a] [b] [c] [e] [f g]]", "e", "f", "g")
	})
}
