// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"slices"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// testClients looks for the records about clients, which two brokers' logs
// hold, and pages through the ids.
func testClients(t *testing.T, open func() federation.Store) {
	s := open()
	a, b := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	write(t, s, a.grow(5))
	write(t, s, a.append(a.broker(1))) // about no client
	write(t, s, b.grow(1))
	stopped, quiet := a.rows[2].Client, a.rows[3].Client
	write(t, s, b.append(b.suspension(stopped)))
	write(t, s, a.append(a.update(a.rows[2], false)))
	compromised := a.rows[4].Client
	write(t, s, a.append(a.update(a.rows[4], true)))
	write(t, s, a.append(a.update(a.rows[3], false)))

	s = open()
	if got := cids(client(t, s, stopped)); !same(got, a.rows[2], b.rows[1], a.rows[6]) {
		t.Errorf("records about a client in two logs: %v", got)
	}
	if got := cids(client(t, s, quiet)); !same(got, a.rows[3], a.rows[8]) {
		t.Errorf("records about a client: %v", got)
	}
	want := []federation.Row{a.rows[2], b.rows[1], a.rows[6], a.rows[4], a.rows[7]}
	if got := cids(load(t, s).Stops); !same(got, want...) {
		t.Errorf("%d rows about stopped clients, want %d (of %s and %s)", len(got), len(want), stopped, compromised)
	}
	var all []string
	for after := ""; ; after = all[len(all)-1] {
		page, err := s.Clients(t.Context(), after, 4)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < 4 {
			break
		}
	}
	want = append(slices.Clone(a.rows[:5]), b.rows[0])
	if !slices.IsSorted(all) || !same(all, want...) {
		t.Errorf("clients %v, want the %d registered ones in order", all, len(want))
	}
}

// testHeard keeps a stop that is not yet in a log, until it is.
func testHeard(t *testing.T, open func() federation.Store) {
	s := open()
	a, b := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	write(t, s, a.grow(2))
	id := a.rows[0].Client
	stop := b.suspension(id)
	heard := b.row(stop, -1)
	write(t, s, federation.Update{Heard: []federation.Row{heard}})
	write(t, s, federation.Update{Heard: []federation.Row{heard}})
	s = open()
	got := client(t, s, id)
	if !same(cids(got), a.rows[0], heard) || got[slices.Index(cids(got), heard.CID)].Index != -1 {
		t.Errorf("records with one that was heard: %+v", got)
	}
	if got := cids(load(t, s).Stops); !same(got, a.rows[0], heard) {
		t.Errorf("a client that a heard record stops is not among the stops: %v", got)
	}
	write(t, s, b.append(stop))
	got = client(t, open(), id)
	if !same(cids(got), a.rows[0], heard) || got[slices.Index(cids(got), heard.CID)].Index != 0 {
		t.Errorf("records after the log entry came: %+v", got)
	}
}

// testBrokers wants the newest broker record of each log.
func testBrokers(t *testing.T, open func() federation.Store) {
	s := open()
	a, b := newBroker(t, "https://a.example"), newBroker(t, "https://b.example")
	write(t, s, a.append(a.broker(1)))
	write(t, s, a.grow(2))
	write(t, s, a.append(a.broker(2)))
	write(t, s, a.grow(1))
	write(t, s, b.append(b.broker(1)))
	if got := cids(load(t, open()).Brokers); !same(got, a.rows[3], b.rows[0]) {
		t.Errorf("broker records %v", got)
	}
}

func cids(rows []federation.Row) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row.CID)
	}
	return all
}

// same compares CIDs with those of rows, in any order.
func same(got []string, want ...federation.Row) bool {
	have, need := slices.Clone(got), cids(want)
	slices.Sort(have)
	slices.Sort(need)
	return slices.Equal(have, need)
}

func (b *broker) heard(client string) federation.Row { return b.row(b.suspension(client), -1) }

// append signs nothing new: it puts a record at the end of the log.
func (b *broker) append(r *registry.Record) federation.Update { return b.add(r) }
