// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	record "github.com/libp2p/go-libp2p-record"
	recpb "github.com/libp2p/go-libp2p-record/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// anything is the validator of a peer that does not care.
type anything struct{}

func (anything) Validate(string, []byte) error        { return nil }
func (anything) Select(string, [][]byte) (int, error) { return 0, nil }

// stranger is a peer of nobody that speaks the protocol by hand.
type stranger struct {
	t   testing.TB
	dht *dht.IpfsDHT
}

func (w *dhtWorld) stranger() *stranger {
	w.t.Helper()
	h := w.host(newPeerKey(w.t))
	d, err := dht.New(h, dht.Mode(dht.ModeClient), dht.Validator(anything{}), dht.DisableProviders(),
		dht.ProtocolPrefix(protocol.ID("/comity/"+w.federation())))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { d.Close() })
	for _, m := range w.members {
		w.connect(h, m.host)
	}
	return &stranger{w.t, d}
}

// ask sends one message to a member and returns its answer.
func (s *stranger) ask(to *dhtMember, kind pb.Message_MessageType, key string, value []byte) (*pb.Message, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	m := pb.NewMessage(kind, []byte(key), 0)
	if kind == pb.Message_PUT_VALUE {
		m.Record = record.MakePutRecord(key, value)
	}
	return s.dht.MessageSender().SendRequest(ctx, to.host.ID(), m)
}

