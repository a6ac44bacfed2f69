// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
)

// revokeTokens is how a released token ends, and there is no other way but
// Purge. A condition follows, with parameters from $3 on.
const revokeTokens = `
	UPDATE tokens SET state = 'revoked', revoked_at = $1, reason = $2 WHERE state IN ('pending', 'released') AND `

// revoke ends a handful of tokens and returns them.
func (s *Store) revoke(tx *groupcommit.Tx, at int64, reason, condition string, args ...any) ([]oauth.Token, error) {
	args = append([]any{at, reason}, args...)
	dead, err := collect[oauth.Token](tx.Query(revokeTokens+condition+` RETURNING `+tokenColumns, args...))(scanToken)
	if err != nil || len(dead) == 0 {
		return nil, err
	}
	keys := make([]string, len(dead))
	for i, t := range dead {
		keys[i] = t.Key
	}
	tx.Ended(s.tokens.change(keys...))
	return dead, nil
}

// revokeMany ends any number of tokens.
func (s *Store) revokeMany(tx *groupcommit.Tx, at int64, reason, condition string, args ...any) error {
	tx.Ended(s.tokens.change())
	return exec(tx, revokeTokens+condition, append([]any{at, reason}, args...)...)
}

// RevokeToken implements oauth.Revoker.
func (s *Store) RevokeToken(ctx context.Context, key string, at int64, reason string, queue ...notify.Message) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		tx.Ended(s.tokens.change(key))
		dead, err := changes(tx.Exec(revokeTokens+`key = $3`, at, reason, key))
		if err != nil || !dead {
			return err
		}
		return s.enqueue(tx, queue...)
	})
}

// RevokeSelfContained implements oauth.Revoker.
func (s *Store) RevokeSelfContained(ctx context.Context, t oauth.Token, at int64, reason string, queue ...notify.Message) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		dead, err := changes(tx.Exec(`
			INSERT INTO tokens (key, type, jkt, client, home, site, scope, family, grant_id, issued_at, expires_at, subject, state, released_ms, code, rotates, refresh, revoked_at, reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', $8, $9, $10, 'revoked', 0, '', '', '', $11, $12) ON CONFLICT (key) DO NOTHING`,
			t.Key, t.Type, t.JKT, t.ClientID, t.Home, t.Site, t.Scope, t.IssuedAt, t.ExpiresAt, t.Subject, at, reason))
		if err != nil || !dead {
			return err
		}
		return s.enqueue(tx, queue...)
	})
}

// RevokeFamily implements oauth.Revoker.
func (s *Store) RevokeFamily(ctx context.Context, id string, at int64, reason string, message func(oauth.Token) notify.Message) error {
	if id == "" {
		return nil
	}
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		err := exec(tx, `UPDATE families SET revoked_at = $1, reason = $2 WHERE id = $3 AND revoked_at = 0`, at, reason, id)
		if err != nil {
			return err
		}
		dead, err := s.revoke(tx, at, reason, `family = $3 AND family <> '' AND expires_at > $1`, id)
		if err != nil {
			return err
		}
		queue := make([]notify.Message, len(dead))
		for i, t := range dead {
			queue[i] = message(t)
		}
		return s.enqueue(tx, queue...)
	})
}

// StopClient implements oauth.Revoker.
func (s *Store) StopClient(ctx context.Context, stop oauth.Stop, message func(site string) notify.Message) (int, error) {
	return s.stopAndTell(ctx, stop, fmt.Sprintf("%s %d", stop.Reason, stop.Cutoff), message, `
		SELECT site FROM tokens
		WHERE client = $1 AND expires_at > $2 AND state IN ('pending', 'released')`)
}

// EnableClient implements oauth.Revoker.
func (s *Store) EnableClient(ctx context.Context, stop oauth.Stop, message func(site string) notify.Message) (int, error) {
	return s.stopAndTell(ctx, stop, "", message, `
		SELECT site FROM tokens WHERE client = $1 AND expires_at > $2 AND state <> 'void'
		UNION SELECT site FROM families WHERE client = $1 AND expires_at > $2 AND revoked_at = 0`)
}

// stopAndTell asks which sites are concerned before it kills what they have:
// those that hold tokens, and those where the client has credentials and that
// were told something else last. Stops of clients that have nothing here, which
// are most, are not worth a transaction: what is minted meanwhile is stopped
// before it is released.
func (s *Store) stopAndTell(ctx context.Context, stop oauth.Stop, news string, message func(site string) notify.Message, concerned string) (told int, err error) {
	var holds bool
	err = s.reader.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM tokens WHERE client = $1 AND state <> 'void')
			OR EXISTS (SELECT 1 FROM families WHERE client = $1)
			OR EXISTS (SELECT 1 FROM connections WHERE client = $1 AND told <> $2)`, stop.ClientID, news).Scan(&holds)
	if err != nil || !holds {
		return 0, err
	}
	err = s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		sites, err := collect[string](tx.Query(concerned+`
			UNION SELECT resource FROM connections WHERE client = $1 AND through = $3 AND resource <> '' AND told <> $4
			ORDER BY site`, stop.ClientID, stop.At, stop.Broker, news))(scanString)
		if err != nil {
			return err
		}
		if err := s.kill(tx, stop); err != nil {
			return err
		}
		if err := exec(tx, `UPDATE connections SET told = $1 WHERE client = $2`, news, stop.ClientID); err != nil {
			return err
		}
		if message == nil {
			return nil
		}
		told = len(sites)
		return s.enqueueEach(tx, sites, message)
	})
	return told, err
}

// kill ends what the client got up to the cutoff.
func (s *Store) kill(tx *groupcommit.Tx, stop oauth.Stop) error {
	err := s.revokeMany(tx, stop.At, stop.Reason, `client = $3 AND issued_at <= $4`, stop.ClientID, stop.Cutoff)
	if err != nil {
		return err
	}
	return exec(tx, `
		UPDATE families SET revoked_at = $1, reason = $2
		WHERE client = $3 AND created_at <= $4 AND revoked_at = 0`,
		stop.At, stop.Reason, stop.ClientID, stop.Cutoff)
}

// StopBroker implements oauth.Revoker.
func (s *Store) StopBroker(ctx context.Context, home string, at int64, reason string) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		err := s.revokeMany(tx, at, reason, `(home = $3 OR $3 = '')`, home)
		if err != nil {
			return err
		}
		return exec(tx, `
			UPDATE families SET revoked_at = $1, reason = $2
			WHERE (home = $3 OR $3 = '') AND revoked_at = 0`, at, reason, home)
	})
}

func (s *Store) enqueueEach(tx *groupcommit.Tx, sites []string, message func(site string) notify.Message) error {
	queue := make([]notify.Message, len(sites))
	for i, site := range sites {
		queue[i] = message(site)
	}
	return s.enqueue(tx, queue...)
}
