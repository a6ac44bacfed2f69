// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// forger writes a log by hand, with a member's key and without its replica.
type forger struct {
	t      testing.TB
	issuer string
	key    registry.SigningKey
	at     int64
	raws   []string
	hashes forgedHashes
}

// forgedHashes is a registry.HashReader.
type forgedHashes []registry.Hash

func (f forgedHashes) ReadHashes(indexes []int64) ([]registry.Hash, error) {
	hashes := make([]registry.Hash, len(indexes))
	for i, n := range indexes {
		hashes[i] = f[n]
	}
	return hashes, nil
}

// forge goes on with the log of m as m has it.
func forge(m *member) *forger {
	f := &forger{t: m.s.t, issuer: m.issuer, key: m.key, at: m.s.now.Unix()}
	return f.add(m.since(m.log, 0, 1<<20).Raws...)
}

// branch is another log that begins in the same way.
func (f *forger) branch() *forger {
	b := *f
	b.raws, b.hashes = b.raws[:len(b.raws):len(b.raws)], b.hashes[:len(b.hashes):len(b.hashes)]
	return &b
}

func (f *forger) add(raws ...string) *forger {
	f.t.Helper()
	for _, raw := range raws {
		hashes, err := registry.StoredHashes(int64(len(f.raws)), raw, f.hashes)
		f.check(err)
		f.raws, f.hashes = append(f.raws, raw), append(f.hashes, hashes...)
	}
	return f
}

func (f *forger) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// size is the number of entries.
func (f *forger) size() int64 { return int64(len(f.raws)) }

func (f *forger) root(size int64) registry.Hash {
	f.t.Helper()
	if size == 0 {
		return registry.EmptyRoot()
	}
	root, err := registry.TreeRoot(size, f.hashes)
	f.check(err)
	return root
}

// head signs the head of that size with a key.
func (f *forger) head(size int64, key registry.SigningKey) []byte {
	f.t.Helper()
	c, err := registry.SignCheckpoint(key, registry.Origin(f.issuer), size, f.root(size))
	f.check(err)
	return c.Raw
}

// piece is entries from up to to, under the head of all, with proofs.
func (f *forger) piece(from, to int64) *federation.Suffix {
	f.t.Helper()
	s := &federation.Suffix{
		Log: f.key.ID(), From: from, Raws: f.raws[from:to:to], Checkpoint: f.head(f.size(), f.key), Base: f.root(from),
	}
	var err error
	if from > 0 && from < f.size() {
		s.BaseProof, err = registry.ProveConsistency(from, f.size(), f.hashes)
		f.check(err)
	}
	if to < f.size() && to > 0 {
		s.Proof, err = registry.ProveConsistency(to, f.size(), f.hashes)
		f.check(err)
	}
	return s
}

// all is the whole log.
func (f *forger) all() federation.Inbound {
	return federation.Inbound{Suffix: f.piece(0, f.size())}
}

func (f *forger) claims() registry.Claims { return registry.Claims{Issuer: f.issuer, IssuedAt: f.at} }

func (f *forger) registration(change func(*registry.Registration)) *registry.Record {
	f.t.Helper()
	r := registry.Registration{Claims: f.claims(), ClientMetadata: storetest.Metadata("Forged")}
	if change != nil {
		change(&r)
	}
	record, err := registry.SignRegistration(f.key, r)
	f.check(err)
	return record
}

// update is a registration with a seq.
func (f *forger) update(client string, seq int64, prev, name string) *registry.Record {
	return f.registration(func(r *registry.Registration) {
		r.Client, r.Sequence, r.Previous, r.ClientMetadata = client, seq, prev, storetest.Metadata(name)
	})
}

func (f *forger) revocation(client string, action registry.Action, charter string, change func(*registry.Revocation)) *registry.Record {
	f.t.Helper()
	v := registry.Revocation{Claims: f.claims(), Client: client, Action: action, Reason: "policy", Charter: charter}
	if change != nil {
		change(&v)
	}
	record, err := registry.SignRevocation(f.key, v)
	f.check(err)
	return record
}

// spoil changes the signature of a record.
func spoil(raw string) string {
	last := byte('A')
	if raw[len(raw)-20] == 'A' {
		last = 'B'
	}
	return raw[:len(raw)-20] + string(last) + raw[len(raw)-19:]
}
