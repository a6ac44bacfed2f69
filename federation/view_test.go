// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// bubbleNow moves the virtual clock, which begins in the year 2000, to a time
// that records may have.
func bubbleNow() time.Time { return time.Now().Add(30 * 365 * 24 * time.Hour) }

// running is a broker alone on the virtual clock of a bubble, with Run running
// until the test ends. It notes every view that is stored.
type running struct {
	*world
	views []*registry.Record
	full  atomic.Bool // the disk
}

func run(t *testing.T) *running {
	w := &running{world: newWorld(t)}
	w.config.Now = bubbleNow
	w.store.Fault = w.note
	w.open()
	w.start()
	return w
}

func (w *running) start() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	synctest.Wait()
}

func (w *running) note(u federation.Update) (bool, error) {
	if w.full.Load() {
		return false, errors.New("disk is full")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range u.Views {
		w.views = append(w.views, v.Record)
	}
	return true, nil
}

// signed are all views that were stored.
func (w *running) signed() []*registry.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.views)
}

func (w *running) last() *registry.Record {
	views := w.signed()
	return views[len(views)-1]
}

func (w *running) sleep(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

func TestViewsEvery30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := run(t)
		start := bubbleNow()
		w.sleep(5 * time.Minute)
		views := w.signed()
		if len(views) != 11 {
			t.Errorf("%d views in five minutes, want 11", len(views))
		}
		for i, v := range views {
			if want := start.Add(time.Duration(i) * 30 * time.Second).Unix(); v.IssuedAt != want {
				t.Errorf("view %d at %d, want %d", i, v.IssuedAt, want)
			}
		}
		if got := w.Views(); len(got) != 1 || got[0] != views[10] {
			t.Error("the newest view is not the one that was stored last")
		}
	})
}

// Every change of the stop list is in a view within a second, with strictly
// increasing iat, however fast the changes come.
func TestViewAfterChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := run(t)
		id := w.register("App")
		w.sleep(10 * time.Second)
		if n := len(w.signed()); n != 1 {
			t.Errorf("a registration, which is no change of the stop list, made %d views", n-1)
		}
		for i := range 20 {
			w.append(revocation(id, []registry.Action{registry.Suspend, registry.Reinstate}[i%2]))
			if i%2 == 0 {
				w.sleep(50 * time.Millisecond)
			}
			changed := time.Now()
			for w.last().View.StopHash != w.StopList().Hash() {
				w.sleep(10 * time.Millisecond)
				if time.Since(changed) > time.Second {
					t.Fatal("no view of the new stop list within a second")
				}
			}
		}
		views := w.signed()
		for i, v := range views[1:] {
			if v.IssuedAt <= views[i].IssuedAt {
				t.Errorf("iat %d after %d", v.IssuedAt, views[i].IssuedAt)
			}
		}
		if last := w.last(); last.IssuedAt > bubbleNow().Unix() {
			t.Error("a view of the future")
		}
	})
}

// A stop that is taken back within the second needs a view as well: a site
// that heard of the stop waits for one that is later than that.
func TestViewAfterChangeThatWasTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := run(t)
		id := w.register("App")
		w.sleep(10 * time.Second)
		w.append(revocation(id, registry.Suspend))
		w.sleep(3 * time.Second)
		w.append(revocation(id, registry.Reinstate))
		w.sleep(10 * time.Millisecond) // its view is signed, so the next has to wait
		w.append(revocation(id, registry.Suspend))
		w.append(revocation(id, registry.Reinstate))
		changed := bubbleNow().Unix()
		w.sleep(2 * time.Second)
		if w.last().IssuedAt <= changed {
			t.Error("no view is later than the change")
		}
	})
}

// A suspension that ends by itself is lifted, told and in a view by time alone.
func TestSuspensionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := run(t)
		id := w.register("App")
		d := revocation(id, registry.Suspend)
		d.Revocation.Until = bubbleNow().Unix() + 45
		w.append(d)
		w.sleep(44 * time.Second)
		if got := w.status(id); got != registry.ClientSuspended {
			t.Errorf("a second before its end the client is %s", got)
		}
		w.told()
		w.sleep(time.Second)
		if got := w.status(id); got != registry.ClientActive {
			t.Errorf("after its end the client is %s", got)
		}
		if told := w.told(); len(told) != 1 || !told[0].Enabled || told[0].Client != id {
			t.Errorf("changes told: %+v", told)
		}
		w.sleep(time.Second)
		if last := w.last(); last.View.StopCount != 0 {
			t.Error("the view still has it")
		}
	})
}

