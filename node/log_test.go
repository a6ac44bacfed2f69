// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"fmt"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// A client of C2SP tlog-tiles that is not ours reads the log of a running node
// from its first entry to its last, and proves one.
func TestLogIsReadByAnIndependentClient(t *testing.T) {
	const apps = 260 // more than one tile
	cfg := config(t)
	n, _ := start(t, cfg)
	var ids []string
	for i := range apps {
		ids = append(ids, register(t, n, strings.Replace(someApp, `"App"`, fmt.Sprintf(`"App %d"`, i), 1)).ClientID)
	}
	fetcher, err := torchwood.NewTileFetcher(cfg.Issuer + "/federation/log")
	check(t, err)
	client, err := torchwood.NewClient(fetcher)
	check(t, err)
	raw, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
	check(t, err)
	key, ok := n.RecordKey()
	if !ok {
		t.Fatal("the node has no key")
	}
	text, err := note.NewEd25519VerifierKey(registry.Origin(cfg.Issuer), key)
	check(t, err)
	verifier, err := note.NewVerifier(text)
	check(t, err)
	signed, err := note.Open(raw, note.VerifierList(verifier))
	check(t, err)
	tree, err := torchwood.ParseCheckpoint(signed.Text)
	check(t, err)
	if tree.N != apps+1 {
		t.Fatalf("the log has %d entries, expected the broker record and %d apps", tree.N, apps)
	}
	read := 0
	for i, entry := range client.AllEntries(t.Context(), tree.Tree, 0) {
		record, err := registry.ParseRecord(entry)
		check(t, err)
		if i > 0 && record.ClientID() != ids[i-1] {
			t.Fatalf("entry %d is %s", i, record.CID)
		}
		read++
	}
	if client.Err() != nil || read != apps+1 {
		t.Fatalf("read %d entries: %v", read, client.Err())
	}
	shown, err := n.ShowApp(t.Context(), admin.AppID{ClientID: ids[apps-1]})
	check(t, err)
	entry, proof, err := client.Entry(t.Context(), tree.Tree, shown.Index)
	check(t, err)
	if err := registry.CheckInclusion(proof, tree.N, registry.Hash(tree.Hash), shown.Index, registry.LeafHash(string(entry))); err != nil {
		t.Fatal(err)
	}
}
