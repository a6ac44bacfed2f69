// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// maxEvidenceBytes bounds an evidence document: a fork, or two records and the
// JSON around them.
const maxEvidenceBytes = 2*registry.MaxRecordBytes + 1<<10

// contradiction is the document of two records of one broker about one client
// of which at most one can be true: two of one seq, or one that names as prev
// another record than the one before it.
//
//	{"a":"<compact JWS>","b":"<compact JWS>"}
type contradiction struct {
	Origin string `json:"origin"` // absent; a fork has it
	A      string `json:"a"`
	B      string `json:"b"`
}

// key says what evidence is about. One proof of a thing is enough.
func (e Evidence) key() string { return string(e.Kind) + " " + e.Subject }

// document is the evidence as Accept takes it, nil when it is not passed on:
// rival charters travel as charters, and what concerns this broker alone stays.
func (e Evidence) document() []byte {
	switch e.Kind {
	case EvidenceFork:
		return []byte(e.A)
	case EvidenceRecords:
		raw, _ := json.Marshal(struct {
			A string `json:"a"`
			B string `json:"b"`
		}{e.A, e.B}) // two strings always encode
		return raw
	}
	return nil
}

// EvidenceDocuments returns all evidence, as Accept takes it.
func (r *Replica) EvidenceDocuments() [][]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var documents [][]byte
	for _, key := range slices.Sorted(maps.Keys(r.evidence)) {
		if raw := r.evidence[key].document(); raw != nil {
			documents = append(documents, raw)
		}
	}
	return documents
}

// addEvidence gives the fold what a proof says. Records that stand in no log
// enter it at index -1.
func (k *known) addEvidence(e Evidence) error {
	k.evidence[e.key()] = e
	switch e.Kind {
	case EvidenceFork:
		f, err := registry.ParseFork([]byte(e.A))
		if err != nil {
			return err
		}
		k.forks = append(k.forks, f)
		if _, key, ok := k.chain.MemberByKey(f.A.KeyID); ok {
			k.forked[f.A.KeyID] = key.From
		}
	case EvidenceRecords:
		for _, raw := range []string{e.A, e.B} {
			record, err := registry.ParseRecord([]byte(raw), registry.KindRegistration, registry.KindRevocation)
			if err != nil {
				return err
			}
			k.stops[e.Subject] = append(k.stops[e.Subject], registry.Entry{Record: record, Index: -1})
		}
	}
	return nil
}

// placeForked moves what forked brokers said about others' clients to one place
// in their log, the first that the key may sign. Replicas hold different
// branches of a forked log, and have the rest from each other as heard; they
// must come to the same verdict all the same.
func (k *known) placeForked(entries []registry.Entry) []registry.Entry {
	if len(k.forked) == 0 {
		return entries
	}
	placed := slices.Clone(entries)
	for i, e := range placed {
		from, forked := k.forked[e.Record.KeyID]
		if v := e.Record.Revocation; forked && v != nil && v.Sequence == 0 {
			placed[i].Index = from
		}
	}
	return placed
}

// place is where a record stands in the history that its home keeps of its
// client. It has none when a member wrote it that does not number its records.
func place(r *registry.Record) (seq int64, prev string, ok bool) {
	switch {
	case r.Registration != nil:
		return r.Registration.Sequence, r.Registration.Previous, true
	case r.Revocation != nil && r.Revocation.Sequence > 0:
		return r.Revocation.Sequence, r.Revocation.Previous, true
	}
	return 0, "", false
}

// contradict reports whether at most one of two records can be true.
func contradict(a, b *registry.Record) bool {
	if a.CID == b.CID || a.Issuer != b.Issuer || a.ClientID() != b.ClientID() {
		return false
	}
	seqA, prevA, okA := place(a)
	seqB, prevB, okB := place(b)
	switch {
	case !okA || !okB:
		return false
	case seqA == seqB:
		return true
	case seqB == seqA+1:
		return prevB != a.CID
	case seqA == seqB+1:
		return prevA != b.CID
	}
	return false
}

