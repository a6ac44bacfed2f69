// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-network/comity/registry"
)

// Bounds of one Suffix: what is in memory at once, and stored in one
// transaction.
const (
	maxSuffixEntries = 8192
	maxSuffixBytes   = 8 << 20
	maxSuffixProof   = 128 // a log of 2^48 entries needs fewer
	maxReplayed      = 256 // staged entries that are studied when their head comes
)

// A log may be that long: registrations are updated, and stops come on top.
const (
	entriesPerMember = 1_000
	entriesPerClient = 20 // for each of clients_per_member
)

// maxEntries is how long a member's log may be.
func maxEntries(chain *registry.Chain) int64 {
	return entriesPerMember + entriesPerClient*chain.Latest().ClientsPerMember
}

// lastKey is the key that signs heads: the current one, or the one with which
// the membership ended.
func lastKey(m registry.Member) registry.MemberKey { return m.Keys[len(m.Keys)-1] }

// piece is a Suffix after all checks that need nothing but the charter.
type piece struct {
	*Suffix
	chain   *registry.Chain
	member  registry.Member
	head    *registry.Checkpoint
	skipped int                // of Raws, since they were held already
	records []*registry.Record // of the other Raws
}

// end is the index after the last entry.
func (p *piece) end() int64 { return p.From + int64(len(p.Raws)) }

func (r *Replica) acceptSuffix(ctx context.Context, s *Suffix) (Outcome, error) {
	if r.holds(s) {
		return Known, nil
	}
	p, err := r.readSuffix(r.Chain(), s)
	if err != nil {
		return Known, err
	}
	end, err := r.begin(ctx)
	if err != nil {
		return Known, err
	}
	defer end()
	if r.chain != p.chain { // a charter came in between
		if p, err = r.readSuffix(r.chain, s); err != nil {
			return Known, err
		}
	}
	h := r.headOf(p.Log, p.member.Issuer)
	until := lastKey(p.member).Until
	switch {
	case p.Log == r.log:
		return r.acceptOwn(ctx, p, h)
	case h.verified() && p.head.Size <= h.Size:
		return r.compare(ctx, p, h)
	case r.isForked(p.member):
		err := r.hearAll(ctx, p)
		if err == nil {
			err = fmt.Errorf("%w: the log of %s is frozen, since it has two histories", registry.ErrFork, p.member.Issuer)
		}
		return Known, err
	case until != nil && h.Size >= *until:
		return Known, fmt.Errorf("%w: the membership of %s ended at log index %d", registry.ErrStale, p.member.Issuer, *until)
	case p.From > h.entries, p.From+int64(p.skipped) > h.entries:
		return Gap, r.hearAll(ctx, p)
	}
	return r.extend(ctx, p, h)
}

// holds finds out cheaply that a piece is under a head that is held.
func (r *Replica) holds(s *Suffix) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	h := r.heads[s.Log]
	return h.verified() && bytes.Equal(h.Raw, s.Checkpoint) && s.From >= 0 && s.From+int64(len(s.Raws)) <= h.Size
}

func (r *Replica) isForked(m registry.Member) bool {
	_, forked := r.forked[lastKey(m).Key.KeyID]
	return forked
}

