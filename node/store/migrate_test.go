// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

// older makes a database of an older version, with what the statements put in.
func older(t *testing.T, version int64, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "comity.db")
	check(t, os.WriteFile(path, nil, 0o600))
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	check(t, err)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"))
	check(t, err)
	_, err = provider.UpTo(context.Background(), version)
	check(t, err)
	for _, statement := range statements {
		_, err := db.Exec(statement)
		check(t, err)
	}
	return path
}

// old is the key of a token of a former version.
func old(hash string) string { return "000000000000." + hash }

func count(t *testing.T, path, query string, args ...any) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	check(t, err)
	defer db.Close()
	check(t, db.QueryRow(query, args...).Scan(&n))
	return n
}

// What was there before tokens were kept by their time (00012 and 00014) is there
// after it, and what was under way ends as it would have.
func TestMigrateTokens(t *testing.T) {
	path := older(t, 11,
		`INSERT INTO families (id, client, home, site, grant_id, scope, jkt, created_at, expires_at, revoked_at, reason, subject)
			VALUES ('f', 'c', 'h', 's', 'g', 'read', 'j', 1, 900, 0, '', 'ada'), ('e', 'c', 'h', 's', 'g', 'read', '', 1, 900, 7, 'over', ''), ('d', 'c', 'h', 's', 'g', 'read', '', 1, 900, 0, '', '')`,
		`INSERT INTO refresh_tokens (hash, family, issued_at, expires_at, state, token) VALUES ('r', 'd', 1, 900, 'pending', 't'), ('q', 'f', 1, 900, 'live', 'u')`,
		`INSERT INTO refresh_tokens (hash, family, issued_at, expires_at, state, token, used_by, used_ms) VALUES ('p', 'f', 1, 900, 'rotated', 'x', 'u', 1500), ('w', 'f', 1, 900, 'claimed', 'x', 'v', 0)`,
		`INSERT INTO tokens (hash, type, jkt, client, home, site, scope, family, grant_id, issued_at, expires_at, state, code, rotates)
			VALUES ('t', 'Bearer', '', 'c', 'h', 's', 'read', 'd', 'g', 1, 900, 'pending', 'k', ''), ('u', 'Bearer', '', 'c', 'h', 's', 'read', 'f', 'g', 1, 900, 'released', '', ''),
				('v', 'Bearer', '', 'c', 'h', 's', 'read', 'f', 'g', 1, 900, 'pending', '', 'w')`,
		`INSERT INTO codes (key, state, token, family, tries, used_ms, expires_at) VALUES ('k', 'claimed', 't', 'd', 2, 0, 900), ('l', 'used', 'u', 'f', 1, 5000, 900)`,
		`INSERT INTO seen (id, expires_at) VALUES ('i', 900)`)
	s, err := store.Open(t.Context(), path)
	check(t, err)
	defer s.Close()

	want := oauth.Family{ID: "f", ClientID: "c", Home: "h", Site: "s", Grant: "g", Subject: "ada", Scope: "read", JKT: "j", CreatedAt: 1, ExpiresAt: 900}
	if r, f, err := s.Refresh(t.Context(), old("q")); err != nil || !r.Live || f != want {
		t.Errorf("%+v, %+v, %v", r, f, err)
	}
	if err := s.Claim(t.Context(), oauth.OneTime{Key: "i", ExpiresAt: 900}); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("an identifier was forgotten: %v", err)
	}
	redeem := func(code string) error {
		return s.Mint(t.Context(), oauth.Mint{Token: oauth.Token{Key: "of " + code, ExpiresAt: 900}, Code: &oauth.OneTime{Key: code, ExpiresAt: 900}})
	}
	claim := (*oauth.ClaimError)(nil)
	if err := redeem("l"); !errors.As(err, &claim) || claim.State != oauth.ClaimUsed || claim.Family != "f" || claim.UsedAt.UnixMilli() != 1000 {
		t.Errorf("a used code: %v", err)
	}
	if err := redeem("k"); !errors.As(err, &claim) || claim.State != oauth.ClaimPending {
		t.Errorf("a claimed code: %v", err)
	}
	check(t, s.Void(t.Context(), old("t"), oauth.Undo, 2))
	check(t, s.Void(t.Context(), old("v"), oauth.Undo, 2))
	if dump := dump(t, path); strings.Contains(dump, "pending") {
		t.Errorf("something is under way: %s", dump)
	}
	if n := count(t, path, `SELECT count(*) FROM refresh_tokens WHERE key = $1`, old("r")); n != 0 {
		t.Error("the refresh token of a void token is there")
	}
	check(t, redeem("k"))
	if token, err := s.Token(t.Context(), old("u")); err != nil || token.State != oauth.TokenReleased || token.ExpiresAt != 900 {
		t.Errorf("a released token: %+v, %v", token, err)
	}
	refresh := func(key string) error {
		return s.Mint(t.Context(), oauth.Mint{Token: oauth.Token{Key: "of " + key, Family: "f", IssuedAt: 2, ExpiresAt: 900}, Rotate: old(key)})
	}
	if err := refresh("p"); !errors.As(err, &claim) || claim.State != oauth.ClaimUsed || claim.Family != "f" {
		t.Errorf("a used refresh token: %v", err)
	}
	check(t, refresh("q"))
	check(t, refresh("w"))
	check(t, s.Purge(t.Context(), 900))
	if _, err := s.Token(t.Context(), old("u")); err != nil {
		t.Errorf("forgotten early: %v", err)
	}
	if _, _, err := s.Refresh(t.Context(), old("q")); err != nil {
		t.Errorf("a refresh token was forgotten early: %v", err)
	}
	check(t, s.Purge(t.Context(), 901))
	if _, err := s.Token(t.Context(), old("u")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("remembered after its time: %v", err)
	}
}

// The statements that must not look at all rows find theirs by an index.
func TestByIndex(t *testing.T) {
	path := older(t, 14)
	db, err := sql.Open("sqlite", path)
	check(t, err)
	defer db.Close()
	for statement, index := range map[string]string{
		`UPDATE tokens SET state = 'revoked' WHERE state IN ('pending', 'released') AND family = 'f' AND family <> ''`: "tokens_family",
		`DELETE FROM tokens WHERE key < '0' AND expires_at < 1 AND state <> 'pending'`:                                 "PRIMARY KEY",
		`UPDATE families SET revoked_at = 1 WHERE id = 'f' AND revoked_at = 0`:                                         "PRIMARY KEY",
	} {
		var id, parent, unused int
		var plan string
		check(t, db.QueryRow("EXPLAIN QUERY PLAN "+statement).Scan(&id, &parent, &unused, &plan))
		if !strings.HasPrefix(plan, "SEARCH") || !strings.Contains(plan, index) {
			t.Errorf("%s: %s", statement, plan)
		}
	}
}
