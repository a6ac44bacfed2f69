// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

func TestIsClientURL(t *testing.T) {
	for id, want := range map[string]bool{
		clientURL:                             true,
		"https://app.example/a":               true,
		"https://app.example:8443/a":          true,
		"http://127.0.0.1:8080/client.json":   true,
		"https://app.example":                 false,
		"https://app.example/":                false,
		"http://app.example/client.json":      false,
		"https://app.example/a?b=c":           false,
		"https://app.example/a#b":             false,
		"https://app.example/a/../b":          false,
		"https://app.example/./b":             false,
		"https://app.example/%2e/b":           false,
		"https://App.example/a":               false,
		"https://app.example:443/a":           false,
		"https://user@app.example/a":          false,
		`https://app.example\@evil.example/a`: false,
		"https://app.example/a b":             false,
		"https:/app.example/a":                false,
		"ftp://app.example/a":                 false,
		"com.example.app:/client":             false,
		"":                                    false,
		registry.CID([]byte("client")):        false,
		"https://app.example/" + strings.Repeat("a", registry.MaxClientURLBytes-20): true,
		"https://app.example/" + strings.Repeat("a", registry.MaxClientURLBytes-19): false,
	} {
		if got := registry.IsClientURL(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
		if err := registry.CheckClientID(id); (err == nil) != (want || id == registry.CID([]byte("client"))) {
			t.Errorf("%q as a client_id: %v", id, err)
		}
	}
}

// TestFoldURL is rule 21: a client that describes itself has no home. Any member
// may suspend it, and so many as for any client revoke it.
func TestFoldURL(t *testing.T) {
	for _, test := range []struct {
		name, graph string
		want        registry.ClientStatus
	}{
		{"nobody says anything", `A1: reg`, unknown},
		{"one member suspends it", `m2: susp(url)`, suspended},
		{"in no log", `m2: ~susp(url)`, suspended},
		{"which ends by itself", `m2: susp(url,until=-1)`, active},
		{"without an end it is void", `m2: susp(url,until=700000)`, unknown},
		{"a member that is none", `m9: susp(url)`, unknown},
		{"one vote is not enough", `m2: rev(url)`, active},
		{"nor two", `m2: rev(url)
			m3: rev(url)`, active},
		{"but three of five", `m1: rev(url)
			m2: rev(url)
			m3: rev(url)`, revoked},
		{"each counts once", `m2: rev(url) rev2(url) rev3(url)`, active},
		{"a vote in no log has no effect", `m1: rev(url)
			m2: rev(url)
			m3: ~rev(url)`, active},
		{"nobody lifts it", `m2: susp(url) rein(url)`, suspended},
		{"a ban is final", `m1: rev(url)
			m2: rev(url)
			m3: rev(url)
			m2: rein(url)`, revoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := draw(t, newChain(t, signCharter(t, charterOf(5), 5)), test.graph)
			state := g.fold()
			if got := g.statusOf(state, "url"); got != test.want {
				t.Errorf("%s, expected %s", got, test.want)
			}
			if c := state.Clients[clientURL]; c.ID != "" && (c.Home != "" || c.HomeStatus != registry.BrokerActive || c.Registration != nil) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestURLInTheStopList: its lines are like any other client's.
func TestURLInTheStopList(t *testing.T) {
	g := draw(t, newChain(t, signCharter(t, charterOf(5), 5)), `m2: susp(url,at=-50,until=70,cutoff=-40)`)
	list := g.fold().StopList(at0)
	if want := []string{fmt.Sprintf("client %s suspended %d %d malicious", clientURL, now-40, now+70)}; !slices.Equal(list.Lines(), want) {
		t.Fatalf("%q, expected %q", list.Lines(), want)
	}
	again, err := registry.ParseStopList(list.Bytes())
	if err != nil || again.Hash() != list.Hash() || again.Cutoff(clientURL) != now-40 {
		t.Errorf("read back: %v", err)
	}
	later := g.foldAt(100).StopList(at0.Add(100e9))
	if want := []string{fmt.Sprintf("cutoff %s %d", clientURL, now-40)}; !slices.Equal(later.Lines(), want) {
		t.Errorf("after its end %q, expected %q", later.Lines(), want)
	}
	if _, err := registry.ParseStopList([]byte("client https://app.example suspended - - -\n")); err == nil {
		t.Error("a URL without a path is accepted in a stop list")
	}
}

// TestURLHasNoHome: nobody numbers records about it.
func TestURLHasNoHome(t *testing.T) {
	r, err := registry.SignRevocation(fixedKey(1), registry.Revocation{
		Claims: registry.Claims{Issuer: issuerOf(1), IssuedAt: now}, Client: clientURL, Action: registry.Revoke, Reason: "malicious",
		Charter: registry.CID([]byte("charter")), Sequence: 1, Previous: registry.CID([]byte("before")),
	})
	if err == nil {
		_, err = registry.ParseRecord([]byte(r.Raw), registry.KindRevocation)
	}
	if err == nil || !strings.Contains(err.Error(), "no home broker") {
		t.Errorf("%v", err)
	}
}
