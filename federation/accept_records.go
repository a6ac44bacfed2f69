// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"fmt"
	"slices"

	"github.com/comity-network/comity/registry"
)

// study finds out what new entries of a log, from the index from on, mean for
// brokers and for clients that are stopped, and completes the intake. Staged
// entries do not count yet, except stops, which count on their signature, and
// contradictions, which two signatures prove wherever the records stand.
func (r *Replica) study(ctx context.Context, in *intake, records []*registry.Record, from int64) error {
	about := make(map[string][]*registry.Record) // of these records, by client
	for _, record := range records {
		id := record.ClientID()
		if id == "" {
			continue
		}
		if err := r.findContradiction(ctx, in, record, about[id]); err != nil {
			return err
		}
		if in.Checkpoint != nil && newRow(in.Log, 0, record).Stops {
			if err := r.include(ctx, in, id); err != nil {
				return err
			}
		}
		about[id] = append(about[id], record)
	}
	if in.Checkpoint == nil {
		in.room = r.room(in.Log)
	}
	for i, record := range records {
		switch {
		case in.Checkpoint == nil:
			if err := r.hearStaged(ctx, in, record); err != nil {
				return err
			}
		case !in.reload:
			r.file(in, registry.Entry{Record: record, Index: from + int64(i)})
		}
	}
	return nil
}

// file puts an entry where it matters.
func (r *Replica) file(in *intake, e registry.Entry) {
	id := e.Record.ClientID()
	_, included := in.history[id]
	_, stopped := r.stops[id]
	switch {
	case e.Record.Broker != nil:
		in.entries = append(in.entries, e)
		in.touched = append(in.touched, e.Record)
	case included || stopped:
		plain := e.Record.Registration != nil && !e.Record.Registration.Compromised
		if !plain || r.verifies(r.chain, e) { // the others were verified when they were read
			in.entries = append(in.entries, e)
		}
	case e.Record.CID != id:
		in.touched = append(in.touched, e.Record)
	}
}

// findContradiction compares a record with the others that its broker wrote
// about the client: what is stored, and earlier ones that came with it.
func (r *Replica) findContradiction(ctx context.Context, in *intake, record *registry.Record, earlier []*registry.Record) error {
	seq, _, ok := place(record)
	if !ok || seq == 0 {
		return nil // the first one is what the id stands for
	}
	if _, known := r.evidence[Evidence{Kind: EvidenceRecords, Subject: record.ClientID()}.key()]; known {
		return nil
	}
	rows, err := r.store.Client(ctx, record.ClientID())
	if err != nil {
		return fmt.Errorf("look up client %s: %w", record.ClientID(), err)
	}
	for _, row := range rows {
		e, err := parseRow(row)
		if err != nil {
			return err
		}
		earlier = append(earlier[:len(earlier):len(earlier)], e.Record)
	}
	isHome := func(o *registry.Record) bool { return o.CID == record.ClientID() && o.Issuer == record.Issuer }
	if !slices.ContainsFunc(earlier, isHome) {
		return nil // nobody else's numbers mean anything
	}
	for _, other := range earlier {
		if !contradict(other, record) || !r.signedByBroker(other) || !r.signedByBroker(record) {
			continue
		}
		e := evidenceOf(other, record)
		r.logger.Error("a broker contradicts itself about a client", "issuer", record.Issuer, "client", e.Subject)
		in.Evidence = append(in.Evidence, e)
		in.news = append(in.news, News{Inbound: Inbound{Evidence: e.document()}})
		return r.include(ctx, in, e.Subject)
	}
	return nil
}

// signedByBroker verifies a record by the key of a member that it names.
func (r *Replica) signedByBroker(record *registry.Record) bool {
	m, key, ok := r.chain.MemberByKey(record.KeyID)
	if !ok || m.Issuer != record.Issuer {
		return false
	}
	public, err := key.Key.PublicKey()
	return err == nil && record.Verify(public) == nil
}
