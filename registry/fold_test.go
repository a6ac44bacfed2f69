// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

const (
	active    = registry.ClientActive
	suspended = registry.ClientSuspended
	revoked   = registry.ClientRevoked
	disputed  = registry.ClientDisputed
	unknown   = registry.ClientStatus("unknown")
)

// at0 is the time at which graphs are folded.
var at0 = time.Unix(now, 0)

// statusOf is the verdict on a client of a graph.
func (g *graph) statusOf(s *registry.State, client string) registry.ClientStatus {
	c, ok := s.Clients[g.id(client)]
	if !ok {
		return unknown
	}
	return c.Status
}

// TestFold is the state table: histories as graphs, in federations of five (so
// that three are needed for a ban). Names begin with the number of the rule in
// the comment of Fold. Faults 28 to 30 are among them.
func TestFold(t *testing.T) {
	for _, test := range []struct {
		name  string
		graph string
		want  registry.ClientStatus // of client A1
	}{
		{"1 a registration by a stranger", `A9: reg
			A1: reg(key=9)`, unknown},
		{"1 a registration by another member's key", `A1: reg(key=2)`, unknown},
		{"1 a stop by a stranger", `A1: reg
			m9: susp(A1)`, active},
		{"1 a stop by another member's key", `A1: reg -> rev(key=2)`, active},
		{"2 a registration of the future is held (fault 52)", `A1: reg(at=11)`, unknown},
		{"2 a clock may be a little ahead", `A1: reg(at=10)`, active},
		{"2 a stop of the future is held", `A1: reg -> rev(at=11)`, active},
		{"2 a stop of the near future is not", `A1: reg -> rev(at=10)`, revoked},
		{"2 others' stop of the future is held", `A1: reg
			m2: susp(A1,at=11)`, active},
		{"2 a record of long ago counts", `A1: reg(at=-50000000) -> susp(at=-60000000)`, suspended},

		{"6 registered", `A1: reg`, active},
		{"6 not in a log", `A1: ~reg`, unknown},
		{"6 not in a log, stopped", `A1: ~reg -> rev`, unknown},
		{"6 another claims the client", `A1: reg
			m2: upd(A1,prev=A1.reg)`, active},
		{"6 another revokes somebody else's client (fault 30)", `A1: reg
			m2: rev(A1)`, active},
		{"6 another revokes it as if it were the home (fault 30)", `A1: reg
			m2: rev(A1,prev=A1.reg)`, active},
		{"6 another reinstates it as if it were the home", `A1: reg -> susp
			m2: rein(A1,prev=A1.susp)`, suspended},
		{"6 the home revokes without a seq", `A1: reg
			m1: rev(A1)`, active},
		{"6 the home suspends without a seq", `A1: reg
			m1: susp(A1)`, active},

		{"7 suspended and reinstated", `A1: reg -> susp -> rein`, active},
		{"7 and suspended again", `A1: reg -> susp -> rein -> susp2`, suspended},
		{"7 a reinstatement beyond a gap", `A1: reg -> susp -> !upd -> rein`, suspended},
		{"7 an update does not lift", `A1: reg -> susp -> upd`, suspended},
		{"8 a reinstatement in no log", `A1: reg -> susp -> ~rein`, suspended},
		{"8 a suspension in no log", `A1: reg -> ~susp`, suspended},
		{"8 a revocation in no log", `A1: reg -> ~rev`, revoked},
		{"8 a revocation beyond a gap", `A1: reg -> !upd -> rev`, revoked},
		{"8 a suspension beyond a gap", `A1: reg -> !upd -> susp`, suspended},
		{"8 what is beyond a gap does not undo itself", `A1: reg -> !upd -> susp -> rein`, suspended},
		{"8 a reinstatement links over a suspension in no log", `A1: reg -> ~susp -> rein`, active},
		{"9 until is over", `A1: reg -> susp(until=0)`, active},
		{"9 until is not over", `A1: reg -> susp(until=1)`, suspended},
		{"9 a later suspension replaces", `A1: reg -> susp -> susp2(until=-1)`, active},
		{"10 un-revoke (fault 30)", `A1: reg -> rev -> rein`, revoked},
		{"10 register again after revoke", `A1: reg -> rev -> upd`, revoked},
		{"10 revoke behind a reinstatement", `A1: reg -> susp -> rein -> rev`, revoked},
		{"10 revoke beside a reinstatement", `A1: reg -> susp -> rein
			A1: susp -> rev`, revoked},
		{"11 two histories", `A1: reg -> upd -> upd2
			A1: reg -> susp`, disputed},
		{"11 two updates", `A1: reg -> upd
			A1: reg -> upd2`, disputed},
		{"11 of which one is in no log", `A1: reg -> upd
			A1: reg -> ~upd2`, disputed},
		{"11 beyond a gap", `A1: reg -> !upd -> upd2
			A1: upd -> upd3`, disputed},
		{"11 a link to a record that nobody shows", `A1: reg -> !upd -> susp -> rein
			A1: reg -> upd2`, disputed},
		{"11 a reinstatement does not settle it", `A1: reg -> upd
			A1: reg -> susp -> rein`, disputed},
		{"11 a void record disputes nothing", `A1: reg -> upd
			A1: reg -> susp(key=2)`, active},
		{"11 a future record disputes nothing yet", `A1: reg -> upd
			A1: reg -> susp(at=100)`, active},

		{"12 others reinstate", `A1: reg -> susp
			m2: rein(A1)`, suspended},
		{"12 others reinstate others", `A1: reg
			m2: susp(A1) rein(A1)
			m3: rein(A1)`, suspended},
		{"12 an unknown charter", `A1: reg
			m2: susp(A1,charter=7)`, active},
		{"13 a lone suspension", `A1: reg
			m2: susp(A1)`, suspended},
		{"13 in no log", `A1: reg
			m2: ~susp(A1)`, suspended},
		{"13 for 24 hours", `A1: reg
			m2: susp(A1,at=-100,until=86300)`, suspended},
		{"13 for a second more", `A1: reg
			m2: susp(A1,at=-100,until=86301)`, active},
		{"13 over", `A1: reg
			m2: susp(A1,at=-100,until=0)`, active},
		{"14 twice in 30 days", `A1: reg
			m2: susp(A1,at=-86400,until=0) susp2(A1,at=-1)`, active},
		{"14 a second less than 30 days", `A1: reg
			m2: susp(A1,at=-2592000,until=-2591000) susp2(A1,at=-1,until=9)`, active},
		{"14 after 30 days", `A1: reg
			m2: susp(A1,at=-2592001,until=-2591000) susp2(A1,at=-1,until=9)`, suspended},
		{"14 by two members", `A1: reg
			m2: susp(A1,at=-86400,until=-1)
			m3: susp(A1)`, suspended},
		{"14 a void one blocks too: no third in the window", `A1: reg
			m2: susp(A1,at=-3000000,until=-2999999) susp2(A1,at=-2000000,until=-1999999) susp3(A1,at=-1,until=9)`, active},
		{"16 the home cannot lift it", `A1: reg -> upd -> susp -> rein
			m2: susp(A1)`, suspended},
		{"17 one vote", `A1: reg
			m2: rev(A1)`, active},
		{"17 two votes", `A1: reg
			m2: rev(A1)
			m3: rev(A1)`, active},
		{"17 three votes", `A1: reg
			m2: rev(A1)
			m3: rev(A1)
			m4: rev(A1)`, revoked},
		{"17 one of which is in no log", `A1: reg
			m2: rev(A1)
			m3: rev(A1)
			m4: ~rev(A1)`, active},
		{"17 one member votes three times", `A1: reg
			m2: rev(A1) rev2(A1) rev3(A1)`, active},
		{"17 a stranger votes", `A1: reg
			m2: rev(A1)
			m3: rev(A1)
			m9: rev(A1)`, active},
		{"17 the home votes", `A1: reg
			m1: rev(A1)
			m2: rev(A1)
			m3: rev(A1)`, active},
		{"17 a reinstated client is banned all the same", `A1: reg -> susp -> rein
			m2: rev(A1)
			m3: rev(A1)
			m4: rev(A1)
			m5: rein(A1)`, revoked},
		{"18 revoked before disputed", `A1: reg -> upd -> rev
			A1: reg -> upd2`, revoked},
		{"18 disputed before suspended", `A1: reg -> susp
			A1: reg -> upd2
			m2: susp(A1)`, disputed},
		{"18 banned before disputed", `A1: reg -> upd
			A1: reg -> upd2
			m2: rev(A1)
			m3: rev(A1)
			m4: rev(A1)`, revoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := draw(t, chainOf(t, 5), test.graph)
			s := g.fold()
			if got := g.statusOf(s, "A1"); got != test.want {
				t.Errorf("%s, want %s, because of %s", got, test.want, g.names(s.Clients[g.id("A1")].Because))
			}
		})
	}
}

