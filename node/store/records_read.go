// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// recordColumns are the columns of records and those in their place of heard.
const (
	recordColumns = `log, position, cid, kind, client, stops, raw`
	heardColumns  = `log, -1, cid, kind, client, stops, raw`
	headColumns   = `log, size, root, clients, checkpoint, entries`
)

// Load implements federation.Store.
func (s *Store) Load(ctx context.Context) (*federation.Snapshot, error) {
	snapshot := new(federation.Snapshot)
	err := s.read(ctx, func(tx *sql.Tx) (err error) {
		if snapshot.Charters, err = collect[[]byte](tx.QueryContext(ctx, `SELECT raw FROM charters ORDER BY version, cid`))(scanBytes); err != nil {
			return err
		}
		if snapshot.Proposals, err = collect[[]byte](tx.QueryContext(ctx, `SELECT raw FROM proposals ORDER BY cid`))(scanBytes); err != nil {
			return err
		}
		if snapshot.Heads, err = collect[federation.Head](tx.QueryContext(ctx, `SELECT `+headColumns+` FROM heads ORDER BY log`))(scanHead); err != nil {
			return err
		}
		if snapshot.Views, err = collect[string](tx.QueryContext(ctx, `SELECT raw FROM views ORDER BY log`))(scanString); err != nil {
			return err
		}
		if snapshot.Stops, err = loadStops(ctx, tx); err != nil {
			return err
		}
		if snapshot.Brokers, err = collect[federation.Row](tx.QueryContext(ctx, `
			SELECT `+recordColumns+` FROM records WHERE (log, position) IN (
				SELECT records.log, MAX(position) FROM records JOIN heads ON heads.log = records.log
				WHERE kind = 'comity-broker+jwt' AND position < size GROUP BY records.log
			) ORDER BY log`))(scanRow); err != nil {
			return err
		}
		snapshot.Evidence, err = collect[federation.Evidence](tx.QueryContext(ctx, `SELECT kind, subject, a, b FROM evidence ORDER BY id`))(scanEvidence)
		return err
	})
	if err != nil {
		return nil, s.explain("load records", err)
	}
	return snapshot, s.checkOwnHead(ctx, snapshot.Heads)
}

func loadStops(ctx context.Context, tx *sql.Tx) ([]federation.Row, error) {
	const listed = `client IN (
		SELECT client FROM records WHERE stops = 1 UNION SELECT client FROM heard
		UNION SELECT subject FROM evidence WHERE kind = 'records')`
	return collect[federation.Row](tx.QueryContext(ctx, `
		SELECT `+recordColumns+` FROM records WHERE `+listed+`
		UNION ALL SELECT `+heardColumns+` FROM heard ORDER BY 1, 2, 3`))(scanRow)
}

// Client implements federation.Store. It reads a handful of rows by an index,
// so it does not watch ctx, which would cost more than the reading.
func (s *Store) Client(ctx context.Context, id string) ([]federation.Row, error) {
	query, err := s.prepared(ctx, `
		SELECT `+recordColumns+` FROM records WHERE client = $1
		UNION ALL SELECT `+heardColumns+` FROM heard WHERE client = $2`)
	if err != nil {
		return nil, s.explain("read records", err)
	}
	rows, err := collect[federation.Row](query.QueryContext(context.WithoutCancel(ctx), id, id))(scanRow)
	return rows, s.explain("read records", err)
}

// Clients implements federation.Store.
func (s *Store) Clients(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := collect[string](s.reader.QueryContext(ctx, `
		SELECT client FROM records WHERE client > $1
		UNION SELECT client FROM heard WHERE client > $2 ORDER BY 1 LIMIT $3`, after, after, limit))(scanString)
	return ids, s.explain("list clients", err)
}

// Rows implements federation.Store.
func (s *Store) Rows(ctx context.Context, log string, from, to int64) ([]federation.Row, error) {
	rows, err := collect[federation.Row](s.reader.QueryContext(ctx, `
		SELECT `+recordColumns+`, hashes FROM records WHERE log = $1 AND position >= $2 AND position < $3 ORDER BY position`,
		log, from, to))(scanFullRow)
	return rows, s.explain("read log entries", err)
}

// Hashes implements federation.Store. A hash is in the row of the entry that
// completed it.
func (s *Store) Hashes(ctx context.Context, log string, indexes []int64) ([]registry.Hash, error) {
	texts, err := s.hashTexts(ctx, log, indexes)
	if err != nil {
		return nil, s.explain("read hashes", err)
	}
	hashes := make([]registry.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		text, ok := texts[completedBy(index)]
		if !ok {
			return nil, fmt.Errorf("%w: hash %d at level %d of log %s", registry.ErrNotFound, n, level, log)
		}
		if hashes[i], err = decodeHash(text, level); err != nil {
			return nil, s.explain("read hashes", err)
		}
	}
	return hashes, nil
}

// completedBy is the entry with which the subtree of a stored hash is full.
func completedBy(index int64) int64 {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+1)<<level - 1
}

// hashesAtOnce bounds the parameters of one statement.
const hashesAtOnce = 128

// hashTexts reads the hashes columns of the entries that hold the hashes.
func (s *Store) hashTexts(ctx context.Context, log string, indexes []int64) (map[int64]string, error) {
	texts := make(map[int64]string, len(indexes))
	for len(indexes) > 0 {
		part := indexes[:min(len(indexes), hashesAtOnce)]
		indexes = indexes[len(part):]
		args := []any{log}
		var marks []string
		for _, index := range part {
			args = append(args, completedBy(index))
			marks = append(marks, "$"+strconv.Itoa(len(args)))
		}
		rows, err := s.reader.QueryContext(ctx, `SELECT position, hashes FROM records WHERE log = $1 AND position IN (`+strings.Join(marks, ", ")+`)`, args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var position int64
			var text string
			if err := rows.Scan(&position, &text); err != nil {
				rows.Close()
				return nil, err
			}
			texts[position] = text
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// scanner is one row of a result.
type scanner interface{ Scan(...any) error }

// collect takes what a query returns, and gives a function that reads all rows
// of it with scan.
func collect[T any](rows *sql.Rows, err error) func(scan func(scanner) (T, error)) ([]T, error) {
	return func(scan func(scanner) (T, error)) ([]T, error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var all []T
		for rows.Next() {
			one, err := scan(rows)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		return all, rows.Err()
	}
}

func scanString(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}

func scanBytes(row scanner) ([]byte, error) {
	s, err := scanString(row)
	return []byte(s), err
}

func scanRow(row scanner) (r federation.Row, err error) {
	var stops int
	err = row.Scan(&r.Log, &r.Index, &r.CID, &r.Kind, &r.Client, &stops, &r.Raw)
	r.Stops = stops == 1
	return r, err
}

func scanFullRow(row scanner) (r federation.Row, err error) {
	var stops int
	var hashes string
	if err := row.Scan(&r.Log, &r.Index, &r.CID, &r.Kind, &r.Client, &stops, &r.Raw, &hashes); err != nil {
		return r, err
	}
	r.Stops = stops == 1
	r.Hashes, err = decodeHashes(hashes)
	return r, err
}

func scanHead(row scanner) (h federation.Head, err error) {
	var root string
	if err := row.Scan(&h.Log, &h.Size, &root, &h.Clients, &h.Checkpoint, &h.Entries); err != nil {
		return federation.Head{}, err
	}
	h.Root, err = decodeHash(root, 0)
	return h, err
}

func scanEvidence(row scanner) (e federation.Evidence, err error) {
	err = row.Scan(&e.Kind, &e.Subject, &e.A, &e.B)
	return e, err
}