// read is what a member hands out under a key; nil: nothing.
func (s *stranger) read(from *dhtMember, key string) []byte {
	s.t.Helper()
	answer, err := s.ask(from, pb.Message_GET_VALUE, key, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.GetRecord().GetValue()
}

// put is whether a member took a value.
func (s *stranger) put(to *dhtMember, key string, value []byte) bool {
	_, err := s.ask(to, pb.Message_PUT_VALUE, key, value)
	return err == nil
}

// rewrite changes what a member has on its disk.
func (m *dhtMember) rewrite(change func(*recpb.Record)) {
	m.w.t.Helper()
	results, err := m.data.Query(m.w.t.Context(), query.Query{})
	if err != nil {
		m.w.t.Fatal(err)
	}
	entries, err := results.Rest()
	if err != nil || len(entries) == 0 {
		m.w.t.Fatalf("%d stored values, %v", len(entries), err)
	}
	for _, e := range entries {
		r := new(recpb.Record)
		if err := proto.Unmarshal(e.Value, r); err != nil {
			m.w.t.Fatal(err)
		}
		change(r)
		raw, err := proto.Marshal(r)
		if err == nil {
			err = m.data.Put(m.w.t.Context(), datastore.RawKey(e.Key), raw)
		}
		if err != nil {
			m.w.t.Fatal(err)
		}
	}
}

// Six members on one machine, with loopback addresses: the default mode, the
// filters for public addresses, and the one for the diversity of addresses
// would leave the routing tables empty, or with three peers.
func TestDHTOneMachine(t *testing.T) {
	w := (&dhtWorld{t: t, loopback: true}).populate(6)
	w.start() // waits for full tables
	home := w.members[0]
	id := home.register("App")
	if err := home.dir.Put(t.Context(), clientKey(id)); err != nil {
		t.Fatal(err)
	}
	for _, m := range w.members {
		if mode := m.dir.DHT().Mode(); mode != dht.ModeServer {
			t.Errorf("a member's mode is %v", mode)
		}
		if !m.dir.Holds(t.Context(), clientKey(id)) {
			t.Errorf("%s does not hold what was put", m.issuer)
		}
	}
}

// A broker that is no active member serves nothing.
func TestDHTServersAreMembers(t *testing.T) {
	w := newDHTWorld(t, 3)
	out := w.members[2]
	next := w.amend(out.Chain(), func(c *registry.Charter) { c.Members[2].State = registry.MemberSuspended })
	out.write(federation.Update{Charters: []*registry.SignedCharter{next.Latest()}})
	out.open()
	out.join()
	if mode := out.dir.DHT().Mode(); mode != dht.ModeClient {
		t.Errorf("the mode of a suspended member is %v", mode)
	}
}

// Nothing expires: after the 48 hours of the default a newer value would be
// dropped, and the older one could take its place.
func TestDHTRecordAge(t *testing.T) {
	w := newDHTWorld(t, 2)
	home, keeper := w.members[0], w.members[1] // the keeper's replica knows nothing of the client
	id := home.register("App")
	older := home.value(clientKey(id))
	home.append(revocation(id, registry.Revoke))
	newer := home.value(clientKey(id))
	w.start()
	s := w.stranger()
	if !s.put(keeper, clientKey(id), newer) {
		t.Fatal("the put was refused")
	}
	keeper.rewrite(func(r *recpb.Record) { r.TimeReceived = "2001-02-03T04:05:06Z" })
	if got := s.read(keeper, clientKey(id)); !bytes.Equal(got, newer) {
		t.Errorf("after 25 years the member has %.60q", got)
	}
	if s.put(keeper, clientKey(id), older) {
		t.Error("an older value was accepted")
	}
	if got := s.read(keeper, clientKey(id)); !bytes.Equal(got, newer) {
		t.Errorf("after a put of the older value the member has %.60q", got)
	}
}

// What was stored is judged again each time: damage, and values that the
// replica has overtaken, are not handed out.
func TestDHTLocalValuesAreJudged(t *testing.T) {
	w := newDHTWorld(t, 3)
	home, keeper := w.members[0], w.members[1]
	id := home.register("App")
	key := clientKey(id)
	w.start()
	s := w.stranger()
	before := home.value(key)
	for _, m := range []*dhtMember{home, keeper} {
		if !s.put(m, key, before) {
			t.Fatal("the put was refused")
		}
	}
	home.append(revocation(id, registry.Revoke))
	if got := s.read(home, key); !bytes.Equal(got, home.value(key)) {
		t.Errorf("the home, which has revoked the client, hands out %.60q", got)
	}
	keeper.rewrite(func(r *recpb.Record) { r.Value[len(r.Value)/2] ^= 1 })
	if got := s.read(keeper, key); got != nil {
		t.Errorf("a damaged value is handed out: %.60q", got)
	}
	if keeper.dir.Holds(t.Context(), key) {
		t.Error("a damaged value counts as held")
	}
	if !s.put(keeper, key, before) || !bytes.Equal(s.read(keeper, key), before) {
		t.Error("a damaged value is in the way of a good one")
	}
	keeper.rewrite(func(r *recpb.Record) { r.Key = []byte(clientKey(registry.CID([]byte("another")))) })
	if got := s.read(keeper, key); got != nil {
		t.Errorf("a value of another key is handed out: %.60q", got)
	}
}

// Only what this federation needs is spoken: no providers, no values of other
// kinds, no protocol of a public network.
func TestDHTNothingElse(t *testing.T) {
	w := newDHTWorld(t, 2)
	w.start()
	s, m := w.stranger(), w.members[0]
	for _, kind := range []pb.Message_MessageType{pb.Message_ADD_PROVIDER, pb.Message_GET_PROVIDERS} {
		if _, err := s.ask(m, kind, "key", nil); err == nil {
			t.Errorf("%s is answered", kind)
		}
	}
	for _, key := range []string{"/pk/" + string(m.host.ID()), "/ipns/" + string(m.host.ID()), "/x/y", "key"} {
		if s.put(m, key, []byte("value")) {
			t.Errorf("a value was taken under %q", key)
		}
	}
	for _, p := range m.host.Mux().Protocols() {
		if strings.Contains(string(p), "/kad/") && p != w.protocol() {
			t.Errorf("the host speaks %s", p)
		}
	}
}

// Who leaves a federation answers no more for it.
func TestDHTClose(t *testing.T) {
	w := newDHTWorld(t, 2)
	w.start()
	s, m := w.stranger(), w.members[0]
	if s.read(m, "/charter/"+w.federation()) == nil {
		t.Fatal("no answer before")
	}
	m.leave()
	if _, err := s.ask(m, pb.Message_GET_VALUE, "/charter/"+w.federation(), nil); err == nil {
		t.Error("a closed directory answers")
	}
}

// refuser is a member's peer that refuses every put, and notes them.
type refuser struct {
	mu   sync.Mutex
	puts []string // keys
}

func (r *refuser) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.puts, key)
}

