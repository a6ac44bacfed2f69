// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/comity-network/comity/internal/groupcommit"
	"github.com/comity-network/comity/internal/jws"
)

// Datastore is the part of the database where the DHT keeps its values. Put,
// Delete and Commit have their effect on disk when they return nil. The store
// must stay open while it is used.
func (s *Store) Datastore() datastore.Batching { return dhtTable{s} }

type dhtTable struct{ store *Store }

var (
	_ datastore.Batching            = dhtTable{}
	_ datastore.PersistentDatastore = dhtTable{}
)

// Get implements datastore.Read.
func (d dhtTable) Get(ctx context.Context, key datastore.Key) ([]byte, error) {
	var value string
	err := d.store.reader.QueryRowContext(ctx, `SELECT value FROM dht WHERE name = $1`, key.String()).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, datastore.ErrNotFound
	}
	if err != nil {
		return nil, d.store.explain("dht", err)
	}
	return decodeValue(value)
}

func decodeValue(value string) ([]byte, error) {
	raw, ok := jws.Decode(value)
	if !ok {
		return nil, fmt.Errorf("%w: a value of the DHT is not base64url", ErrDamaged)
	}
	return raw, nil
}

// Has implements datastore.Read.
func (d dhtTable) Has(ctx context.Context, key datastore.Key) (bool, error) {
	_, err := d.Get(ctx, key)
	if errors.Is(err, datastore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// GetSize implements datastore.Read.
func (d dhtTable) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	value, err := d.Get(ctx, key)
	if err != nil {
		return -1, err
	}
	return len(value), nil
}

// Query implements datastore.Read. The result is what was there when it was
// called.
func (d dhtTable) Query(ctx context.Context, q query.Query) (query.Results, error) {
	prefix := strings.TrimSuffix(datastore.NewKey(q.Prefix).String(), "/") + "/"
	rows, err := d.store.reader.QueryContext(ctx, `SELECT name, value FROM dht WHERE SUBSTR(name, 1, $1) = $2`, len(prefix), prefix)
	if err != nil {
		return nil, d.store.explain("dht", err)
	}
	defer rows.Close()
	var entries []query.Entry
	for rows.Next() {
		var e query.Entry
		var value string
		if err := rows.Scan(&e.Key, &value); err != nil {
			return nil, err
		}
		if e.Value, err = decodeValue(value); err != nil {
			return nil, err
		}
		e.Size = len(e.Value)
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, d.store.explain("dht", err)
	}
	rest := q
	rest.Prefix = "" // is applied
	found, err := query.NaiveQueryApply(rest, query.ResultsWithEntries(rest, entries)).Rest()
	if err != nil {
		return nil, err
	}
	if q.KeysOnly {
		for i := range found {
			found[i].Value = nil
		}
	}
	return query.ResultsWithEntries(q, found), nil
}

// Put implements datastore.Write.
func (d dhtTable) Put(ctx context.Context, key datastore.Key, value []byte) error {
	return d.store.write(ctx, func(tx *groupcommit.Tx) error { return putDHT(tx, key, value) })
}

func putDHT(tx *groupcommit.Tx, key datastore.Key, value []byte) error {
	_, err := tx.Exec(`
		INSERT INTO dht (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, key.String(), jws.Base64.EncodeToString(value))
	return err
}

// Delete implements datastore.Write.
func (d dhtTable) Delete(ctx context.Context, key datastore.Key) error {
	return d.store.write(ctx, func(tx *groupcommit.Tx) error { return deleteDHT(tx, key) })
}

func deleteDHT(tx *groupcommit.Tx, key datastore.Key) error {
	_, err := tx.Exec(`DELETE FROM dht WHERE name = $1`, key.String())
	return err
}

// Sync implements datastore.Datastore: everything is on disk already.
func (d dhtTable) Sync(context.Context, datastore.Key) error { return nil }

// Close implements io.Closer. The database belongs to others, too.
func (d dhtTable) Close() error { return nil }

// DiskUsage implements datastore.PersistentFeature: the bytes of the values.
func (d dhtTable) DiskUsage(ctx context.Context) (uint64, error) {
	var size uint64
	err := d.store.reader.QueryRowContext(ctx, `SELECT COALESCE(SUM(LENGTH(name) + LENGTH(value)), 0) FROM dht`).Scan(&size)
	return size, d.store.explain("dht", err)
}

// Batch implements datastore.BatchingFeature.
func (d dhtTable) Batch(context.Context) (datastore.Batch, error) {
	return &dhtBatch{store: d.store}, nil
}

// dhtBatch is stored whole or not at all.
type dhtBatch struct {
	store *Store
	steps []func(*groupcommit.Tx) error
}

// Put implements datastore.Write.
func (b *dhtBatch) Put(_ context.Context, key datastore.Key, value []byte) error {
	b.steps = append(b.steps, func(tx *groupcommit.Tx) error { return putDHT(tx, key, value) })
	return nil
}

// Delete implements datastore.Write.
func (b *dhtBatch) Delete(_ context.Context, key datastore.Key) error {
	b.steps = append(b.steps, func(tx *groupcommit.Tx) error { return deleteDHT(tx, key) })
	return nil
}

// Commit implements datastore.Batch.
func (b *dhtBatch) Commit(ctx context.Context) error {
	return b.store.write(ctx, func(tx *groupcommit.Tx) error {
		for _, step := range b.steps {
			if err := step(tx); err != nil {
				return err
			}
		}
		return nil
	})
}
