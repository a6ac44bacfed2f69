// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"testing"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

const (
	sybils     = 40
	sybilWorld = 8 // members
)

// distance is where a peer stands from a key, as the DHT counts.
func distance(p peer.ID, key string) []byte {
	a, b := sha256.Sum256([]byte(p)), sha256.Sum256([]byte(key))
	for i := range a {
		a[i] ^= b[i]
	}
	return a[:]
}

// sybil is a peer of nobody that speaks the protocol of the DHT: it answers
// each question with the value that it was given, names its like as the
// closest peers, and says yes to every put and forgets it.
type sybil struct {
	host  host.Host
	value []byte
	like  []pb.Message_Peer
	asked *atomic.Int64 // requests to any of them
}

func (s *sybil) serve(stream network.Stream) {
	defer stream.Close()
	reader := msgio.NewVarintReaderSize(stream, network.MessageSizeMax)
	writer := msgio.NewVarintWriter(stream)
	for {
		raw, err := reader.ReadMsg()
		if err != nil {
			return
		}
		var m pb.Message
		err = proto.Unmarshal(raw, &m)
		reader.ReleaseMsg(raw)
		if err != nil {
			return
		}
		s.asked.Add(1)
		answer := pb.NewMessage(m.GetType(), m.GetKey(), 0)
		switch m.GetType() {
		case pb.Message_PUT_VALUE:
			answer = &m
		case pb.Message_GET_VALUE:
			answer.Record = record.MakePutRecord(string(m.GetKey()), s.value)
		}
		for i := range s.like {
			answer.CloserPeers = append(answer.CloserPeers, &s.like[i])
		}
		if raw, err = proto.Marshal(answer); err != nil || writer.WriteMsg(raw) != nil {
			return
		}
	}
}

// grind makes peers that are closer to a key than all members, until each of
// them is: the cost of that is the whole cost of the attack.
func (w *dhtWorld) grind(key string, n int, value []byte) []*sybil {
	var nearest []byte
	for _, m := range w.members {
		if d := distance(m.host.ID(), key); nearest == nil || bytes.Compare(d, nearest) < 0 {
			nearest = d
		}
	}
	var all []*sybil
	asked := new(atomic.Int64)
	for len(all) < n {
		private := newPeerKey(w.t)
		parsed, err := crypto.UnmarshalEd25519PrivateKey(private)
		if err != nil {
			w.t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(parsed)
		if err != nil {
			w.t.Fatal(err)
		}
		if bytes.Compare(distance(id, key), nearest) < 0 {
			all = append(all, &sybil{host: w.host(private), value: value, asked: asked})
		}
	}
	for _, s := range all {
		for _, other := range all {
			if other != s {
				s.like = append(s.like, pb.Message_Peer{Id: []byte(other.host.ID()), Addrs: [][]byte{other.host.Addrs()[0].Bytes()}})
			}
		}
		s.host.SetStreamHandler(w.protocol(), s.serve)
	}
	return all
}

// TestFault53Sybils: 40 peers that stand next to the key of a client change
// nothing, although they connect to everybody and one member's peer names them
// to all who ask it: they are not asked at all, and nobody reads other values
// than without them. Without the member filter the same 40 hide a revocation
// from most, while the put of it says that all went well.
func TestFault53Sybils(t *testing.T) {
	for _, filtered := range []bool{true, false} {
		t.Run(map[bool]string{true: "filtered", false: "unfiltered"}[filtered], func(t *testing.T) {
			w := newDHTWorld(t, sybilWorld)
			w.anybody = !filtered
			home := w.members[0]
			id := home.register("App")
			key := clientKey(id)
			before := home.value(key)
			crowd := w.grind(key, sybils, before)
			traitor := w.members[sybilWorld-1]
			honest := w.members[:sybilWorld-1]
			traitor.host.SetStreamHandler(w.protocol(), (&sybil{value: before, like: crowd[0].like, asked: new(atomic.Int64)}).serve)
			for _, m := range honest {
				m.join()
			}
			for i, m := range w.members {
				for _, s := range crowd {
					w.connect(s.host, m.host)
				}
				for _, other := range w.members[:i] {
					w.connect(m.host, other.host)
				}
			}
			for _, m := range honest {
				eventually(t, "the routing tables are full", func() bool { return w.settled(m, key, crowd, filtered) })
			}
			home.append(revocation(id, registry.Revoke))
			if err := home.dir.DHT().PutValue(t.Context(), key, home.value(key)); err != nil {
				t.Fatalf("the put failed: %v", err)
			}
			deceived := 0
			for _, m := range honest[1:] {
				value, err := m.dir.DHT().GetValue(t.Context(), key, dht.Quorum(0))
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(value, before) {
					deceived++
				}
			}
			if filtered && deceived > 0 || !filtered && 2*deceived <= len(honest)-1 {
				t.Errorf("%d of %d members read the revoked client as registered", deceived, len(honest)-1)
			}
			t.Logf("%d of %d members deceived", deceived, len(honest)-1)
			if filtered {
				w.checkReader(id, honest)
				if n := crowd[0].asked.Load(); n > 0 {
					t.Errorf("the crowd was sent %d requests", n)
				}
			}
		})
	}
}

// settled: with the filter all members and no other peer; without it the crowd
// stands between the member and the key.
func (w *dhtWorld) settled(m *dhtMember, key string, crowd []*sybil, filtered bool) bool {
	ours := func(p peer.ID) bool {
		return !slices.ContainsFunc(crowd, func(s *sybil) bool { return s.host.ID() == p })
	}
	table := m.dir.DHT().RoutingTable()
	if filtered {
		return table.Size() == len(w.members)-1 && !slices.ContainsFunc(table.ListPeers(), func(p peer.ID) bool { return !ours(p) })
	}
	nearest := table.NearestPeers(kbucket.ConvertKey(key), 10)
	return len(nearest) == 10 && !slices.ContainsFunc(nearest, ours)
}

// checkReader: a light reader that is shown the crowd, too, reads the
// revocation.
func (w *dhtWorld) checkReader(id string, honest []*dhtMember) {
	t := w.t
	for _, m := range honest {
		if err := m.dir.Put(t.Context(), logKey(m)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"", "/1"} {
		if err := w.members[0].dir.Put(t.Context(), "/charter/"+w.federation()+key); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.reader(func(cfg *federation.LightReaderConfig) {
		for _, p := range w.net.Peers() {
			if p != cfg.Host.ID() {
				w.connect(cfg.Host, w.net.Host(p))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Stopped(r.Chain(), w.now)) != 1 {
		t.Error("the light reader did not learn of the revocation")
	}
}
