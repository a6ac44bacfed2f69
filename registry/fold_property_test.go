// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// randomHistory draws a graph of two clients of one home and one of another,
// with updates, stops, gaps and contradictions, and what three members do.
func randomHistory(r *rand.Rand) string {
	var b strings.Builder
	n := 0
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	time := func() int { return -r.IntN(40 * 86400) }
	for _, client := range []string{"A1", "B1", "C2"} {
		nodes := []string{"reg"}
		fmt.Fprintf(&b, "%s: %sreg(at=%d)\n", client, pick("", "", "", "", "~"), -41*86400)
		for range r.IntN(6) {
			// Mostly at the end; sometimes elsewhere, which is a contradiction.
			from := nodes[len(nodes)-1]
			if r.IntN(8) == 0 {
				from = pick(nodes...)
			}
			n++
			to := fmt.Sprintf("%s%d", pick("upd", "upd", "bad", "susp", "susp", "rein", "rein", "rein", "rev"), n)
			at := time()
			options := fmt.Sprintf("at=%d,cutoff=%d", at, at-r.IntN(500))
			if strings.HasPrefix(to, "susp") && r.IntN(2) == 0 {
				options += fmt.Sprintf(",until=%d", at+1+r.IntN(50*86400))
			}
			fmt.Fprintf(&b, "%s: %s -> %s%s(%s)\n", client, from, pick("", "", "", "~", "!"), to, options)
			nodes = append(nodes, to)
		}
	}
	for m := 1; m <= 4; m++ {
		for range r.IntN(6) {
			n++
			at := time()
			fmt.Fprintf(&b, "m%d: %s%s%d(%s,at=%d,charter=%d", m, pick("", "~"), pick("susp", "susp", "rev", "rein"), n, pick("A1", "B1", "C2", "X1"), at, 1+r.IntN(3))
			fmt.Fprint(&b, ")\n")
		}
	}
	return b.String()
}

// threeVersions is a chain in which a member is suspended and comes back.
func threeVersions(t testing.TB) *registry.Chain {
	chain := longAgo(t)
	c := chain.Latest().Charter
	c.BanThreshold, c.SuspensionQuota = 2, 2
	chain = newChain(t, signCharter(t, c, 5))
	chain = extend(t, chain, at(-30*86400, suspendMember(2)), 5)
	return extend(t, chain, at(-10*86400, func(c *registry.Charter) { c.Members[2].State = registry.MemberActive }), 5)
}

const histories = 24

// eachHistory runs f on random histories, the same in every run.
func eachHistory(t *testing.T, f func(t *testing.T, g *graph, r *rand.Rand)) {
	chain := threeVersions(t)
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 7))
		g := draw(t, chain, randomHistory(r))
		f(t, g, r)
		if t.Failed() {
			t.Fatalf("seed %d, entries %d", seed, len(g.entries))
		}
	}
}

// Order of arrival, repetition and how the records are split into arrivals
// never matter; nor does a place outside of a log, learned before the one in it.
func TestFoldIsIndependentOfArrival(t *testing.T) {
	eachHistory(t, func(t *testing.T, g *graph, r *rand.Rand) {
		want := g.fold()
		for range 8 {
			entries := slices.Clone(g.entries)
			for _, e := range g.entries {
				switch r.IntN(4) {
				case 0:
					entries = append(entries, e)
				case 1:
					if key, ok := g.chain.CurrentKey(e.Record.Issuer); ok && registry.Thumbprint(key) == e.Record.KeyID {
						entries = append(entries, registry.Entry{Record: e.Record, Index: -1})
					}
				}
			}
			r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
			if got := registry.Fold(g.chain, entries, nil, at0); !reflect.DeepEqual(got, want) {
				t.Errorf("another order gives another state")
			}
			if got, want := registry.Fold(g.chain, entries, nil, at0).StopList(at0).Hash(), want.StopList(at0).Hash(); got != want {
				t.Errorf("and another stop list")
			}
		}
	})
}

// The caller may pass a part: all about one client, and every suspension of
// the members that appear.
func TestFoldOfOneClientIsThatOfAll(t *testing.T) {
	eachHistory(t, func(t *testing.T, g *graph, _ *rand.Rand) {
		all := g.fold()
		for id, want := range all.Clients {
			var part []registry.Entry
			for _, e := range g.entries {
				v := e.Record.Revocation
				if e.Record.ClientID() == id || v != nil && v.Sequence == 0 && v.Action == registry.Suspend {
					part = append(part, e)
				}
			}
			if got := registry.Fold(g.chain, part, nil, at0).Clients[id]; !reflect.DeepEqual(got, want) {
				t.Errorf("alone %+v, among all %+v", got, want)
			}
		}
	})
}

