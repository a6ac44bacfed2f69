// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

var _ federation.Store = (*Store)(nil)

// Write implements federation.Store. When the update is about the own log, the
// new head is also noted beside the database, after the transaction and before
// Write returns: see ownHead.
func (s *Store) Write(ctx context.Context, u federation.Update) error {
	err := s.write(ctx, func(tx *groupcommit.Tx) error {
		for _, step := range []func(*groupcommit.Tx, federation.Update) error{
			s.leave, s.writeHeard, s.writeLog, s.writeViews, s.writeCharters, s.writeProposals, s.writeEvidence,
		} {
			if err := step(tx, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || u.Checkpoint == nil || !u.Own {
		return err
	}
	return s.noteOwnHead(u.Checkpoint)
}

// leave drops all but what is about the own log, for Update.Replace.
func (s *Store) leave(tx *groupcommit.Tx, u federation.Update) error {
	if !u.Replace {
		return nil
	}
	for _, table := range []string{"records", "heads", "views"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE log <> $1`, u.Log); err != nil {
			return err
		}
	}
	for _, drop := range []string{
		`DELETE FROM heard`, `DELETE FROM charters`, `DELETE FROM proposals`, `DELETE FROM evidence WHERE kind <> 'ahead'`,
	} {
		if _, err := tx.Exec(drop); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeLog(tx *groupcommit.Tx, u federation.Update) error {
	if !u.Grows() && !u.Discard {
		return nil
	}
	h, err := scanHead(tx.QueryRow(`SELECT `+headColumns+` FROM heads WHERE log = $1`, u.Log))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if u.Discard {
		if h, err = s.discard(tx, h); err != nil {
			return err
		}
	}
	if u.Grows() {
		if err := u.Follows(h); err != nil {
			return err
		}
		if err := s.writeRows(tx, u.Rows); err != nil {
			return err
		}
		h = u.Head(h)
	}
	if u.Checkpoint != nil {
		if _, err := tx.Exec(`
			DELETE FROM heard WHERE log = $1 AND EXISTS (
				SELECT 1 FROM records r WHERE r.client = heard.client AND r.log = heard.log AND r.cid = heard.cid AND r.position < $2
			)`, u.Log, h.Size); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`
		INSERT INTO heads (log, size, root, clients, checkpoint, entries) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (log) DO UPDATE
		SET size = excluded.size, root = excluded.root, clients = excluded.clients,
			checkpoint = excluded.checkpoint, entries = excluded.entries`,
		u.Log, h.Size, encodeHashes(h.Root), h.Clients, string(h.Checkpoint), h.Entries)
	return err
}

// discard drops the staged entries of a log.
func (s *Store) discard(tx *groupcommit.Tx, h federation.Head) (federation.Head, error) {
	var clients int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM records WHERE log = $1 AND position >= $2 AND cid = client`,
		h.Log, h.Size).Scan(&clients); err != nil {
		return h, err
	}
	_, err := tx.Exec(`DELETE FROM records WHERE log = $1 AND position >= $2`, h.Log, h.Size)
	h.Entries, h.Clients = h.Size, h.Clients-clients
	return h, err
}

// rowsAtOnce is how many entries one statement inserts. The work of SQLite is
// the same for one or many, that of the driver is not.
const rowsAtOnce = 16

func insertRows(count int) string {
	var text strings.Builder
	text.WriteString(`INSERT INTO records (log, position, cid, kind, client, stops, hashes, raw) VALUES `)
	for i := range count {
		if i > 0 {
			text.WriteString(", ")
		}
		n := 8 * i
		fmt.Fprintf(&text, "($%d, $%d, $%d, $%d, $%d, $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5, n+6, n+7, n+8)
	}
	return text.String()
}

func (s *Store) writeRows(tx *groupcommit.Tx, rows []federation.Row) error {
	for _, size := range []int{rowsAtOnce, 1} {
		for ; len(rows) >= size; rows = rows[size:] {
			args := make([]any, 0, 8*size)
			for _, row := range rows[:size] {
				args = append(args, row.Log, row.Index, row.CID, string(row.Kind), row.Client,
					number(row.Stops), encodeHashes(row.Hashes...), row.Raw)
			}
			if _, err := tx.Exec(insertRows(size), args...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) writeHeard(tx *groupcommit.Tx, u federation.Update) error {
	for _, row := range u.Heard {
		if _, err := tx.Exec(`
			INSERT INTO heard (cid, log, kind, client, stops, raw) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cid) DO NOTHING`,
			row.CID, row.Log, string(row.Kind), row.Client, number(row.Stops), row.Raw); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeViews(tx *groupcommit.Tx, u federation.Update) error {
	for _, v := range u.Views {
		stored, err := tx.Exec(`
			INSERT INTO views (log, iat, raw) VALUES ($1, $2, $3)
			ON CONFLICT (log) DO UPDATE SET iat = excluded.iat, raw = excluded.raw
			WHERE excluded.iat > views.iat OR excluded.raw = views.raw`, v.Log, v.Record.IssuedAt, v.Record.Raw)
		if err != nil {
			return err
		}
		if n, err := stored.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: view of %s at %d, a newer one is stored", registry.ErrStale, v.Record.Issuer, v.Record.IssuedAt))
		}
	}
	return nil
}

func (s *Store) writeCharters(tx *groupcommit.Tx, u federation.Update) error {
	for _, c := range u.Charters {
		if _, err := tx.Exec(`
			INSERT INTO charters (cid, version, raw) VALUES ($1, $2, $3) ON CONFLICT (cid) DO UPDATE SET raw = excluded.raw`,
			c.CID, c.Version, string(c.Raw)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeProposals(tx *groupcommit.Tx, u federation.Update) error {
	for _, cid := range u.Withdrawn {
		if _, err := tx.Exec(`DELETE FROM proposals WHERE cid = $1`, cid); err != nil {
			return err
		}
	}
	for _, c := range u.Proposals {
		if _, err := tx.Exec(`
			INSERT INTO proposals (cid, raw) VALUES ($1, $2) ON CONFLICT (cid) DO UPDATE SET raw = excluded.raw`,
			c.CID, string(c.Raw)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeEvidence(tx *groupcommit.Tx, u federation.Update) error {
	for _, e := range u.Evidence {
		id := registry.CID([]byte(string(e.Kind) + "\n" + e.Subject + "\n" + e.A + "\n" + e.B))
		if _, err := tx.Exec(`
			INSERT INTO evidence (id, kind, subject, a, b) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`,
			id, string(e.Kind), e.Subject, e.A, e.B); err != nil {
			return err
		}
	}
	return nil
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hashChars is the length of one hash in base64url.
const hashChars = 43

func encodeHashes(hashes ...registry.Hash) string {
	text := make([]byte, 0, hashChars*len(hashes))
	for _, h := range hashes {
		text = jws.Base64.AppendEncode(text, h[:])
	}
	return string(text)
}

// decodeHash reads hash i of what encodeHashes wrote.
func decodeHash(text string, i int) (registry.Hash, error) {
	if i < 0 || hashChars*(i+1) > len(text) {
		return registry.Hash{}, fmt.Errorf("%w: a hash is missing", ErrDamaged)
	}
	raw, err := jws.Base64.DecodeString(text[hashChars*i : hashChars*(i+1)])
	if err != nil || len(raw) != len(registry.Hash{}) {
		return registry.Hash{}, fmt.Errorf("%w: a hash is not base64url", ErrDamaged)
	}
	return registry.Hash(raw), nil
}

func decodeHashes(text string) ([]registry.Hash, error) {
	if len(text)%hashChars != 0 {
		return nil, fmt.Errorf("%w: a hash is cut off", ErrDamaged)
	}
	hashes := make([]registry.Hash, len(text)/hashChars)
	for i := range hashes {
		var err error
		if hashes[i], err = decodeHash(text, i); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
