// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// stoppedGraph has a client of each kind of line.
func stoppedGraph(t testing.TB) *graph {
	chain := extend(t, longAgo(t), suspendMember(3), 5)
	return draw(t, chain, `A1: reg -> susp(at=-50,cutoff=-40)
		B1: reg -> rev
		C1: reg -> upd
		C1: reg -> upd2
		D1: reg -> bad(at=-60)
		E1: reg -> susp(cutoff=-40) -> rein
		F1: reg
		G4: reg
		H4: reg -> rev
		m2: susp(F1,at=-50,until=70)`)
}

func TestStopListOfAState(t *testing.T) {
	g := stoppedGraph(t)
	list := g.fold().StopList(at0)
	want := []string{
		fmt.Sprintf("broker %s suspended", issuerOf(4)),
		fmt.Sprintf("client %s suspended %d - malicious", g.id("A1"), now-40),
		fmt.Sprintf("client %s revoked - - malicious", g.id("B1")),
		fmt.Sprintf("client %s disputed - - -", g.id("C1")),
		fmt.Sprintf("credentials %s 1", g.id("D1")),
		fmt.Sprintf("cutoff %s %d", g.id("E1"), now-40),
		fmt.Sprintf("client %s suspended - %d malicious", g.id("F1"), now+70),
		fmt.Sprintf("client %s revoked - - malicious", g.id("H4")),
	}
	slices.Sort(want)
	if got := list.Lines(); !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	again, err := registry.ParseStopList(list.Bytes())
	if err != nil || again.Hash() != list.Hash() || again.Count() != 8 {
		t.Fatalf("read back %d lines, %v", again.Count(), err)
	}
	if s, ok := again.Client(g.id("A1")); !ok || s != (registry.Stop{Client: g.id("A1"), Status: suspended, Cutoff: now - 40, Reason: "malicious"}) {
		t.Errorf("stop of A1: %+v", s)
	}
	if s, ok := again.Broker(issuerOf(4)); !ok || s != registry.BrokerSuspended {
		t.Errorf("stop of a broker: %s", s)
	}
	if _, ok := again.Client(g.id("G4")); ok {
		t.Error("a client that is stopped with its home has a line")
	}
	if s, ok := again.Broker(issuerOf(1)); ok || s != registry.BrokerActive {
		t.Errorf("a broker that is active: %s", s)
	}
	if again.Cutoff(g.id("A1")) != now-40 || again.Cutoff(g.id("E1")) != now-40 || again.Cutoff(g.id("B1")) != 0 ||
		again.LeastSequence(g.id("D1")) != 1 || again.LeastSequence(g.id("A1")) != 0 {
		t.Error("cutoffs and sequences")
	}
	if got := again.Cutoffs(); len(got) != 2 || got[g.id("A1")] != now-40 || got[g.id("E1")] != now-40 {
		t.Errorf("all cutoffs: %v", got)
	}
}

// Members that hold different branches of a forked log have one list, and keep
// it when the charter expels the broker.
func TestStopListOfForkedBroker(t *testing.T) {
	branches := []string{"A1: reg -> susp(cutoff=-40)", "A1: reg -> upd\nA1: reg -> upd2", "A1: reg -> bad -> susp(cutoff=-40) -> rein"}
	for _, branch := range branches {
		for _, chain := range []*registry.Chain{chainOf(t, 3), extend(t, chainOf(t, 3), expel(0, 9), 2)} {
			g := draw(t, chain, branch)
			state := registry.Fold(chain, g.entries, nil, at0)
			b := state.Brokers[issuerOf(1)]
			if b.Status == registry.BrokerActive {
				b.Status = registry.BrokerForked
			}
			state.Brokers[issuerOf(1)] = b
			for id, c := range state.Clients {
				c.HomeStatus = b.Status
				state.Clients[id] = c
			}
			if got := state.StopList(at0).Lines(); len(got) != 1 || !strings.HasPrefix(got[0], "broker ") {
				t.Errorf("%s, %s: %q", branch, b.Status, got)
			}
		}
	}
}

// Credentials and cutoffs leave the list after 30 days, stops do not.
func TestStopListForgets(t *testing.T) {
	g := stoppedGraph(t)
	const month = 30 * 86400
	for _, test := range []struct {
		after               int64
		credentials, cutoff bool
	}{
		{month - 61, true, true}, {month - 60, false, true}, {month - 41, false, true}, {month - 40, false, false},
	} {
		list := g.foldAt(test.after).StopList(time.Unix(now+test.after, 0))
		if (list.LeastSequence(g.id("D1")) > 0) != test.credentials || (list.Cutoff(g.id("E1")) > 0) != test.cutoff {
			t.Errorf("after %d s:\n%s", test.after, list.Bytes())
		}
		if list.Cutoff(g.id("A1")) == 0 {
			t.Error("the cutoff of a stopped client is forgotten")
		}
		if _, ok := list.Client(g.id("F1")); ok {
			t.Error("a suspension that is over is listed")
		}
	}
}

func TestEmptyStopList(t *testing.T) {
	list, err := registry.ParseStopList(nil)
	if err != nil || list.Count() != 0 || len(list.Bytes()) != 0 || list.Lines() != nil {
		t.Fatal(list, err)
	}
	if list.Hash() != "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" {
		t.Errorf("hash of nothing: %s", list.Hash())
	}
}

var idA, idB = registry.CID([]byte("b")), registry.CID([]byte("a")) // sorted

