// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/comity-network/comity/registry"
)

// auditPage is how many entries are read at a time.
const auditPage = 512

// Audit is what a check of a whole stored replica found.
type Audit struct {
	Records int64 // in all logs, staged ones included
	Clients int64 // that they register
	// Void counts registrations with a bad signature, over which their
	// author signed a head. They do not count; it is the author's fault.
	Void     int64
	Problems []string // each names the log and the entry; empty: all is well
}

// CheckStore reads every entry of every log in a store and checks its form,
// its signature by the key that was valid at its place, its Merkle hashes, and
// the signed checkpoint over all of them; and the signatures of stops that stand
// in no log. It writes nothing. The error is about reading; what is wrong with
// what was read is in the Audit.
func CheckStore(ctx context.Context, store Store) (Audit, error) {
	s, err := store.Load(ctx)
	if err != nil {
		return Audit{}, fmt.Errorf("load replica: %w", err)
	}
	chain, err := loadChain(s.Charters)
	if err != nil {
		return Audit{}, err
	}
	a := auditor{ctx: ctx, store: store, chain: chain}
	for _, h := range s.Heads {
		if err := a.log(h); err != nil {
			return a.Audit, err
		}
	}
	for _, row := range s.Stops {
		if row.Index < 0 {
			a.heard(row)
		}
	}
	return a.Audit, nil
}

// heard checks a stop that stands in no log.
func (a *auditor) heard(row Row) {
	entry, err := parseRow(row)
	if err == nil {
		err = verifyHeard(a.chain, entry.Record)
	}
	if err != nil && !errors.Is(err, registry.ErrStale) { // its key may have ended since
		a.Problems = append(a.Problems, fmt.Sprintf("heard stop %s: %v", row.CID, err))
	}
}

type auditor struct {
	Audit
	ctx   context.Context
	store Store
	chain *registry.Chain
}

func (a *auditor) problem(m registry.Member, format string, args ...any) {
	a.Problems = append(a.Problems, fmt.Sprintf("log of %s: %s", m.Issuer, fmt.Sprintf(format, args...)))
}

func (a *auditor) log(h Head) error {
	member, _, ok := a.chain.MemberByKey(h.Log)
	if !ok {
		a.Problems = append(a.Problems, fmt.Sprintf("log %s is of no member of the charter", h.Log))
		return nil
	}
	checkpoint := &registry.Checkpoint{Root: registry.EmptyRoot()}
	if len(h.Checkpoint) > 0 {
		var err error
		if checkpoint, err = openCheckpoint(h.Checkpoint, member); err != nil {
			a.problem(member, "the checkpoint does not verify: %v", err)
			return nil
		}
	}
	reader := hashReader{ctx: a.ctx, store: a.store, log: h.Log}
	clients, size := int64(0), int64(0)
	for {
		rows, err := a.store.Rows(a.ctx, h.Log, size, size+auditPage)
		if err != nil {
			return err
		}
		for _, row := range rows {
			a.row(member, row, size, reader)
			if row.CID == row.Client {
				clients++
			}
			size++
		}
		if len(rows) < auditPage {
			break
		}
	}
	a.Records += size
	a.Clients += clients
	if clients != h.Clients {
		a.problem(member, "it registers %d clients, and the head counts %d", clients, h.Clients)
	}
	if size != h.Entries {
		a.problem(member, "it has %d entries, and the head counts %d", size, h.Entries)
	}
	return a.root(member, checkpoint, min(size, h.Size), reader)
}

// row checks one entry, which must stand at index.
func (a *auditor) row(m registry.Member, row Row, index int64, reader hashReader) {
	if row.Index != index {
		a.problem(m, "entry %d is missing", index)
		return
	}
	entry, err := parseRow(row)
	if err != nil {
		a.problem(m, "%v", err)
		return
	}
	if entry.Record.Issuer != m.Issuer {
		a.problem(m, "entry %d was issued by %s", index, entry.Record.Issuer)
	}
	a.signature(m, entry)
	hashes, err := registry.StoredHashes(index, row.Raw, reader)
	if err != nil {
		a.problem(m, "entry %d: its hashes cannot be computed: %v", index, err)
	} else if !slices.Equal(hashes, row.Hashes) {
		a.problem(m, "entry %d does not have its hashes", index)
	}
}

// signature checks the author of an entry. After the membership ended there is
// no key, and what was written then is void.
func (a *auditor) signature(m registry.Member, e registry.Entry) {
	until := lastKey(m).Until
	key, ok := a.chain.KeyAt(m.Issuer, e.Index)
	if !ok {
		if until == nil || e.Index < *until {
			a.problem(m, "entry %d: the charter has no key for it", e.Index)
		}
		return
	}
	err := e.Record.Verify(key)
	plain := e.Record.Registration != nil && !e.Record.Registration.Compromised
	switch {
	case err != nil && plain && e.Record.KeyID == registry.Thumbprint(key):
		a.Void++
	case err != nil:
		a.problem(m, "entry %d: %v", e.Index, err)
	}
}

func (a *auditor) root(m registry.Member, c *registry.Checkpoint, size int64, reader hashReader) error {
	if size != c.Size {
		a.problem(m, "it has %d entries, and its checkpoint was signed over %d", size, c.Size)
		return nil
	}
	root := registry.EmptyRoot()
	if size > 0 {
		var err error
		if root, err = registry.TreeRoot(size, reader); err != nil {
			a.problem(m, "its root cannot be computed: %v", err)
			return nil
		}
	}
	if root != c.Root {
		a.problem(m, "its entries have the root %v, and the signed checkpoint says %v", root, c.Root)
	}
	return nil
}
