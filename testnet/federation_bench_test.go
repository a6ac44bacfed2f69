// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/site"
)

// BenchmarkFederationRevoke is the time from the start of `comity app revoke`
// at the home to the refusal by the last of three brokers and three sites, each
// of which is asked every few milliseconds. It also reports the memory (VmRSS)
// of the largest of the three nodes.
func BenchmarkFederationRevoke(b *testing.B) {
	c := newCluster(b)
	sites := make([]*site.Site, len(c.all))
	for i := range sites {
		sites[i] = c.at(i).site("site-"+strconv.Itoa(i), nil)
	}
	b.ResetTimer()
	for n := range b.N {
		b.StopTimer()
		a := c.register("App "+strconv.Itoa(n), "none")
		ask := make([]func() bool, 0, 2*len(sites))
		for i, s := range sites {
			l := c.loginBy(i, a, s)
			ask = append(ask, func() bool {
				answer, err := a.Call(c.ctx, l.target, l.tokens)
				return err == nil && answer.Status == http.StatusUnauthorized
			}, func() bool {
				e := oauthError(c.ask(i, a))
				return e != nil && e.Code == "invalid_client"
			})
		}
		b.StartTimer()
		var refused sync.WaitGroup
		for _, refuses := range ask {
			refused.Go(func() {
				every := time.NewTicker(5 * time.Millisecond)
				defer every.Stop()
				for !refuses() && c.ctx.Err() == nil {
					<-every.C
				}
			})
		}
		c.stop(0, 3, "revoke", "--yes", a.ClientID, "--reason", "malicious")
		refused.Wait()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/revoke")
	var largest int64
	for _, n := range c.all {
		rss, err := n.RSS()
		if err != nil {
			b.Fatal(err)
		}
		largest = max(largest, rss)
	}
	b.ReportMetric(float64(largest)/1e6, "MB-rss")
}

// BenchmarkFederationIdle watches three nodes that have nothing to do, for one
// minute from their readiness: CPU time in percent of a core, of the busiest,
// and VmRSS of the largest at the end.
func BenchmarkFederationIdle(b *testing.B) {
	c := newCluster(b)
	c.agree()
	for b.Loop() {
		before := c.cpu()
		began := time.Now()
		<-time.After(time.Minute)
		var busiest time.Duration
		for i, used := range c.cpu() {
			busiest = max(busiest, used-before[i])
		}
		b.ReportMetric(100*busiest.Seconds()/time.Since(began).Seconds(), "%cpu")
		var largest int64
		for _, n := range c.all {
			rss, err := n.RSS()
			if err != nil {
				b.Fatal(err)
			}
			largest = max(largest, rss)
		}
		b.ReportMetric(float64(largest)/1e6, "MB-rss")
	}
}

// cpu is the CPU time that each broker has used.
func (c *cluster) cpu() []time.Duration {
	c.Helper()
	all := make([]time.Duration, len(c.all))
	for i, n := range c.all {
		used, err := n.CPU()
		if err != nil {
			c.Fatal(err)
		}
		all[i] = used
	}
	return all
}
