// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"slices"
	"time"

	"github.com/comity-network/comity/registry"
)

// skew is how the clock of another member compares with this machine's, by its
// newest view.
type skew struct {
	iat  int64
	seen time.Time // when the view came, on this clock
}

// noteClock remembers the iat of a verified view, also of one that is refused
// since it is ahead: then the clock that is wrong may be this one. mu is held.
func (r *Replica) noteClock(v *registry.Record, now time.Time) {
	if v.IssuedAt > r.skews[v.Issuer].iat {
		r.skews[v.Issuer] = skew{iat: v.IssuedAt, seen: now}
	}
}

// lag is how far this clock is behind those of a quorum of other members, if
// that is more than MaxAhead, and by how many views that is known. A view takes
// time to arrive, so a clock may be further behind than it seems and never
// less. Views older than max_age say nothing. mu is held.
func (r *Replica) lag(now time.Time) (lag time.Duration, others int) {
	var lags []time.Duration
	for _, m := range r.chain.ActiveMembers() {
		s, ok := r.skews[m.Issuer]
		if !ok || m.Issuer == r.issuer {
			continue
		}
		// The time since then is by the monotonic clock, so this sees when
		// the clock is set.
		if since := now.Sub(s.seen); since <= r.maxAge() {
			lags = append(lags, time.Unix(s.iat, 0).Add(since).Sub(now.Round(0)))
		}
	}
	slices.Sort(lags)
	// One other clock proves nothing: it may be the one that is wrong.
	quorum := max(r.chain.ViewQuorum(), 2)
	if len(lags) < quorum {
		return 0, 0
	}
	if lag = lags[len(lags)-quorum]; lag <= registry.MaxAhead {
		return 0, 0
	}
	return lag, quorum
}
