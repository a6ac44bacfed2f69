// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/federation"
)

// The default resource manager ends at a few hundred connections, and at eight
// for an address. A federation has a thousand members, and one of them opens as
// many streams as it needs, but not ten thousand.
func TestLimits(t *testing.T) {
	m, err := federation.NewResourceManager()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 1000 {
		c, err := m.OpenConnection(network.DirInbound, true, ma.StringCast(fmt.Sprintf("/ip4/8.8.%d.%d/tcp/4001", i/250, i%250)))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if err := c.SetPeer(peer.ID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := countOpen(m, "/ip4/9.9.9.9/tcp/4001"); n < 16 || n > 64 {
		t.Errorf("%d connections from one address", n)
	}
	for range 40 { // redialled again and again
		c, err := m.OpenConnection(network.DirOutbound, true, ma.StringCast("/ip4/7.7.7.7/tcp/4001"))
		if err != nil {
			t.Fatalf("redialling: %v", err)
		}
		c.Done()
	}
	streams := 0
	for range 10_000 {
		if _, err := m.OpenStream("greedy", network.DirInbound); err != nil {
			break
		}
		streams++
	}
	if streams < 64 || streams > 256 {
		t.Errorf("%d streams of one peer", streams)
	}
}

func countOpen(m network.ResourceManager, address string) int {
	for n := range 1000 {
		if _, err := m.OpenConnection(network.DirInbound, true, ma.StringCast(address)); err != nil {
			return n
		}
	}
	return 1000
}

// Up to a size everybody is connected to everybody, above it to a part that is
// still one network.
func TestNeighbours(t *testing.T) {
	var issuers []string
	for i := range 200 {
		issuers = append(issuers, fmt.Sprintf("https://b%d.example", i))
	}
	if n := federation.Neighbours(issuers[0], issuers, 500, 12); len(n) != 199 {
		t.Errorf("%d neighbours of 199", len(n))
	}
	linked := map[string][]string{}
	for _, own := range issuers {
		chosen := federation.Neighbours(own, issuers, 100, 12)
		if len(chosen) != 12 || slices.Contains(chosen, own) {
			t.Fatalf("neighbours of %s: %v", own, chosen)
		}
		for _, other := range chosen {
			linked[own], linked[other] = append(linked[own], other), append(linked[other], own)
		}
	}
	reached := []string{issuers[0]}
	for i := 0; i < len(reached); i++ {
		for _, next := range linked[reached[i]] {
			if !slices.Contains(reached, next) {
				reached = append(reached, next)
			}
		}
	}
	if len(reached) != len(issuers) {
		t.Errorf("%d of %d members are reached", len(reached), len(issuers))
	}
}
