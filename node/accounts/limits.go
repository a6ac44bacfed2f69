// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"time"

	"github.com/comity-network/comity/internal/ratelimit"
)

// limits count failures, each kind as a burst and then so many a minute:
//
//	a name at an address   10, then 10 a minute   guessing at one account
//	an address             60, then 10 a minute   guessing at many from one place, which may be a whole campus
//	a name                 30, then 10 a minute   guessing at one account from many places
//
// A name that is over its limit is not locked, for then anybody could lock
// anybody out: each address has one attempt a minute for it instead of ten. So
// its owner gets in from any address, with one that is typed right.
//
// Names that do not exist are counted as those that do.
type limits struct {
	pair    *ratelimit.Limiter // by name and address
	flooded *ratelimit.Limiter // by name and address, where the name is over its limit
	name    *ratelimit.Limiter
	address *ratelimit.Limiter
	good    *ratelimit.Limiter // addresses from which somebody has logged in: an empty bucket
}

const (
	limitKeys   = 20_000         // in each, of some 300 bytes
	goodAddress = 24 * time.Hour // how long a login speaks for its address
)

func newLimits(now func() time.Time) *limits {
	make := func(every time.Duration, burst int) *ratelimit.Limiter {
		return ratelimit.New(ratelimit.Config{Every: every, Burst: burst, Keys: limitKeys, Now: now})
	}
	return &limits{
		pair: make(6*time.Second, 10), flooded: make(time.Minute, 1), name: make(6*time.Second, 30),
		address: make(6*time.Second, 60), good: make(goodAddress, 1),
	}
}

// wait is how long an attempt has to wait; 0: it may be judged now.
func (l *limits) wait(name, address string) time.Duration {
	pair := name + "|" + address
	wait := max(l.pair.Wait(pair), l.address.Wait(address))
	if l.name.Wait(name) > 0 {
		wait = max(wait, l.flooded.Wait(pair))
	}
	return wait
}

// failed counts a failure.
func (l *limits) failed(name, address string) {
	pair := name + "|" + address
	l.pair.Take(pair)
	l.flooded.Take(pair)
	l.name.Take(name)
	l.address.Take(address)
}

// succeeded notes that somebody has logged in from the address.
func (l *limits) succeeded(address string) { l.good.Take(address) }

// known reports whether somebody has logged in from the address lately.
func (l *limits) known(address string) bool { return l.good.Wait(address) > 0 }
