// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/registry"
)

func TestDHTKeys(t *testing.T) {
	w := newDHTWorld(t, 1)
	m := w.members[0]
	id := m.register("App")
	v := federation.NewDHTValidator(m.Replica)
	f := w.federation()
	for _, key := range []string{clientKey(id), logKey(m), "/charter/" + f, "/charter/" + f + "/1"} {
		if err := v.Validate(key, m.value(key)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	client, charter := m.value(clientKey(id)), m.value("/charter/"+f)
	for _, key := range []string{
		"", "/", "/client", "/client/", "client/" + id, "//client/" + id, clientKey(id) + "/", clientKey(id) + "/1",
		clientKey(strings.ToUpper(id)), clientKey(" " + id), "/Client/" + id, "/pk/" + id, "/ipns/" + id, "/providers/" + id,
		clientKey(registry.CID([]byte("another"))), // fault 46
		logKey(m) + "/1", "/log/" + id, "/log/" + m.key.ID() + "=", // not one spelling
		"/log/" + registry.GenerateSigningKey().ID(), // of no member
		"/charter/" + id, "/charter/" + f + "/0", "/charter/" + f + "/01", // another federation, other spellings
		"/charter/" + f + "/-1", "/charter/" + f + "/", "/charter/" + f + "/2", "/charter/" + f + "/9223372036854775808",
		"/client/" + strings.Repeat("b", 4096),
	} {
		for _, value := range [][]byte{client, m.value(logKey(m)), charter} {
			if err := v.Validate(key, value); err == nil {
				t.Errorf("a value was accepted under %.80q", key)
			}
		}
	}
}

// Each prefix and each changed byte of a value is refused, and every other way
// to say the same.
func TestDHTValueForm(t *testing.T) {
	w := newDHTWorld(t, 1)
	m := w.members[0]
	id := m.register("App")
	m.append(update(id))
	m.append(revocation(id, registry.Suspend))
	m.append(revocation(id, registry.Reinstate))
	v := federation.NewReaderValidator(w.federation(), m.Chain())
	for _, key := range []string{clientKey(id), logKey(m), "/charter/" + w.federation()} {
		good := m.value(key)
		if err := v.Validate(key, good); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(good); n += 7 {
			if v.Validate(key, good[:n]) == nil {
				t.Errorf("%s: the first %d of %d bytes are accepted", key, n, len(good))
			}
			bad := bytes.Clone(good)
			if bad[n] ^= 1; v.Validate(key, bad) == nil {
				t.Errorf("%s: accepted with byte %d changed", key, n)
			}
		}
		if strings.HasPrefix(key, "/charter") {
			continue // signed charters have no one spelling; what they say has
		}
		other := map[string][]byte{
			"a space":           append([]byte("{ "), good[1:]...),
			"a byte more":       append(bytes.Clone(good), '\n'),
			"an unknown member": append([]byte(`{"x":1,`), good[1:]...),
			"an escape":         bytes.Replace(good, []byte(`\n`), []byte(`\u000a`), 1),
			"nothing":           nil,
			"null":              []byte("null"),
			"too long":          bytes.Repeat([]byte(" "), 2<<20),
		}
		for name, value := range other {
			if v.Validate(key, value) == nil {
				t.Errorf("%s: accepted with %s", key, name)
			}
		}
	}
	for key, size := range map[string]int{clientKey(id): 600_000, logKey(m): 24_000, "/charter/" + w.federation(): 2 << 20} {
		if err := v.Validate(key, bytes.Repeat([]byte(" "), size)); !errors.Is(err, registry.ErrLimit) {
			t.Errorf("%d bytes under %s: %v", size, key, err)
		}
	}
	if err := federation.NewReaderValidator(w.federation(), nil).Validate(clientKey(id), m.value(clientKey(id))); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a client judged without a charter: %v", err)
	}
}

// document is a client's value for a test to change.
type document struct {
	First        string  `json:"first,omitempty"`
	Registration entry   `json:"registration"`
	Stops        []entry `json:"stops,omitempty"`
	Checkpoint   string  `json:"checkpoint"`
}

type entry struct {
	Record string   `json:"record"`
	Index  *int64   `json:"index,omitempty"`
	Proof  []string `json:"proof,omitempty"`
}

func (d document) encode(t *testing.T) []byte {
	t.Helper()
	slices.SortFunc(d.Stops, func(a, b entry) int {
		return strings.Compare(registry.CID([]byte(a.Record)), registry.CID([]byte(b.Record)))
	})
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func loose(records ...*registry.Record) []entry {
	var all []entry
	for _, r := range records {
		all = append(all, entry{Record: r.Raw})
	}
	return all
}

// What is genuine in itself is refused where it does not belong.
func TestDHTClientRules(t *testing.T) {
	w := newDHTWorld(t, 3)
	home, other := w.members[0], w.members[1]
	id, another := home.register("App"), home.register("Another")
	foreign := other.register("Elsewhere")
	updated := home.append(update(id))
	suspended := home.append(revocation(id, registry.Suspend))
	reinstated := home.append(revocation(id, registry.Reinstate))
	home.append(update(another))
	elsewhere := home.append(revocation(another, registry.Suspend))
	w.share()
	vote := other.append(revocation(id, registry.Revoke))
	suspension := other.append(revocation(id, registry.Suspend))
	sign := func(m *dhtMember, change func(*registry.Revocation)) *registry.Record {
		v := registry.Revocation{
			Claims: registry.Claims{Issuer: m.issuer, IssuedAt: w.now.Unix()}, Client: id, Action: registry.Suspend,
			Reason: "policy", Until: w.now.Unix() + 60, Charter: home.Chain().Latest().CID,
		}
		change(&v)
		r, err := registry.SignRevocation(m.key, v)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	firstOf := func(id string) *registry.Record {
		state, err := home.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return state.First
	}
	stranger := &dhtMember{issuer: "https://stranger.example", key: registry.GenerateSigningKey()}
	var base, second document
	for client, into := range map[string]*document{id: &base, another: &second} {
		if err := json.Unmarshal(home.value(clientKey(client)), into); err != nil {
			t.Fatal(err)
		}
	}
	v := federation.NewReaderValidator(w.federation(), home.Chain())
	for _, test := range []struct {
		name   string
		change func(*document)
		want   error // nil: accepted
	}{
		{"as it was made", func(*document) {}, nil},
		{"no stops", func(d *document) { d.Stops = nil }, nil},
		{"a suspension on its signature", func(d *document) { d.Stops = append(d.Stops, loose(suspended)...) }, nil},
		{"another member's vote and suspension", func(d *document) { d.Stops = append(d.Stops, loose(vote, suspension)...) }, nil},
		{"a reinstatement on its signature", func(d *document) { d.Stops = loose(reinstated) }, registry.ErrForm},
		{"a reinstatement by another member", func(d *document) {
			d.Stops = loose(sign(other, func(v *registry.Revocation) { v.Action, v.Until = registry.Reinstate, 0 }))
		}, registry.ErrForm},
		{"a stop of another client", func(d *document) { d.Stops = loose(elsewhere) }, registry.ErrForm},
		{"a stop by nobody", func(d *document) { d.Stops = loose(sign(stranger, func(*registry.Revocation) {})) }, registry.ErrSignature},
		{"a stop of the home without seq", func(d *document) { d.Stops = loose(sign(home, func(*registry.Revocation) {})) }, registry.ErrForm},
		{"a suspension for ever", func(d *document) {
			d.Stops = loose(sign(other, func(v *registry.Revocation) { v.Until = w.now.Unix() + 30*86400 }))
		}, registry.ErrForm},
		{"by a charter that is not known", func(d *document) {
			d.Stops = loose(sign(other, func(v *registry.Revocation) { v.Charter = id }))
		}, registry.ErrNotFound},
		{"two suspensions of one member", func(d *document) {
			d.Stops = loose(suspension, sign(other, func(*registry.Revocation) {}))
		}, registry.ErrForm},
		{"the same stop twice", func(d *document) { d.Stops = loose(vote, vote) }, registry.ErrForm},
		{"a registration that contradicts nothing", func(d *document) { d.Stops = loose(updated) }, registry.ErrForm},
		{"the first record left out", func(d *document) { d.First = "" }, registry.ErrForm},
		{"a revocation as the registration", func(d *document) { d.Registration.Record = elsewhere.Raw }, registry.ErrForm},
		{"the registration of another client", func(d *document) {
			d.Registration, d.Checkpoint, d.Stops = second.Registration, second.Checkpoint, nil
		}, registry.ErrForm},
		{"a place that is not its own", func(d *document) { *d.Registration.Index++ }, registry.ErrSignature},
		{"the first record of another client", func(d *document) { d.First = firstOf(another).Raw }, registry.ErrForm},
		{"the first record by a thief", func(d *document) {
			r, err := registry.SignRegistration(other.key, *firstOf(id).Registration)
			if err != nil {
				t.Fatal(err)
			}
			d.First = r.Raw
		}, registry.ErrForm},
		{"no place", func(d *document) { d.Registration.Index, d.Registration.Proof = nil, nil }, registry.ErrForm},
		{"a negative place", func(d *document) { *d.Registration.Index = -1 }, registry.ErrForm},
		{"a proof without end", func(d *document) { d.Registration.Proof = make([]string, 100_000) }, registry.ErrForm},
		{"the head of another log", func(d *document) { d.Checkpoint = string(other.head().Raw) }, registry.ErrSignature},
		{"a checkpoint by a thief", func(d *document) {
			c, err := registry.SignCheckpoint(other.key, registry.Origin(home.issuer), 5, registry.EmptyRoot())
			if err != nil {
				t.Fatal(err)
			}
			d.Checkpoint = string(c.Raw)
		}, registry.ErrSignature},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := base
			index := *base.Registration.Index
			d.Registration.Index = &index
			d.Stops = slices.Clone(base.Stops)
			test.change(&d)
			if err := v.Validate(clientKey(id), d.encode(t)); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	unsorted := base
	unsorted.Stops = loose(vote, suspension)
	raw := unsorted.encode(t)
	slices.Reverse(unsorted.Stops)
	if again, err := json.Marshal(unsorted); err != nil || bytes.Equal(raw, again) || v.Validate(clientKey(id), again) == nil {
		t.Errorf("stops in another order are accepted (%v)", err)
	}
	if err := v.Validate(clientKey(foreign), other.value(clientKey(foreign))); err != nil {
		t.Error(err)
	}
}

// values are those of one client through its life, the oldest first, and by a
// reader's choice no older one ever goes before a newer one. A stop is never
// left out by what comes after it.
func TestDHTNeverBack(t *testing.T) {
	w := newDHTWorld(t, 3)
	home, other := w.members[0], w.members[1]
	id := home.register("App")
	key := clientKey(id)
	values := [][]byte{home.value(key)}
	step := func(m *dhtMember, d federation.Draft) {
		w.share()
		m.append(d)
		w.share()
		w.now = w.now.Add(time.Hour)
		values = append(values, home.value(key))
	}
	step(home, update(id))
	step(home, update(id))
	for i, want := range []error{registry.ErrStale, registry.ErrStale, nil} { // of a client that nothing stops, too
		if err := federation.NewDHTValidator(w.members[2].Replica).Validate(key, values[i]); !errors.Is(err, want) {
			t.Errorf("value %d at a member that knows the last: %v", i, err)
		}
	}
	step(other, revocation(id, registry.Suspend))
	w.now = w.now.Add(48 * time.Hour) // it ends by itself
	step(home, update(id))
	step(home, revocation(id, registry.Suspend))
	step(home, revocation(id, registry.Reinstate))
	step(home, update(id))
	step(other, revocation(id, registry.Revoke)) // a vote alone
	step(home, revocation(id, registry.Suspend))
	step(home, revocation(id, registry.Reinstate))
	step(home, revocation(id, registry.Revoke))
	if len(values) != 12 {
		t.Fatalf("%d values", len(values))
	}
	v := federation.NewReaderValidator(w.federation(), home.Chain())
	for i, old := range values {
		for j, newer := range values[i+1:] {
			for _, pair := range [][][]byte{{old, newer}, {newer, old}} {
				best, err := v.Select(key, pair)
				if err != nil || !bytes.Equal(pair[best], newer) {
					t.Errorf("value %d goes before value %d (%v)", i, i+1+j, err)
				}
			}
		}
	}
	// The member that knows all of it neither takes nor keeps an older one.
	member := federation.NewDHTValidator(w.members[2].Replica)
	for i, old := range values[:len(values)-1] {
		if err := member.Validate(key, old); !errors.Is(err, registry.ErrStale) {
			t.Errorf("a member that knows better took value %d: %v", i, err)
		}
	}
	if err := member.Validate(key, values[len(values)-1]); err != nil {
		t.Error(err)
	}
}

// Select is total and does not look at the order: the best of any set, in any
// order, is the same.
func TestDHTSelect(t *testing.T) {
	w := newDHTWorld(t, 2)
	home := w.members[0]
	id := home.register("App")
	key := clientKey(id)
	plain := home.value(key)
	home.register("Makes the log longer")
	longer := home.value(key)
	home.append(update(id))
	renamed := home.value(key)
	home.append(revocation(id, registry.Suspend))
	suspended := home.value(key)
	home.append(revocation(id, registry.Revoke))
	revoked := home.value(key)
	home.register("Makes the log longer still")
	newest := home.value(key)
	ranked := [][]byte{newest, revoked, suspended, renamed, longer, plain}
	junk := [][]byte{nil, []byte("junk"), bytes.Repeat([]byte("x"), 2<<20), home.value(logKey(home))}
	v := federation.NewReaderValidator(w.federation(), home.Chain())
	for first := range ranked {
		set := append(slices.Clone(ranked[first:]), junk...)
		for range len(set) {
			set = append(set[1:], set[0])
			for _, order := range [][][]byte{set, reversed(set)} {
				best, err := v.Select(key, order)
				if err != nil || !bytes.Equal(order[best], ranked[first]) {
					t.Fatalf("of the values from %d on, %.60q was selected (%v)", first, order[best], err)
				}
			}
		}
	}
	if _, err := v.Select(key, junk); err == nil {
		t.Error("something was selected from junk")
	}
	if _, err := v.Select(key, nil); err == nil {
		t.Error("something was selected from nothing")
	}
	// Two spellings of one charter: the winner does not depend on the order.
	charter := home.value("/charter/" + w.federation())
	spaced := append([]byte(" "), charter...)
	for _, order := range [][][]byte{{charter, spaced}, {spaced, charter}} {
		if best, err := v.Select("/charter/"+w.federation(), order); err != nil || !bytes.Equal(order[best], spaced) {
			t.Errorf("of two spellings number %d was selected, %v", best, err)
		}
	}
}

func reversed(values [][]byte) [][]byte {
	values = slices.Clone(values)
	slices.Reverse(values)
	return values
}

// A charter is taken when the version before approves it, whatever else is known.
func TestDHTCharters(t *testing.T) {
	w := newDHTWorld(t, 3)
	m := w.members[0]
	first := m.Chain()
	second := w.amend(first, func(c *registry.Charter) { c.Threshold = 2 })
	third := w.amend(second, nil)
	stripped := w.successor(second, nil, w.members[0])
	rival := w.successor(second, func(c *registry.Charter) { c.Name = "Rival" })
	last := w.successor(third, nil)
	f := w.federation()
	raw := func(c *registry.SignedCharter) []byte { return c.Raw }
	for _, test := range []struct {
		name  string
		chain *registry.Chain // of the reader
		key   string
		value []byte
		want  error
	}{
		{"the first, to who knows nothing", nil, "/1", raw(first.Latest()), nil},
		{"the first of another federation", nil, "/1", raw(newDHTWorld(t, 1).members[0].Chain().Latest()), registry.ErrForm},
		{"the first under the key of the newest", nil, "", raw(first.Latest()), nil},
		{"the second, to who knows nothing", nil, "/2", raw(second.Latest()), registry.ErrNotFound},
		{"the next", first, "/2", raw(second.Latest()), nil},
		{"the one after the next", first, "/3", raw(third.Latest()), registry.ErrNotFound},
		{"an old one", third, "/2", raw(second.Latest()), nil},
		{"under another version's key", third, "/3", raw(second.Latest()), registry.ErrForm},
		{"with too few approvals", second, "/3", raw(stripped), registry.ErrSignature},
		{"a known one, its approvals taken away", third, "/3", raw(stripped), registry.ErrSignature},
		{"a rival", third, "/3", raw(rival), nil}, // for the reader to see that there are two
		{"the next as the newest", third, "", raw(last), nil},
	} {
		err := federation.NewReaderValidator(f, test.chain).Validate("/charter/"+f+test.key, test.value)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
	for _, v := range []int64{2, 3} {
		m.write(federation.Update{Charters: []*registry.SignedCharter{third.Version(v)}})
	}
	m.open()
	member := federation.NewDHTValidator(m.Replica)
	if err := member.Validate("/charter/"+f, raw(second.Latest())); !errors.Is(err, registry.ErrStale) {
		t.Errorf("an old charter as the newest: %v", err)
	}
	if err := member.Validate("/charter/"+f+"/3", raw(rival)); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a rival of the known charter: %v", err)
	}
	if err := member.Validate("/charter/"+f, raw(last)); err != nil {
		t.Errorf("a newer charter than the known one: %v", err)
	}
	newest := [][]byte{raw(second.Latest()), raw(last), raw(third.Latest())}
	if best, err := member.Select("/charter/"+f, newest); err != nil || best != 1 {
		t.Errorf("of versions 2, 4 and 3 number %d was selected, %v", best, err)
	}
}

// A head is taken when it is of the log that the member holds, longer or
// shorter, and the longest goes first. Two histories are refused.
func TestDHTLogs(t *testing.T) {
	w := newDHTWorld(t, 2)
	m := w.members[0]
	key := logKey(m)
	values := [][]byte{m.value(key)}
	for i := range 3 {
		m.register(fmt.Sprint("App ", i))
		values = append(values, m.value(key))
	}
	behind := w.members[1] // holds the first of four entries
	for _, v := range []interface{ Validate(string, []byte) error }{federation.NewDHTValidator(m.Replica), federation.NewDHTValidator(behind.Replica)} {
		for i, value := range values {
			if err := v.Validate(key, value); err != nil {
				t.Errorf("head %d: %v", i, err)
			}
		}
	}
	if best, err := federation.NewDHTValidator(m.Replica).Select(key, values); err != nil || best != 3 {
		t.Errorf("head %d was selected, %v", best, err)
	}
	for size, member := range map[int64]*dhtMember{1: behind, 4: m} {
		fork, err := registry.SignCheckpoint(m.key, registry.Origin(m.issuer), size, registry.LeafHash("another history"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(map[string]string{"checkpoint": string(fork.Raw)})
		if err != nil {
			t.Fatal(err)
		}
		if err := federation.NewDHTValidator(member.Replica).Validate(key, raw); !errors.Is(err, registry.ErrFork) {
			t.Errorf("another history of %d entries: %v", size, err)
		}
	}
}

// A key that the charter has ended signs no log beyond its end, and a log keeps
// its name when the key is another one.
func TestDHTKeyEnded(t *testing.T) {
	w := newDHTWorld(t, 2)
	m := w.members[0]
	id := m.register("App")
	old := m.value(clientKey(id)) // under a checkpoint of two entries
	m.register("Another")
	longer := m.value(clientKey(id)) // of three
	next := registry.GenerateSigningKey()
	chain := w.amend(m.Chain(), func(c *registry.Charter) {
		end := int64(2)
		ended := c.Members[0].Keys[0]
		ended.Until = &end
		c.Members[0].Keys = []registry.MemberKey{ended, {Key: next.JWK(), From: end}}
	}, m, w.members[1], &dhtMember{key: next})
	v := federation.NewReaderValidator(w.federation(), chain)
	if err := v.Validate(clientKey(id), old); err != nil {
		t.Errorf("what the key signed before its end: %v", err)
	}
	if err := v.Validate(clientKey(id), longer); !errors.Is(err, registry.ErrSignature) {
		t.Errorf("a checkpoint by the ended key of more entries than it may sign: %v", err)
	}
	if err := v.Validate("/log/"+next.ID(), m.value(logKey(m))); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a log under its second key: %v", err)
	}

	// A client is not older than the key of its first record.
	for _, key := range []registry.SigningKey{m.key, next} {
		first, err := registry.SignRegistration(key, registry.Registration{
			Claims: registry.Claims{Issuer: m.issuer, IssuedAt: w.now.Unix()}, ClientMetadata: storetest.Metadata("App"),
		})
		if err != nil {
			t.Fatal(err)
		}
		second, err := registry.SignRegistration(m.key, registry.Registration{
			Claims: first.Claims, Client: first.CID, Sequence: 1, Previous: first.CID, ClientMetadata: storetest.Metadata("App"),
		})
		if err != nil {
			t.Fatal(err)
		}
		head, err := registry.SignCheckpoint(m.key, registry.Origin(m.issuer), 1, registry.LeafHash(second.Raw))
		if err != nil {
			t.Fatal(err)
		}
		d := document{First: first.Raw, Registration: entry{Record: second.Raw, Index: new(int64)}, Checkpoint: string(head.Raw)}
		if err := v.Validate(clientKey(first.CID), d.encode(t)); (err == nil) != (key.ID() == m.key.ID()) {
			t.Errorf("a first record by the key %s: %v", key.ID(), err)
		}
	}
}
