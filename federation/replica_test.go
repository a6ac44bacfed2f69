// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

const issuer = "https://home.example"

// world is one broker with its store and a clock that tests turn.
type world struct {
	*federation.Replica
	t      *testing.T
	store  *memstore.Store
	key    registry.SigningKey
	config federation.Config

	mu      sync.Mutex
	now     time.Time
	changes []federation.Change
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: new(memstore.Store), key: registry.GenerateSigningKey(), now: time.Unix(1_800_000_000, 0)}
	w.config = federation.Config{
		Store: w.store, Key: w.key, Issuer: issuer, Now: w.clock, CacheSize: 2, Log: slog.New(slog.DiscardHandler),
		OnChange: w.changed,
	}
	return w
}

// alone is a broker that founded its federation.
func alone(t *testing.T) *world {
	w := newWorld(t)
	w.open()
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) changed(c federation.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, c)
}

// told are the changes since the last call.
func (w *world) told() []federation.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	changes := w.changes
	w.changes = nil
	return changes
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) open() {
	w.t.Helper()
	r, err := federation.Open(w.t.Context(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Replica = r
}

func (w *world) register(name string) string {
	w.t.Helper()
	return w.append(federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata(name)}}).CID
}

func (w *world) append(d federation.Draft) *registry.Record {
	w.t.Helper()
	record, _, err := w.Append(w.t.Context(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return record
}

func (w *world) refuse(d federation.Draft, want error) {
	w.t.Helper()
	before := w.head()
	if _, _, err := w.Append(w.t.Context(), d); !errors.Is(err, want) {
		w.t.Errorf("error %v, want %v", err, want)
	}
	if after := w.head(); after != before {
		w.t.Errorf("a refused draft changed the log to\n%s", after)
	}
}

func (w *world) head() string {
	raw, err := w.Checkpoint(w.t.Context(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

func (w *world) status(id string) registry.ClientStatus {
	w.t.Helper()
	state, err := w.Client(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Status
}

func revocation(id string, action registry.Action) federation.Draft {
	return federation.Draft{Revocation: &registry.Revocation{Client: id, Action: action, Reason: "policy"}}
}

func update(id string) federation.Draft {
	return federation.Draft{Registration: &registry.Registration{Client: id, ClientMetadata: storetest.Metadata("Renamed")}}
}

func TestFederationOfOne(t *testing.T) {
	w := newWorld(t)
	w.config.Found = registry.Charter{Name: "Test federation", MaxAge: 60}
	w.open()
	charter := w.Chain().Latest()
	if charter.Name != "Test federation" || charter.MaxAge != 60 || charter.MaxSuspension != 86400 || charter.Version != 1 {
		t.Errorf("charter %+v", charter.Charter)
	}
	if err := w.Fresh(w.now); err != nil {
		t.Errorf("a broker alone is not fresh when it starts: %v", err)
	}
	head, err := registry.OpenCheckpoint([]byte(w.head()), registry.Origin(issuer), w.key.Public())
	if err != nil || head.Size != 0 {
		t.Errorf("head of an empty log: %+v, %v", head, err)
	}
	if got := w.BrokerStatus(issuer); got != registry.BrokerActive {
		t.Errorf("own status %s", got)
	}
	if got := w.BrokerStatus("https://stranger.example"); got == registry.BrokerActive {
		t.Error("a stranger is an active broker")
	}
	federation := w.Chain().Federation()
	w.open()
	if w.Chain().Federation() != federation {
		t.Error("a second start founded another federation")
	}
}

// TestHomeRefusals is fault 30 as far as a broker's own clients go: what the
// fold would not count is never signed into the log.
func TestHomeRefusals(t *testing.T) {
	w := alone(t)
	unknown := registry.CID([]byte("unknown"))
	revoked, suspended, active := w.register("Revoked"), w.register("Suspended"), w.register("Active")
	w.append(revocation(suspended, registry.Suspend))
	w.append(revocation(revoked, registry.Revoke))
	tests := []struct {
		name  string
		draft federation.Draft
		want  error
	}{
		{"update of an unknown client", update(unknown), registry.ErrNotFound},
		{"revocation of an unknown client", revocation(unknown, registry.Revoke), registry.ErrNotFound},
		{"revocation of what is no client_id", revocation("app", registry.Revoke), registry.ErrNotFound},
		{"update of a revoked client", update(revoked), registry.ErrRevoked},
		{"reinstatement of a revoked client", revocation(revoked, registry.Reinstate), registry.ErrRevoked},
		{"suspension of a revoked client", revocation(revoked, registry.Suspend), registry.ErrRevoked},
		{"second revocation", revocation(revoked, registry.Revoke), registry.ErrRevoked},
		{"reinstatement of an active client", revocation(active, registry.Reinstate), registry.ErrConflict},
		{"unknown action", revocation(active, "pardon"), registry.ErrForm},
		{"bad metadata", federation.Draft{Registration: &registry.Registration{}}, registry.ErrForm},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { w.t = t; w.refuse(test.draft, test.want) })
	}
	w.t = t
	if _, _, err := w.Append(t.Context(), federation.Draft{}); err == nil {
		t.Error("a draft without a body was taken")
	}
	w.append(update(suspended))
	w.append(revocation(suspended, registry.Reinstate))
	if got := w.status(suspended); got != registry.ClientActive {
		t.Errorf("reinstated client is %s", got)
	}
}

func TestClientsPerMember(t *testing.T) {
	w := newWorld(t)
	w.config.Found.ClientsPerMember = 2
	w.open()
	id := w.register("One")
	w.register("Two")
	more := federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("Three")}}
	w.refuse(more, registry.ErrLimit)
	w.append(update(id)) // is no new client
	w.open()
	w.refuse(more, registry.ErrLimit)
}

// fault 29: nobody chooses seq or time but the replica; a clock that runs away
// is refused and locks nobody out.
func TestFault29SequenceAndTime(t *testing.T) {
	w := alone(t)
	id := w.register("App")
	for _, seq := range []int64{0, 1, -1, 1<<63 - 1} {
		d := update(id)
		d.Registration.Sequence, d.Registration.Previous, d.Registration.IssuedAt = seq, "x", 253402300799
		before, _ := w.Client(t.Context(), id)
		after := w.append(d).Registration
		if after.Sequence != before.Sequence+1 || after.Previous != before.Last || after.IssuedAt != w.now.Unix() {
			t.Errorf("draft with seq %d became seq %d, prev %s, iat %d", seq, after.Sequence, after.Previous, after.IssuedAt)
		}
	}
	right := w.now
	w.now = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	w.refuse(update(id), registry.ErrLimit)
	w.now = right
	w.append(update(id))
}

// A clock behind what was signed before is refused at start and later, and the
// skew is named (the cheap half of fault 68).
func TestClockBehind(t *testing.T) {
	w := alone(t)
	id := w.register("App")
	w.pass(-9 * time.Second)
	if got := w.append(update(id)); got.IssuedAt != w.now.Unix()+9 {
		t.Errorf("iat went back to %d", got.IssuedAt)
	}
	w.pass(-24 * time.Hour)
	w.refuse(update(id), registry.ErrStale)
	if _, err := federation.Open(t.Context(), w.config); !errors.Is(err, registry.ErrStale) || !strings.Contains(err.Error(), "24h0m9s") {
		t.Errorf("opened with a clock one day behind: %v", err)
	}
	if err := w.Fresh(w.now); !errors.Is(err, registry.ErrStale) {
		t.Errorf("fresh with a clock one day behind: %v", err)
	}
}

// The key or issuer of another node does not open a replica (fault 77: keys
// swapped between nodes; fault 78: issuer changed).
func TestFault77SwappedKey(t *testing.T) {
	w := alone(t)
	other := w.config
	other.Key = registry.GenerateSigningKey()
	if _, err := federation.Open(t.Context(), other); !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), "key file") {
		t.Errorf("opened with another key: %v", err)
	}
	other = w.config
	other.Issuer = "https://elsewhere.example"
	if _, err := federation.Open(t.Context(), other); !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), issuer) {
		t.Errorf("opened with another issuer: %v", err)
	}
}

