// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// fault 28: an id belongs to the one record that it is the hash of, so a second
// broker cannot register it; and two owners of one redirect host are two
// clients, both to be seen, whichever came first.
func TestFault28TwoOwners(t *testing.T) {
	chain := chainOf(t, 2)
	for _, order := range []string{"A1: reg\nB2: reg", "B2: reg\nA1: reg"} {
		g := draw(t, chain, order+`
			m2: upd(A1,prev=A1.reg)
			m2: rev(A1,prev=A1.reg)`)
		s := g.fold()
		a, b := s.Clients[g.id("A1")], s.Clients[g.id("B2")]
		if a.Status != active || a.Home != issuerOf(1) || a.Registration != g.nodes["A1.reg"] {
			t.Errorf("A1 was overwritten: %s, home %s, registration %s", a.Status, a.Home, a.Registration.Issuer)
		}
		if b.Status != active || b.Home != issuerOf(2) || len(s.Clients) != 2 || a.ID == b.ID {
			t.Errorf("B2 is not there beside it: %+v", b)
		}
		if x, y := a.Registration.Registration.RedirectURIs[0], b.Registration.Registration.RedirectURIs[0]; x != y {
			t.Fatalf("the test needs one redirect URI, not %s and %s", x, y)
		}
	}
	// The same bytes under another issuer's log are void: the record names its issuer.
	g := draw(t, chain, "A1: reg")
	copied := *g.entries[0].Record
	copied.Issuer = issuerOf(2) // what a node that does not verify would hand over
	s := registry.Fold(chain, []registry.Entry{{Record: &copied, Index: 0}}, nil, at0)
	if len(s.Clients) != 0 {
		t.Error("a record counts under an issuer whose key did not sign it")
	}
}

// fault 29: an older record never replaces a newer one; the same seq again is
// kept as proof; and no number that anybody signs keeps the owner from going on.
func TestFault29Sequence(t *testing.T) {
	for _, test := range []struct {
		name, graph string
		status      registry.ClientStatus
		seq         int64
	}{
		{"an older update arrives late", `A1: reg -> upd2(index=9) -> upd3(index=3)`, active, 2},
		{"an equal seq", `A1: reg -> upd -> upd2
			A1: upd -> upd3`, disputed, 1},
		{"a jump is a gap, behind which nothing is used", `A1: reg -> !upd2 -> !upd3 -> upd4`, active, 0},
		{"another's numbers do not count", `A1: reg -> upd
			m2: upd2(A1,prev=A1.upd) upd3(A1,prev=A1.upd2)`, active, 1},
	} {
		g := draw(t, chainOf(t, 5), test.graph)
		if c := g.fold().Clients[g.id("A1")]; c.Status != test.status || c.Sequence != test.seq {
			t.Errorf("%s: %s, seq %d; want %s, %d", test.name, c.Status, c.Sequence, test.status, test.seq)
		}
	}
	// The largest seq: it is behind a gap, and the owner goes on from 0.
	g := draw(t, chainOf(t, 1), "A1: reg")
	far := registration()
	far.Issuer, far.Client, far.Previous, far.Sequence = issuerOf(1), g.id("A1"), registry.CID(nil), registry.MaxSeq
	r, err := registry.SignRegistration(fixedKey(1), far)
	g.entries = append(g.entries, registry.Entry{Record: must(t, r, err), Index: 1})
	if c := g.fold().Clients[g.id("A1")]; c.Status != active || c.Sequence != 0 || c.Last != g.id("A1") {
		t.Errorf("seq %d: %s, goes on from %d", int64(registry.MaxSeq), c.Status, c.Sequence)
	}
	far.Sequence++
	if _, err := registry.SignRegistration(fixedKey(1), far); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("seq %d: %v", far.Sequence, err)
	}
}

// fault 30 is the state table of TestFold; here what the table cannot say: for
// a client that is revoked, no further record of anybody changes anything.
func TestFault30RevokedIsFinal(t *testing.T) {
	base := "A1: reg -> upd -> rev\n"
	want := draw(t, chainOf(t, 5), base)
	for _, more := range []string{
		"A1: rev -> rein", "A1: rev -> upd2", "A1: reg -> rein", "A1: upd -> upd2", "A1: rev -> susp(until=-1)",
		"m2: rein(A1)", "m2: susp(A1)", "m2: rein(A1,prev=A1.rev)", "m2: upd(A1,prev=A1.rev)",
	} {
		g := draw(t, want.chain, base+more)
		if c := g.fold().Clients[g.id("A1")]; c.Status != revoked || c.Accepts(now+1_000_000) {
			t.Errorf("%s: %s", more, c.Status)
		}
	}
}

