// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// federationOf makes a federation of that many members.
func federationOf(b *testing.B, members int) (*registry.Chain, []registry.SigningKey) {
	b.Helper()
	c := charterOf(0)
	var keys []registry.SigningKey
	for i := range members {
		k := registry.GenerateSigningKey()
		keys = append(keys, k)
		c.Members = append(c.Members, registry.Member{
			Issuer: fmt.Sprintf("https://m%d.example", i), State: registry.MemberActive,
			Keys: []registry.MemberKey{{Key: k.JWK()}},
		})
	}
	s, err := registry.NewCharter(c, keys[0])
	if err != nil {
		b.Fatal(err)
	}
	return newChain(b, s), keys
}

func BenchmarkFoldOneClient(b *testing.B) {
	g := draw(b, chainOf(b, 5), `A1: reg -> upd -> susp -> rein -> upd2
		m2: susp(A1)
		m3: rev(A1)`)
	b.ReportAllocs()
	for b.Loop() {
		if g.fold().Clients[g.id("A1")].Status != suspended {
			b.Fatal("wrong verdict")
		}
	}
}

func BenchmarkFold10000Clients(b *testing.B) {
	chain := chainOf(b, 5)
	var entries []registry.Entry
	for i := range int64(10_000) {
		first := registration()
		first.Issuer, first.ID = issuerOf(1), ""
		r, err := registry.SignRegistration(fixedKey(1), first)
		entries = append(entries, registry.Entry{Record: must(b, r, err), Index: i})
	}
	b.ReportAllocs()
	for b.Loop() {
		if s := registry.Fold(chain, entries, nil, at0); len(s.Clients) != 10_000 || s.StopList(at0).Count() != 0 {
			b.Fatal("clients are missing")
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	l := newLog(b, "entry", 10_000)
	k := fixedKey(1)
	b.ReportAllocs()
	for b.Loop() {
		l.append(b, "another record, of any length")
		size := int64(len(l.raws))
		if _, err := registry.SignCheckpoint(k, origin, size, l.root(b, size)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCertify1000Members(b *testing.B) {
	chain, keys := federationOf(b, 1000)
	var views []*registry.Record
	for i, k := range keys {
		v := view()
		v.Issuer, v.Charter, v.StopHash = fmt.Sprintf("https://m%d.example", i), chain.Latest().CID, listHash
		r, err := registry.SignView(k, v)
		views = append(views, must(b, r, err))
	}
	b.ReportAllocs()
	for b.Loop() {
		if c := registry.Certify(chain, views, listHash, 0, nil, 0, time.Unix(now, 0)); c.Have != 1000 {
			b.Fatal(c)
		}
	}
}

func BenchmarkParseCharter1000Members(b *testing.B) {
	chain, _ := federationOf(b, 1000)
	raw := chain.Latest().Raw
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.ParseCharter(raw); err != nil {
			b.Fatal(err)
		}
	}
}
