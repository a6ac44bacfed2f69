// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/site/protocol"
)

// The store of the authorization server: the two-phase release is here, what
// only reads in tokens_read.go, revocation in tokens_revoke.go, housekeeping in
// tokens_keep.go. Every one-time thing is claimed by the one statement whose
// result decides; what follows it in the transaction only records it.
var _ oauth.Store = (*Store)(nil)

// Mint implements oauth.Minter.
func (s *Store) Mint(ctx context.Context, m oauth.Mint) error {
	states := statesOf(m)
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		if m.Proof != nil {
			if err := claimSeen(tx, *m.Proof); err != nil {
				return err
			}
		}
		code := ""
		if m.Code != nil {
			code = m.Code.Key
			if err := claimCode(tx, m, states); err != nil {
				return err
			}
		}
		if m.Rotate != "" {
			if err := claimRefresh(tx, m, states); err != nil {
				return err
			}
		}
		if m.SelfContained {
			return nil
		}
		return insertMint(tx, m, code, states)
	})
}

// states are what becomes of the rows of a mint.
type states struct {
	token, refresh, claimed, rotated string
	usedMS                           int64 // of what is claimed; 0: not yet
}

func statesOf(m oauth.Mint) states {
	if m.ReleasedAt.IsZero() {
		return states{"pending", "pending", "claimed", "claimed", 0}
	}
	return states{"released", "live", "used", "rotated", m.ReleasedAt.UnixMilli()}
}

// claimCode claims a code that was never seen, or that is open again.
func claimCode(tx *groupcommit.Tx, m oauth.Mint, s states) error {
	claimed, err := changes(tx.Exec(`
		INSERT INTO codes (key, state, token, family, tries, expires_at, used_ms)
		VALUES ($1, $6, $2, $3, 1, $4, $7)
		ON CONFLICT (key) DO UPDATE
		SET state = excluded.state, token = excluded.token, family = excluded.family, tries = codes.tries + 1, used_ms = excluded.used_ms
		WHERE codes.state = 'open' AND codes.tries < $5`,
		m.Code.Key, m.Token.Hash, m.Token.Family, m.Code.ExpiresAt, oauth.MaxTries, s.claimed, s.usedMS))
	if err != nil || claimed {
		return err
	}
	var state, family string
	var used int64
	err = tx.QueryRow(`SELECT state, family, used_ms FROM codes WHERE key = $1`, m.Code.Key).
		Scan(&state, &family, &used)
	if err != nil {
		return err
	}
	return claimError(state, family, used)
}

// claimRefresh claims a live refresh token of a living family.
func claimRefresh(tx *groupcommit.Tx, m oauth.Mint, s states) error {
	claimed, err := changes(tx.Exec(`
		UPDATE refresh_tokens SET state = $4, used_by = $1, used_ms = $5
		WHERE hash = $2 AND state = 'live' AND expires_at > $3 AND EXISTS (
			SELECT 1 FROM families f
			WHERE f.id = refresh_tokens.family AND f.id = $6 AND f.revoked_at = 0 AND f.expires_at > $3)`,
		m.Token.Hash, m.Rotate, m.Token.IssuedAt, s.rotated, s.usedMS, m.Token.Family))
	if err != nil || claimed {
		return err
	}
	var state, family string
	var used int64
	err = tx.QueryRow(`SELECT state, family, used_ms FROM refresh_tokens WHERE hash = $1`, m.Rotate).
		Scan(&state, &family, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return &oauth.ClaimError{State: oauth.ClaimSpent}
	}
	if err != nil {
		return err
	}
	if family != m.Token.Family {
		return errors.New("refresh token belongs to another family")
	}
	return claimError(state, family, used)
}

// claimError tells why a code or a refresh token in this state is not to be had.
func claimError(state, family string, usedMS int64) error {
	switch state {
	case "claimed", "pending":
		return &oauth.ClaimError{State: oauth.ClaimPending}
	case "used", "rotated":
		return &oauth.ClaimError{State: oauth.ClaimUsed, Family: family, UsedAt: time.UnixMilli(usedMS)}
	}
	return &oauth.ClaimError{State: oauth.ClaimSpent}
}