// The outcome of a write that failed is not known. Whichever it was, the next
// Append goes on from what is stored, and nothing is seen before that.
func TestFailedWrites(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		name := map[bool]string{false: "not persisted", true: "persisted"}[persisted]
		t.Run(name, func(t *testing.T) {
			w := alone(t)
			id := w.register("App")
			broken := errors.New("broken")
			w.store.Fault = func(federation.Update) (bool, error) { return persisted, broken }
			register := federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("New")}}
			for _, d := range []federation.Draft{register, update(id), revocation(id, registry.Suspend)} {
				if _, _, err := w.Append(t.Context(), d); !errors.Is(err, broken) {
					t.Fatalf("error %v, want that of the store", err)
				}
				if states, err := w.Clients(t.Context(), "", 10); d == register && (err != nil || len(states) != 1) {
					t.Errorf("%d clients, %v; the new one was not acknowledged", len(states), err)
				}
			}
			if got := w.status(id); got != registry.ClientActive {
				t.Errorf("client is %s by a record that nobody acknowledged", got)
			}
			w.store.Fault = nil
			w.told()
			w.append(update(id))
			state, _ := w.Client(t.Context(), id)
			want, status := int64(1), registry.ClientActive
			if persisted {
				want, status = 3, registry.ClientSuspended // both refused records, and the last
			}
			if state.Sequence != want || state.Status != status {
				t.Errorf("after the failure the client is %s at seq %d, want %s at %d", state.Status, state.Sequence, status, want)
			}
			if changes := w.told(); changes[0].Stopped != persisted {
				t.Errorf("changes told: %+v", changes)
			}
			audit, err := federation.CheckStore(t.Context(), w.store)
			if err != nil || len(audit.Problems) > 0 {
				t.Errorf("audit %+v, %v", audit, err)
			}
		})
	}
}

// A cancelled request cannot cut a write in two.
func TestAppendCancelled(t *testing.T) {
	w := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.store.Fault = func(federation.Update) (bool, error) { cancel(); return true, nil }
	_, index, err := w.Append(ctx, federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}})
	if err != nil || index != 0 {
		t.Errorf("append of a request that was cancelled while it was stored: %d, %v", index, err)
	}
}

// The key pair is the Ed25519 example of the libp2p specification of peer IDs;
// its ID was computed apart from any library: base58 of the identity multihash
// of the public key in its protobuf encoding.
func TestPeerID(t *testing.T) {
	seed, err := hex.DecodeString("7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d")
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	if id, err := federation.PeerID(key); err != nil || id != "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq" {
		t.Errorf("peer ID %q, %v", id, err)
	}
	if _, err := federation.PeerID(key[:40]); err == nil {
		t.Error("a key that is cut off has a peer ID")
	}
}
