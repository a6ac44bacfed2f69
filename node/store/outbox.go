// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/site/protocol"
)

var _ notify.Store = (*Store)(nil)

// enqueue puts messages into the outbox in the transaction of what made them
// necessary. A message that waits already is not put there twice.
func (s *Store) enqueue(tx *groupcommit.Tx, messages ...notify.Message) error {
	if len(messages) > 0 {
		tx.Ended(s.tellQueued)
	}
	for _, m := range messages {
		if m.Event.ID == "" || m.Site == "" {
			return errors.New("enqueue: message without site or jti")
		}
		event, err := json.Marshal(m.Event)
		if err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		// What cannot be read again would hold up all that stands behind it.
		if err := json.Unmarshal(event, new(protocol.Event)); err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		_, err = tx.Exec(`
			INSERT INTO outbox (site, jti, position, event, client, expires_at)
			VALUES ($1, $2, (SELECT COALESCE(MAX(position), 0) + 1 FROM outbox WHERE site = $1), $3, $4, $5)
			ON CONFLICT (site, jti) DO NOTHING`, m.Site, m.Event.ID, string(event), changedClient(m.Event), m.ExpiresAt)
		if err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
	}
	return nil
}

// Enqueue puts messages into the outbox in a transaction of their own.
func (s *Store) Enqueue(ctx context.Context, messages ...notify.Message) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error { return s.enqueue(tx, messages...) })
}

func (s *Store) tellQueued() {
	select {
	case s.queued <- struct{}{}:
	default:
	}
}

// QueueChanged implements notify.Store.
func (s *Store) QueueChanged() <-chan struct{} { return s.queued }

// QueuedSites implements notify.Store. It steps from site to site through the
// index, so that a long queue for one costs as much as a short one.
func (s *Store) QueuedSites(ctx context.Context) ([]string, error) {
	rows, err := s.reader.QueryContext(ctx, `
		WITH RECURSIVE step (site) AS (
			SELECT MIN(site) FROM outbox
			UNION ALL
			SELECT (SELECT MIN(o.site) FROM outbox o WHERE o.site > step.site) FROM step WHERE step.site IS NOT NULL
		)
		SELECT site FROM step WHERE site IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	defer rows.Close()
	var sites []string
	for rows.Next() {
		var site string
		if err := rows.Scan(&site); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		sites = append(sites, site)
	}
	return sites, rows.Err()
}

// Queued implements notify.Store.
func (s *Store) Queued(ctx context.Context, site string, max int) ([]notify.Message, error) {
	rows, err := s.reader.QueryContext(ctx,
		`SELECT jti, event, expires_at FROM outbox WHERE site = $1 ORDER BY position, jti LIMIT $2`, site, max)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	defer rows.Close()
	var messages []notify.Message
	for rows.Next() {
		m := notify.Message{Site: site}
		var jti, event string
		if err := rows.Scan(&jti, &event, &m.ExpiresAt); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		if err := json.Unmarshal([]byte(event), &m.Event); err != nil {
			return nil, fmt.Errorf("outbox: event %s for %s in %s is damaged: %w", jti, site, s.path, err)
		}
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

// Dequeue implements notify.Store.
func (s *Store) Dequeue(ctx context.Context, done []notify.Done) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		for _, d := range done {
			if _, err := tx.Exec(`DELETE FROM outbox WHERE site = $1 AND jti = $2`, d.Site, d.ID); err != nil {
				return fmt.Errorf("outbox: %w", err)
			}
		}
		return nil
	})
}

// Postpone implements notify.Store.
func (s *Store) Postpone(ctx context.Context, site, id string) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		_, err := tx.Exec(`
			UPDATE outbox SET position = (SELECT MAX(position) + 1 FROM outbox WHERE site = $1)
			WHERE site = $1 AND jti = $2`, site, id)
		if err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
		return nil
	})
}

// QueueDepth implements notify.Store.
func (s *Store) QueueDepth(ctx context.Context) (int64, error) {
	var n int64
	if err := s.reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM outbox`).Scan(&n); err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	return n, nil
}
