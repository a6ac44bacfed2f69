// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/ratelimit"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newLimiter(keys int) (*ratelimit.Limiter, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	return ratelimit.New(ratelimit.Config{Every: time.Second, Burst: 3, Keys: keys, Now: c.now}), c
}

func TestTakeRefusesAfterBurst(t *testing.T) {
	l, c := newLimiter(10)
	for range 3 {
		if d := l.Take("a"); d != 0 {
			t.Fatalf("within the burst: wait %v", d)
		}
	}
	if d := l.Take("a"); d <= 0 || d > time.Second {
		t.Errorf("after the burst: wait %v, expected up to 1s", d)
	}
	if d := l.Take("b"); d != 0 {
		t.Errorf("another key waits %v", d)
	}
	c.t = c.t.Add(time.Second)
	if d := l.Take("a"); d != 0 {
		t.Errorf("after a second: wait %v", d)
	}
}

func TestWaitTakesNothing(t *testing.T) {
	l, _ := newLimiter(10)
	for range 20 {
		if d := l.Wait("a"); d != 0 {
			t.Fatalf("wait %v for a key without events", d)
		}
	}
	if l.Len() != 0 {
		t.Errorf("Wait made %d buckets", l.Len())
	}
	for range 3 {
		l.Take("a")
	}
	if l.Wait("a") <= 0 {
		t.Error("an empty bucket does not wait")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	l, _ := newLimiter(100)
	for i := range 10_000 {
		l.Take(fmt.Sprint(i))
	}
	if n := l.Len(); n > 100 {
		t.Errorf("%d buckets, at most 100 are allowed", n)
	}
}

func TestFullBucketsAreForgotten(t *testing.T) {
	l, c := newLimiter(1000)
	for i := range 50 {
		l.Take(fmt.Sprint(i))
	}
	c.t = c.t.Add(time.Hour)
	for i := range 30 {
		l.Take(fmt.Sprint("new", i))
	}
	if n := l.Len(); n != 30 {
		t.Errorf("%d buckets, expected only the 30 new ones", n)
	}
}

func TestAddressKey(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.7",
		"[::ffff:192.0.2.7]:99":       "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:1":    "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":            "fe80::/64",
		"@":                           "@",
		"pipe":                        "pipe",
	} {
		if got := ratelimit.AddressKey(remote); got != want {
			t.Errorf("AddressKey(%q) = %q, expected %q", remote, got, want)
		}
	}
}

func TestNetworkKey(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.0/24",
		"[::ffff:192.0.2.7]:99":       "192.0.2.0/24",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"@":                           "@",
	} {
		if got := ratelimit.NetworkKey(remote); got != want {
			t.Errorf("NetworkKey(%q) = %q, expected %q", remote, got, want)
		}
	}
}
