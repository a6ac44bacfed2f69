// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"fmt"
	"testing"

	dht "github.com/libp2p/go-libp2p-kad-dht"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// benchWorld has a client that was registered, updated, suspended and
// reinstated, in a log of a thousand entries.
func benchWorld(b *testing.B, members int) (w *dhtWorld, home *dhtMember, key string) {
	w = newDHTWorld(b, members)
	home = w.members[0]
	id := home.register("App")
	home.append(update(id))
	home.append(revocation(id, registry.Suspend))
	home.append(revocation(id, registry.Reinstate))
	for range 1000 {
		home.register("Another")
	}
	return w, home, clientKey(id)
}

// BenchmarkDHTValidate is what a value of a client costs whoever gets it: form,
// signatures and proofs.
func BenchmarkDHTValidate(b *testing.B) {
	w, home, key := benchWorld(b, 1)
	value := home.value(key)
	for b.Loop() {
		if err := federation.NewReaderValidator(w.federation(), home.Chain()).Validate(key, value); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(value)), "bytes")
}

// BenchmarkDHTValue is what it costs to make one.
func BenchmarkDHTValue(b *testing.B) {
	_, home, key := benchWorld(b, 1)
	for b.Loop() {
		home.value(key)
	}
}

// BenchmarkDHTNetwork is a put and a get among members on a network without
// delay: the work alone, of all of them together.
func BenchmarkDHTNetwork(b *testing.B) {
	for _, n := range []int{3, 20} {
		w, home, key := benchWorld(b, n)
		w.start()
		b.Run(fmt.Sprintf("put/%d", n), func(b *testing.B) {
			for b.Loop() {
				if err := home.dir.Put(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("get/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := w.members[n-1].dir.DHT().GetValue(b.Context(), key, dht.Quorum(0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
