// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

// pulled is how many records a replica takes in the benchmark.
const pulled = 10_000

// BenchmarkAccept pulls another member's log of 10,000 registrations, in pieces
// as they come over the network, into a replica on disk. It reports records a
// second.
func BenchmarkAccept(b *testing.B) {
	home, log, found := manyAbroad(b)
	for b.Loop() {
		b.StopTimer()
		s, key := benchStore(b, filepath.Join(b.TempDir(), "comity.db")), found.key
		if err := s.Write(b.Context(), found.update); err != nil {
			b.Fatal(err)
		}
		r := benchReplica(b, s, key)
		b.StartTimer()
		for from := int64(0); from < pulled; {
			b.StopTimer()
			piece, err := home.Since(b.Context(), log, from, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if _, err := r.Accept(b.Context(), federation.Inbound{Suffix: piece}); err != nil {
				b.Fatal(err)
			}
			from += int64(len(piece.Raws))
		}
		b.StopTimer()
		if r.Registered() != pulled {
			b.Fatalf("%d clients", r.Registered())
		}
		b.StartTimer()
	}
	b.ReportMetric(pulled*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// beginning is what a broker begins with, and its key.
type beginning struct {
	key    registry.SigningKey
	update federation.Update
}

// manyAbroad is a replica whose own log has many clients, and the beginning of
// another member.
func manyAbroad(b *testing.B) (home *federation.Replica, log string, found beginning) {
	b.Helper()
	const foreign = "https://foreign.example"
	own, key := registry.GenerateSigningKey(), registry.GenerateSigningKey()
	c := federation.DefaultCharter()
	c.Version, c.IssuedAt = 1, 1_750_000_000
	for _, m := range []struct {
		issuer string
		key    registry.SigningKey
	}{{foreign, own}, {benchIssuer, key}} {
		c.Members = append(c.Members, registry.Member{
			Issuer: m.issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: m.key.JWK()}},
		})
	}
	charter, err := registry.NewCharter(c, own)
	if err != nil {
		b.Fatal(err)
	}
	s := new(memstore.Store)
	u := storetest.NewLog(b, foreign, own).Register(pulled)
	u.Own, u.Charters = true, []*registry.SignedCharter{charter}
	if err := s.Write(b.Context(), u); err != nil {
		b.Fatal(err)
	}
	if home, err = federation.Open(b.Context(), federation.Config{Store: s, Key: own, Issuer: foreign}); err != nil {
		b.Fatal(err)
	}
	head, err := registry.SignCheckpoint(key, registry.Origin(benchIssuer), 0, registry.EmptyRoot())
	if err != nil {
		b.Fatal(err)
	}
	return home, own.ID(), beginning{key, federation.Update{
		Log: key.ID(), Own: true, Checkpoint: head, Charters: []*registry.SignedCharter{charter},
	}}
}
