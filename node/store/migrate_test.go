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

// What was there before 00012 is there after it, and what was under way ends as
// it would have.
func TestMigrate12(t *testing.T) {
	path := older(t, 11,
		`INSERT INTO families (id, client, home, site, grant_id, scope, jkt, created_at, expires_at, revoked_at, reason, subject)
			VALUES ('f', 'c', 'h', 's', 'g', 'read', 'j', 1, 900, 0, '', 'ada'), ('e', 'c', 'h', 's', 'g', 'read', '', 1, 900, 7, 'over', '')`,
		`INSERT INTO refresh_tokens (hash, family, issued_at, expires_at, state, token) VALUES ('r', 'f', 1, 900, 'pending', 't'), ('q', 'f', 1, 900, 'live', 'u')`,
		`INSERT INTO tokens (hash, type, jkt, client, home, site, scope, family, grant_id, issued_at, expires_at, state, code, rotates)
			VALUES ('t', 'Bearer', '', 'c', 'h', 's', 'read', 'f', 'g', 1, 900, 'pending', 'k', ''), ('u', 'Bearer', '', 'c', 'h', 's', 'read', 'f', 'g', 1, 900, 'released', '', '')`,
		`INSERT INTO codes (key, state, token, family, tries, used_ms, expires_at) VALUES ('k', 'claimed', 't', 'f', 2, 0, 900), ('l', 'used', 'u', 'f', 1, 5000, 900)`,
		`INSERT INTO seen (id, expires_at) VALUES ('i', 900)`)
	s, err := store.Open(t.Context(), path)
	check(t, err)
	defer s.Close()

	want := oauth.Family{ID: "f", ClientID: "c", Home: "h", Site: "s", Grant: "g", Subject: "ada", Scope: "read", JKT: "j", CreatedAt: 1, ExpiresAt: 900}
	if r, f, err := s.Refresh(t.Context(), "q"); err != nil || !r.Live || f != want {
		t.Errorf("%+v, %+v, %v", r, f, err)
	}
	if err := s.Claim(t.Context(), oauth.OneTime{Key: "i", ExpiresAt: 900}); !errors.Is(err, oauth.ErrSeen) {
		t.Errorf("an identifier was forgotten: %v", err)
	}
	redeem := func(code string) error {
		return s.Mint(t.Context(), oauth.Mint{Token: oauth.Token{Hash: "of " + code, ExpiresAt: 900}, Code: &oauth.OneTime{Key: code, ExpiresAt: 900}})
	}
	claim := (*oauth.ClaimError)(nil)
	if err := redeem("l"); !errors.As(err, &claim) || claim.State != oauth.ClaimUsed || claim.Family != "f" || claim.UsedAt.UnixMilli() != 5000 {
		t.Errorf("a used code: %v", err)
	}
	if err := redeem("k"); !errors.As(err, &claim) || claim.State != oauth.ClaimPending {
		t.Errorf("a claimed code: %v", err)
	}
	check(t, s.Void(t.Context(), "t", oauth.Undo, 2))
	if dump := dump(t, path); strings.Contains(dump, "pending") || strings.Contains(dump, "claimed") {
		t.Errorf("something is under way: %s", dump)
	}
	check(t, redeem("k"))
}

// The statements that each end of a family takes find their rows by an index.
func TestFamiliesByIndex(t *testing.T) {
	path := older(t, 12)
	db, err := sql.Open("sqlite", path)
	check(t, err)
	defer db.Close()
	for statement, index := range map[string]string{
		`UPDATE tokens SET state = 'revoked' WHERE state IN ('pending', 'released') AND family = 'f' AND family <> ''`: "tokens_family",
		`DELETE FROM refresh_tokens WHERE family = 'f' AND token = 't' AND state = 'pending'`:                          "refresh_tokens_family",
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
