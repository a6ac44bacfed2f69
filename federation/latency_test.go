// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/federation"
)

// spread is how long stops take from their broker to the last other one, in
// times of the slowest link that leaves it.
func spread(t *testing.T, nodes, stops int) []float64 {
	c, _ := simulate(t, nodes)
	var mu sync.Mutex
	last := map[string]time.Time{} // by log, when its newest entry was durable at the last node
	for _, n := range c.nodes {
		n.Follow(func(news federation.News) {
			if news.Suffix != nil {
				mu.Lock()
				last[news.Suffix.Log] = time.Now()
				mu.Unlock()
			}
		})
	}
	c.start()
	c.until(5*time.Second, "all are connected", func() bool { return meshed(c.nodes) })
	var ratios []float64
	for i := range stops {
		n := c.nodes[(i*7)%nodes]
		id := n.register("App")
		time.Sleep(time.Second)
		start := time.Now()
		n.revoke(id)
		c.until(5*time.Second, "the stop is everywhere", func() bool { return knowStop(c.nodes, id) })
		mu.Lock()
		took := last[n.key.ID()].Sub(start)
		mu.Unlock()
		slowest := time.Duration(0)
		for j := range c.nodes {
			if j != n.i {
				slowest = max(slowest, link(address(n.i), address(j)))
			}
		}
		ratios = append(ratios, float64(took)/float64(slowest))
		time.Sleep(3 * time.Second) // everybody signs a view
	}
	slices.Sort(ratios)
	return ratios
}

func knowStop(nodes []*clusterNode, id string) bool {
	return !slices.ContainsFunc(nodes, func(n *clusterNode) bool {
		_, stopped := n.StopList().Client(id)
		return !stopped
	})
}

// A stop is with the last broker about as soon as its packets are.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := size(6, 20, 50)
		ratios := spread(t, nodes, 4)
		t.Logf("%d nodes: p50 %.2f, worst %.2f times the slowest link", nodes, ratios[len(ratios)/2], ratios[len(ratios)-1])
		if worst := ratios[len(ratios)-1]; worst > 1.3 {
			t.Errorf("the last node had a stop after %.2f times the slowest link", worst)
		}
	})
}

// BenchmarkSpread is the figure for a federation of 50.
func BenchmarkSpread(b *testing.B) {
	for b.Loop() {
		var ratios []float64
		bubble(b, func(t *testing.T) { ratios = spread(t, 50, 4) })
		b.ReportMetric(ratios[len(ratios)/2], "p50/slowest-link")
		b.ReportMetric(ratios[len(ratios)-1], "worst/slowest-link")
		b.ReportMetric(0, "ns/op") // of the machine, and of no interest
	}
}

// bubble runs a test on virtual time in a benchmark.
func bubble(b *testing.B, f func(t *testing.T)) {
	test := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, f) }}
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}) {
		b.Fatal("it failed")
	}
}
