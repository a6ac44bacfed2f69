// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"slices"
	"time"
)

// Certification says how well members' views confirm one stop list.
type Certification struct {
	// At is the newest second at which a quorum held this list under this
	// charter: the quorum-th newest iat. 0: no quorum ever did. The holder
	// may act on the list until At + max_age, by the best At that it ever saw.
	At      int64
	Have    int      // members whose view agrees and is not older than max_age
	Need    int      // the quorum
	Missing []string // issuers of the others that were asked for, sorted
}

// Fresh reports whether the list may be acted on at the time now.
func (c Certification) Fresh(now time.Time, maxAge int64) bool {
	return c.At > 0 && now.Unix() <= c.At+maxAge
}

// String says what is missing, as brokers tell it to clients.
func (c Certification) String() string {
	return fmt.Sprintf("views of %d of %d members, %d needed", c.Have, c.Have+len(c.Missing), c.Need)
}

// Certify judges a stop list, given by its hash and its number of lines. A view
// counts when its issuer is an active member (and among members, unless that
// is nil), when it names the newest charter of the chain and this list, and
// when its iat is not more than MaxAhead after now. Each member counts once,
// with its newest such view. quorum 0 takes the charter's.
//
// The views must have passed Chain.VerifyView. A member's older view counts as
// what it is, a statement about its time, even if a newer one says otherwise:
// it makes At no later than that.
func Certify(chain *Chain, views []*Record, stopHash string, stopCount int64, members []string, quorum int, now time.Time) Certification {
	if quorum <= 0 {
		quorum = chain.ViewQuorum()
	}
	newest := make(map[string]int64) // iat by issuer; 0: asked for, nothing seen
	for _, m := range chain.ActiveMembers() {
		if members == nil || slices.Contains(members, m.Issuer) {
			newest[m.Issuer] = 0
		}
	}
	for _, v := range views {
		at, asked := newest[v.Issuer]
		if asked && v.View != nil && v.View.Charter == chain.Latest().CID &&
			v.View.StopHash == stopHash && v.View.StopCount == stopCount &&
			v.IssuedAt <= now.Add(MaxAhead).Unix() {
			newest[v.Issuer] = max(at, v.IssuedAt)
		}
	}
	return certification(newest, quorum, now.Unix()-chain.Latest().MaxAge)
}

// certification counts: oldest is the first second that is not too old.
func certification(newest map[string]int64, quorum int, oldest int64) Certification {
	c := Certification{Need: quorum}
	var times []int64
	for issuer, at := range newest {
		if at > 0 {
			times = append(times, at)
		}
		if at > 0 && at >= oldest {
			c.Have++
		} else {
			c.Missing = append(c.Missing, issuer)
		}
	}
	slices.Sort(c.Missing)
	slices.Sort(times)
	if len(times) >= quorum {
		c.At = times[len(times)-quorum]
	}
	return c
}

// VerifyView checks that v is a view, signed by the current key of an active
// member. The error is ErrForm, ErrNotFound or ErrSignature.
func (c *Chain) VerifyView(v *Record) error {
	if v.Kind != KindView || v.View == nil {
		return fmt.Errorf("%w: a record of kind %s is no view", ErrForm, v.Kind)
	}
	m, ok := c.Member(v.Issuer)
	if !ok || m.State != MemberActive {
		return fmt.Errorf("%w: %s is not an active member of the federation", ErrNotFound, v.Issuer)
	}
	key, _ := c.CurrentKey(v.Issuer) // an active member has one
	return v.Verify(key)
}