// What was true before a crash is told again at the next start.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := run(t)
		app, bad := w.register("App"), w.register("Bad")
		w.append(update(app))
		w.append(revocation(bad, registry.Suspend))
		d := revocation(bad, registry.Reinstate)
		d.Revocation.Cutoff = bubbleNow().Unix()
		w.append(d)
		w.append(revocation(bad, registry.Revoke))
		var got []string
		changes := w.told()
		for _, c := range changes {
			name := map[string]string{app: "app", bad: "bad"}[c.Client]
			got = append(got, fmt.Sprintf("%s %s stopped=%v enabled=%v", name, c.State.Status, c.Stopped, c.Enabled))
		}
		want := []string{
			"app active stopped=false enabled=false", "bad active stopped=false enabled=false", "app active stopped=false enabled=false",
			"bad suspended stopped=true enabled=false", "bad active stopped=false enabled=true", "bad revoked stopped=true enabled=false",
		}
		if !slices.Equal(got, want) {
			t.Errorf("changes told:\n%s", strings.Join(got, "\n"))
		}
		// Sites are shown the record that brought the client back.
		if because := changes[4].State.Because; len(because) != 1 || because[0].Revocation.Action != registry.Reinstate {
			t.Errorf("the client is back because of %+v", because)
		}
		w.open()
		w.start()
		if told := w.told(); len(told) != 1 || told[0].Client != bad || !told[0].Stopped {
			t.Errorf("told after a new start: %+v", told)
		}
	})
}

// A broker that cannot store its views does not show them, and is stale after
// max_age; it recovers by itself.
func TestStaleWithoutViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := run(t)
		shown := w.Views()[0]
		w.full.Store(true)
		w.sleep(120 * time.Second)
		if err := w.Fresh(bubbleNow()); err != nil {
			t.Errorf("stale before max_age: %v", err)
		}
		w.sleep(time.Second)
		if err := w.Fresh(bubbleNow()); !errors.Is(err, registry.ErrStale) {
			t.Errorf("after max_age: %v", err)
		}
		if w.Views()[0] != shown {
			t.Error("a view is shown that was not stored")
		}
		w.full.Store(false)
		w.sleep(time.Second)
		if err := w.Fresh(bubbleNow()); err != nil {
			t.Errorf("after the disk came back: %v", err)
		}
	})
}

func TestStopListSince(t *testing.T) {
	w := alone(t)
	id, other := w.register("App"), w.register("Other")
	empty := w.StopList().Hash()
	w.append(revocation(other, registry.Revoke))
	one := w.StopList().Hash()
	w.append(revocation(id, registry.Suspend))
	line := fmt.Sprintf("client %s suspended - - policy", id)
	if added, removed, ok := w.StopListSince(one); !ok || len(removed) != 0 || !slices.Equal(added, []string{line}) {
		t.Errorf("since the last list: +%q -%q %v", added, removed, ok)
	}
	if added, removed, ok := w.StopListSince(w.StopList().Hash()); !ok || len(added)+len(removed) != 0 {
		t.Errorf("since now: +%q -%q %v", added, removed, ok)
	}
	w.append(revocation(id, registry.Reinstate))
	if added, _, ok := w.StopListSince(empty); !ok || len(added) != 1 {
		t.Errorf("since the empty list: +%q %v", added, ok)
	}
	if _, _, ok := w.StopListSince("unknown"); ok {
		t.Error("changes since a list that never was")
	}
	for range 33 { // two lists each
		w.append(revocation(id, registry.Suspend))
		d := revocation(id, registry.Reinstate)
		w.append(d)
		w.pass(time.Second)
	}
	if _, _, ok := w.StopListSince(empty); ok {
		t.Error("more than 64 former lists are kept")
	}
}

// More clients than the cache holds, each asked for twice, in two orders: every
// answer is the present one.
func TestCacheIsNeverOld(t *testing.T) {
	w := alone(t) // with a cache of two
	var ids []string
	for range 5 {
		ids = append(ids, w.register("App"))
	}
	for round := range int64(3) {
		for i := range 2 * len(ids) {
			state, err := w.Client(t.Context(), ids[i%len(ids)])
			if err != nil || state.Sequence != round {
				t.Fatalf("round %d: client at seq %d, %v", round, state.Sequence, err)
			}
		}
		for _, id := range ids {
			w.append(update(id))
		}
	}
	if _, err := w.Client(t.Context(), registry.CID([]byte("unknown"))); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("unknown client: %v", err)
	}
}
