// SPDX-License-Identifier: Apache-2.0

// Package ratelimit keeps one token bucket for each key, a client or a remote
// address, in bounded memory.
//
// A bucket that has refilled completely says nothing and is forgotten. When
// more keys than the bound are active at once, the one that was used least
// recently is forgotten: whoever controls that many addresses gets that much
// more, and memory stays bounded.
package ratelimit

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config says how fast each key may go.
type Config struct {
	Every time.Duration    // one event per Every on average
	Burst int              // events at once, at least 1
	Keys  int              // buckets kept, at least 1
	Now   func() time.Time // the clock
}

// Limiter is a set of buckets, safe for concurrent use.
type Limiter struct {
	cfg Config

	mu      sync.Mutex
	buckets map[string]*list.Element // guarded by mu
	recent  *list.List               // of *bucket, used most recently first; guarded by mu
}

type bucket struct {
	key   string
	limit *rate.Limiter
}

// New returns a limiter without any bucket.
func New(cfg Config) *Limiter {
	cfg.Burst, cfg.Keys = max(cfg.Burst, 1), max(cfg.Keys, 1)
	return &Limiter{cfg: cfg, buckets: make(map[string]*list.Element), recent: list.New()}
}

// Take takes one event of key. When there is none left it takes nothing and
// returns how long to wait for the next; zero means taken.
func (l *Limiter) Take(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	b := l.bucket(key)
	if b.limit.AllowN(now, 1) {
		return 0
	}
	return l.wait(b, now)
}

// Wait returns how long key must wait before Take succeeds. It takes nothing
// and makes no bucket.
func (l *Limiter) Wait(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.buckets[key]
	if !ok {
		return 0
	}
	return l.wait(e.Value.(*bucket), l.cfg.Now())
}

// Len is the number of buckets in memory.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.Len()
}

func (l *Limiter) wait(b *bucket, now time.Time) time.Duration {
	missing := 1 - b.limit.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing * float64(l.cfg.Every))
}

// bucket finds or makes the bucket of key and makes it the most recent.
func (l *Limiter) bucket(key string) *bucket {
	if e, ok := l.buckets[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	l.shrink()
	b := &bucket{key, rate.NewLimiter(rate.Every(l.cfg.Every), l.cfg.Burst)}
	l.buckets[key] = l.recent.PushFront(b)
	return b
}

// shrink forgets buckets from the old end: full ones, two a call, so that it
// gains on those who add one a call, and any when there is no room.
func (l *Limiter) shrink() {
	now := l.cfg.Now()
	for range 2 {
		e := l.recent.Back()
		if e == nil {
			return
		}
		b := e.Value.(*bucket)
		full := b.limit.TokensAt(now) >= float64(l.cfg.Burst)
		if !full && l.recent.Len() < l.cfg.Keys {
			return
		}
		l.recent.Remove(e)
		delete(l.buckets, b.key)
	}
}

// NetworkKey is the key of the network of a remote address as net/http spells
// it: the /24 of an IPv4 address, the /64 of an IPv6 one.
func NetworkKey(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil || !ap.Addr().Unmap().Is4() {
		return AddressKey(remote)
	}
	prefix, err := ap.Addr().Unmap().Prefix(24)
	if err != nil {
		return AddressKey(remote)
	}
	return prefix.String()
}

// AddressKey is the key of a remote address as net/http spells it (host:port):
// the host, and for IPv6 its /64, which one household or machine owns whole.
func AddressKey(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}
