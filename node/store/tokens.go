// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		if m.Proof != nil {
			if err := claimSeen(tx, *m.Proof); err != nil {
				return err
			}
		}
		if m.Code != nil {
			if err := claimCode(tx, m); err != nil {
				return err
			}
		}
		if m.Rotate != "" {
			if err := claimRefresh(tx, m); err != nil {
				return err
			}
		}
		if m.SelfContained {
			return nil
		}
		return insertMint(tx, m)
	})
}

// codeKey is the key of the row of a code, in the order of expiry.
func codeKey(c *oauth.OneTime) string { return fmt.Sprintf("%012d.%s", c.ExpiresAt, c.Key) }

// claimCode claims a code that was never seen, or that may be tried again.
func claimCode(tx *groupcommit.Tx, m oauth.Mint) error {
	claimed, err := changes(tx.Exec(`
		INSERT INTO codes (key, token, family, tries) VALUES ($1, $2, $3, 1)
		ON CONFLICT (key) DO UPDATE SET token = excluded.token, family = excluded.family, tries = codes.tries + 1
		WHERE codes.token = '' AND codes.tries < $4`,
		codeKey(m.Code), m.Token.Key, m.Token.Family, oauth.MaxTries))
	if err != nil || claimed {
		return err
	}
	var c claim
	err = tx.QueryRow(`
		SELECT codes.token, codes.family, coalesce(tokens.state, ''), coalesce(tokens.released_ms, 0)
		FROM codes LEFT JOIN tokens ON tokens.key = codes.token WHERE codes.key = $1`, codeKey(m.Code)).
		Scan(&c.token, &c.family, &c.state, &c.releasedMS)
	if err != nil {
		return err
	}
	return c.error()
}

// claimRefresh claims the refresh token of a living family that is not used and
// was handed out.
func claimRefresh(tx *groupcommit.Tx, m oauth.Mint) error {
	claimed, err := changes(tx.Exec(`
		UPDATE refresh_tokens SET used_by = $1
		WHERE key = $2 AND used_by = '' AND expires_at > $3
			AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.key = refresh_tokens.token AND t.released_ms = 0)
			AND EXISTS (SELECT 1 FROM families f
				WHERE f.id = refresh_tokens.family AND f.id = $4 AND f.revoked_at = 0 AND f.expires_at > $3)`,
		m.Token.Key, m.Rotate, m.Token.IssuedAt, m.Token.Family))
	if err != nil || claimed {
		return err
	}
	// Not used, it waits for the token that it came with.
	var c claim
	err = tx.QueryRow(`
		SELECT r.used_by, r.family, coalesce(t.state, ''), coalesce(t.released_ms, 0)
		FROM refresh_tokens r LEFT JOIN tokens t ON t.key = CASE r.used_by WHEN '' THEN r.token ELSE r.used_by END
		WHERE r.key = $1`, m.Rotate).
		Scan(&c.token, &c.family, &c.state, &c.releasedMS)
	if errors.Is(err, sql.ErrNoRows) {
		return &oauth.ClaimError{State: oauth.ClaimSpent}
	}
	if err != nil {
		return err
	}
	if c.family != m.Token.Family {
		return errors.New("refresh token belongs to another family")
	}
	return c.error()
}

// claim is what is known of a code or a refresh token that is not to be had, and
// of the access token that says how far its use is.
type claim struct {
	token, family string
	state         string // of the access token; empty: forgotten, or self-contained
	releasedMS    int64
}

func (c claim) error() error {
	switch {
	case c.state == "pending":
		return &oauth.ClaimError{State: oauth.ClaimPending}
	case c.token == "", c.state != "" && c.releasedMS == 0:
		return &oauth.ClaimError{State: oauth.ClaimSpent}
	}
	return &oauth.ClaimError{State: oauth.ClaimUsed, Family: c.family, UsedAt: time.UnixMilli(c.releasedMS)}
}

