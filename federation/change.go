// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"math"
	"slices"
	"time"

	"github.com/comity-network/comity/registry"
)

// formerLists is how many stop lists are kept for those who ask for what
// changed since. A site polls every 30 s.
const formerLists = 64

type formerList struct {
	hash string
	list *registry.StopList
}

// announced is what OnChange was last told of.
type announced struct {
	clients map[string]verdict // that are or were stopped
	brokers map[string]registry.BrokerStatus
}

// verdict is what must differ for a change to be told.
type verdict struct {
	status        registry.ClientStatus
	cutoff, least int64
	last          string
	because       int
}

// refold judges everything that can be stopped anew; mu is held. The cache is
// emptied when a broker changed, since that changes its clients.
func (r *Replica) refold(now time.Time) {
	entries := r.entries[:len(r.entries):len(r.entries)]
	for _, about := range r.stops {
		entries = append(entries, about...)
	}
	entries = r.placeForked(entries)
	before := r.state
	r.owners = nil
	r.state = registry.Fold(r.chain, entries, r.forks, now)
	if before != nil && !sameBrokers(before, r.state) {
		r.cache.clear()
		r.generation++
	}
	r.deadline = nextChange(r.state, entries, now.Unix())
	r.relist(r.state.StopList(now))
}

func (r *Replica) relist(list *registry.StopList) {
	hash := list.Hash()
	if r.list != nil && hash == r.listHash {
		return
	}
	r.list, r.listHash, r.restless = list, hash, true
	r.former = append(r.former, formerList{hash, list})
	if len(r.former) > formerLists {
		r.former = r.former[1:]
	}
}

func sameBrokers(a, b *registry.State) bool {
	if len(a.Brokers) != len(b.Brokers) {
		return false
	}
	for issuer, was := range a.Brokers {
		if is, ok := b.Brokers[issuer]; !ok || is.Status != was.Status {
			return false
		}
	}
	return true
}

// nextChange is the first second after now at which time alone changes the
// state or the stop list: a suspension ends, a line is dropped from the list, a
// record of the future arrives.
func nextChange(state *registry.State, entries []registry.Entry, now int64) int64 {
	next := int64(math.MaxInt64)
	at := func(t int64) {
		if t > now && t < next {
			next = t
		}
	}
	for _, e := range entries {
		at(e.Record.IssuedAt - int64(registry.MaxAhead/time.Second))
		if e.Record.Revocation != nil {
			at(e.Record.Revocation.Until)
		}
	}
	for _, c := range state.Clients {
		at(c.Cutoff + int64(registry.ListedFor/time.Second))
		at(c.CompromisedAt + int64(registry.ListedFor/time.Second))
	}
	return next
}

// announce tells OnChange how the state differs from what it was told, and of
// the changes in also unless those are among them. writing is held, so that
// changes are told in order.
func (r *Replica) announce(also ...Change) {
	if r.announced.clients == nil {
		r.announced = announced{clients: map[string]verdict{}, brokers: map[string]registry.BrokerStatus{}}
	}
	r.mu.RLock()
	changes := append(r.changedBrokers(), r.changedClients()...)
	r.mu.RUnlock()
	for _, a := range also {
		same := func(c Change) bool { return c.Client == a.Client && c.Broker == a.Broker }
		if !slices.ContainsFunc(changes, same) {
			changes = append(changes, a)
		}
	}
	for _, c := range changes {
		r.onChange(c)
	}
}

func (r *Replica) changedBrokers() []Change {
	var changes []Change
	for issuer, b := range r.state.Brokers {
		was, known := r.announced.brokers[issuer]
		r.announced.brokers[issuer] = b.Status
		stopped := b.Status != registry.BrokerActive
		if was != b.Status && (known || stopped) {
			changes = append(changes, Change{Broker: issuer, Stopped: stopped, Enabled: !stopped})
		}
	}
	return changes
}

func (r *Replica) changedClients() []Change {
	var changes []Change
	for id, state := range r.state.Clients {
		was, known := r.announced.clients[id]
		is := verdict{state.Status, state.Cutoff, state.LeastSequence, state.Last, len(state.Because)}
		r.announced.clients[id] = is
		stopped := state.Status != registry.ClientActive
		if is == was || !known && !stopped {
			continue
		}
		enabled := !stopped && was.status != registry.ClientActive
		if enabled {
			state.Because = r.reinstatement(id, state.Last)
		}
		changes = append(changes, Change{Client: id, State: state, Stopped: stopped, Enabled: enabled})
	}
	return changes
}

// reinstatement is the record with that CID, if it is what brought the client
// back; a suspension that ends by itself ends without one.
func (r *Replica) reinstatement(client, cid string) []*registry.Record {
	for _, e := range r.stops[client] {
		if v := e.Record.Revocation; v != nil && v.Action == registry.Reinstate && e.Record.CID == cid {
			return []*registry.Record{e.Record}
		}
	}
	return nil
}

// wake makes Run look again soon.
func (r *Replica) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}
