// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// recentLife is longer than any assertion may still be used.
	recentLife = 90 * time.Second
	// recentKeys bounds one generation: 16 bytes each, 10 MB with the map.
	recentKeys = 1 << 17
)

// recent remembers in memory which assertions were used. Introspection relies
// on it alone: it only reads, so that a replay gains nothing that the thief of
// an assertion does not have, and it must work while the disk is full. All
// other endpoints claim assertions in the store as well.
//
// When more come than it holds, the oldest are forgotten early.
type recent struct {
	now func() time.Time

	mu        sync.Mutex
	young     map[[16]byte]struct{} // guarded by mu
	old       map[[16]byte]struct{} // guarded by mu
	rotatedAt time.Time             // guarded by mu
}

func newRecent(now func() time.Time) *recent {
	return &recent{now: now, young: map[[16]byte]struct{}{}, rotatedAt: now()}
}

// claim reports whether key is used for the first time.
func (c *recent) claim(key string) bool {
	sum := sha256.Sum256([]byte(key))
	k := [16]byte(sum[:16])
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); len(c.young) >= recentKeys || now.Sub(c.rotatedAt) >= recentLife {
		c.young, c.old, c.rotatedAt = make(map[[16]byte]struct{}), c.young, now
	}
	_, young := c.young[k]
	_, old := c.old[k]
	c.young[k] = struct{}{}
	return !young && !old
}
