// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

const otherIssuer = "https://other.example"

// neighbour is another member of the federation, with a log of its own.
type neighbour struct {
	key registry.SigningKey
	log *storetest.Log
	ids []string
}

// joined is a broker in a federation of as many members as there are issuers,
// itself among them; the first of the others has registered 25 clients.
func joined(t *testing.T, limits func(*registry.Charter), issuers ...string) (*world, *neighbour) {
	t.Helper()
	w := newWorld(t)
	c := federation.DefaultCharter()
	c.Version, c.IssuedAt = 1, w.now.Unix()
	n := &neighbour{key: registry.GenerateSigningKey()}
	keys := map[string]registry.SigningKey{issuer: w.key, otherIssuer: n.key}
	for _, issuer := range issuers {
		key, ok := keys[issuer]
		if !ok {
			key = registry.GenerateSigningKey()
		}
		c.Members = append(c.Members, registry.Member{
			Issuer: issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: key.JWK()}},
		})
	}
	c.Threshold = 1
	if limits != nil {
		limits(&c)
	}
	charter, err := registry.NewCharter(c, w.key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := registry.SignCheckpoint(w.key, registry.Origin(issuer), 0, registry.EmptyRoot())
	if err != nil {
		t.Fatal(err)
	}
	w.write(federation.Update{Log: w.key.ID(), Checkpoint: own, Charters: []*registry.SignedCharter{charter}})
	n.log = storetest.NewLog(t, otherIssuer, n.key)
	w.write(n.log.Register(25))
	n.ids = n.log.Clients()
	w.open()
	return w, n
}

func (w *world) write(u federation.Update) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), u); err != nil {
		w.t.Fatal(err)
	}
}

// TestFault30MemberRefusals: what a member may do to another's clients, and
// that it cannot do more.
func TestFault30MemberRefusals(t *testing.T) {
	w, n := joined(t, nil, issuer, otherIssuer)
	id := n.ids[0]
	w.refuse(update(id), registry.ErrConflict)
	w.refuse(revocation(id, registry.Reinstate), registry.ErrConflict)
	long := revocation(id, registry.Suspend)
	long.Revocation.Until = w.now.Unix() + 86401
	w.refuse(long, registry.ErrLimit)

	first := w.append(revocation(id, registry.Suspend))
	if got := first.Revocation; got.Until != w.now.Unix()+86400 || got.Sequence != 0 || got.Previous != "" {
		t.Errorf("suspension of another's client: %+v", got)
	}
	if got := w.status(id); got != registry.ClientSuspended {
		t.Errorf("suspended client is %s", got)
	}
	w.refuse(revocation(id, registry.Suspend), registry.ErrLimit) // once in 30 days
	w.refuse(revocation(id, registry.Reinstate), registry.ErrConflict)

	vote := revocation(id, registry.Revoke)
	w.append(vote)
	if got := w.status(id); got != registry.ClientSuspended {
		t.Errorf("one vote of two made the client %s", got)
	}
	w.refuse(vote, registry.ErrConflict)
}

func TestSuspensionQuota(t *testing.T) {
	w, n := joined(t, func(c *registry.Charter) { c.SuspensionQuota = 3 }, issuer, otherIssuer)
	for _, id := range n.ids[:3] {
		w.append(revocation(id, registry.Suspend))
		w.pass(time.Minute)
	}
	w.refuse(revocation(n.ids[3], registry.Suspend), registry.ErrLimit)
	own := w.register("Own")
	w.append(revocation(own, registry.Suspend)) // own clients do not count
	w.pass(24 * time.Hour)
	w.append(revocation(n.ids[3], registry.Suspend))
	for i, want := range []registry.ClientStatus{registry.ClientActive, registry.ClientActive, registry.ClientActive, registry.ClientSuspended} {
		if got := w.status(n.ids[i]); got != want {
			t.Errorf("client %d is %s, want %s", i, got, want)
		}
	}
}

// A home that contradicts itself, and a broker that forked its log, as the
// stored evidence says.
func TestEvidence(t *testing.T) {
	w, n := joined(t, nil, issuer, otherIssuer)
	id := n.ids[0]
	var raws []string
	for _, name := range []string{"This", "That"} {
		r, err := registry.SignRegistration(n.key, registry.Registration{
			Claims: registry.Claims{Issuer: otherIssuer, IssuedAt: w.now.Unix()}, Client: id, Sequence: 1, Previous: id,
			ClientMetadata: storetest.Metadata(name),
		})
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, r.Raw)
	}
	w.write(federation.Update{Evidence: []federation.Evidence{
		{Kind: federation.EvidenceRecords, Subject: id, A: raws[0], B: raws[1]},
	}})
	w.open()
	if got := w.status(id); got != registry.ClientDisputed {
		t.Errorf("client with two records of one seq is %s", got)
	}
	w.refuse(revocation(id, registry.Suspend), registry.ErrConflict)
	if stop, ok := w.StopList().Client(id); !ok || stop.Status != registry.ClientDisputed {
		t.Errorf("stop list: %s", w.StopList().Bytes())
	}

	w.write(federation.Update{Evidence: []federation.Evidence{forkOf(t, n.key)}})
	w.open()
	if got := w.BrokerStatus(otherIssuer); got != registry.BrokerForked {
		t.Errorf("broker with two heads is %s", got)
	}
	if got := w.status(n.ids[1]); got != registry.ClientSuspended {
		t.Errorf("client of a forked broker is %s", got)
	}
}

