// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/node/accounts"
)

// refused asserts that nothing was judged, and returns how long to wait.
func refused(t testing.TB, what string, err error) time.Duration {
	t.Helper()
	again := (*accounts.TryAgainError)(nil)
	if !errors.As(err, &again) || again.After <= 0 || !strings.Contains(err.Error(), "try again in ") {
		t.Errorf("%s: %v, expected to be told to try again", what, err)
		return 0
	}
	return again.After
}

// fail sends a wrong password and wants it judged.
func (w *world) fail(name, remote string) {
	w.t.Helper()
	_, err := w.Authenticate(w.t.Context(), name, "wrong password", remote)
	want(w.t, name+" at "+remote, err, accounts.ErrCredentials)
}

// await waits for a condition, bounded.
func await(t testing.TB, what string, met func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func address(i int) string { return fmt.Sprintf("203.0.%d.%d:1000", i/200, i%200) }

// fault 31: ten guesses, then ten a minute, whether there is such a name or not.
func TestFault31BruteForce(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	for _, name := range []string{"alice", "nobody"} {
		for range 10 {
			w.fail(name, home)
		}
		_, err := w.Authenticate(t.Context(), name, password, home)
		if wait := refused(t, "the eleventh", err); wait > 6*time.Second {
			t.Errorf("%s waits %v", name, wait)
		}
		_, err = w.Authenticate(t.Context(), strings.ToUpper(name), password, strings.Replace(home, "4000", "5", 1))
		refused(t, "the same from another port, in capitals", err)
		w.pass(6 * time.Second)
		w.fail(name, home)
		_, err = w.Authenticate(t.Context(), name, password, home)
		refused(t, "one more in six seconds", err)
		w.pass(time.Hour)
	}
	_, err := w.Authenticate(t.Context(), "alice", password, home)
	check(t, err)
	for range 50 { // those who know it are not counted
		_, err := w.Authenticate(t.Context(), "alice", password, home)
		check(t, err)
	}
}

// Many names from one address: sixty guesses, then ten a minute. Others are
// not concerned.
func TestSprayingFromOneAddress(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	for i := range 60 {
		w.fail(fmt.Sprint("name", i), home)
	}
	_, err := w.Authenticate(t.Context(), "alice", password, home)
	refused(t, "the sixty-first", err)
	_, err = w.Authenticate(t.Context(), "alice", password, work)
	check(t, err)
}

// Many addresses against one name: its owner still gets in, from an address
// that nobody has seen, and each address has one guess a minute.
func TestFloodOnOneNameDoesNotLockItsOwnerOut(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	for i := range 30 {
		w.fail("alice", address(i))
	}
	for i := range 50 {
		_, err := w.Authenticate(t.Context(), "alice", "wrong password", address(i%30))
		if wait := refused(t, "a second guess", err); wait < 50*time.Second {
			t.Fatalf("the next guess is in %v", wait)
		}
	}
	_, err := w.Authenticate(t.Context(), "alice", password, home)
	check(t, err)
	w.fail("alice", work)
	_, err = w.Authenticate(t.Context(), "alice", password, work)
	refused(t, "mistyped", err)
	w.pass(time.Minute)
	_, err = w.Authenticate(t.Context(), "alice", password, work)
	check(t, err)
}

// fault 20: a thousand guesses a second from a hundred addresses. The work and
// the waiting are bounded, and people who have logged in before still do.
func TestFault20PasswordFlood(t *testing.T) {
	// A hash takes some 10 ms, so that the flood is more than can be judged.
	w := newWorld(t, func(c *accounts.Config) { c.Cost, c.Hashes = accounts.Cost{Memory: 8 << 10, Time: 1, Threads: 1}, 1 })
	const people = 5
	at := func(i int) string { return fmt.Sprintf("198.51.100.%d:9", i) }
	for i := range people {
		w.add(fmt.Sprint("person", i))
		w.login(fmt.Sprint("person", i), at(i), "")
	}
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var judged, told atomic.Int64
	for i := range 100 {
		flood.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				flood.Go(func() {
					_, err := w.Authenticate(ctx, fmt.Sprint("name", n), "wrong password", address(i))
					if n := w.Places(); n > accounts.MaxPlaces {
						t.Errorf("%d places are taken", n)
					}
					switch again := (*accounts.TryAgainError)(nil); {
					case errors.As(err, &again):
						told.Add(1)
					case errors.Is(err, accounts.ErrCredentials):
						judged.Add(1)
					case ctx.Err() == nil:
						t.Error(err)
					}
				})
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	await(t, "a full line", func() bool { return told.Load() >= 100 })
	for range 2 {
		var logins sync.WaitGroup
		for i := range people {
			logins.Go(func() {
				if _, err := w.Authenticate(t.Context(), fmt.Sprint("person", i), password, at(i)); err != nil {
					t.Errorf("person %d, while the flood runs: %v", i, err)
				}
			})
		}
		logins.Wait()
	}
	stop()
	flood.Wait()
	if judged.Load() == 0 || told.Load() < judged.Load() {
		t.Errorf("%d guesses judged, %d told to try again", judged.Load(), told.Load())
	}
}

// One address does not take all places of those that wait.
func TestOneAddressDoesNotFillTheLine(t *testing.T) {
	w := newWorld(t, func(c *accounts.Config) { c.Cost, c.Hashes = accounts.Cost{Memory: 8 << 10, Time: 4, Threads: 1}, 1 })
	w.add("alice")
	var wg sync.WaitGroup
	var told atomic.Int64
	for i := range 60 {
		wg.Go(func() {
			_, err := w.Authenticate(t.Context(), fmt.Sprint("name", i), "wrong password", home)
			if !errors.Is(err, accounts.ErrCredentials) {
				refused(t, "beside others", err)
				told.Add(1)
			}
		})
	}
	await(t, "more than may wait", func() bool { return told.Load() > 0 })
	_, err := w.Authenticate(t.Context(), "alice", password, work)
	check(t, err)
	wg.Wait()
}

// What can be no name or no password is refused without work, and is no guess.
func TestNonsenseIsNotJudged(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	for range 20 {
		for name, try := range map[string][2]string{
			"long": {"alice", strings.Repeat("x", 1025)}, "control": {"alice", "correct\x00horse"}, "name": {"àlice", password}, "empty": {"", ""},
		} {
			_, err := w.Authenticate(t.Context(), try[0], try[1], home)
			want(t, name, err, accounts.ErrCredentials)
		}
	}
	w.login("alice", home, "")
	if strings.Contains(w.log.String(), "login-failed") {
		t.Error("it is logged")
	}
}

// Whoever gives up waiting leaves his place to others.
func TestGivingUp(t *testing.T) {
	w := newWorld(t, func(c *accounts.Config) { c.Cost, c.Hashes = accounts.Cost{Memory: 8 << 10, Time: 2, Threads: 1}, 1 })
	w.add("alice")
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 20 { // the turn comes at the same time
		w.Authenticate(gone, "alice", password, home)
	}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var begun atomic.Int64
		for i := range 40 {
			wg.Go(func() {
				begun.Add(1)
				_, err := w.Authenticate(ctx, "alice", password, address(i))
				if again := (*accounts.TryAgainError)(nil); err != nil && !errors.As(err, &again) {
					want(t, "given up", err, context.Canceled)
				}
			})
		}
		await(t, "all to begin", func() bool { return begun.Load() == 40 })
		cancel()
		wg.Wait()
		if _, err := w.Authenticate(t.Context(), "alice", password, home); err != nil {
			t.Fatalf("after all have given up: %v", err)
		}
	}
	if places := w.Places(); places != 0 {
		t.Errorf("%d places are taken for ever", places)
	}
}

// No answer tells an unknown name, a disabled account and a wrong password
// apart, and all three take one hash.
func TestAnswersTellNothing(t *testing.T) {
	w := newWorld(t, func(c *accounts.Config) { c.Cost = accounts.Cost{Memory: 4 << 10, Time: 1, Threads: 1} })
	w.add("alice")
	w.add("disabled")
	_, err := w.Disable(t.Context(), "disabled")
	check(t, err)
	attempts := []struct{ name, password string }{
		{"alice", "wrong password"}, {"nobody", password}, {"disabled", password}, {"disabled", "wrong password"},
	}
	took := make([][]time.Duration, len(attempts))
	for range 30 {
		for i, try := range attempts { // in turn, so that a busy machine slows all alike
			began := time.Now()
			u, err := w.Authenticate(t.Context(), try.name, try.password, home)
			took[i] = append(took[i], time.Since(began))
			if err != accounts.ErrCredentials || u != (accounts.User{}) {
				t.Fatalf("%v: %+v, %v", try, u, err)
			}
		}
		w.pass(time.Hour)
	}
	least, most := time.Duration(math.MaxInt64), time.Duration(0)
	for i := range took { // the shortest, since other work on the machine only adds
		shortest := slices.Min(took[i])
		least, most = min(least, shortest), max(most, shortest)
	}
	// One hash takes all of the time, so a missing one would be seen by far.
	if most > least*3/2 {
		t.Errorf("the shortest are between %v and %v", least, most)
	}
}

// BenchmarkFault20PasswordFlood is a login at the default cost while a thousand
// guesses a second come from as many addresses as there are guesses.
func BenchmarkFault20PasswordFlood(b *testing.B) {
	w := newWorld(b, func(c *accounts.Config) { c.Cost = accounts.DefaultCost })
	w.add("alice")
	w.login("alice", home, "")
	ctx, stop := context.WithCancel(b.Context())
	var flood sync.WaitGroup
	flood.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			flood.Go(func() {
				w.Authenticate(ctx, fmt.Sprint("name", n%500), "wrong password", fmt.Sprintf("10.%d.%d.%d:1", n>>16&255, n>>8&255, n&255))
			})
			<-tick.C
		}
	})
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := w.Authenticate(ctx, "alice", password, home); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	stop()
	flood.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
}

// BenchmarkLogin is one login at the default cost.
func BenchmarkLogin(b *testing.B) {
	w := newWorld(b, func(c *accounts.Config) { c.Cost = accounts.DefaultCost })
	w.add("alice")
	for b.Loop() {
		w.login("alice", home, "")
	}
}
