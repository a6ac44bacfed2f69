// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/trust"
	"github.com/comity-network/comity/site/protocol"
)

// Token is what the site keeps of one access token.
type Token struct {
	Hash      string // base64url SHA-256 of its characters
	Broker    string // issuer of the broker that minted it
	Grant     string // empty: a token without a grant
	Code      string // jti of the code that it was redeemed with, if it was
	ClientID  string
	Home      string // issuer of the client's home broker
	Scope     string
	JKT       string // empty: a Bearer token
	Subject   string // only of logins at the broker: Grant is one of the broker's then
	Uses      string // protocol.UseOnce, UseWindow, or empty
	IssuedAt  int64
	ExpiresAt int64
	RevokedAt int64 // 0: not revoked
}

// Found is a token with all that decides whether it is alive.
type Found struct {
	Token
	User       string
	GrantEnded bool // also when there is no such grant any more
	Stopped    bool // a stop of the client was heard of and holds
}

const lookupSQL = `SELECT t.hash, t.broker, t.grant_id, t.code, t.client_id, t.home, t.scope, t.jkt, t.subject, t.uses,
		t.issued_at, t.expires_at, t.revoked_at, COALESCE(g.user_id, ''), COALESCE(g.ended_at, 1),
		(SELECT COUNT(*) FROM comity_stops s
			WHERE s.client_id = t.client_id AND s.lifted_at = 0 AND (s.until_at = 0 OR s.until_at > $2))
	FROM comity_tokens t LEFT JOIN comity_grants g ON g.id = t.grant_id AND t.subject = ''
	WHERE t.hash = $1 AND t.client_id <> ''`

// Lookup finds the token with this hash. registry.ErrNotFound if there is none.
func (s *Store) Lookup(ctx context.Context, hash string, now int64) (Found, error) {
	var f Found
	var ended, stops int64
	err := s.lookup.QueryRowContext(ctx, hash, now).Scan(&f.Hash, &f.Broker, &f.Grant, &f.Code, &f.ClientID, &f.Home,
		&f.Scope, &f.JKT, &f.Subject, &f.Uses, &f.IssuedAt, &f.ExpiresAt, &f.RevokedAt, &f.User, &ended, &stops)
	if errors.Is(err, sql.ErrNoRows) {
		return f, registry.ErrNotFound
	}
	f.GrantEnded, f.Stopped = f.Grant != "" && f.Subject == "" && ended != 0, stops > 0
	return f, err
}

// Use notes the first use of a token whose Uses says something. ErrUsed: it was
// used as often, or for as long, as it may be.
func (s *Store) Use(ctx context.Context, hash string, now int64) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		return claim(tx, `UPDATE comity_tokens SET used_at = CASE WHEN used_at = 0 THEN $1 ELSE used_at END
			WHERE hash = $2 AND (used_at = 0 OR uses = $3 AND used_at > $4)`,
			now, hash, protocol.UseWindow, now-protocol.UseWindowSeconds)
	})
}

// Situation is what a new token is judged by.
type Situation struct {
	Client  *trust.Fact // of trust.KindClient; nil: the site has not met the client
	Grant   *Grant      // as far as a token is judged by it; nil: the token names none, or one that is not there
	Stopped bool        // a stop of the client was heard of and holds
	Cutoff  int64       // tokens issued up to this second are dead
}

// errChanged: another process has changed the grant since it was read.
var errChanged = errors.New("the grant was changed just now; try again")

// Accept stores a new token, and the event that told of it, if judge has
// nothing against it; judge names the client's home broker, and may be called
// twice. A token that the same code gave before is revoked. ErrUsed: this event
// was accepted before. registry.ErrConflict: the hash is known, alive or
// revoked.
func (s *Store) Accept(ctx context.Context, e Event, t Token, judge func(Situation) (home string, err error)) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		if err := claimEvent(tx, e); err != nil {
			return err
		}
		now, err := situation(tx, e, t)
		if err != nil {
			return err
		}
		if t.Home, err = judge(now); err != nil {
			return err
		}
		if now.Grant != nil {
			if err := use(tx, e, t, now.Grant.UsedAt); err != nil {
				return err
			}
		}
		err = claim(tx, `INSERT INTO comity_tokens (hash, broker, grant_id, code, client_id, home, scope, jkt, subject,
			issued_at, expires_at, uses, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0) ON CONFLICT DO NOTHING`,
			t.Hash, t.Broker, t.Grant, t.Code, t.ClientID, t.Home, t.Scope, t.JKT, t.Subject, t.IssuedAt, t.ExpiresAt, t.Uses)
		if err == ErrUsed {
			return registry.ErrConflict
		}
		return err
	})
}