func insertMint(tx *groupcommit.Tx, m oauth.Mint, code string, s states) error {
	if f := m.Family; f != nil {
		_, err := tx.Exec(`
			INSERT INTO families (id, client, home, site, grant_id, scope, jkt, created_at, expires_at, subject)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			f.ID, f.ClientID, f.Home, f.Site, f.Grant, f.Scope, f.JKT, f.CreatedAt, f.ExpiresAt, f.Subject)
		if err != nil {
			return err
		}
	}
	if r := m.Refresh; r != nil {
		_, err := tx.Exec(`
			INSERT INTO refresh_tokens (hash, family, issued_at, expires_at, state, token)
			VALUES ($1, $2, $3, $4, $6, $5)`,
			r.Hash, r.Family, r.IssuedAt, r.ExpiresAt, m.Token.Hash, s.refresh)
		if err != nil {
			return err
		}
	}
	t := m.Token
	_, err := tx.Exec(`
		INSERT INTO tokens (hash, type, jkt, client, home, site, scope, family, grant_id, issued_at, expires_at, state, code, rotates, subject, uses)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $16, $12, $13, $14, $15)`,
		t.Hash, t.Type, t.JKT, t.ClientID, t.Home, t.Site, t.Scope, t.Family, t.Grant, t.IssuedAt, t.ExpiresAt, code, m.Rotate, t.Subject, t.Uses, s.token)
	return err
}

// Release implements oauth.Minter.
func (s *Store) Release(ctx context.Context, m oauth.Mint, now time.Time) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		released, err := changes(tx.Exec(`UPDATE tokens SET state = 'released' WHERE hash = $1 AND state = 'pending'`, m.Token.Hash))
		if err == nil && !released {
			err = oauth.ErrNotPending
		}
		ms := now.UnixMilli()
		if err == nil && m.Code != nil {
			err = exec(tx, `UPDATE codes SET state = 'used', used_ms = $1 WHERE key = $2`, ms, m.Code.Key)
		}
		if err == nil && m.Rotate != "" {
			err = exec(tx, `UPDATE refresh_tokens SET state = 'rotated', used_ms = $1 WHERE hash = $2`, ms, m.Rotate)
		}
		if err == nil && m.Refresh != nil {
			err = exec(tx, `UPDATE refresh_tokens SET state = 'live' WHERE hash = $1 AND state = 'pending'`, m.Refresh.Hash)
		}
		return err
	})
}

// Use implements oauth.Minter.
func (s *Store) Use(ctx context.Context, hash string, now int64) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		used, err := changes(tx.Exec(`
			UPDATE tokens SET used_at = CASE WHEN used_at = 0 THEN $1 ELSE used_at END
			WHERE hash = $2 AND state = 'released' AND (used_at = 0 OR uses = $3 AND used_at > $4)`,
			now, hash, protocol.UseWindow, now-protocol.UseWindowSeconds))
		if err == nil && !used {
			return oauth.ErrSeen
		}
		return err
	})
}

// Void implements oauth.Minter.
func (s *Store) Void(ctx context.Context, hash string, o oauth.Outcome, at int64, queue ...notify.Message) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		reason := "unanswered"
		if o == oauth.Refused {
			reason = "refused"
		}
		var code, rotates, family string
		err := tx.QueryRow(`
			UPDATE tokens SET state = 'void', revoked_at = $1, reason = $2 WHERE hash = $3 AND state = 'pending'
			RETURNING code, rotates, family`, at, reason, hash).Scan(&code, &rotates, &family)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := exec(tx, `DELETE FROM refresh_tokens WHERE family = $1 AND token = $2 AND state = 'pending'`, family, hash); err != nil {
			return err
		}
		if o == oauth.Refused {
			err = s.refuse(tx, code, family, at)
		} else {
			err = undo(tx, code, rotates, family)
		}
		if err != nil {
			return err
		}
		return s.enqueue(tx, queue...)
	})
}

// refuse makes the claim final and ends the family.
func (s *Store) refuse(tx *groupcommit.Tx, code, family string, at int64) error {
	if err := exec(tx, `UPDATE codes SET state = 'refused' WHERE key = $1`, code); err != nil {
		return err
	}
	err := exec(tx, `UPDATE families SET revoked_at = $1, reason = 'refused' WHERE id = $2 AND revoked_at = 0`, at, family)
	if err != nil {
		return err
	}
	if family == "" {
		return nil
	}
	_, err = s.revoke(tx, at, "refused", `family = $3 AND family <> ''`, family)
	return err
}

// undo gives the claim back. A family that was to begin with this token never
// was.
func undo(tx *groupcommit.Tx, code, rotates, family string) error {
	if rotates != "" {
		return exec(tx, `
			UPDATE refresh_tokens SET state = 'live', used_by = '' WHERE hash = $1 AND state = 'claimed'`, rotates)
	}
	if err := exec(tx, `UPDATE codes SET state = 'open', family = '' WHERE key = $1`, code); err != nil {
		return err
	}
	return exec(tx, `DELETE FROM families WHERE id = $1`, family)
}

func exec(tx *groupcommit.Tx, query string, args ...any) error {
	_, err := tx.Exec(query, args...)
	return err
}

// changes reports whether a statement has changed anything. It costs a fraction
// of RETURNING, for which SQLite makes a table.
func changes(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
