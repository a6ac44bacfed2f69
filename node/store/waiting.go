// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/site/protocol"
)

// What waits in the outbox, for those who look on.

// changedClient is the client that an event stops or enables, or "".
func changedClient(e protocol.Event) string {
	switch {
	case e.ClientDisabled != nil:
		return e.ClientDisabled.ClientID
	case e.ClientEnabled != nil:
		return e.ClientEnabled.ClientID
	}
	return ""
}

// WaitingChanges counts the sites that have yet to acknowledge that a client was
// stopped or enabled.
func (s *Store) WaitingChanges(ctx context.Context, client string) (int, error) {
	return s.count(ctx, `SELECT COUNT(DISTINCT site) FROM outbox WHERE client = $1 AND client <> ''`, client)
}

// WaitingEvents counts the messages that wait for one site.
func (s *Store) WaitingEvents(ctx context.Context, site string) (int, error) {
	return s.count(ctx, `SELECT COUNT(*) FROM outbox WHERE site = $1`, site)
}

func (s *Store) count(ctx context.Context, query string, args ...any) (n int, err error) {
	if err := s.reader.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	return n, nil
}
