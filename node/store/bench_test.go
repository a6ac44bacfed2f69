// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

const benchIssuer = "https://broker.example"

// manyClients is how many clients the lookup is measured among.
const manyClients = 100_000

func benchStore(b *testing.B, path string) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func benchReplica(b *testing.B, s federation.Store, key registry.SigningKey) *federation.Replica {
	b.Helper()
	r, err := federation.Open(b.Context(), federation.Config{Store: s, Key: key, Issuer: benchIssuer})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkAppend is one durable registration: signatures, hashes, transaction
// and head file. It reports the median.
func BenchmarkAppend(b *testing.B) {
	r := benchReplica(b, benchStore(b, filepath.Join(b.TempDir(), "comity.db")), registry.GenerateSigningKey())
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, _, err := r.Append(b.Context(), federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}}); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
}

// BenchmarkClient looks clients up among 100,000: one that was just used, and
// others that were not used for long.
func BenchmarkClient(b *testing.B) {
	s, key := benchStore(b, filepath.Join(b.TempDir(), "comity.db")), registry.GenerateSigningKey()
	ids := fill(b, s, key)
	r := benchReplica(b, s, key)
	b.Run("Warm", func(b *testing.B) {
		for b.Loop() {
			lookup(b, r, ids[0])
		}
	})
	b.Run("Cold", func(b *testing.B) { // for the first time since the start
		i, r := 0, r
		for b.Loop() {
			if i%len(ids) == 0 {
				b.StopTimer()
				r = benchReplica(b, s, key)
				b.StartTimer()
			}
			lookup(b, r, ids[i*7919%len(ids)])
			i++
		}
	})
	b.Run("Any", func(b *testing.B) { // one of all, each of which was asked for before
		for _, id := range ids {
			lookup(b, r, id)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		for b.Loop() {
			lookup(b, r, ids[rand.N(len(ids))])
		}
		b.ReportMetric(float64(m.HeapAlloc)/float64(len(ids)), "B/client")
	})
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			benchReplica(b, s, key)
		}
	})
}

func lookup(b *testing.B, r *federation.Replica, id string) {
	if _, err := r.Client(b.Context(), id); err != nil {
		b.Fatal(err)
	}
}

// fill registers many clients in one log, a thousand in a transaction.
func fill(b *testing.B, s *store.Store, key registry.SigningKey) []string {
	b.Helper()
	benchReplica(b, s, key) // founds the federation
	log := storetest.NewLog(b, benchIssuer, key)
	for range manyClients / 1000 {
		u := log.Register(1000)
		u.Own = true
		if err := s.Write(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
	return log.Clients()
}

// BenchmarkOpen opens an empty directory, and one with a database.
func BenchmarkOpen(b *testing.B) {
	b.Run("New", func(b *testing.B) {
		dir, i := b.TempDir(), 0
		for b.Loop() {
			benchStore(b, filepath.Join(dir, fmt.Sprint(i)))
			i++
		}
	})
	b.Run("Existing", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "comity.db")
		benchStore(b, path).Close()
		for b.Loop() {
			benchStore(b, path).Close()
		}
	})
}
