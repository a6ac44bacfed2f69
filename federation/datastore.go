// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-datastore"
	recpb "github.com/libp2p/go-libp2p-record/pb"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/comity-network/comity/registry"
)

// Writes to the DHT's datastore, whoever causes them. Each is a durable
// transaction of the database that logins use too.
const (
	dhtWriteEvery = 20 * time.Millisecond
	dhtWriteBurst = 100
)

// checkedDatastore stands between the DHT and what is stored. The DHT's own
// reading does not run the validator again, so a value that was damaged, that a
// later charter voids or that the replica has overtaken would be served for
// ever; here it is judged on every read and counts as absent when it fails. And
// a value that says nothing more than the stored one is not written again.
type checkedDatastore struct {
	datastore.Batching
	check  *dhtValidator
	writes *rate.Limiter
	// stored, if not nil, is told of each new value.
	stored func(dhtKey, *dhtFinding)
}

func newCheckedDatastore(d datastore.Batching, check *dhtValidator, stored func(dhtKey, *dhtFinding)) *checkedDatastore {
	return &checkedDatastore{
		Batching: d, check: check, stored: stored,
		writes: rate.NewLimiter(rate.Every(dhtWriteEvery), dhtWriteBurst),
	}
}

// Get implements datastore.Read.
func (d *checkedDatastore) Get(ctx context.Context, key datastore.Key) ([]byte, error) {
	data, err := d.Batching.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if _, _, err := d.finding(data); err != nil {
		return nil, datastore.ErrNotFound
	}
	return data, nil
}

// finding judges a stored record by the key that it says it is of; that this is
// the key that was asked for, the DHT checks.
func (d *checkedDatastore) finding(data []byte) (dhtKey, *dhtFinding, error) {
	record := new(recpb.Record)
	if err := proto.Unmarshal(data, record); err != nil {
		return dhtKey{}, nil, fmt.Errorf("%w: stored DHT record: %w", registry.ErrForm, err)
	}
	return d.check.check(string(record.GetKey()), record.GetValue())
}

// Put implements datastore.Write. The error is registry.ErrLimit when there are
// too many writes.
func (d *checkedDatastore) Put(ctx context.Context, key datastore.Key, data []byte) error {
	name, found, err := d.finding(data)
	if err != nil {
		return err
	}
	if old, err := d.Batching.Get(ctx, key); err == nil {
		if _, known, err := d.finding(old); err == nil && known.rank.compare(found.rank) >= 0 {
			return nil
		}
	}
	if !d.writes.Allow() {
		return fmt.Errorf("%w: too many writes to the DHT", registry.ErrLimit)
	}
	if err := d.Batching.Put(ctx, key, data); err != nil {
		return err
	}
	if d.stored != nil {
		d.stored(name, found)
	}
	return nil
}
