// SPDX-License-Identifier: Apache-2.0

// Package memstore is a federation.Store in memory, for tests and simulations.
// Several replicas may be opened on one Store one after the other, as a process
// that is started again opens its database. It keeps every promise of the
// interface but the one to survive the process.
package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Store implements federation.Store. The zero value is empty and ready.
type Store struct {
	// Fault, when not nil, is called before each Write. An error is what
	// Write returns; persist says whether the update is stored all the same.
	Fault func(federation.Update) (persist bool, err error)

	mu sync.Mutex
	data
}

type data struct {
	logs      map[string][]federation.Row
	heads     map[string]federation.Head
	heard     map[string]federation.Row // by CID
	views     map[string]*registry.Record
	charters  map[string]*registry.SignedCharter
	proposals map[string]*registry.SignedCharter
	evidence  []federation.Evidence
}

// Load implements federation.Store.
func (s *Store) Load(context.Context) (*federation.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := &federation.Snapshot{Evidence: slices.Clone(s.evidence)}
	charters := slices.Collect(maps.Values(s.charters))
	slices.SortFunc(charters, func(a, b *registry.SignedCharter) int { return int(a.Version - b.Version) })
	for _, c := range charters {
		snapshot.Charters = append(snapshot.Charters, c.Raw)
	}
	for _, cid := range slices.Sorted(maps.Keys(s.proposals)) {
		snapshot.Proposals = append(snapshot.Proposals, s.proposals[cid].Raw)
	}
	for _, h := range s.heads {
		snapshot.Heads = append(snapshot.Heads, h)
	}
	for _, v := range s.views {
		snapshot.Views = append(snapshot.Views, v.Raw)
	}
	for log, rows := range s.logs {
		for _, row := range slices.Backward(rows[:s.heads[log].Size]) {
			if row.Kind == registry.KindBroker {
				snapshot.Brokers = append(snapshot.Brokers, row)
				break
			}
		}
	}
	snapshot.Stops = s.stops()
	return snapshot, nil
}

// stops collects all rows about clients of which one row stops.
func (s *Store) stops() []federation.Row {
	listed := map[string]bool{}
	for row := range s.rows {
		if row.Client != "" && (row.Stops || row.Index < 0) {
			listed[row.Client] = true
		}
	}
	for _, e := range s.evidence {
		if e.Kind == federation.EvidenceRecords {
			listed[e.Subject] = true
		}
	}
	var stops []federation.Row
	for row := range s.rows {
		if listed[row.Client] {
			stops = append(stops, row)
		}
	}
	return stops
}

// rows yields every row, by log and index, then those heard.
func (s *Store) rows(yield func(federation.Row) bool) {
	for _, log := range slices.Sorted(maps.Keys(s.logs)) {
		for _, row := range s.logs[log] {
			if !yield(row) {
				return
			}
		}
	}
	for _, cid := range slices.Sorted(maps.Keys(s.heard)) {
		if !yield(s.heard[cid]) {
			return
		}
	}
}

// Write implements federation.Store.
func (s *Store) Write(ctx context.Context, u federation.Update) error {
	var fault error
	if s.Fault != nil {
		persist, err := s.Fault(u)
		if err != nil && !persist {
			return err
		}
		fault = err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(u); err != nil {
		return err
	}
	s.apply(u)
	return fault
}

// check refuses what must not be stored, before anything is.
func (s *Store) check(u federation.Update) error {
	h := s.heads[u.Log]
	if u.Discard {
		h.Entries = h.Size
	}
	if u.Grows() {
		if err := u.Follows(h); err != nil {
			return err
		}
	}
	for _, v := range u.Views {
		if old := s.views[v.Log]; old != nil && old.Raw != v.Record.Raw && v.Record.IssuedAt <= old.IssuedAt {
			return fmt.Errorf("%w: view of %s at %d, a newer one is stored", registry.ErrStale, v.Record.Issuer, v.Record.IssuedAt)
		}
	}
	return nil
}

func (s *Store) apply(u federation.Update) {
	if s.logs == nil {
		s.data = data{
			logs: map[string][]federation.Row{}, heads: map[string]federation.Head{}, heard: map[string]federation.Row{},
			views: map[string]*registry.Record{}, charters: map[string]*registry.SignedCharter{},
			proposals: map[string]*registry.SignedCharter{},
		}
	}
	if u.Replace {
		s.leave(u.Log)
	}
	s.applyLog(u)
	for _, v := range u.Views {
		s.views[v.Log] = v.Record
	}
	for _, c := range u.Charters {
		s.charters[c.CID] = c
	}
	for _, cid := range u.Withdrawn {
		delete(s.proposals, cid)
	}
	for _, c := range u.Proposals {
		s.proposals[c.CID] = c
	}
	for _, e := range u.Evidence {
		if !slices.Contains(s.evidence, e) {
			s.evidence = append(s.evidence, e)
		}
	}
}

// leave drops all but what is about one log.
func (s *Store) leave(log string) {
	maps.DeleteFunc(s.logs, func(l string, _ []federation.Row) bool { return l != log })
	maps.DeleteFunc(s.heads, func(l string, _ federation.Head) bool { return l != log })
	maps.DeleteFunc(s.views, func(l string, _ *registry.Record) bool { return l != log })
	s.evidence = slices.DeleteFunc(s.evidence, func(e federation.Evidence) bool { return e.Kind != federation.EvidenceAhead })
	clear(s.heard)
	clear(s.charters)
	clear(s.proposals)
}

func (s *Store) applyLog(u federation.Update) {
	h := s.heads[u.Log]
	if u.Discard && h.Entries > h.Size {
		for _, row := range s.logs[u.Log][h.Size:] {
			if row.CID == row.Client {
				h.Clients--
			}
		}
		h.Entries, s.logs[u.Log] = h.Size, s.logs[u.Log][:h.Size:h.Size]
		s.heads[u.Log] = h
	}
	for _, row := range u.Heard {
		s.heard[row.CID] = row
	}
	if !u.Grows() {
		return
	}
	s.logs[u.Log] = append(s.logs[u.Log], u.Rows...)
	s.heads[u.Log] = u.Head(h)
	for _, row := range s.logs[u.Log][h.Size:s.heads[u.Log].Size] {
		delete(s.heard, row.CID)
	}
}

// Client implements federation.Store.
func (s *Store) Client(_ context.Context, id string) ([]federation.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []federation.Row
	for row := range s.rows {
		if row.Client == id {
			found = append(found, row)
		}
	}
	return found, nil
}

// Clients implements federation.Store.
func (s *Store) Clients(_ context.Context, after string, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]bool{}
	for row := range s.rows {
		if row.Client > after {
			ids[row.Client] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(ids))
	return sorted[:min(limit, len(sorted))], nil
}

// Rows implements federation.Store.
func (s *Store) Rows(_ context.Context, log string, from, to int64) ([]federation.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(len(s.logs[log]))
	return slices.Clone(s.logs[log][min(from, size):min(to, size)]), nil
}

// Hashes implements federation.Store.
func (s *Store) Hashes(_ context.Context, log string, indexes []int64) ([]registry.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hashes := make([]registry.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		entry := (n+1)<<level - 1
		if entry >= int64(len(s.logs[log])) {
			return nil, fmt.Errorf("%w: hash %d of log %s", registry.ErrNotFound, index, log)
		}
		hashes[i] = s.logs[log][entry].Hashes[level]
	}
	return hashes, nil
}
