// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"testing"

	"github.com/comity-network/comity/registry"
)

// expel ends a member at that log index.
func expel(place int, index int64) func(*registry.Charter) {
	return func(c *registry.Charter) {
		m := &c.Members[place]
		m.State = registry.MemberExpelled
		m.Keys[len(m.Keys)-1].Until = until(index)
	}
}

func suspendMember(place int) func(*registry.Charter) {
	return func(c *registry.Charter) { c.Members[place].State = registry.MemberSuspended }
}

// at gives a version its time, in seconds from now.
func at(seconds int64, change func(*registry.Charter)) func(*registry.Charter) {
	return func(c *registry.Charter) {
		change(c)
		c.IssuedAt = now + seconds
	}
}

// longAgo is a first charter of five whose successors may be issued until now.
func longAgo(t testing.TB) *registry.Chain {
	c := charterOf(5)
	c.IssuedAt = now - 10_000_000
	return newChain(t, signCharter(t, c, 5))
}

// Rules that depend on which members the charters name. Each version after the
// first is one change, signed by member 5.
func TestFoldUnderChangingCharters(t *testing.T) {
	for _, test := range []struct {
		name     string
		versions []func(*registry.Charter)
		graph    string
		want     registry.ClientStatus // of A1
	}{
		{"1 a key that was cut before the record", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=5)`, unknown},
		{"1 and after it", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=4)`, active},
		{"1 the new key before it was valid", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=4,key=11)`, unknown},
		{"1 the new key in its range", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=4) -> rev(index=5,key=11)`, revoked},
		{"1 outside of a log only the current key signs (fault 51)", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=4) -> ~rev`, active},
		{"1 which is this one", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=4) -> ~rev(key=11)`, revoked},
		{"1 old and new key sign one place (fault 51)", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=3) -> upd(index=4)
			A1: reg -> rev(index=5,key=1)`, active},
		{"1 and both are valid where they stand", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=3) -> upd(index=4)
			A1: reg -> upd2(index=5,key=11)`, disputed},
		{"1 a thief with an old key backdates a reinstatement (fault 52)", []func(*registry.Charter){rotate(0, 11)},
			`A1: reg(index=3) -> susp(index=4) -> rein(index=5,key=1,at=-900)`, suspended},

		{"20 the home is expelled", []func(*registry.Charter){expel(0, 9)}, `A1: reg`, suspended},
		{"20 the home is suspended", []func(*registry.Charter){suspendMember(0)}, `A1: reg`, suspended},
		{"20 and active again", []func(*registry.Charter){suspendMember(0), func(c *registry.Charter) {
			c.Members[0].State = registry.MemberActive
		}}, `A1: reg`, active},
		{"20 a home that revoked, and is expelled", []func(*registry.Charter){expel(0, 9)}, `A1: reg -> rev`, revoked},
		{"20 other members' clients live on", []func(*registry.Charter){expel(1, 9)}, `A1: reg`, active},
		{"1 what an expelled home signs later is void", []func(*registry.Charter){expel(0, 0)}, `A1: reg`, unknown},

		{"12 not active in the charter that it names", []func(*registry.Charter){suspendMember(1)},
			`A1: reg
			m2: susp(A1,charter=2)`, active},
		{"16 active there, but no longer", []func(*registry.Charter){suspendMember(1)},
			`A1: reg
			m2: susp(A1,charter=1)`, active},
		{"12 not active there, but today", []func(*registry.Charter){suspendMember(1), func(c *registry.Charter) {
			c.Members[1].State = registry.MemberActive
		}}, `A1: reg
			m2: susp(A1,charter=2)`, active},
		{"13 the charter before is good enough", []func(*registry.Charter){at(-500, unchanged)},
			`A1: reg
			m2: susp(A1,charter=1)`, suspended},
		{"13 the one before that is not", []func(*registry.Charter){at(-500, unchanged), at(-400, unchanged)},
			`A1: reg
			m2: susp(A1,charter=1)`, active},
		{"13 but was, at its time", []func(*registry.Charter){at(-500, unchanged), at(-30, unchanged)},
			`A1: reg
			m2: susp(A1,charter=1,at=-31)`, suspended},
		{"13 and not a second later", []func(*registry.Charter){at(-500, unchanged), at(-30, unchanged)},
			`A1: reg
			m2: susp(A1,charter=1,at=-30)`, active},
		{"13 max_suspension is that of the charter that it names", []func(*registry.Charter){at(-500, func(c *registry.Charter) { c.MaxSuspension = 60 })},
			`A1: reg
			m2: susp(A1,charter=2,at=-30,until=31)
			m3: susp(A1,charter=2,at=-30,until=29)`, suspended},
		{"13 and not another", []func(*registry.Charter){at(-500, func(c *registry.Charter) { c.MaxSuspension = 60 })},
			`A1: reg
			m2: susp(A1,charter=2,at=-30,until=31)`, active},

		{"17 a later charter does not undo a ban: expelled voters", []func(*registry.Charter){expel(1, 9), expel(2, 9), expel(3, 9)},
			`A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=1)
			m4: rev(A1,charter=1)`, revoked},
		{"17 nor a higher threshold", []func(*registry.Charter){func(c *registry.Charter) { c.BanThreshold = 5 }},
			`A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=1)
			m4: rev(A1,charter=1)`, revoked},
		{"17 nor more members", []func(*registry.Charter){func(c *registry.Charter) {
			c.Members = append(c.Members, member(21), member(22), member(23), member(24), member(25))
		}}, `A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=1)
			m4: rev(A1,charter=1)`, revoked},
		{"17 votes may name different versions", []func(*registry.Charter){unchanged, unchanged},
			`A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=2)
			m4: rev(A1,charter=3)`, revoked},
		{"17 a vote of later does not count for earlier", []func(*registry.Charter){func(c *registry.Charter) { c.BanThreshold = 4 }},
			`A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=1)
			m4: rev(A1,charter=2)`, active},
		{"17 a voter must be active in the version", []func(*registry.Charter){suspendMember(1)},
			`A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=2)
			m4: rev(A1,charter=2)`, active},
		{"17 and in the one that it names", []func(*registry.Charter){suspendMember(1), func(c *registry.Charter) {
			c.Members[1].State = registry.MemberActive
		}}, `A1: reg
			m2: rev(A1,charter=2)
			m3: rev(A1,charter=3)
			m4: rev(A1,charter=3)`, active},
		{"17 and a lower one may complete it", []func(*registry.Charter){func(c *registry.Charter) { c.BanThreshold = 2 }},
			`A1: reg
			m2: rev(A1,charter=1)
			m3: rev(A1,charter=2)`, revoked},
		{"17 an expelled member votes behind the cut, in the name of old times", []func(*registry.Charter){expel(1, 3)},
			`A1: reg
			m2: rev(A1,charter=1,index=3)
			m3: rev(A1,charter=1)
			m4: rev(A1,charter=1)`, active},
		{"17 a charter that nobody knows", []func(*registry.Charter){unchanged},
			`A1: reg
			m2: rev(A1,charter=9)
			m3: rev(A1,charter=1)
			m4: rev(A1,charter=1)`, active},
		{"6 the home's own word needs no charter", []func(*registry.Charter){unchanged},
			`A1: reg -> susp(charter=9)`, suspended},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain := longAgo(t)
			for _, change := range test.versions {
				chain = extend(t, chain, change, 5)
			}
			g := draw(t, chain, test.graph)
			if got := g.statusOf(g.fold(), "A1"); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// Rule 4.
