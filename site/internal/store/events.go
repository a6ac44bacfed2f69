// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/comity-network/comity/internal/groupcommit"
)

// Event names one event of one broker.
type Event struct {
	Broker string
	ID     string // jti
	Digest string // of what it says, so that one jti stands for one thing
	At     int64  // now
}

// claimEvent is the first statement of each transaction that an event causes.
// ErrUsed: it was stored before, with its effect. ErrReused: something else
// was, under the same jti.
func claimEvent(tx *groupcommit.Tx, e Event) error {
	err := claim(tx, `INSERT INTO comity_events (broker, id, digest, received_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, e.Broker, e.ID, e.Digest, e.At)
	if err != ErrUsed {
		return err
	}
	var digest string
	if err := tx.QueryRow(`SELECT digest FROM comity_events WHERE broker = $1 AND id = $2`,
		e.Broker, e.ID).Scan(&digest); err != nil {
		return err
	}
	if digest != e.Digest {
		return ErrReused
	}
	return ErrUsed
}

// ClaimProof claims a DPoP proof by key and jti. ErrUsed when it was used.
func (s *Store) ClaimProof(ctx context.Context, id string, expiresAt int64) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		return claim(tx, `INSERT INTO comity_proofs (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, expiresAt)
	})
}
