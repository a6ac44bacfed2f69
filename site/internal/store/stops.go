// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"math"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/trust"
)

// allOfFederation stands for the broker of a cutoff that holds for the tokens
// of every broker.
const allOfFederation = ""

const stopColumns = `record, client_id, issuer, seq, status, reason, since, until_at, heard_at, lift_after`

// Hear stores stops that an event told of, with their effect on tokens, and
// the event with them. A stop that was heard before changes nothing.
func (s *Store) Hear(ctx context.Context, e Event, stops []trust.Stop) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		if err := claimEvent(tx, e); err != nil {
			return err
		}
		for _, stop := range stops {
			if err := hear(tx, stop); err != nil {
				return err
			}
		}
		return nil
	})
}

func hear(tx *groupcommit.Tx, stop trust.Stop) error {
	err := claim(tx, `INSERT INTO comity_stops (`+stopColumns+`, lifted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0) ON CONFLICT DO NOTHING`,
		stop.Record, stop.ClientID, stop.Issuer, stop.Sequence, string(stop.Status), stop.Reason, stop.Since, stop.Until,
		stop.HeardAt, stop.LiftAfter)
	if err == ErrUsed {
		return nil
	}
	if err != nil {
		return err
	}
	cutoff := stop.Cutoff
	if stop.Status == registry.ClientRevoked {
		cutoff = math.MaxInt64
	}
	if cutoff == 0 {
		return nil
	}
	if cutoff != math.MaxInt64 {
		if err := putCutoff(tx, allOfFederation, "client:"+stop.ClientID, cutoff); err != nil {
			return err
		}
	}
	return killClient(tx, stop.ClientID, cutoff, stop.HeardAt)
}

func killClient(tx *groupcommit.Tx, client string, cutoff, now int64) error {
	_, err := tx.Exec(`UPDATE comity_tokens SET revoked_at = $1
		WHERE client_id = $2 AND issued_at <= $3 AND revoked_at = 0`, now, client, cutoff)
	return err
}

func putCutoff(tx *groupcommit.Tx, broker, subject string, cutoff int64) error {
	_, err := tx.Exec(`INSERT INTO comity_cutoffs (broker, subject, cutoff) VALUES ($1, $2, $3)
		ON CONFLICT (broker, subject) DO UPDATE SET cutoff = excluded.cutoff
		WHERE comity_cutoffs.cutoff < excluded.cutoff`, broker, subject, cutoff)
	return err
}

// Heard returns the stops in force that were heard of: of one client, or of
// all when client is empty.
func (s *Store) Heard(ctx context.Context, client string, now int64) ([]trust.Stop, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+stopColumns+` FROM comity_stops
		WHERE (client_id = $1 OR $1 = '') AND lifted_at = 0 AND (until_at = 0 OR until_at > $2)
		ORDER BY since, record`, client, now)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var stops []trust.Stop
	for rows.Next() {
		var p trust.Stop
		if err := rows.Scan(&p.Record, &p.ClientID, &p.Issuer, &p.Sequence, &p.Status, &p.Reason,
			&p.Since, &p.Until, &p.HeardAt, &p.LiftAfter); err != nil {
			return nil, err
		}
		stops = append(stops, p)
	}
	return stops, rows.Err()
}

// Lift ends the stop that record made, since a certified list does not hold
// it any more.
func (s *Store) Lift(ctx context.Context, record string, now int64) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		_, err := tx.Exec(`UPDATE comity_stops SET lifted_at = $1 WHERE record = $2 AND lifted_at = 0`, now, record)
		return err
	})
}

// Lifting says which suspensions of a client a certified list may lift at once.
type Lifting struct {
	ClientID string
	Issuer   string // whose suspensions; empty: nobody's
	Before   int64  // those with a lower seq
	Since    int64  // by a list that is certified at this second or later
}

// Reinstated stores an event that told of a reinstatement.
func (s *Store) Reinstated(ctx context.Context, e Event, l Lifting) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		if err := claimEvent(tx, e); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE comity_stops SET lift_after = $1
			WHERE client_id = $2 AND issuer = $3 AND seq < $4 AND lift_after > $5 AND status = 'suspended'`,
			l.Since, l.ClientID, l.Issuer, l.Before, l.Since)
		return err
	})
}

// Kill makes dead for good what a certified list says is: cutoff tells, for a
// client, up to which second its tokens are.
func (s *Store) Kill(ctx context.Context, now int64, cutoff func(client string) int64) error {
	clients, err := s.holders(ctx)
	if err != nil {
		return err
	}
	for _, client := range clients {
		c := cutoff(client)
		if c == 0 {
			continue
		}
		err := s.write(ctx, func(tx *groupcommit.Tx) error { return killClient(tx, client, c, now) })
		if err != nil {
			return err
		}
	}
	return nil
}

// holders lists the clients that hold live tokens.
func (s *Store) holders(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT DISTINCT client_id FROM comity_tokens WHERE revoked_at = 0`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var clients []string
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, rows.Err()
}