// acceptEvidence takes a proof that needs no other record to be checked.
func (r *Replica) acceptEvidence(ctx context.Context, raw []byte) (Outcome, error) {
	if len(raw) > maxEvidenceBytes {
		return Known, fmt.Errorf("%w: evidence of %d bytes, at most %d are allowed", registry.ErrLimit, len(raw), maxEvidenceBytes)
	}
	var doc contradiction
	if err := strictjson.Unmarshal(raw, &doc); err != nil {
		return Known, fmt.Errorf("%w: evidence: %v", registry.ErrForm, err)
	}
	if doc.Origin != "" {
		return r.acceptFork(ctx, raw)
	}
	return r.acceptContradiction(ctx, doc)
}

func (r *Replica) acceptFork(ctx context.Context, raw []byte) (Outcome, error) {
	f, err := registry.ParseFork(raw)
	if err != nil {
		return Known, err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	m, _, ok := r.chain.MemberByKey(f.A.KeyID)
	switch {
	case !ok:
		return Known, fmt.Errorf("%w: the key %s of a fork is of no member", registry.ErrNotFound, f.A.KeyID)
	case registry.Origin(m.Issuer) != f.Origin:
		return Known, fmt.Errorf("%w: a key of %s signed for %s", registry.ErrSignature, m.Issuer, f.Origin)
	case lastKey(m).Key.KeyID != f.A.KeyID:
		return Known, fmt.Errorf("%w: the fork is of a key that %s does not use any more", registry.ErrStale, m.Issuer)
	}
	if _, known := r.forked[f.A.KeyID]; known {
		return Known, nil
	}
	return New, r.storeFork(ctx, f)
}

// storeFork keeps the proof that a broker signed two histories, and passes it
// on. writing is held.
func (r *Replica) storeFork(ctx context.Context, f registry.Fork) error {
	_, key, ok := r.chain.MemberByKey(f.A.KeyID)
	if _, known := r.forked[f.A.KeyID]; known || !ok {
		return nil
	}
	document, err := f.Document(key.Key)
	if err != nil {
		return fmt.Errorf("write down the fork of %s: %w", f.Origin, err)
	}
	r.logger.Error("a broker signed two histories", "fork", f.String())
	e := Evidence{Kind: EvidenceFork, Subject: f.Origin + " " + f.A.KeyID, A: string(document)}
	return r.settle(ctx, &intake{
		Update: Update{Evidence: []Evidence{e}},
		news:   []News{{Inbound: Inbound{Evidence: document}}},
	})
}

func (r *Replica) acceptContradiction(ctx context.Context, doc contradiction) (Outcome, error) {
	chain := r.Chain()
	var pair [2]*registry.Record
	for i, raw := range []string{doc.A, doc.B} {
		record, err := registry.ParseRecord([]byte(raw), registry.KindRegistration, registry.KindRevocation)
		if err != nil {
			return Known, err
		}
		if err := verifyHeard(chain, record); err != nil {
			return Known, err
		}
		pair[i] = record
	}
	a, b := pair[0], pair[1]
	if !contradict(a, b) {
		return Known, fmt.Errorf("%w: the two records do not contradict each other", registry.ErrForm)
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	e := evidenceOf(a, b)
	if _, known := r.evidence[e.key()]; known {
		return Known, nil
	}
	state, err := r.Client(ctx, e.Subject)
	if err != nil {
		return Known, err // not there yet, or a failure of the store
	}
	if state.Home != a.Issuer {
		return Known, fmt.Errorf("%w: %s is not the home of client %s", registry.ErrForm, a.Issuer, state.ID)
	}
	in := &intake{Update: Update{Evidence: []Evidence{e}}, news: []News{{Inbound: Inbound{Evidence: e.document()}}}}
	if err := r.include(ctx, in, e.Subject); err != nil {
		return Known, err
	}
	return New, r.settle(ctx, in)
}

func evidenceOf(a, b *registry.Record) Evidence {
	if a.CID > b.CID {
		a, b = b, a
	}
	return Evidence{Kind: EvidenceRecords, Subject: a.ClientID(), A: a.Raw, B: b.Raw}
}
