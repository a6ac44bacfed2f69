// SPDX-License-Identifier: Apache-2.0

package site

import "time"

// SetElapsed replaces the monotonic clock. Call it before the first poll.
func (s *Site) SetElapsed(elapsed func() time.Duration) { s.trust.Elapsed = elapsed }
