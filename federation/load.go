// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/comity-network/comity/registry"
)

// load replaces all that is in memory by what is stored, after checking it.
func (r *Replica) load(ctx context.Context) error {
	s, err := r.store.Load(ctx)
	if err != nil {
		return fmt.Errorf("load replica: %w", err)
	}
	k := known{
		heads: map[string]*head{}, views: map[string]*registry.Record{}, brokers: map[string]*registry.Record{},
		stops: map[string][]registry.Entry{}, cache: newLRU(r.cache.size),
		heard: map[string]Row{}, proposals: map[string]*registry.SignedCharter{}, forked: map[string]int64{},
		evidence: map[string]Evidence{}, lastIAT: r.lastIAT,
	}
	if k.chain, err = loadChain(s.Charters); err != nil {
		return err
	}
	if err := k.loadCharters(s); err != nil {
		return err
	}
	if err := r.loadOwn(&k); err != nil {
		return err
	}
	if err := r.loadHeads(ctx, &k, s.Heads); err != nil {
		return err
	}
	if err := r.loadRecords(&k, s); err != nil {
		return err
	}
	if err := r.loadAhead(ctx, &k); err != nil {
		return err
	}
	if err := r.loadViews(&k, s.Views); err != nil {
		return err
	}
	if err := r.loadLast(ctx, &k); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chain != nil && r.chain.Federation() == k.chain.Federation() { // else nobody of this one confirmed it
		k.certified, k.viewed, k.former = r.certified, r.viewed, r.former
		k.list, k.listHash, k.restless = r.list, r.listHash, r.restless
	}
	k.generation = r.generation + 1
	r.known = k
	r.refold(r.now())
	return nil
}

// damaged words every finding that means: this is not what was stored.
func damaged(format string, args ...any) error {
	return fmt.Errorf("the stored replica is damaged or was set back, restore a newer backup: %w", fmt.Errorf(format, args...))
}

func loadChain(raws [][]byte) (*registry.Chain, error) {
	var chain *registry.Chain
	for _, raw := range raws {
		charter, err := registry.ParseCharter(raw)
		if err != nil {
			return nil, damaged("charter: %w", err)
		}
		if chain == nil {
			chain, err = registry.NewChain(charter)
		} else {
			chain, err = chain.Extend(charter)
		}
		if err != nil && !errors.Is(err, registry.ErrConflict) {
			return nil, damaged("charter version %d: %w", charter.Version, err)
		}
	}
	if chain == nil {
		return nil, damaged("it has no charter")
	}
	return chain, nil
}

// loadOwn finds out which member this broker is.
func (r *Replica) loadOwn(k *known) error {
	m, ok := k.chain.Member(r.issuer)
	if !ok {
		var others []string
		for _, m := range k.chain.Latest().Members {
			others = append(others, m.Issuer)
		}
		return fmt.Errorf("%w: issuer %s is not a member of the federation in this data directory, which has %s: use that issuer, or another data directory",
			registry.ErrConflict, r.issuer, strings.Join(others, ", "))
	}
	if m.Keys[len(m.Keys)-1].Key.KeyID != r.key.ID() {
		return fmt.Errorf("%w: the record key %s is not the one of %s in the charter: put the right key file back, from a backup if need be",
			registry.ErrConflict, r.key.ID(), r.issuer)
	}
	r.log = logOf(m)
	return nil
}

// logOf names the log of a member.
func logOf(m registry.Member) string { return m.Keys[0].Key.KeyID }

// loadHeads checks each head against the keys of its broker and the stored
// hashes. A directory that was copied and used in both places, or set back,
// shows here, or at the first head that the others have seen (fault 67).
func (r *Replica) loadHeads(ctx context.Context, k *known, heads []Head) error {
	for _, h := range heads {
		member, _, ok := k.chain.MemberByKey(h.Log)
		if !ok {
			return damaged("log %s is of no member", h.Log)
		}
		var err error
		loaded := k.headOf(h.Log, member.Issuer)
		if len(h.Checkpoint) > 0 {
			if loaded.Checkpoint, err = openCheckpoint(h.Checkpoint, member); err != nil {
				return damaged("head of %s: %w", member.Issuer, err)
			}
		}
		if loaded.Size != h.Size || len(h.Checkpoint) > 0 && loaded.Root != h.Root {
			return damaged("head of %s: the checkpoint is of size %d, the log has %d", member.Issuer, loaded.Size, h.Size)
		}
		if err := r.checkHead(ctx, h, loaded.Checkpoint); err != nil {
			return damaged("log of %s: %w", member.Issuer, err)
		}
		loaded.entries, loaded.clients = h.Entries, h.Clients
		k.heads[h.Log] = loaded
	}
	if own := k.heads[r.log]; !own.verified() || own.entries != own.Size {
		return damaged("the own log has no head, or entries beyond it")
	}
	return nil
}