// rank orders verdicts by how final they are.
func rank(s registry.ClientStatus) int {
	return slices.Index([]registry.ClientStatus{unknown, active, suspended, disputed, revoked}, s)
}

// Knowing more never undoes what is final: a revoked client stays revoked, a
// disputed one stays stopped for good. (A suspension may be lifted: that is
// what a reinstatement is for.) And a cutoff of the home never goes back.
func TestFoldNeverUndoesWhatIsFinal(t *testing.T) {
	eachHistory(t, func(t *testing.T, g *graph, r *rand.Rand) {
		entries := slices.Clone(g.entries)
		r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		before := registry.Fold(g.chain, nil, nil, at0)
		for i := range entries {
			after := registry.Fold(g.chain, entries[:i+1], nil, at0)
			for id, was := range before.Clients {
				is := after.Clients[id]
				if rank(was.Status) >= rank(disputed) && rank(is.Status) < rank(was.Status) {
					t.Errorf("%s becomes %s by %s", was.Status, is.Status, g.names([]*registry.Record{entries[i].Record}))
				}
			}
			before = after
		}
	})
}

// A chain that grows never undoes a ban, whatever becomes of the voters.
func TestFoldLaterChartersKeepBans(t *testing.T) {
	eachHistory(t, func(t *testing.T, g *graph, r *rand.Rand) {
		before := g.fold()
		g.chain = extend(t, g.chain, func(c *registry.Charter) {
			for i := range c.Members[:4] {
				switch r.IntN(3) {
				case 0:
					c.Members[i].State = registry.MemberSuspended
				case 1:
					expel(i, 1000)(c)
				}
			}
			c.BanThreshold = c.Threshold
			for _, m := range c.Members {
				if m.State == registry.MemberActive {
					c.BanThreshold++
				}
			}
			c.BanThreshold--
		}, 5)
		for id, is := range g.fold().Clients {
			// Revocations outside of a log need the current key.
			if was := before.Clients[id]; was.Status == revoked && is.Status != revoked && logged(g, was.Because) {
				t.Errorf("a later charter undoes a ban or revocation by %s", g.names(was.Because))
			}
		}
	})
}

// logged reports whether all of the records have a place in a log.
func logged(g *graph, records []*registry.Record) bool {
	for _, r := range records {
		if !slices.ContainsFunc(g.entries, func(e registry.Entry) bool { return e.Record == r && e.Index >= 0 }) {
			return false
		}
	}
	return true
}

// What one member can do alone stays within its bounds, whatever it signs, in
// which order it shows it, and how it dates it: at no time are more than its
// quota of others' clients stopped by it, and no client for longer than
// max_suspension in 30 days.
func TestFoldBoundsALoneMember(t *testing.T) {
	const quota, longest, clients = 2, 86400, 5
	c := charterOf(3)
	c.IssuedAt, c.SuspensionQuota = now-10_000_000, quota
	chain := newChain(t, signCharter(t, c, 3))
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 11))
		var b strings.Builder
		for i := range clients {
			fmt.Fprintf(&b, "%c1: reg(at=-9000000)\n", 'A'+i)
		}
		const horizon = 20 * 86400
		for i := range 60 {
			at := r.IntN(horizon)
			fmt.Fprintf(&b, "m2: ~susp%d(%c1,at=%d,until=%d)\n", i, 'A'+r.IntN(clients), at, at+1+r.IntN(2*longest))
		}
		g := draw(t, chain, b.String())
		base, shown := g.entries[:clients], g.entries[clients:]
		r.Shuffle(len(shown), func(i, j int) { shown[i], shown[j] = shown[j], shown[i] })
		stopped := map[string]int64{} // seconds in the whole time
		const step = 3600
		for when := int64(0); when < horizon; when += step {
			// It shows one more of its records now and then.
			visible := slices.Concat(base, shown[:int(when)*len(shown)/horizon])
			s := registry.Fold(chain, visible, nil, time.Unix(now+when, 0))
			alive := 0
			for id, c := range s.Clients {
				if c.Status != active {
					alive++
					stopped[id] += step
				}
			}
			if alive > quota {
				t.Fatalf("seed %d: %d clients are stopped at once", seed, alive)
			}
		}
		for id, seconds := range stopped {
			if seconds > longest+step {
				t.Errorf("seed %d: client %s is stopped for %d s in 20 days", seed, id, seconds)
			}
		}
	}
}
