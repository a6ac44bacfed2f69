// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"time"
)

// SetElapsed replaces the monotonic clock. Call it before the first poll.
func (s *Site) SetElapsed(elapsed func() time.Duration) { s.trust.Elapsed = elapsed }

// Purge forgets what has expired, as Run does every hour.
func (s *Site) Purge(ctx context.Context) error { return s.store.Purge(ctx, s.config.Now().Unix()) }
