// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/registry"
)

// members knows which peers belong to the other members of the federation, and
// where they are. It follows the charter and the newest broker records: the
// one in the verified log, or a later one that the member handed out itself
// (over HTTP, or when it connected) and signed with its current key. That later
// one is believed about peers and addresses only, and never stored.
type members struct {
	replica *Replica
	own     string // peer ID
	policy  addressPolicy
	log     *slog.Logger

	mu    sync.RWMutex
	chain *registry.Chain             // that the rest follows from
	known map[string]*registry.Record // likewise, by issuer
	hints map[string]*registry.Record // by issuer
	all   map[string]*memberPeers     // by issuer, without this broker and the expelled
	peers map[peer.ID][]string        // the issuers that name a peer
}

// memberPeers is where one member is.
type memberPeers struct {
	issuer string
	key    string // thumbprint of the current record key
	peers  []peer.AddrInfo
}

func newMembers(r *Replica, own string, policy addressPolicy, log *slog.Logger) *members {
	m := &members{replica: r, own: own, policy: policy, log: log, hints: map[string]*registry.Record{}}
	m.update()
	return m
}

// update reads the charter and the broker records anew. It reports whether
// there was a change.
func (m *members) update() bool {
	chain := m.replica.Chain()
	records := m.replica.brokerRecords()
	m.mu.Lock()
	defer m.mu.Unlock()
	for issuer, hint := range m.hints {
		records[issuer] = newer(records[issuer], hint)
	}
	if chain == m.chain && maps.Equal(records, m.known) {
		return false
	}
	m.chain, m.known = chain, records
	all, peers := map[string]*memberPeers{}, map[peer.ID][]string{}
	for _, member := range chain.Latest().Members {
		if member.Issuer == m.replica.issuer || member.State == registry.MemberExpelled {
			continue
		}
		at := &memberPeers{issuer: member.Issuer, key: member.Keys[len(member.Keys)-1].Key.KeyID, peers: m.addresses(records[member.Issuer])}
		all[member.Issuer] = at
		for _, p := range at.peers {
			peers[p.ID] = append(peers[p.ID], member.Issuer)
		}
	}
	changed := !maps.EqualFunc(all, m.all, sameMember)
	m.all, m.peers = all, peers
	return changed
}

// newer chooses between what a log says and what the member handed out. Of two
// from one second it is the latter: a log is never ahead of its broker.
func newer(log, handed *registry.Record) *registry.Record {
	if log == nil || handed.IssuedAt >= log.IssuedAt {
		return handed
	}
	return log
}

func sameMember(a, b *memberPeers) bool {
	same := func(x, y peer.AddrInfo) bool {
		return x.ID == y.ID && slices.EqualFunc(x.Addrs, y.Addrs, ma.Multiaddr.Equal)
	}
	return a.key == b.key && slices.EqualFunc(a.peers, b.peers, same)
}

// addresses reads the peers of a broker record. What cannot be used is left out.
func (m *members) addresses(record *registry.Record) []peer.AddrInfo {
	if record == nil {
		return nil
	}
	var peers []peer.AddrInfo
	for _, p := range record.Broker.Peers {
		id, err := peer.Decode(p.ID)
		if err != nil || p.ID == m.own {
			continue
		}
		at := peer.AddrInfo{ID: id}
		for _, s := range p.Addresses {
			if a, err := ma.NewMultiaddr(s); err == nil && m.policy.dials(a) == nil {
				at.Addrs = append(at.Addrs, a)
			}
		}
		peers = append(peers, at)
	}
	return peers
}

// hint takes a broker record that did not come through a log. It reports
// whether it says something new.
func (m *members) hint(record *registry.Record) bool {
	if record.Broker == nil || !m.later(record) || record.IssuedAt > m.replica.now().Add(registry.MaxAhead).Unix() {
		return false
	}
	key, ok := m.replica.Chain().CurrentKey(record.Issuer)
	if !ok || record.Verify(key) != nil {
		return false
	}
	m.mu.Lock()
	m.hints[record.Issuer] = record
	m.mu.Unlock()
	return m.update()
}

// later says whether a broker record is another than the one that is known, and
// not older.
func (m *members) later(record *registry.Record) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	known := m.known[record.Issuer]
	return known == nil || record.IssuedAt >= known.IssuedAt && record.Raw != known.Raw
}

// has says whether a peer is one of a member's, and of this one if an issuer
// is given.
func (m *members) has(id peer.ID, issuer string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	issuers := m.peers[id]
	return len(issuers) > 0 && (issuer == "" || slices.Contains(issuers, issuer))
}

// issuers are the members that name a peer.
func (m *members) issuers(id peer.ID) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.peers[id]
}

// at says where a member is.
func (m *members) at(issuer string) (memberPeers, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if at := m.all[issuer]; at != nil {
		return *at, true
	}
	return memberPeers{}, false
}

// each returns all other members that were not expelled, by issuer.
func (m *members) each() []memberPeers {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []memberPeers
	for _, issuer := range slices.Sorted(maps.Keys(m.all)) {
		all = append(all, *m.all[issuer])
	}
	return all
}

func (m *members) list() []Peer {
	var peers []Peer
	for _, member := range m.each() {
		for _, p := range member.peers {
			peers = append(peers, Peer{ID: p.ID.String(), Issuer: member.issuer})
		}
	}
	return peers
}

// dials says whether an address may be dialled to reach a peer: one that its
// broker record names, directly or by a name that was looked up.
func (m *members) dials(id peer.ID, a ma.Multiaddr) bool {
	if m.policy.dials(a) != nil {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, issuer := range m.peers[id] {
		for _, p := range m.all[issuer].peers {
			if p.ID == id && slices.ContainsFunc(p.Addrs, func(known ma.Multiaddr) bool { return covers(known, a) }) {
				return true
			}
		}
	}
	return false
}