// What the state says beside the status.
func TestFoldDetails(t *testing.T) {
	type want struct {
		registration, because string
		seq, least            int64
		cutoff, until, since  int64 // seconds from now; 0: none
	}
	for _, test := range []struct {
		name  string
		graph string
		want  want
	}{
		{"9 the newest registration holds", `A1: reg -> upd -> upd2`, want{registration: "upd2", seq: 2}},
		{"7 unless it is beyond a gap", `A1: reg -> upd -> !upd2 -> upd3`, want{registration: "upd", seq: 1}},
		{"8 or in no log", `A1: reg -> upd -> ~upd2`, want{registration: "upd", seq: 2}},
		{"9 compromised credentials", `A1: reg -> upd -> bad -> upd2`, want{registration: "upd2", seq: 3, least: 2}},
		{"8 but only in a log", `A1: reg -> upd -> ~bad`, want{registration: "upd", seq: 2}},
		{"11 the history ends before a dispute", `A1: reg -> upd -> upd2(at=-9) -> upd4
			A1: upd -> upd3(at=-9)`, want{registration: "upd", seq: 1, because: "upd2 upd3", since: -9}},
		{"19 cutoffs add up", `A1: reg -> susp(cutoff=-100) -> rein(cutoff=-300) -> susp2(cutoff=-200) -> rein2`,
			want{registration: "reg", seq: 4, cutoff: -100}},
		{"19 of a reinstatement", `A1: reg -> susp -> rein(cutoff=-5)`, want{registration: "reg", seq: 2, cutoff: -5}},
		{"19 which is in no log", `A1: reg -> susp(at=-70) -> ~rein(cutoff=-5)`, want{registration: "reg", seq: 2, because: "susp", since: -70}},
		{"19 of others, though over", `A1: reg
			m2: susp(A1,at=-600,until=-300,cutoff=-550)`, want{registration: "reg", cutoff: -550}},
		{"19 but not of void ones", `A1: reg
			m2: susp(A1,at=-600,until=-300,cutoff=-550) susp2(A1,at=-500,until=10,cutoff=-440)`, want{registration: "reg", cutoff: -550}},
		{"6 nor of the home without a seq", `A1: reg
			m1: susp(A1,at=-600,until=-300,cutoff=-550)`, want{registration: "reg"}},
		{"7 a link to another record ends the history", `A1: reg -> !upd -> susp(at=-9)
			A1: reg -> upd2(at=-10)`, want{registration: "upd2", seq: 1, because: "upd2 susp", since: -9}},
		{"8 and of one beyond a gap", `A1: reg -> !upd -> susp(at=-9,cutoff=-9)`, want{registration: "reg", because: "susp", cutoff: -9, since: -9}},
		{"9 until of the home", `A1: reg -> susp(at=-9,until=50)`, want{registration: "reg", seq: 1, because: "susp", since: -9, until: 50}},
		{"16 until of the longest", `A1: reg -> susp(at=-9,until=50)
			m2: susp(A1,at=-20,until=60)
			m3: susp(A1,at=-10,until=40)
			m4: susp(A1,at=-15,until=40)`, want{registration: "reg", seq: 1, because: "susp susp susp susp", since: -20, until: 60}},
		{"9 open when the home's is open", `A1: reg -> susp(at=-9)
			m2: susp(A1,at=-20,until=60)`, want{registration: "reg", seq: 1, because: "susp susp", since: -20}},
		{"17 a ban is from its last vote on", `A1: reg
			m2: rev(A1,at=-30)
			m3: rev(A1,at=-10)
			m4: rev(A1,at=-20)
			m5: rev(A1,at=-5)`, want{registration: "reg", because: "rev rev rev", since: -10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := draw(t, chainOf(t, 5), test.graph)
			c := g.fold().Clients[g.id("A1")]
			check := func(what string, got, want int64) {
				if want != 0 {
					want += now
				}
				if got != want {
					t.Errorf("%s %d, want %d", what, got-now, want-now)
				}
			}
			check("cutoff", c.Cutoff, test.want.cutoff)
			check("until", c.Until, test.want.until)
			check("since", c.Since, test.want.since)
			if c.Registration != g.nodes["A1."+test.want.registration] {
				t.Errorf("registration %s", g.names([]*registry.Record{c.Registration}))
			}
			if c.Sequence != test.want.seq || c.LeastSequence != test.want.least || (c.LeastSequence > 0) != (c.CompromisedAt > 0) {
				t.Errorf("seq %d, least %d, since %d", c.Sequence, c.LeastSequence, c.CompromisedAt)
			}
			if len(c.Because) != len(strings.Fields(test.want.because)) {
				t.Errorf("because of %s, want %s", g.names(c.Because), test.want.because)
			}
			if others := c.Because[min(1, len(c.Because)):]; !slices.IsSortedFunc(others, byTime) && c.Status == suspended {
				t.Errorf("because of %s: others' suspensions are not in the order of time", g.names(c.Because))
			}
			if c.First != g.nodes["A1.reg"] || c.Home != issuerOf(1) || c.HomeStatus != registry.BrokerActive {
				t.Errorf("first %v of %s (%s)", c.First, c.Home, c.HomeStatus)
			}
		})
	}
}