// stopListFaults are texts that are refused, with their slugs.
func stopListFaults() []struct{ name, text, slug string } {
	a := "client " + idA + " revoked - - malicious\n"
	b := "client " + idB + " revoked - - malicious\n"
	return []struct{ name, text, slug string }{
		{"not sorted", b + a, "value:order"},
		{"no end of the last line", a[:len(a)-1], "value:line"},
		{"empty line", "\n", "value:line"},
		{"empty line at the end", a + "\n", "value:order"},
		{"carriage return", strings.Replace(a, "\n", "\r\n", 1), "value:reason"},
		{"a line twice", a + a, "duplicate:client"},
		{"a client twice", "client " + idA + " disputed - - -\n" + a, "duplicate:client"},
		{"a broker twice", "broker https://m1.example expelled\nbroker https://m1.example forked\n", "duplicate:broker"},
		{"credentials twice", "credentials " + idA + " 1\ncredentials " + idA + " 2\n", "duplicate:credentials"},
		{"a cutoff twice", "cutoff " + idA + " 1790000000\ncutoff " + idA + " 1790000001\n", "duplicate:cutoff"},
		{"a cutoff of a stopped client", a + "cutoff " + idA + " 1790000000\n", "duplicate:cutoff"},
		{"unknown kind", "site https://m1.example suspended\n", "value:line"},
		{"kind in capitals", "Client " + idA + " revoked - - malicious\n", "value:line"},
		{"two spaces", "client " + idA + " revoked  - - malicious\n", "value:line"},
		{"a field too few", "client " + idA + " revoked - -\n", "value:line"},
		{"space at the end", "broker https://m1.example expelled \n", "value:line"},
		{"tab", "broker\thttps://m1.example\texpelled\n", "value:line"},
		{"an active client", "client " + idA + " active - - -\n", "value:state"},
		{"an active broker", "broker https://m1.example active\n", "value:state"},
		{"issuer with a slash", "broker https://m1.example/ expelled\n", "value:issuer"},
		{"no CID", "client abc revoked - - malicious\n", "value:client_id"},
		{"CID in capitals", "client " + strings.ToUpper(idA) + " revoked - - malicious\n", "value:client_id"},
		{"cutoff 0", "client " + idA + " suspended 0 - malicious\n", "value:time"},
		{"cutoff with a zero before it", "client " + idA + " suspended 01790000000 - malicious\n", "value:time"},
		{"negative until", "client " + idA + " suspended - -1 malicious\n", "value:time"},
		{"until after the year 9998", "client " + idA + " suspended - 253370764801 malicious\n", "value:time"},
		{"until of a revoked client", "client " + idA + " revoked - 1790000000 malicious\n", "value:time"},
		{"unknown reason", "client " + idA + " revoked - - boredom\n", "value:reason"},
		{"seq 0", "credentials " + idA + " 0\n", "value:credentials"},
		{"seq beyond all", "credentials " + idA + " 2147483649\n", "value:credentials"},
		{"cutoff of no number", "cutoff " + idA + " -\n", "value:cutoff"},
		{"invalid UTF-8", "client " + idA + " revoked - - \xff\n", "value:reason"},
	}
}

func TestStopListRefusals(t *testing.T) {
	for _, test := range stopListFaults() {
		t.Run(test.name, func(t *testing.T) {
			if _, err := registry.ParseStopList([]byte(test.text)); registry.Slug(err) != test.slug || !errors.Is(err, registry.ErrForm) {
				t.Errorf("got %v (%s), want %s", err, registry.Slug(err), test.slug)
			}
		})
	}
	if _, err := registry.ParseStopList(make([]byte, registry.MaxStopListBytes+1)); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
}

// A prefix is read only where it ends with a line; a flipped bit only where
// the text still says something, and then its hash is another.
func TestStopListEveryPrefixAndFlip(t *testing.T) {
	list := stoppedGraph(t).fold().StopList(at0)
	text := list.Bytes()
	for i := 1; i < len(text); i++ {
		if _, err := registry.ParseStopList(text[:i]); (err == nil) != (text[i-1] == '\n') {
			t.Fatalf("prefix of %d bytes: %v", i, err)
		}
		flipped := bytes.Clone(text)
		flipped[i] ^= 1
		if got, err := registry.ParseStopList(flipped); err == nil && (got.Hash() == list.Hash() || !bytes.Equal(got.Bytes(), flipped)) {
			t.Fatalf("byte %d flipped is read as the same list", i)
		}
	}
}

func TestStopListDiffAndApply(t *testing.T) {
	lines := stoppedGraph(t).fold().StopList(at0).Lines()
	r := rand.New(rand.NewPCG(1, 1))
	random := func() *registry.StopList {
		var some []string
		for _, line := range lines {
			if r.IntN(2) == 0 {
				some = append(some, line+"\n")
			}
		}
		list, err := registry.ParseStopList([]byte(strings.Join(some, "")))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for range 200 {
		old, next := random(), random()
		added, removed := next.Diff(old)
		got, err := old.Apply(added, removed)
		if err != nil || got.Hash() != next.Hash() || got.Count() != next.Count() {
			t.Fatalf("%v + %v - %v = %v, %v", old.Lines(), added, removed, got, err)
		}
		if len(added) > 0 {
			if _, err := next.Apply(added, nil); !errors.Is(err, registry.ErrConflict) {
				t.Fatalf("lines are added twice: %v", err)
			}
			if _, err := old.Apply(nil, added); !errors.Is(err, registry.ErrConflict) {
				t.Fatalf("lines are removed that are not there: %v", err)
			}
		}
	}
	list := random()
	if _, err := list.Apply([]string{"nonsense"}, nil); !errors.Is(err, registry.ErrForm) {
		t.Errorf("a line that says nothing is added: %v", err)
	}
}
