// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

const issuer = "https://home.example"

func openReplica(t *testing.T, s federation.Store, key registry.SigningKey) *federation.Replica {
	t.Helper()
	r, err := federation.Open(t.Context(), federation.Config{Store: s, Key: key, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func appendTo(t *testing.T, r *federation.Replica, d federation.Draft) (*registry.Record, int64) {
	t.Helper()
	record, index, err := r.Append(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return record, index
}

// testReplicaConcurrent has many goroutines append at once: no index and no seq
// is used twice, none is left out, every client has a proof, and a check of the
// whole store finds nothing.
func testReplicaConcurrent(t *testing.T, open func() federation.Store) {
	const writers, each = 10, 4
	s, key := open(), registry.GenerateSigningKey()
	r := openReplica(t, s, key)
	shared, _ := appendTo(t, r, federation.Draft{Registration: &registry.Registration{ClientMetadata: Metadata("Shared")}})

	var mu sync.Mutex
	indexes, sequences := []int64{0}, []int64{0}
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				first, i := appendTo(t, r, federation.Draft{Registration: &registry.Registration{ClientMetadata: Metadata("App")}})
				next, j := appendTo(t, r, federation.Draft{Registration: &registry.Registration{Client: shared.CID, ClientMetadata: Metadata("Shared")}})
				if _, err := r.Client(t.Context(), first.CID); err != nil {
					t.Error(err)
				}
				mu.Lock()
				indexes, sequences = append(indexes, i, j), append(sequences, next.Registration.Sequence)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(indexes)
	slices.Sort(sequences)
	for want, got := range indexes {
		if got != int64(want) {
			t.Fatalf("log indexes %v", indexes)
		}
	}
	for want, got := range sequences {
		if got != int64(want) {
			t.Fatalf("seqs of one client %v", sequences)
		}
	}
	r = openReplica(t, open(), key)
	state, err := r.Client(t.Context(), shared.CID)
	if err != nil || state.Sequence != writers*each {
		t.Fatalf("seq %d after opening again, %v; want %d", state.Sequence, err, writers*each)
	}
	audit, err := federation.CheckStore(t.Context(), open())
	if err != nil || len(audit.Problems) > 0 || audit.Records != int64(len(indexes)) {
		t.Fatalf("audit %+v, %v", audit, err)
	}
}

// testReplicaReopened compares all that a replica says before and after the
// store is opened again.
func testReplicaReopened(t *testing.T, open func() federation.Store) {
	key := registry.GenerateSigningKey()
	r := openReplica(t, open(), key)
	var ids []string
	for _, name := range []string{"Quiet", "Suspended", "Revoked", "Compromised", "Reinstated"} {
		record, _ := appendTo(t, r, federation.Draft{Registration: &registry.Registration{ClientMetadata: Metadata(name)}})
		ids = append(ids, record.CID)
	}
	var last int64
	for i, action := range map[int]registry.Action{1: registry.Suspend, 2: registry.Revoke, 4: registry.Suspend} {
		record, _ := appendTo(t, r, federation.Draft{Revocation: &registry.Revocation{Client: ids[i], Action: action, Reason: "policy"}})
		last = record.IssuedAt
	}
	appendTo(t, r, federation.Draft{Revocation: &registry.Revocation{
		Client: ids[4], Action: registry.Reinstate, Reason: "policy", Cutoff: last,
	}})
	appendTo(t, r, federation.Draft{Registration: &registry.Registration{
		Client: ids[3], Compromised: true, ClientMetadata: Metadata("Compromised"),
	}})
	appendTo(t, r, federation.Draft{Broker: &registry.Broker{
		Organisation: "Example", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
	}})

	before := testimony(t, r, key, ids)
	if before.list.Count() != 4 || before.registered != int64(len(ids)) || len(before.clients) != len(ids) {
		t.Errorf("stop list:\n%s%d clients registered, %d listed", before.list.Bytes(), before.registered, len(before.clients))
	}
	after := testimony(t, openReplica(t, open(), key), key, ids)
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the replica said\n%+v\nand says\n%+v", before, after)
	}
}

// said is what a replica says of everything.
type said struct {
	list       *registry.StopList
	proofs     []federation.Proof
	clients    []registry.ClientState
	heads      map[string][]byte
	registered int64
	broker     string
}

func testimony(t *testing.T, r *federation.Replica, key registry.SigningKey, ids []string) said {
	t.Helper()
	all := said{list: r.StopList(), heads: r.Checkpoints(), registered: r.Registered()}
	for _, id := range ids {
		proof, err := r.Proof(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		checkProof(t, proof, key)
		all.proofs = append(all.proofs, proof)
	}
	var err error
	if all.clients, err = r.Clients(t.Context(), "", 100); err != nil {
		t.Fatal(err)
	}
	broker, err := r.BrokerRecord(t.Context(), key.ID())
	if err != nil {
		t.Fatal(err)
	}
	all.broker = broker.Raw
	return all
}

// checkProof does what a site does with a proof.
func checkProof(t *testing.T, p federation.Proof, key registry.SigningKey) {
	t.Helper()
	head, err := registry.OpenCheckpoint(p.Checkpoint, registry.Origin(issuer), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.CheckInclusion(p.Inclusion, head.Size, head.Root, p.Index, registry.LeafHash(p.Registration.Raw)); err != nil {
		t.Error(err)
	}
	if p.Log != key.ID() || p.Registration.Verify(key.Public()) != nil {
		t.Error("the proof is not by the log's key")
	}
}