func forkOf(t *testing.T, key registry.SigningKey) federation.Evidence {
	t.Helper()
	var heads []*registry.Checkpoint
	for _, root := range []string{"one", "other"} {
		c, err := registry.SignCheckpoint(key, registry.Origin(otherIssuer), 9, registry.LeafHash(root))
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, c)
	}
	var fork *registry.ForkError
	if !errors.As(registry.CheckFork(heads[0], heads[1]), &fork) {
		t.Fatal("two roots of one size are no fork")
	}
	document, err := fork.Fork.Document(key.JWK())
	if err != nil {
		t.Fatal(err)
	}
	return federation.Evidence{Kind: federation.EvidenceFork, Subject: registry.Origin(otherIssuer), A: string(document)}
}

// Logs are found by every key of their broker, and not beyond their end.
func TestLogsOfOthers(t *testing.T) {
	w, n := joined(t, nil, issuer, otherIssuer)
	ctx, key := t.Context(), n.key.ID()
	if _, err := w.Checkpoint(ctx, key); err != nil {
		t.Error(err)
	}
	bundle, err := w.Tile(ctx, key, registry.Tile{Level: registry.EntriesLevel, Width: 25})
	if err != nil {
		t.Fatal(err)
	}
	if raws, err := registry.ParseEntryBundle(bundle); err != nil || registry.CID([]byte(raws[7])) != n.ids[7] {
		t.Errorf("entry bundle of %d records, %v", len(raws), err)
	}
	if hashes, err := w.Tile(ctx, key, registry.Tile{Width: 16}); err != nil || len(hashes) != 16*32 {
		t.Errorf("tile of %d bytes, %v", len(hashes), err)
	}
	for _, beyond := range []registry.Tile{{Width: 26}, {Level: registry.EntriesLevel, Width: 26}, {Index: 1, Width: 1}, {Level: 1, Width: 1}, {Level: -2, Width: 1}} {
		if _, err := w.Tile(ctx, key, beyond); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("tile %+v: %v", beyond, err)
		}
	}
	stranger := registry.GenerateSigningKey().ID()
	if _, err := w.Checkpoint(ctx, stranger); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("checkpoint of a stranger: %v", err)
	}
	if _, err := w.BrokerRecord(ctx, key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("broker record that was never published: %v", err)
	}
	if states, err := w.Clients(ctx, "", 10); err != nil || len(states) != 10 || w.Registered() != 25 {
		t.Errorf("%d of %d clients, %v", len(states), w.Registered(), err)
	}
}

// A quorum of two of three is more than the broker's own view.
func TestFreshNeedsQuorum(t *testing.T) {
	w, n := joined(t, nil, issuer, otherIssuer, "https://third.example")
	err := w.Fresh(w.now)
	if !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), "views of 1 of 3 members, 2 needed") {
		t.Fatalf("error %v", err)
	}
	view := func(stopHash string) federation.Update {
		v, err := registry.SignView(n.key, registry.View{
			Claims: registry.Claims{Issuer: otherIssuer, IssuedAt: w.now.Unix()}, Charter: w.Chain().Latest().CID,
			LogRoot: stopHash, StopHash: stopHash, StopCount: w.StopList().Count(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return federation.Update{Views: []federation.View{{Log: n.key.ID(), Record: v}}}
	}
	w.write(view(registry.GenerateSigningKey().ID())) // of another stop list
	w.open()
	if err := w.Fresh(w.now); !errors.Is(err, registry.ErrStale) {
		t.Fatalf("a view of another list made it fresh: %v", err)
	}
	w.pass(time.Second)
	w.write(view(w.StopList().Hash()))
	w.open()
	if err := w.Fresh(w.now); err != nil {
		t.Fatal(err)
	}
	if len(w.Views()) != 2 {
		t.Errorf("%d views", len(w.Views()))
	}
	if err := w.Fresh(w.now.Add(121 * time.Second)); !errors.Is(err, registry.ErrStale) {
		t.Errorf("fresh after max_age: %v", err)
	}
}