func insertMint(tx *groupcommit.Tx, m oauth.Mint) error {
	if f := m.Family; f != nil {
		_, err := tx.Exec(`
			INSERT INTO families (id, client, home, site, grant_id, scope, jkt, created_at, expires_at, subject)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			f.ID, f.ClientID, f.Home, f.Site, f.Grant, f.Scope, f.JKT, f.CreatedAt, f.ExpiresAt, f.Subject)
		if err != nil {
			return err
		}
	}
	refresh := ""
	if r := m.Refresh; r != nil {
		refresh = r.Key
		_, err := tx.Exec(`
			INSERT INTO refresh_tokens (key, family, issued_at, expires_at, token, used_by) VALUES ($1, $2, $3, $4, $5, '')`,
			r.Key, r.Family, r.IssuedAt, r.ExpiresAt, m.Token.Key)
		if err != nil {
			return err
		}
	}
	code := ""
	if m.Code != nil {
		code = codeKey(m.Code)
	}
	state, releasedMS := oauth.TokenPending, int64(0)
	if !m.ReleasedAt.IsZero() {
		state, releasedMS = oauth.TokenReleased, m.ReleasedAt.UnixMilli()
	}
	t := m.Token
	_, err := tx.Exec(`
		INSERT INTO tokens (key, type, jkt, client, home, site, scope, family, grant_id, issued_at, expires_at,
			subject, uses, state, released_ms, code, rotates, refresh)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		t.Key, t.Type, t.JKT, t.ClientID, t.Home, t.Site, t.Scope, t.Family, t.Grant, t.IssuedAt, t.ExpiresAt,
		t.Subject, t.Uses, string(state), releasedMS, code, m.Rotate, refresh)
	return err
}

// Release implements oauth.Minter.
func (s *Store) Release(ctx context.Context, key string, now time.Time) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		released, err := changes(tx.Exec(`
			UPDATE tokens SET state = 'released', released_ms = $1 WHERE key = $2 AND state = 'pending'`, now.UnixMilli(), key))
		if err == nil && !released {
			return oauth.ErrNotPending
		}
		return err
	})
}

// Use implements oauth.Minter.
func (s *Store) Use(ctx context.Context, key string, now int64) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		used, err := changes(tx.Exec(`
			UPDATE tokens SET used_at = CASE WHEN used_at = 0 THEN $1 ELSE used_at END
			WHERE key = $2 AND state = 'released' AND (used_at = 0 OR uses = $3 AND used_at > $4)`,
			now, key, protocol.UseWindow, now-protocol.UseWindowSeconds))
		if err == nil && !used {
			return oauth.ErrSeen
		}
		return err
	})
}

// Void implements oauth.Minter.
func (s *Store) Void(ctx context.Context, key string, o oauth.Outcome, at int64, queue ...notify.Message) error {
	return s.writeTokens(ctx, func(tx *groupcommit.Tx) error {
		reason := "unanswered"
		if o == oauth.Refused {
			reason = "refused"
		}
		var code, rotates, refresh, family string
		err := tx.QueryRow(`
			UPDATE tokens SET state = 'void', revoked_at = $1, reason = $2 WHERE key = $3 AND state = 'pending'
			RETURNING code, rotates, refresh, family`, at, reason, key).Scan(&code, &rotates, &refresh, &family)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := exec(tx, `DELETE FROM refresh_tokens WHERE key = $1`, refresh); err != nil {
			return err
		}
		if o == oauth.Refused {
			err = s.refuse(tx, family, at)
		} else {
			err = undo(tx, code, rotates, family)
		}
		if err != nil {
			return err
		}
		return s.enqueue(tx, queue...)
	})
}

// refuse ends the family. The claim is final: its token is void.
func (s *Store) refuse(tx *groupcommit.Tx, family string, at int64) error {
	if family == "" {
		return nil
	}
	err := exec(tx, `UPDATE families SET revoked_at = $1, reason = 'refused' WHERE id = $2 AND revoked_at = 0`, at, family)
	if err != nil {
		return err
	}
	_, err = s.revoke(tx, at, "refused", `family = $3 AND family <> ''`, family)
	return err
}

// undo gives the claim back. A family that was to begin with this token never
// was.
func undo(tx *groupcommit.Tx, code, rotates, family string) error {
	if rotates != "" {
		return exec(tx, `UPDATE refresh_tokens SET used_by = '' WHERE key = $1`, rotates)
	}
	if err := exec(tx, `UPDATE codes SET token = '', family = '' WHERE key = $1`, code); err != nil {
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
