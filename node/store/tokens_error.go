// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/oauth"
)

// writeTokens is write, and says oauth.ErrUnavailable when the database cannot
// write now but may later (fault 64).
func (s *Store) writeTokens(ctx context.Context, f func(*groupcommit.Tx) error) error {
	err := s.write(ctx, f)
	if IsFull(err) {
		return fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	return err
}
