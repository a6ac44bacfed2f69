// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/comity-network/comity/federation"
)

// TestNewerMember: a member of a version to come says things that are not known
// here, beside those that are. It is understood as far as that goes, and blamed
// for nothing.
func TestNewerMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w, intruders := besieged(t, 2, 1)
		a, b, newer := c.nodes[0], c.nodes[1], intruders[0]
		w.set(0, func(from, to int) bool { return from < 2 && to < 2 }) // A and B do not see each other
		newer.SetStreamHandler(federation.PullProtocol, func(s network.Stream) {
			suffix, err := a.Since(t.Context(), a.key.ID(), 0, 1<<20)
			if err == nil {
				err = errors.Join(
					write(s, map[string]any{"future": map[string]any{"of": 1}}),
					write(s, map[string]any{"suffix": suffix, "future": "too"}),
				)
			}
			if err != nil {
				_ = s.Reset()
			}
			_ = s.CloseWrite()
		})
		topic := newer.gossip(nil)
		newer.behaveAs(c.nodes[:2], func() any {
			v := a.Vector()
			return map[string]any{"logs": v.Logs, "charter": v.Charter, "rest": v.Rest, "future": []int{1}}
		})
		c.until(3*time.Second, "B is connected", func() bool { return slices.Contains(b.Online(), newer.node.issuer) })
		for i := range 50 {
			if err := topic.Publish(t.Context(), fmt.Appendf(nil, `{"future":%d}`, i)); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			a.register("App")
		}
		c.until(5*time.Second, "B has the log of A", func() bool { return b.Vector().Logs[a.key.ID()] == a.Vector().Logs[a.key.ID()] })
		time.Sleep(20 * time.Second)
		if !slices.Contains(b.Online(), newer.node.issuer) {
			t.Error("it was dropped")
		}
		if n := c.logged.count("gossip rejected"); n > 0 {
			t.Errorf("%d messages were rejected", n)
		}
	})
}