// readSuffix checks the checkpoint's signature, and form, author, key and (but
// for registrations) signature of each record that is not held yet.
func (r *Replica) readSuffix(chain *registry.Chain, s *Suffix) (*piece, error) {
	m, _, ok := chain.MemberByKey(s.Log)
	if !ok || logOf(m) != s.Log {
		return nil, fmt.Errorf("%w: log %.50q is of no member", registry.ErrNotFound, s.Log)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &piece{Suffix: s, chain: chain, member: m}
	public, err := lastKey(m).Key.PublicKey()
	if err != nil {
		return nil, err
	}
	if p.head, err = registry.OpenCheckpoint(s.Checkpoint, registry.Origin(m.Issuer), public); err != nil {
		// Whoever has not heard of a newer head still has one by the key before.
		if old, oldErr := openCheckpoint(s.Checkpoint, m); oldErr == nil && old.Size <= lastKey(m).From {
			err = fmt.Errorf("%w: head of size %d by a key of %s that has ended", registry.ErrStale, old.Size, m.Issuer)
		}
		return nil, err
	}
	switch {
	case p.head.Size < lastKey(m).From:
		return nil, fmt.Errorf("%w: the key of %s is valid from log index %d, and it signed a head of size %d", registry.ErrSignature, m.Issuer, lastKey(m).From, p.head.Size)
	case p.end() > p.head.Size:
		return nil, fmt.Errorf("%w: the piece ends at %d, and its checkpoint is of size %d", registry.ErrForm, p.end(), p.head.Size)
	case p.end() < p.head.Size && len(s.Raws) > 0 && len(s.Proof) == 0:
		return nil, fmt.Errorf("%w: the piece ends at %d, before its checkpoint of size %d, and has no proof", registry.ErrForm, p.end(), p.head.Size)
	}
	r.mu.RLock()
	held := r.headOf(s.Log, m.Issuer).entries
	r.mu.RUnlock()
	p.skipped = int(min(max(held-s.From, 0), int64(len(s.Raws))))
	for i, raw := range s.Raws[p.skipped:] {
		record, err := p.read(raw, s.From+int64(p.skipped+i))
		if err != nil {
			return nil, fmt.Errorf("entry %d of the log of %s: %w", s.From+int64(p.skipped+i), m.Issuer, err)
		}
		p.records = append(p.records, record)
	}
	return p, nil
}

// check bounds a piece.
func (s *Suffix) check() error {
	size := 0
	for _, raw := range s.Raws {
		size += len(raw)
	}
	switch {
	case s.From < 0 || s.From > registry.MaxLogSize:
		return fmt.Errorf("%w: log index %d", registry.ErrForm, s.From)
	case len(s.Raws) > maxSuffixEntries || size > maxSuffixBytes:
		return fmt.Errorf("%w: a piece of %d entries and %d bytes, at most %d and %d are allowed", registry.ErrLimit, len(s.Raws), size, maxSuffixEntries, maxSuffixBytes)
	case len(s.Proof) > maxSuffixProof || len(s.BaseProof) > maxSuffixProof:
		return fmt.Errorf("%w: a proof of more than %d hashes", registry.ErrLimit, maxSuffixProof)
	}
	return nil
}

// read checks one entry. What a member wrote after its membership ended has no
// effect, but it is in the log.
func (p *piece) read(raw string, index int64) (*registry.Record, error) {
	record, err := registry.ParseRecord([]byte(raw), registry.KindBroker, registry.KindRegistration, registry.KindRevocation)
	if err != nil {
		return nil, err
	}
	key := lastKey(p.member)
	for _, k := range p.member.Keys {
		if k.From <= index && (k.Until == nil || index < *k.Until) {
			key = k
		}
	}
	if record.Issuer != p.member.Issuer || record.KeyID != key.Key.KeyID {
		return nil, fmt.Errorf("%w: it is by key %s of %s, which may not sign there", registry.ErrSignature, record.KeyID, record.Issuer)
	}
	if record.Registration != nil && !record.Registration.Compromised {
		return record, nil // verified when it is first used
	}
	public, err := key.Key.PublicKey()
	if err != nil {
		return nil, err
	}
	return record, record.Verify(public)
}

// compare judges a head that is not newer than the one that is held: it has to
// be of the same history.
func (r *Replica) compare(ctx context.Context, p *piece, h *head) (Outcome, error) {
	root, err := r.rootAt(ctx, p.Log, p.head.Size)
	if err != nil {
		return Known, fmt.Errorf("compare heads: %w", err)
	}
	switch {
	case root != p.head.Root:
		return Known, r.proveFork(ctx, p.Log, p.head, h)
	case p.head.Size < h.Size:
		return Known, fmt.Errorf("%w: head of size %d of %s, one of size %d is held", registry.ErrStale, p.head.Size, p.member.Issuer, h.Size)
	}
	return Known, nil
}

// proveFork makes and keeps the proof that a head which is not newer than h
// contradicts it. The error is registry.ErrFork.
func (r *Replica) proveFork(ctx context.Context, log string, older *registry.Checkpoint, h *head) error {
	err := registry.ProveFork(older, h.Checkpoint, r.reader(ctx, log))
	if fork, ok := err.(*registry.ForkError); ok {
		if err := r.storeFork(ctx, fork.Fork); err != nil {
			return err
		}
		return fork
	}
	if err == nil { // two keys, one size
		err = fmt.Errorf("%w: two heads of %s for size %d by two keys", registry.ErrFork, h.Origin, h.Size)
	}
	return err
}

// extend adds what is new, if it is proven to be a part of the log.
func (r *Replica) extend(ctx context.Context, p *piece, h *head) (Outcome, error) {
	skip := int(min(h.entries-p.From, int64(len(p.Raws))))
	raws, records := p.Raws[skip:], p.records[skip-p.skipped:]
	end := h.entries + int64(len(raws))
	if len(raws) == 0 && p.head.Size > end {
		return Gap, nil
	}
	rows, reader, err := r.rowsOf(ctx, p.Log, h.entries, records)
	if err != nil {
		return Known, err
	}
	ok, err := p.proves(end, reader)
	if err != nil {
		return Known, err
	}
	if !ok {
		return r.mismatch(ctx, p, h)
	}
	if err := p.repeats(raws, reader); err != nil {
		return Known, err
	}
	in := &intake{Update: Update{Log: p.Log, Before: h.entries, Rows: rows}}
	if err := r.checkQuota(p, h, in); err != nil {
		return Known, err
	}
	from := h.entries
	if p.head.Size <= end {
		in.Checkpoint = p.head
		in.news = []News{{Inbound: Inbound{Suffix: p.Suffix}}}
		// Staged entries come to light. When they are many, everything is read
		// anew; a few must not cost as much, since they come as often as their
		// author likes.
		if in.reload = h.entries-h.Size > maxReplayed; !in.reload {
			staged, err := r.staged(ctx, p.Log, h.Size, min(h.entries, p.head.Size))
			if err != nil {
				return Known, err
			}
			from, records = h.Size, append(staged, records...)
		}
	}
	if err := r.study(ctx, in, records, from); err != nil {
		return Known, err
	}
	return New, r.settle(ctx, in)
}

// staged reads entries that wait for their head.
func (r *Replica) staged(ctx context.Context, log string, from, to int64) ([]*registry.Record, error) {
	if from == to {
		return nil, nil
	}
	rows, err := r.store.Rows(ctx, log, from, to)
	if err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	if int64(len(rows)) != to-from {
		return nil, damaged("entries from %d of log %s are missing", from+int64(len(rows)), log)
	}
	records := make([]*registry.Record, 0, len(rows))
	for _, row := range rows {
		e, err := parseRow(row)
		if err != nil {
			return nil, err
		}
		records = append(records, e.Record)
	}
	return records, nil
}

// rowsOf makes the rows of new entries, and a reader that knows their hashes.
func (r *Replica) rowsOf(ctx context.Context, log string, from int64, records []*registry.Record) ([]Row, hashReader, error) {
	reader := r.reader(ctx, log).with(from, nil)
	rows := make([]Row, 0, len(records))
	for i, record := range records {
		row := newRow(log, from+int64(i), record)
		var err error
		if row.Hashes, err = registry.StoredHashes(row.Index, record.Raw, reader); err != nil {
			return nil, reader, fmt.Errorf("hash the log: %w", err)
		}
		reader.fresh = append(reader.fresh, row.Hashes...)
		rows = append(rows, row)
	}
	return rows, reader, nil
}

// repeats makes sure that the entries before raws are those that are held: the
// piece is passed on as it came, to others who do not hold them.
func (p *piece) repeats(raws []string, reader hashReader) error {
	known := p.Raws[:len(p.Raws)-len(raws)]
	indexes := make([]int64, len(known))
	for i := range known {
		indexes[i] = tlog.StoredHashIndex(0, p.From+int64(i))
	}
	hashes, err := reader.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("hash the log: %w", err)
	}
	for i, raw := range known {
		if registry.LeafHash(raw) != hashes[i] {
			return fmt.Errorf("%w: entry %d is not the one of the log of %s", registry.ErrSignature, p.From+int64(i), p.member.Issuer)
		}
	}
	return nil
}

