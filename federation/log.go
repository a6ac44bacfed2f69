// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-network/comity/registry"
)

// hashReader reads the hashes of one log, new ones before stored ones.
type hashReader struct {
	ctx   context.Context
	store Store
	log   string
	from  int64 // storage index of fresh[0]
	fresh []registry.Hash
}

func (r *Replica) reader(ctx context.Context, log string) hashReader {
	return hashReader{ctx: ctx, store: r.store, log: log}
}

// with returns a reader that also knows the hashes that entry index completes.
func (h hashReader) with(index int64, fresh []registry.Hash) hashReader {
	h.from, h.fresh = tlog.StoredHashIndex(0, index), fresh
	return h
}

// ReadHashes implements registry.HashReader.
func (h hashReader) ReadHashes(indexes []int64) ([]registry.Hash, error) {
	hashes := make([]registry.Hash, len(indexes))
	var stored []int64
	var places []int
	for i, n := range indexes {
		if at := n - h.from; at >= 0 && at < int64(len(h.fresh)) {
			hashes[i] = h.fresh[at]
			continue
		}
		stored, places = append(stored, n), append(places, i)
	}
	if len(stored) == 0 {
		return hashes, nil
	}
	found, err := h.store.Hashes(h.ctx, h.log, stored)
	if err != nil {
		return nil, err
	}
	for i, hash := range found {
		hashes[places[i]] = hash
	}
	return hashes, nil
}

// head finds the log that has, or had, the key with that thumbprint; "" is the
// own log. The error is registry.ErrNotFound.
func (r *Replica) head(key string) (log string, h *head, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if key == "" {
		return r.log, r.heads[r.log], nil
	}
	if m, _, ok := r.chain.MemberByKey(key); ok {
		log = logOf(m)
		h = r.heads[log]
	}
	if !h.verified() {
		return "", nil, fmt.Errorf("%w: no log of key %.50q", registry.ErrNotFound, key)
	}
	return log, h, nil
}

// Checkpoint returns the newest checkpoint of the log of the broker that has,
// or had, the record key with that thumbprint; "" is the own log. The error is
// registry.ErrNotFound.
func (r *Replica) Checkpoint(_ context.Context, key string) ([]byte, error) {
	_, h, err := r.head(key)
	if err != nil {
		return nil, err
	}
	return h.Raw, nil
}

// Checkpoints returns the newest checkpoint of every log, by the thumbprint of
// the key that signed it.
func (r *Replica) Checkpoints() map[string][]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make(map[string][]byte, len(r.heads))
	for _, h := range r.heads {
		if h.verified() {
			all[h.KeyID] = h.Raw
		}
	}
	return all
}

// Tile returns a tile of hashes or of entries of a log, named as in Checkpoint.
// The error is registry.ErrNotFound when the log does not reach that far.
func (r *Replica) Tile(ctx context.Context, key string, t registry.Tile) ([]byte, error) {
	log, h, err := r.head(key)
	if err != nil {
		return nil, err
	}
	if !t.Within(h.Size) {
		return nil, fmt.Errorf("%w: tile %s of a log of size %d", registry.ErrNotFound, t.Path(), h.Size)
	}
	if t.Level != registry.EntriesLevel {
		return registry.TileHashes(t, r.reader(ctx, log))
	}
	from, to := t.Entries()
	rows, err := r.store.Rows(ctx, log, from, to)
	if err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	raws := make([]string, 0, len(rows))
	for _, row := range rows {
		if len(row.Hashes) == 0 || row.Hashes[0] != registry.LeafHash(row.Raw) {
			return nil, damaged("entry %d of log %s does not have its hash", row.Index, log)
		}
		raws = append(raws, row.Raw)
	}
	if int64(len(raws)) != to-from {
		return nil, damaged("entries %d to %d of log %s are missing", from, to, log)
	}
	return registry.EntryBundle(raws), nil
}

// BrokerRecord returns the newest broker record of the broker with that key.
// The error is registry.ErrNotFound.
func (r *Replica) BrokerRecord(_ context.Context, key string) (*registry.Record, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if m, _, ok := r.chain.MemberByKey(key); ok {
		if record := r.brokers[logOf(m)]; record != nil {
			return record, nil
		}
	}
	return nil, fmt.Errorf("%w: no broker record of key %.50q", registry.ErrNotFound, key)
}

// BrokerStatus says whether a broker is active. An issuer that is no member is
// expelled, as far as anybody here is concerned.
func (r *Replica) BrokerStatus(issuer string) registry.BrokerStatus {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if b, ok := r.state.Brokers[issuer]; ok {
		return b.Status
	}
	return registry.BrokerExpelled
}

// Registered is the number of clients that the replica holds, stopped or not,
// those included whose log is being pulled right now.
func (r *Replica) Registered() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var sum int64
	for _, h := range r.heads {
		sum += h.clients
	}
	return sum
}

// Chain returns the charters.
func (r *Replica) Chain() *registry.Chain {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.chain
}