// openCheckpoint tries the keys of a member, the newest first: a log keeps its
// last checkpoint when the key is replaced.
func openCheckpoint(raw []byte, m registry.Member) (*registry.Checkpoint, error) {
	err := fmt.Errorf("%w: %s has no key", registry.ErrSignature, m.Issuer)
	for i := len(m.Keys) - 1; i >= 0; i-- {
		var public ed25519.PublicKey
		if public, err = m.Keys[i].Key.PublicKey(); err != nil {
			return nil, err
		}
		var c *registry.Checkpoint
		if c, err = registry.OpenCheckpoint(raw, registry.Origin(m.Issuer), public); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// checkHead compares a head with the stored hashes, and with where the entries
// end.
func (r *Replica) checkHead(ctx context.Context, h Head, c *registry.Checkpoint) error {
	root, err := r.rootAt(ctx, h.Log, c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("%w: the entries of size %d have the root %v, the signed head says %v", registry.ErrFork, c.Size, root, c.Root)
	}
	rows, err := r.store.Rows(ctx, h.Log, max(h.Entries-1, 0), h.Entries+1)
	if err != nil {
		return err
	}
	if int64(len(rows)) != min(h.Entries, 1) {
		return fmt.Errorf("the entries do not end at %d, where they should", h.Entries)
	}
	return nil
}

// rootAt is the root over the first size entries that are stored.
func (r *Replica) rootAt(ctx context.Context, log string, size int64) (registry.Hash, error) {
	if size == 0 {
		return registry.EmptyRoot(), nil
	}
	return registry.TreeRoot(size, r.reader(ctx, log))
}

func (r *Replica) loadRecords(k *known, s *Snapshot) error {
	for _, row := range s.Stops {
		h := k.heads[row.Log]
		if row.Index >= 0 && (h == nil || row.Index >= h.Size) {
			continue // staged
		}
		e, err := parseRow(row)
		if err != nil {
			return err
		}
		if row.Index < 0 {
			k.heard[row.CID] = row
		} else if !r.genuine(k.chain, row.Log, e) {
			continue
		}
		k.stops[row.Client] = append(k.stops[row.Client], e)
	}
	for _, row := range s.Brokers {
		e, err := parseRow(row)
		if err != nil {
			return err
		}
		k.setBroker(row.Log, e)
	}
	for _, e := range s.Evidence {
		if err := k.addEvidence(e); err != nil {
			return damaged("evidence about %s: %w", e.Subject, err)
		}
		if e.Kind == EvidenceAhead {
			var err error
			if k.ahead, err = registry.OpenCheckpoint([]byte(e.A), r.origin, r.key.Public()); err != nil {
				return damaged("evidence about %s: %w", e.Subject, err)
			}
		}
	}
	return nil
}

// parseRow reads a stored record. That it is the one that was stored shows in
// its CID.
func parseRow(row Row) (registry.Entry, error) {
	record, err := registry.ParseRecord([]byte(row.Raw), row.Kind)
	if err != nil {
		return registry.Entry{}, damaged("entry %d of log %s: %w", row.Index, row.Log, err)
	}
	if record.CID != row.CID || record.ClientID() != row.Client {
		return registry.Entry{}, damaged("entry %d of log %s is not %s", row.Index, row.Log, row.CID)
	}
	return registry.Entry{Record: record, Index: row.Index}, nil
}

// loadViews takes the views that still hold; a charter since then may have
// ended a key or a membership.
func (r *Replica) loadViews(k *known, raws []string) error {
	for _, raw := range raws {
		v, err := registry.ParseRecord([]byte(raw), registry.KindView)
		if err != nil {
			return damaged("view: %w", err)
		}
		if v.Issuer == r.issuer {
			k.lastIAT = max(k.lastIAT, v.IssuedAt)
		}
		if err := k.chain.VerifyView(v); err != nil {
			r.logger.Warn("stored view does not count", "issuer", v.Issuer, "error", err)
			continue
		}
		k.views[v.Issuer] = v
	}
	return nil
}

// loadLast notes when this broker last signed an entry.
func (r *Replica) loadLast(ctx context.Context, k *known) error {
	size := k.heads[r.log].Size
	rows, err := r.store.Rows(ctx, r.log, max(size-1, 0), size)
	if err != nil {
		return fmt.Errorf("load replica: %w", err)
	}
	for _, row := range rows {
		e, err := parseRow(row)
		if err != nil {
			return err
		}
		k.lastIAT = max(k.lastIAT, e.Record.IssuedAt)
	}
	return nil
}

// checkClock refuses a clock that is behind what this broker signed before. mu
// or writing is held.
func (k *known) checkClock(now time.Time) error {
	behind := k.lastIAT - now.Unix()
	if behind <= int64(registry.MaxAhead/time.Second) {
		return nil
	}
	return fmt.Errorf("%w: the clock is %v behind the last thing that this broker signed, at %s: set the clock; nothing is signed until then",
		registry.ErrStale, time.Duration(behind)*time.Second, time.Unix(k.lastIAT, 0).UTC().Format(time.RFC3339))
}