// proves reports whether the first end entries are those of the checkpoint.
func (p *piece) proves(end int64, reader hashReader) (bool, error) {
	size := min(end, p.head.Size)
	root := registry.EmptyRoot()
	if size > 0 {
		var err error
		if root, err = registry.TreeRoot(size, reader); err != nil {
			return false, fmt.Errorf("hash the log: %w", err)
		}
	}
	if size == p.head.Size {
		return root == p.head.Root, nil
	}
	return registry.CheckConsistency(p.Proof, size, root, p.head.Size, p.head.Root) == nil, nil
}

// mismatch finds out whose fault it is that a piece does not continue what is
// held: of the broker that signed two histories, or of the peer.
func (r *Replica) mismatch(ctx context.Context, p *piece, h *head) (Outcome, error) {
	if p.Base == (registry.Hash{}) {
		return Gap, r.hearAll(ctx, p) // a single record without proofs
	}
	own, err := r.rootAt(ctx, p.Log, p.From)
	if err != nil {
		return Known, err
	}
	if err := registry.CheckConsistency(p.BaseProof, p.From, p.Base, p.head.Size, p.head.Root); err != nil {
		return Known, err
	}
	switch {
	case p.Base == own:
		return Known, fmt.Errorf("%w: entries %d to %d are not those of the log of %s", registry.ErrSignature, p.From, p.end(), p.member.Issuer)
	case p.From == h.Size && h.verified() && h.KeyID == p.head.KeyID:
		fork := registry.Fork{Origin: h.Origin, A: h.Checkpoint, B: p.head, Prefix: p.Base, Proof: p.BaseProof}
		if err := r.storeFork(ctx, fork); err != nil {
			return Known, err
		}
		return Known, &registry.ForkError{Fork: fork}
	case p.From > h.Size:
		// The broker signed another history than the staged one.
		return Gap, r.settle(ctx, &intake{Update: Update{Log: p.Log, Discard: true}, reload: true})
	}
	return Gap, nil // a piece that begins at the head will prove it
}

// checkQuota holds a member to the charter.
func (r *Replica) checkQuota(p *piece, h *head, in *intake) error {
	after := in.Head(Head{Clients: h.clients})
	if most := p.chain.Latest().ClientsPerMember; after.Clients > most {
		return fmt.Errorf("%w: %s has registered %d clients, the charter allows %d", registry.ErrLimit, p.member.Issuer, after.Clients, most)
	}
	if most := maxEntries(p.chain); after.Entries > most {
		return fmt.Errorf("%w: the log of %s has %d entries, the charter allows %d", registry.ErrLimit, p.member.Issuer, after.Entries, most)
	}
	return nil
}