func (r *refuser) serve(stream network.Stream) {
	reader := msgio.NewVarintReaderSize(stream, network.MessageSizeMax)
	for {
		raw, err := reader.ReadMsg()
		if err != nil {
			stream.Reset()
			return
		}
		var m pb.Message
		if proto.Unmarshal(raw, &m) != nil || m.GetType() == pb.Message_PUT_VALUE {
			r.mu.Lock()
			r.puts = append(r.puts, string(m.GetKey()))
			r.mu.Unlock()
			stream.Reset()
			return
		}
		answer, err := proto.Marshal(pb.NewMessage(m.GetType(), m.GetKey(), 0))
		if err != nil || msgio.NewVarintWriter(stream).WriteMsg(answer) != nil {
			return
		}
	}
}

// A put returns nil when every peer refuses it. So it is no acknowledgement,
// and a Directory has none to give: its putting returns nothing. (What others
// in the package may see of it, TestDHTDecidesNothing checks.)
func TestDHTPutSaysNothing(t *testing.T) {
	w := newDHTWorld(t, 3)
	home := w.members[0]
	id := home.register("App")
	refusers := []*refuser{{}, {}}
	home.join()
	for i, m := range w.members[1:] {
		m.host.SetStreamHandler(w.protocol(), refusers[i].serve)
		w.connect(home.host, m.host)
	}
	eventually(t, "the refusers are in the routing table", func() bool { return home.dir.DHT().RoutingTable().Size() == 2 })
	if err := home.dir.DHT().PutValue(t.Context(), clientKey(id), home.value(clientKey(id))); err != nil {
		t.Fatalf("the trap is gone: a put that all refuse now says %v", err)
	}
	for i, r := range refusers {
		if !r.has(clientKey(id)) {
			t.Errorf("refuser %d was not asked", i)
		}
	}
	// Nor does it say that a value is too long to be sent; the validator does.
	if err := home.dir.DHT().PutValue(t.Context(), clientKey(id), bytes.Repeat([]byte("x"), 5<<20)); err == nil {
		t.Error("a put of 5 MiB says nil")
	}
}

