// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

var _ federation.Store = (*Store)(nil)

// Write implements federation.Store. When the update is about the own log, the
// new head is also noted beside the database, after the transaction and before
// Write returns: see ownHead.
func (s *Store) Write(ctx context.Context, u federation.Update) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, step := range []func(context.Context, *sql.Tx, federation.Update) error{
			s.writeLog, s.writeHeard, s.writeViews, s.writeCharters, s.writeEvidence,
		} {
			if err := step(ctx, tx, u); err != nil {
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

func (s *Store) writeLog(ctx context.Context, tx *sql.Tx, u federation.Update) error {
	if u.Checkpoint == nil {
		return nil
	}
	h, err := scanHead(tx.QueryRowContext(ctx, `SELECT log, size, root, clients, checkpoint FROM heads WHERE log = $1`, u.Log))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := u.Follows(h); err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, `
		INSERT INTO records (log, position, cid, kind, client, stops, hashes, raw) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, row := range u.Rows {
		if _, err := insert.ExecContext(ctx, row.Log, row.Index, row.CID, string(row.Kind), row.Client,
			number(row.Stops), encodeHashes(row.Hashes...), row.Raw); err != nil {
			return err
		}
		if row.CID == row.Client {
			h.Clients++
		}
		if !row.Stops {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM heard WHERE cid = $1`, row.CID); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO heads (log, size, root, clients, checkpoint) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (log) DO UPDATE
		SET size = excluded.size, root = excluded.root, clients = excluded.clients, checkpoint = excluded.checkpoint`,
		u.Log, u.Checkpoint.Size, encodeHashes(u.Checkpoint.Root), h.Clients, string(u.Checkpoint.Raw))
	return err
}

func (s *Store) writeHeard(ctx context.Context, tx *sql.Tx, u federation.Update) error {
	for _, row := range u.Heard {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO heard (cid, log, kind, client, stops, raw) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cid) DO NOTHING`,
			row.CID, row.Log, string(row.Kind), row.Client, number(row.Stops), row.Raw); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeViews(ctx context.Context, tx *sql.Tx, u federation.Update) error {
	for _, v := range u.Views {
		stored, err := tx.ExecContext(ctx, `
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

func (s *Store) writeCharters(ctx context.Context, tx *sql.Tx, u federation.Update) error {
	for _, c := range u.Charters {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO charters (cid, version, raw) VALUES ($1, $2, $3) ON CONFLICT (cid) DO UPDATE SET raw = excluded.raw`,
			c.CID, c.Version, string(c.Raw)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeEvidence(ctx context.Context, tx *sql.Tx, u federation.Update) error {
	for _, e := range u.Evidence {
		id := registry.CID([]byte(string(e.Kind) + "\n" + e.Subject + "\n" + e.A + "\n" + e.B))
		if _, err := tx.ExecContext(ctx, `
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
