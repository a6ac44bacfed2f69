// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// graph is a set of histories, drawn as text:
//
//	A1: reg -> susp -> rein     client A, whose home is member 1
//	A1: reg -> rev              the same home says two things after reg
//	m2: susp(A1) ~revoke(A1)    what member 2 says of it, without a seq
//
// A node is a kind and, where one client has several of a kind, a number:
// reg, upd, bad (an update of compromised credentials), susp, rein, rev (or
// revoke). Before it stands ~ for "signed, but in no log", or ! for "signed and
// logged, but withheld from the fold". After it may stand, in parentheses, the
// client (in lines of members) and changes: at, until and cutoff in seconds
// from now; key, the number of the key that signs; index, in the log; charter,
// the version that is named; prev, the node to follow on.
type graph struct {
	t       testing.TB
	chain   *registry.Chain
	nodes   map[string]*registry.Record // by "A1.reg"
	entries []registry.Entry
	next    map[byte]int64 // next log index of a member
	clock   int64          // seconds from now of the next record
}

// draw reads a graph over the members of chain.
func draw(t testing.TB, chain *registry.Chain, text string) *graph {
	t.Helper()
	g := &graph{t: t, chain: chain, nodes: map[string]*registry.Record{}, next: map[byte]int64{}, clock: -60}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		who, what, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("graph: no colon in %q", line)
		}
		if n, ok := strings.CutPrefix(who, "m"); ok {
			for _, node := range nodePattern.FindAllString(what, -1) {
				g.add(memberNumber(t, n), "", "", node)
			}
			continue
		}
		before := ""
		for node := range strings.SplitSeq(what, "->") {
			before = g.add(memberNumber(t, who[1:]), who, before, strings.TrimSpace(node))
		}
	}
	return g
}

var nodePattern = regexp.MustCompile(`([~!]?)([a-z]+)(\d*)(\(([^)]*)\))?`)

func memberNumber(t testing.TB, s string) byte {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		t.Fatalf("graph: member %q", s)
	}
	return byte(n)
}

// add makes the record of one node, unless it was drawn before, and returns
// its name.
func (g *graph) add(by byte, client, before, text string) string {
	g.t.Helper()
	m := nodePattern.FindStringSubmatch(text)
	if m == nil || m[0] != text {
		g.t.Fatalf("graph: node %q", text)
	}
	options := map[string]string{}
	for option := range strings.SplitSeq(m[5], ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		if value == "" && name != "" {
			client = name
		}
		options[name] = value
	}
	name := client + "." + m[2] + m[3]
	if g.nodes[name] != nil && before == "" && text == m[2]+m[3] {
		return name // where a branch starts
	}
	if prev := options["prev"]; prev != "" {
		before = prev
	}
	r := g.sign(by, client, before, m[2], options)
	g.nodes[name] = r
	index := int64(-1)
	if m[1] != "~" {
		index = g.next[by]
		g.next[by]++
	}
	if i, ok := options["index"]; ok {
		index = g.number(i)
	}
	if m[1] != "!" {
		g.entries = append(g.entries, registry.Entry{Record: r, Index: index})
	}
	return name
}

func (g *graph) number(s string) int64 {
	g.t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		g.t.Fatalf("graph: number %q", s)
	}
	return n
}

func (g *graph) sign(by byte, client, before, kind string, options map[string]string) *registry.Record {
	g.t.Helper()
	at, key := g.clock, fixedKey(by)
	g.clock++
	if v, ok := options["at"]; ok {
		at = g.number(v)
	}
	if v, ok := options["key"]; ok {
		key = fixedKey(byte(g.number(v)))
	}
	claims := registry.Claims{Issuer: issuerOf(by), IssuedAt: now + at}
	seq, prev := int64(0), ""
	if before != "" {
		r := g.nodes[before]
		if r == nil {
			g.t.Fatalf("graph: no node %q", before)
		}
		prev = r.CID
		if r.Registration != nil {
			seq = r.Registration.Sequence + 1
		} else {
			seq = r.Revocation.Sequence + 1
		}
	}
	if kind == "reg" || kind == "upd" || kind == "bad" {
		reg := registry.Registration{Claims: claims, ClientMetadata: publicClient(), Compromised: kind == "bad"}
		if reg.Sequence, reg.Previous = seq, prev; seq > 0 {
			reg.Client = g.id(client)
		}
		r, err := registry.SignRegistration(key, reg)
		return must(g.t, r, err)
	}
	rev := registry.Revocation{Claims: claims, Client: g.id(client), Reason: "malicious", Sequence: seq, Previous: prev, Charter: g.charter(options)}
	switch kind {
	case "susp":
		rev.Action = registry.Suspend
		if seq == 0 {
			rev.Until = claims.IssuedAt + 6000
		}
	case "rein":
		rev.Action = registry.Reinstate
	case "rev", "revoke":
		rev.Action = registry.Revoke
	default:
		g.t.Fatalf("graph: kind %q", kind)
	}
	if v, ok := options["until"]; ok {
		rev.Until = now + g.number(v)
	}
	if v, ok := options["cutoff"]; ok {
		rev.Cutoff = now + g.number(v)
	}
	r, err := registry.SignRevocation(key, rev)
	return must(g.t, r, err)
}

func (g *graph) charter(options map[string]string) string {
	if v, ok := options["charter"]; ok {
		if s := g.chain.Version(g.number(v)); s != nil {
			return s.CID
		}
		return registry.CID([]byte("no charter"))
	}
	return g.chain.Latest().CID
}

// clientURL is a client that describes itself; "url" in a graph.
const clientURL = "https://app.example/oauth/client.json"

// id is the client_id of a client that was drawn, or of one that never was.
func (g *graph) id(client string) string {
	if client == "url" {
		return clientURL
	}
	if r := g.nodes[client+".reg"]; r != nil {
		return r.CID
	}
	return registry.CID([]byte(client))
}

func (g *graph) fold(forks ...registry.Fork) *registry.State {
	return g.foldAt(0, forks...)
}

// foldAt folds so many seconds later.
func (g *graph) foldAt(seconds int64, forks ...registry.Fork) *registry.State {
	return registry.Fold(g.chain, g.entries, forks, time.Unix(now+seconds, 0))
}

// names lists the nodes that records are.
func (g *graph) names(records []*registry.Record) string {
	var names []string
	for _, r := range records {
		for name, n := range g.nodes {
			if n.CID == r.CID {
				names = append(names, fmt.Sprintf("%s by %s", name, strings.TrimPrefix(r.Issuer, "https://")))
			}
		}
	}
	return strings.Join(names, ", ")
}