// use marks the grant as used and makes room for one token per code. It finds
// the grant as it was read, or fails: where other processes write, too, a grant
// that ends now has either ended here or sees the new token.
func use(tx *groupcommit.Tx, e Event, t Token, usedBefore int64) error {
	err := claim(tx, `UPDATE comity_grants SET used_at = $1 WHERE id = $2 AND ended_at = 0 AND used_at = $3`,
		e.At, t.Grant, usedBefore)
	if err == ErrUsed {
		return errChanged
	}
	if err != nil || t.Code == "" || usedBefore == 0 { // no token came of it yet
		return err
	}
	_, err = tx.Exec(`UPDATE comity_tokens SET revoked_at = $1
		WHERE grant_id = $2 AND code = $3 AND revoked_at = 0`, e.At, t.Grant, t.Code)
	return err
}

// situation collects what t is judged by. For a list of values (IN) SQLite makes a
// table, which costs as much as all the rest.
func situation(tx *groupcommit.Tx, e Event, t Token) (now Situation, err error) {
	known := trust.Fact{Kind: trust.KindClient}
	var g Grant
	var stops int64
	grant := t.Grant
	if t.Subject != "" { // it is the broker's
		grant = ""
	}
	err = tx.QueryRow(`SELECT
			(SELECT COUNT(*) FROM comity_stops WHERE client_id = $1 AND lifted_at = 0 AND (until_at = 0 OR until_at > $2)),
			(SELECT COALESCE(MAX(cutoff), 0) FROM (
				SELECT cutoff FROM comity_cutoffs WHERE broker = $3 AND subject = $4
				UNION ALL SELECT cutoff FROM comity_cutoffs WHERE broker = $3 AND subject = $5
				UNION ALL SELECT cutoff FROM comity_cutoffs WHERE broker = '' AND subject = $4) AS known),
			COALESCE(f.name, ''), COALESCE(f.position, 0), COALESCE(f.value, ''),
			COALESCE(g.id, ''), COALESCE(g.client_id, ''), COALESCE(g.broker, ''), COALESCE(g.scope, ''), COALESCE(g.jkt, ''),
			COALESCE(g.code, ''), COALESCE(g.code_expires_at, 0), COALESCE(g.used_at, 0), COALESCE(g.ended_at, 0)
		FROM (SELECT 1 AS one) AS always
			LEFT JOIN comity_facts f ON f.kind = $6 AND f.name = $1
			LEFT JOIN comity_grants g ON g.id = $7`,
		t.ClientID, e.At, t.Broker, "client:"+t.ClientID, "grant:"+t.Grant, trust.KindClient, grant).Scan(
		&stops, &now.Cutoff, &known.Name, &known.Position, &known.Value,
		&g.ID, &g.ClientID, &g.Broker, &g.Scope, &g.JKT, &g.Code, &g.CodeExpiresAt, &g.UsedAt, &g.EndedAt)
	if known.Name != "" {
		now.Client = &known
	}
	if g.ID != "" {
		now.Grant = &g
	}
	now.Stopped = stops > 0
	return now, err
}

// Revoke stores that a token of the event's broker is dead, also one that the
// site never heard of. registry.ErrConflict: another broker minted it.
func (s *Store) Revoke(ctx context.Context, e Event, hash string, expiresAt int64) error {
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		if err := claimEvent(tx, e); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO comity_tokens (hash, broker, grant_id, code, client_id, home, scope, jkt,
			subject, issued_at, expires_at, revoked_at) VALUES ($1, $2, '', '', '', '', '', '', '', 0, $3, $4)
			ON CONFLICT (hash) DO UPDATE SET revoked_at = excluded.revoked_at
			WHERE comity_tokens.revoked_at = 0 AND comity_tokens.broker = excluded.broker`,
			hash, e.Broker, expiresAt, e.At); err != nil {
			return err
		}
		var broker string
		if err := tx.QueryRow(`SELECT broker FROM comity_tokens WHERE hash = $1`, hash).Scan(&broker); err != nil {
			return err
		}
		if broker != e.Broker {
			return registry.ErrConflict
		}
		return nil
	})
}

// RevokeUpTo stores that the tokens which the event's broker issued up to
// cutoff for one grant or one client are dead. Exactly one of the two is set.
func (s *Store) RevokeUpTo(ctx context.Context, e Event, grant, client string, cutoff int64) error {
	subject, column, id := "grant:"+grant, "grant_id", grant
	if grant == "" {
		subject, column, id = "client:"+client, "client_id", client
	}
	return s.write(ctx, func(tx *groupcommit.Tx) error {
		if err := claimEvent(tx, e); err != nil {
			return err
		}
		if err := putCutoff(tx, e.Broker, subject, cutoff); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE comity_tokens SET revoked_at = $1
			WHERE broker = $2 AND `+column+` = $3 AND issued_at <= $4 AND revoked_at = 0`, e.At, e.Broker, id, cutoff)
		return err
	})
}