// The DHT asks the filter when it lets a peer into its table and never again;
// who is expelled is put out by Enforce, and by Run.
func TestDHTExpelled(t *testing.T) {
	w := newDHTWorld(t, 4)
	w.start()
	m, out := w.members[0], w.members[3].host.ID()
	w.expelled.Store(w.members[3])
	// What has passed the filter before may come in after the first time.
	eventually(t, "the expelled member's peer is out of the routing table, and the two others are in", func() bool {
		m.dir.Enforce()
		table := m.dir.DHT().RoutingTable()
		return table.Find(out) == "" && table.Size() == 2
	})
	// And it does not come back by what others say, once what had passed the
	// filter before is in.
	for range 2 {
		m.dir.Enforce()
		if _, err := m.dir.DHT().GetClosestPeers(t.Context(), "anything"); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.dir.DHT().RoutingTable().Find(out); got != "" {
		t.Error("an expelled member's peer came back")
	}
	w.expelled.Store(w.members[2])
	m.run()
	next := w.members[2].host.ID()
	eventually(t, "the next one is put out", func() bool { return m.dir.DHT().RoutingTable().Find(next) == "" })
}

// After a restart a member has what it held, although its replica does not know
// it and whoever put it is gone. (That the datastore survives the process, the
// tests of the database show.)
func TestDHTRestart(t *testing.T) {
	w := newDHTWorld(t, 2)
	home, keeper := w.members[0], w.members[1]
	id := home.register("App")
	w.start()
	for _, key := range []string{clientKey(id), logKey(home)} {
		if err := home.dir.Put(t.Context(), key); err != nil || !keeper.dir.Holds(t.Context(), key) {
			t.Fatalf("the keeper does not hold %s, %v", key, err)
		}
	}
	home.leave()
	home.host.Close()
	keeper.leave()
	keeper.host.Close()
	if _, err := keeper.Client(t.Context(), id); !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("the keeper's replica knows the client: %v", err)
	}
	keeper.host = w.host(newPeerKey(t))
	keeper.open()
	keeper.join()
	r, err := w.reader(func(cfg *federation.LightReaderConfig) {
		cfg.Peers = []peer.AddrInfo{{ID: keeper.host.ID(), Addrs: keeper.host.Addrs()}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := r.Client(t.Context(), id); err != nil || s.Registration.CID != id {
		t.Errorf("after the restart: %+v, %v", s, err)
	}
}

// There is no republisher in the DHT. Ours puts what changed at once,
// everything once in a while, and what somebody asked for.
func TestDHTRepublish(t *testing.T) {
	w := newDHTWorld(t, 3)
	w.configure = func(cfg *federation.DirectoryConfig) { cfg.Republish = 200 * time.Millisecond }
	home, keeper := w.members[0], w.members[1]
	id := home.register("Was there before")
	w.start()
	home.run()
	eventually(t, "what was there before is put", func() bool { return keeper.dir.Holds(t.Context(), clientKey(id)) })
	changed := home.register("New")
	eventually(t, "what is new is put", func() bool { return keeper.dir.Holds(t.Context(), clientKey(changed)) })
	if err := clearAll(t.Context(), keeper.data); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{clientKey(id), clientKey(changed), logKey(home), "/charter/" + w.federation()} {
		eventually(t, key+" is put again", func() bool { return keeper.dir.Holds(t.Context(), key) })
	}
}

// The head of the own log follows its growth, soon.
func TestDHTHead(t *testing.T) {
	w := newDHTWorld(t, 2)
	home, keeper := w.members[0], w.members[1]
	w.start()
	home.run()
	s := w.stranger()
	for range 3 {
		home.register("App")
		eventually(t, "the new head is put", func() bool {
			return bytes.Equal(s.read(keeper, logKey(home)), home.value(logKey(home)))
		})
	}
}

// A restart puts nothing again that was put before.
func TestDHTRestartIsQuiet(t *testing.T) {
	w := newDHTWorld(t, 2)
	home, other := w.members[0], &refuser{}
	w.members[1].host.SetStreamHandler(w.protocol(), other.serve)
	w.connect(home.host, w.members[1].host)
	old := home.register("Old")
	start := func() {
		home.join()
		eventually(t, "the other is in the routing table", func() bool { return home.dir.DHT().RoutingTable().Size() == 1 })
		home.run()
	}
	start()
	eventually(t, "the client is put", func() bool { return other.has(clientKey(old)) })
	home.leave()
	other.mu.Lock()
	other.puts = nil
	other.mu.Unlock()
	start()
	for range 3 {
		id := home.register("New")
		eventually(t, "the new one is put", func() bool { return other.has(clientKey(id)) })
	}
	if other.has(clientKey(old)) {
		t.Error("the old one was put again")
	}
}

func clearAll(ctx context.Context, d datastore.Datastore) error {
	results, err := d.Query(ctx, query.Query{KeysOnly: true})
	if err != nil {
		return err
	}
	entries, err := results.Rest()
	for _, e := range entries {
		if err == nil {
			err = d.Delete(ctx, datastore.RawKey(e.Key))
		}
	}
	return err
}

// A member that is asked for what it knows and does not hold answers all the
// same, and puts it where others will look.
func TestDHTAsked(t *testing.T) {
	w := newDHTWorld(t, 4)
	home, asked := w.members[0], w.members[1]
	id := home.register("App")
	w.share()
	w.start()
	asked.run()
	s := w.stranger()
	for _, key := range []string{clientKey(id), logKey(home), "/charter/" + w.federation() + "/1"} {
		if got := s.read(asked, key); !bytes.Equal(got, asked.value(key)) {
			t.Errorf("asked for %s, the member answers %.60q", key, got)
		}
		for _, m := range w.members {
			eventually(t, m.issuer+" holds it", func() bool { return m.dir.Holds(t.Context(), key) })
		}
	}
	for _, key := range []string{clientKey(registry.CID([]byte("nobody"))), "/log/" + registry.GenerateSigningKey().ID(), "/charter/" + w.federation() + "/7"} {
		if got := s.read(asked, key); got != nil {
			t.Errorf("asked for %s, the member answers %.60q", key, got)
		}
	}
}

// Puts keep their distance, however much there is to put.
func TestDHTRate(t *testing.T) {
	w := newDHTWorld(t, 2)
	w.configure = func(cfg *federation.DirectoryConfig) { cfg.Every = 20 * time.Millisecond }
	home := w.members[0]
	var keys []string
	for range 10 {
		keys = append(keys, clientKey(home.register("App")))
	}
	w.start()
	begin := time.Now()
	home.run()
	for _, key := range keys {
		eventually(t, "all is put", func() bool { return w.members[1].dir.Holds(t.Context(), key) })
	}
	if took := time.Since(begin); took < 180*time.Millisecond {
		t.Errorf("ten puts in %v, of which each two are 20 ms apart", took)
	}
}

// countingDatastore counts what is written.
type countingDatastore struct {
	datastore.Batching
	mu   sync.Mutex
	puts int
}

func (d *countingDatastore) Put(ctx context.Context, key datastore.Key, value []byte) error {
	d.mu.Lock()
	d.puts++
	d.mu.Unlock()
	return d.Batching.Put(ctx, key, value)
}

// Anybody may send puts. The same again costs no write, nor does the same in
// another spelling, where there is one.
func TestDHTWrites(t *testing.T) {
	w := newDHTWorld(t, 2)
	home, keeper := w.members[0], w.members[1]
	id := home.register("App")
	count := &countingDatastore{Batching: keeper.data}
	keeper.data = count
	w.start()
	s := w.stranger()
	charter := home.value("/charter/" + w.federation())
	for i := range 20 {
		if !s.put(keeper, clientKey(id), home.value(clientKey(id))) {
			t.Fatal("the put was refused")
		}
		s.put(keeper, "/charter/"+w.federation(), append(bytes.Repeat([]byte(" "), i), charter...))
	}
	if count.puts != 2 {
		t.Errorf("40 puts of two values were %d writes", count.puts)
	}
}

// The DHT is one of three ways in, and ends where the others do: what a value
// shows and the replica lacks is handed to Accept.
func TestDHTAccept(t *testing.T) {
	w := newDHTWorld(t, 3)
	home, keeper, third := w.members[0], w.members[1], w.members[2]
	id := home.register("App")
	w.share()
	w.start()
	keeper.run()
	third.run()
	home.append(revocation(id, registry.Revoke))
	s := w.stranger()
	if !s.put(keeper, clientKey(id), home.value(clientKey(id))) {
		t.Fatal("the put was refused")
	}
	eventually(t, "the keeper's replica knows of the revocation", func() bool {
		state, err := keeper.Client(t.Context(), id)
		return err == nil && state.Status == registry.ClientRevoked
	})
	fork, err := registry.SignCheckpoint(home.key, registry.Origin(home.issuer), 2, registry.LeafHash("another history"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]string{"checkpoint": string(fork.Raw)})
	if err != nil {
		t.Fatal(err)
	}
	if s.put(third, logKey(home), raw) {
		t.Error("a head of another history was taken")
	}
	eventually(t, "the fork is known", func() bool { return third.BrokerStatus(home.issuer) == registry.BrokerForked })
	next := w.amend(third.Chain(), nil)
	if !s.put(third, "/charter/"+w.federation()+"/2", next.Latest().Raw) {
		t.Fatal("the next charter was refused")
	}
	eventually(t, "the next charter is known", func() bool { return third.Chain().Latest().Version == 2 })
}