func byTime(a, b *registry.Record) int { return cmp.Compare(a.IssuedAt, b.IssuedAt) }

func TestAccepts(t *testing.T) {
	g := draw(t, chainOf(t, 1), `A1: reg -> susp(cutoff=-100) -> rein
		B1: reg -> susp(cutoff=-100)`)
	s := g.fold()
	a, b := s.Clients[g.id("A1")], s.Clients[g.id("B1")]
	if a.Accepts(now-100) || !a.Accepts(now-99) || b.Accepts(now-99) {
		t.Error("a cutoff kills tokens up to that second; a stop kills all")
	}
}

// Rule 3: the lowest place in a log counts, wherever else a record was seen.
func TestFoldCountsARecordOnce(t *testing.T) {
	g := draw(t, chainOf(t, 1), `A1: reg`)
	r := g.entries[0].Record
	for _, indexes := range [][]int64{{7, -1, 3}, {-1, 3, 7}, {3, 7, -1}} {
		var entries []registry.Entry
		for _, i := range indexes {
			entries = append(entries, registry.Entry{Record: r, Index: i})
		}
		s := registry.Fold(g.chain, entries, nil, time.Unix(now, 0))
		if c := s.Clients[r.CID]; c.Index != 3 || c.Status != active {
			t.Errorf("%v: index %d, %s", indexes, c.Index, c.Status)
		}
	}
}

