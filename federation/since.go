// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"

	"github.com/comity-network/comity/registry"
)

// sincePage is how many entries are read at a time.
const sincePage = 256

// Since returns the entries of a log from the index from on, as many as fit in
// maxBytes but at least one where there is one, with checkpoint and proofs. At
// the end of the log it has the checkpoint alone. The error is
// registry.ErrNotFound when no head of the log was verified, or when it does
// not reach from.
func (r *Replica) Since(ctx context.Context, log string, from int64, maxBytes int) (*Suffix, error) {
	r.mu.RLock()
	h := r.heads[log]
	r.mu.RUnlock()
	if !h.verified() || from < 0 || from > h.Size {
		return nil, fmt.Errorf("%w: entry %d of log %.50q", registry.ErrNotFound, from, log)
	}
	s := &Suffix{Log: log, From: from, Checkpoint: h.Raw}
	var err error
	if s.Raws, err = r.raws(ctx, log, from, h.Size, maxBytes); err != nil {
		return nil, err
	}
	return s, r.prove(ctx, s, h.Size)
}

// raws reads entries, and makes sure that they are those that were stored.
func (r *Replica) raws(ctx context.Context, log string, from, to int64, maxBytes int) ([]string, error) {
	var raws []string
	size := 0
	for at := from; at < to; at += sincePage {
		rows, err := r.store.Rows(ctx, log, at, min(at+sincePage, to))
		if err != nil {
			return nil, fmt.Errorf("read log entries: %w", err)
		}
		for i, row := range rows {
			if row.Index != at+int64(i) || len(row.Hashes) == 0 || row.Hashes[0] != registry.LeafHash(row.Raw) {
				return nil, damaged("entry %d of log %s is missing or does not have its hash", at+int64(i), log)
			}
			if size += len(row.Raw); len(raws) > 0 && (size > maxBytes || len(raws) == maxSuffixEntries) {
				return raws, nil
			}
			raws = append(raws, row.Raw)
		}
		if int64(len(rows)) != min(sincePage, to-at) {
			return nil, damaged("entries from %d of log %s are missing", at+int64(len(rows)), log)
		}
	}
	return raws, nil
}

// prove adds the proofs to a piece of a log of that size.
func (r *Replica) prove(ctx context.Context, s *Suffix, size int64) error {
	reader := r.reader(ctx, s.Log)
	var err error
	if s.Base, err = r.rootAt(ctx, s.Log, s.From); err != nil {
		return fmt.Errorf("prove a piece of a log: %w", err)
	}
	if s.From < size {
		if s.BaseProof, err = registry.ProveConsistency(s.From, size, reader); err != nil {
			return fmt.Errorf("prove a piece of a log: %w", err)
		}
	}
	if end := s.From + int64(len(s.Raws)); end < size {
		if s.Proof, err = registry.ProveConsistency(end, size, reader); err != nil {
			return fmt.Errorf("prove a piece of a log: %w", err)
		}
	}
	return nil
}
