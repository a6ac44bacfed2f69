// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"slices"
)

// history is the home broker's word about one client.
type history struct {
	state      ClientState // Registration, Index, LeastSequence, Sequence, Last, Cutoff are filled
	suspension *Record     // the one that holds, over or not
	beyond     *Record     // the newest suspension beyond the unbroken part
	revoke     *Record     // the first one
	disputed   []*Record   // the proof
}

// foldHistory applies rules 6 to 11 to what the home itself wrote.
func foldHistory(id string, d *dossier) history {
	first := d.first.Record
	if first == nil { // rule 21
		return history{state: ClientState{ID: id}}
	}
	h := history{state: ClientState{
		ID: id, Home: first.Issuer, First: first, Registration: first, Index: d.first.Index, Last: first.CID,
	}}
	bySeq := map[int64][]Entry{0: {d.first}}
	for _, e := range d.history {
		if e.Record.Issuer == first.Issuer {
			seq, _ := e.Record.link()
			bySeq[seq] = append(bySeq[seq], e)
		}
	}
	for _, same := range bySeq {
		slices.SortFunc(same, func(a, b Entry) int { return cmp.Compare(a.Record.CID, b.Record.CID) })
	}
	seqs := sortedKeys(bySeq)
	h.findDispute(bySeq, seqs)
	h.findStops(bySeq, seqs)
	for seq := int64(1); len(bySeq[seq]) == 1; seq++ {
		e := bySeq[seq][0]
		if _, prev := e.Record.link(); prev != h.state.Last {
			break
		}
		h.apply(seq, e)
	}
	h.findBeyond(bySeq, seqs)
	return h
}

// link is a record's place in the history of its client.
func (r *Record) link() (seq int64, prev string) {
	if r.Registration != nil {
		return r.Registration.Sequence, r.Registration.Previous
	}
	return r.Revocation.Sequence, r.Revocation.Previous
}

// findDispute looks for the first place where the home contradicts itself
// (rule 11), before a gap or beyond it.
func (h *history) findDispute(bySeq map[int64][]Entry, seqs []int64) {
	for _, seq := range seqs {
		same, before := bySeq[seq], bySeq[seq-1]
		if len(same) > 1 {
			for _, e := range same {
				h.disputed = append(h.disputed, e.Record)
			}
			return
		}
		if len(before) != 1 {
			continue
		}
		if _, prev := same[0].Record.link(); prev != before[0].Record.CID {
			h.disputed = []*Record{before[0].Record, same[0].Record}
			return
		}
	}
}

// findStops looks at every stop wherever it stands (rules 8, 10 and 19).
func (h *history) findStops(bySeq map[int64][]Entry, seqs []int64) {
	for _, seq := range seqs {
		for _, e := range bySeq[seq] {
			r := e.Record.Revocation
			switch {
			case r == nil:
			case r.Action == Revoke && h.revoke == nil:
				h.revoke = e.Record
			case r.Action == Suspend:
				h.state.Cutoff = max(h.state.Cutoff, r.Cutoff)
			}
		}
	}
}

// findBeyond looks for the newest suspension behind a gap or a dispute.
func (h *history) findBeyond(bySeq map[int64][]Entry, seqs []int64) {
	for _, seq := range seqs {
		if seq <= h.state.Sequence {
			continue
		}
		for _, e := range bySeq[seq] {
			if r := e.Record.Revocation; r != nil && r.Action == Suspend {
				h.beyond = e.Record
			}
		}
	}
}

// apply takes the next record of the unbroken history.
func (h *history) apply(seq int64, e Entry) {
	h.state.Sequence, h.state.Last = seq, e.Record.CID
	r := e.Record.Revocation
	switch {
	case r != nil && r.Action == Suspend:
		h.suspension = e.Record
	case e.Index < 0: // rule 8
	case r != nil && r.Action == Reinstate:
		h.suspension = nil
		h.state.Cutoff = max(h.state.Cutoff, r.Cutoff)
	case r == nil:
		h.state.Registration, h.state.Index = e.Record, e.Index
		if e.Record.Registration.Compromised {
			h.state.LeastSequence, h.state.CompromisedAt = seq, e.Record.IssuedAt
		}
	}
}