// Rule 15: what counts is how many the member issued, and in which order by
// time; which clients are known does not matter.
func TestFoldQuota(t *testing.T) {
	c := charterOf(5)
	c.SuspensionQuota = 2
	chain := newChain(t, signCharter(t, c, 1))
	for _, test := range []struct {
		name, graph string
		want        [3]registry.ClientStatus // of A1, B1, C1
	}{
		{"three at once", `m2: susp(A1,at=-30) susp(B1,at=-20) susp(C1,at=-10)`, [3]registry.ClientStatus{suspended, suspended, active}},
		{"time counts, not the log", `m2: susp(C1,at=-10) susp(B1,at=-20) susp(A1,at=-30)`, [3]registry.ClientStatus{suspended, suspended, active}},
		{"one was over", `m2: susp(A1,at=-30,until=-10) susp(B1,at=-20) susp(C1,at=-10)`, [3]registry.ClientStatus{active, suspended, suspended}},
		{"one ends a second later", `m2: susp(A1,at=-30,until=-9) susp(B1,at=-20) susp(C1,at=-10)`, [3]registry.ClientStatus{active, suspended, active}},
		{"unknown clients count", `m2: susp(X1,at=-40) susp(Y1,at=-40) susp(A1,at=-30)`, [3]registry.ClientStatus{active, active, active}},
		{"void lengths do not", `m2: susp(X1,at=-40,until=99999) susp(Y1,at=-40,until=99999) susp(A1,at=-30)`, [3]registry.ClientStatus{suspended, active, active}},
		{"each member has its own", `m2: susp(A1,at=-30) susp(B1,at=-20)
			m3: susp(C1,at=-10)`, [3]registry.ClientStatus{suspended, suspended, suspended}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := draw(t, chain, "A1: reg\nB1: reg\nC1: reg\n"+test.graph)
			s := g.fold()
			for i, client := range []string{"A1", "B1", "C1"} {
				if got := g.statusOf(s, client); got != test.want[i] {
					t.Errorf("%s is %s, want %s", client, got, test.want[i])
				}
			}
		})
	}
}
