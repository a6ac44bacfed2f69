// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
)

// RevokeToken implements oauth.Revoker.
func (s *Store) RevokeToken(ctx context.Context, hash string, at int64, reason string, queue ...notify.Message) error {
	return s.writeTokens(ctx, func(tx *sql.Tx) error {
		var revoked string
		err := tx.QueryRowContext(ctx, `
			UPDATE tokens SET state = 'revoked', revoked_at = $1, reason = $2
			WHERE hash = $3 AND state IN ('pending', 'released')
			RETURNING hash`, at, reason, hash).Scan(&revoked)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return enqueue(ctx, tx, queue...)
	})
}

// RevokeFamily implements oauth.Revoker.
func (s *Store) RevokeFamily(ctx context.Context, id string, at int64, reason string, message func(oauth.Token) notify.Message) error {
	if id == "" {
		return nil
	}
	return s.writeTokens(ctx, func(tx *sql.Tx) error {
		err := exec(ctx, tx, `UPDATE families SET revoked_at = $1, reason = $2 WHERE id = $3 AND revoked_at = 0`, at, reason, id)
		if err != nil {
			return err
		}
		dead, err := collect[oauth.Token](tx.QueryContext(ctx, `
			UPDATE tokens SET state = 'revoked', revoked_at = $1, reason = $2
			WHERE family = $3 AND state IN ('pending', 'released') AND expires_at > $1
			RETURNING `+tokenColumns, at, reason, id))(scanToken)
		if err != nil {
			return err
		}
		queue := make([]notify.Message, len(dead))
		for i, t := range dead {
			queue[i] = message(t)
		}
		return enqueue(ctx, tx, queue...)
	})
}

// StopClient implements oauth.Revoker.
func (s *Store) StopClient(ctx context.Context, stop oauth.Stop, message func(site string) notify.Message) (int, error) {
	return s.stopAndTell(ctx, stop, message, `
		SELECT DISTINCT site FROM tokens
		WHERE client = $1 AND expires_at > $2 AND state IN ('pending', 'released') ORDER BY site`)
}

// EnableClient implements oauth.Revoker.
func (s *Store) EnableClient(ctx context.Context, stop oauth.Stop, message func(site string) notify.Message) (int, error) {
	return s.stopAndTell(ctx, stop, message, `
		SELECT site FROM tokens WHERE client = $1 AND expires_at > $2 AND state <> 'void'
		UNION SELECT site FROM families WHERE client = $1 AND expires_at > $2 AND revoked_at = 0
		ORDER BY site`)
}

// stopAndTell asks which sites are concerned before it kills what they have.
// Stops of clients that have nothing here, which are most, are not worth a
// transaction: what is minted meanwhile is stopped before it is released.
func (s *Store) stopAndTell(ctx context.Context, stop oauth.Stop, message func(site string) notify.Message, concerned string) (told int, err error) {
	var holds bool
	err = s.reader.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM tokens WHERE client = $1 AND state <> 'void')
			OR EXISTS (SELECT 1 FROM families WHERE client = $1)`, stop.ClientID).Scan(&holds)
	if err != nil || !holds {
		return 0, err
	}
	err = s.writeTokens(ctx, func(tx *sql.Tx) error {
		sites, err := collect[string](tx.QueryContext(ctx, concerned, stop.ClientID, stop.At))(scanString)
		if err != nil {
			return err
		}
		if err := kill(ctx, tx, stop); err != nil {
			return err
		}
		if message == nil {
			return nil
		}
		told = len(sites)
		return enqueueEach(ctx, tx, sites, message)
	})
	return told, err
}

// kill ends what the client got up to the cutoff.
func kill(ctx context.Context, tx *sql.Tx, stop oauth.Stop) error {
	err := exec(ctx, tx, `
		UPDATE tokens SET state = 'revoked', revoked_at = $1, reason = $2
		WHERE client = $3 AND issued_at <= $4 AND state IN ('pending', 'released')`,
		stop.At, stop.Reason, stop.ClientID, stop.Cutoff)
	if err != nil {
		return err
	}
	return exec(ctx, tx, `
		UPDATE families SET revoked_at = $1, reason = $2
		WHERE client = $3 AND created_at <= $4 AND revoked_at = 0`,
		stop.At, stop.Reason, stop.ClientID, stop.Cutoff)
}

// StopBroker implements oauth.Revoker.
func (s *Store) StopBroker(ctx context.Context, home string, at int64, reason string) error {
	return s.writeTokens(ctx, func(tx *sql.Tx) error {
		err := exec(ctx, tx, `
			UPDATE tokens SET state = 'revoked', revoked_at = $1, reason = $2
			WHERE (home = $3 OR $3 = '') AND state IN ('pending', 'released')`, at, reason, home)
		if err != nil {
			return err
		}
		return exec(ctx, tx, `
			UPDATE families SET revoked_at = $1, reason = $2
			WHERE (home = $3 OR $3 = '') AND revoked_at = 0`, at, reason, home)
	})
}

func enqueueEach(ctx context.Context, tx *sql.Tx, sites []string, message func(site string) notify.Message) error {
	queue := make([]notify.Message, len(sites))
	for i, site := range sites {
		queue[i] = message(site)
	}
	return enqueue(ctx, tx, queue...)
}