func TestFoldBrokers(t *testing.T) {
	chain := extend(t, longAgo(t), expel(0, 9), 5)
	chain = extend(t, chain, suspendMember(1), 5)
	chain = extend(t, chain, suspendMember(3), 5)
	forkOf := func(n byte) registry.Fork { return fork(t, fixedKey(n), registry.Origin(issuerOf(n))) }
	s := registry.Fold(chain, nil, []registry.Fork{forkOf(1), forkOf(3), forkOf(4), fork(t, fixedKey(9), registry.Origin(issuerOf(5)))}, at0)
	for n, want := range map[byte]registry.BrokerStatus{
		1: registry.BrokerExpelled, 2: registry.BrokerSuspended, 3: registry.BrokerForked, 4: registry.BrokerForked, 5: registry.BrokerActive,
	} {
		b := s.Brokers[issuerOf(n)]
		if b.Status != want || b.Issuer != issuerOf(n) || b.KeyID != fixedKey(n).ID() {
			t.Errorf("member %d: %+v, want %s", n, b, want)
		}
	}
	if len(s.Brokers) != 5 {
		t.Errorf("%d brokers", len(s.Brokers))
	}
}

// fault 50: who forks is stopped with all its clients, until the members give
// it another key; and a false proof stops nobody.
func TestFault50ForkedHome(t *testing.T) {
	chain := longAgo(t)
	g := draw(t, chain, "A1: reg\nB2: reg")
	f := fork(t, fixedKey(1), registry.Origin(issuerOf(1)))
	s := g.fold(f)
	if g.statusOf(s, "A1") != suspended || g.statusOf(s, "B2") != active {
		t.Errorf("A1 is %s, B2 is %s", g.statusOf(s, "A1"), g.statusOf(s, "B2"))
	}
	if c := s.Clients[g.id("A1")]; c.HomeStatus != registry.BrokerForked || len(c.Because) != 0 || c.Accepts(now) {
		t.Errorf("%+v", c)
	}
	f.B = f.A
	if s := g.fold(f); g.statusOf(s, "A1") != active {
		t.Error("a false proof stops a broker")
	}
	f = fork(t, fixedKey(1), registry.Origin(issuerOf(1)))
	g.chain = extend(t, chain, rotate(0, 11), 5)
	if s := g.fold(f); g.statusOf(s, "A1") != active {
		t.Error("a fork by a key that the members have ended is held against the new one")
	}
}

// Rule 5.
func TestFoldBrokerRecord(t *testing.T) {
	chain := chainOf(t, 2)
	var entries []registry.Entry
	for i, name := range []string{"First", "Second", "Third", "Fourth"} {
		b := broker()
		b.Issuer, b.Organisation, b.ID = issuerOf(1), name, ""
		b.Endpoints = map[string]string{"token_endpoint": issuerOf(1) + "/oauth/token"}
		r, err := registry.SignBroker(fixedKey(1), b)
		entries = append(entries, registry.Entry{Record: must(t, r, err), Index: []int64{4, 9, 7, -1}[i]})
	}
	for range entries {
		entries = append(entries[1:], entries[0])
		s := registry.Fold(chain, entries, nil, at0)
		if got := s.Brokers[issuerOf(1)].Record.Broker.Organisation; got != "Second" {
			t.Errorf("the record of %s counts", got)
		}
	}
	for _, e := range entries {
		if s := registry.Fold(chain, []registry.Entry{e}, nil, at0); (s.Brokers[issuerOf(1)].Record != nil) != (e.Index >= 0) {
			t.Errorf("the record at %d alone", e.Index)
		}
	}
}