// fault 47: no signature made for one purpose is good for another. Record
// keys sign records, charters and checkpoints; every pair is tried.
func TestFault47SignaturesAreNotReused(t *testing.T) {
	k := fixedKey(1)
	pub := k.Public()
	chart := signCharter(t, charterOf(2), 1)
	head := checkpoint(t, k, 7, registry.LeafHash("root"))
	// A checkpoint's signature is the last 64 bytes of its only line.
	lines := strings.Fields(string(head.Raw))
	line, err := base64.StdEncoding.DecodeString(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	headSignature := line[4:]
	for kind, r := range oneOfEach(t) {
		parts := strings.Split(r.Raw, ".")
		signature, _ := jws.Decode(parts[2])
		// A record as a charter: same header, payload and signature.
		doc := fmt.Appendf(nil, `{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2])
		if _, err := registry.ParseCharter(doc); registry.Slug(err) != "typ" {
			t.Errorf("a record of kind %s is read as a charter: %v", kind, err)
		}
		// A record's signature under a checkpoint, with its signing input as text.
		headText, _, _ := strings.Cut(string(head.Raw), "\n\n")
		for _, text := range []string{parts[0] + "." + parts[1] + "\n", headText + "\n"} {
			if _, err := registry.OpenCheckpoint(noteWith(head, text, signature), origin, pub); err == nil {
				t.Errorf("the signature of a %s opens a checkpoint", kind)
			}
		}
		// A checkpoint's signature on a record.
		forged, err := registry.ParseRecord([]byte(parts[0]+"."+parts[1]+"."+jws.Base64.EncodeToString(headSignature)), kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := forged.Verify(pub); !errors.Is(err, registry.ErrSignature) {
			t.Errorf("the signature of a checkpoint is good for a %s: %v", kind, err)
		}
		// One kind of record as another.
		for other := range oneOfEach(t) {
			if _, err := registry.ParseRecord([]byte(r.Raw), other); (err == nil) != (other == kind) {
				t.Errorf("%s read as %s: %v", kind, other, err)
			}
		}
	}
	// A charter's signature as a record.
	var doc struct{ protected, signature string }
	rest := string(chart.Raw)
	doc.protected, rest = between(rest, `"protected":"`)
	doc.signature, _ = between(rest, `"signature":"`)
	payload, _ := between(string(chart.Raw), `"payload":"`)
	if _, err := registry.ParseRecord([]byte(doc.protected + "." + payload + "." + doc.signature)); registry.Slug(err) != "typ" {
		t.Errorf("a charter is read as a record: %v", err)
	}
	// What a checkpoint signs can never be what a JWS signs: it has line feeds.
	if text, _, _ := strings.Cut(string(head.Raw), "\n\n"); !strings.Contains(text, "\n") || !ed25519.Verify(pub, []byte(text+"\n"), headSignature) {
		t.Error("the test does not know what a checkpoint signs")
	}
}

func between(s, start string) (found, rest string) {
	_, s, _ = strings.Cut(s, start)
	found, rest, _ = strings.Cut(s, `"`)
	return found, rest
}

// noteWith puts a signature under a text, in the form of the checkpoint's own line.
func noteWith(head *registry.Checkpoint, text string, signature []byte) []byte {
	hash := rawSigner{fixedKey(1), head.Origin}.KeyHash()
	line := append(binary.BigEndian.AppendUint32(nil, hash), signature...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", text, head.Origin, base64.StdEncoding.EncodeToString(line))
}

// fault 48: who serves yesterday's records gets yesterday's verdict from the
// fold, for it is pure; but no view of today's members certifies it.
func TestFault48Rollback(t *testing.T) {
	chain := chainOf(t, 3)
	g := draw(t, chain, "A1: reg -> upd -> rev")
	stale := registry.Fold(chain, g.entries[:2], nil, at0).StopList(at0)
	fresh := g.fold().StopList(at0)
	var views []*registry.Record
	for n := byte(1); n <= 3; n++ {
		v := viewOf(t, chain, n, -5, fresh.Hash()).View
		v.StopCount = fresh.Count()
		r, err := registry.SignView(fixedKey(n), *v)
		views = append(views, must(t, r, err))
	}
	if c := registry.Certify(chain, views, stale.Hash(), stale.Count(), nil, 0, at0); c.At != 0 || len(c.Missing) != 3 {
		t.Errorf("a rolled-back list is certified: %+v", c)
	}
	if c := registry.Certify(chain, views, fresh.Hash(), fresh.Count(), nil, 0, at0); !c.Fresh(at0, 120) {
		t.Errorf("the true list is not: %+v", c)
	}
	// Given both, the newest known wins, in either order.
	if got := g.statusOf(g.fold(), "A1"); got != revoked {
		t.Errorf("%s", got)
	}
}

// fault 49: a broker that withholds a revocation, and shows the views that
// members signed before it, is out of time after max_age.
func TestFault49Withholding(t *testing.T) {
	chain := chainOf(t, 3)
	old := draw(t, chain, "A1: reg").fold().StopList(at0)
	var views []*registry.Record
	for n := byte(1); n <= 3; n++ {
		views = append(views, viewOf(t, chain, n, -int64(n), old.Hash()))
	}
	c := registry.Certify(chain, views, old.Hash(), old.Count(), nil, 0, at0)
	maxAge := chain.Latest().MaxAge
	if c.At != now-2 || !c.Fresh(at0.Add(118e9), maxAge) || c.Fresh(at0.Add(119e9), maxAge) {
		t.Errorf("certified at %d", c.At-now)
	}
	// One honest view that says otherwise does not certify it again.
	views = append(views, viewOf(t, chain, 1, 100, otherHash))
	if later := registry.Certify(chain, views, old.Hash(), old.Count(), nil, 0, at0.Add(110e9)); later.At > c.At {
		t.Errorf("certified at %d", later.At-now)
	}
}
