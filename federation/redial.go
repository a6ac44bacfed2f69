// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/registry"
)

const (
	// fullMesh is up to how many members each connects to all others; above,
	// to someSay of them.
	fullMesh = 500
	someSay  = 64

	minRedial = 250 * time.Millisecond
	maxRedial = 30 * time.Second
	// yield is how long the one with the greater peer ID waits, so that two
	// that find each other at the same time make one connection.
	yield = 250 * time.Millisecond
	// Broker records are asked for over HTTP so often at most.
	minFetch = 2 * time.Second
	maxFetch = 5 * time.Minute

	// dialLong is when a member is asked where it is while it is still being
	// dialled: a UDP port where nobody is does not say so.
	dialLong = time.Second
	maxDials = 64
)

// attempt is how it went with one member that is not connected.
type attempt struct {
	at              memberPeers // where it was
	failed          int
	next            time.Time
	busy, connected bool

	// Only the attempt that is busy touches these.
	fetched time.Time
	fetch   time.Duration // pause after the last
}

// dialler keeps this node connected to the other members.
type dialler struct {
	*Network
	attempts map[string]*attempt // by issuer; only the loop touches them, but for what is busy
	done     chan string         // issuers whose attempt has ended
	slots    chan struct{}
}

// redial connects to every member that is not connected, again and again.
func (n *Network) redial(ctx context.Context) {
	d := &dialler{Network: n, attempts: map[string]*attempt{}, done: make(chan string), slots: make(chan struct{}, maxDials)}
	busy := 0
	for {
		started, wait := d.round(ctx)
		busy += started
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-n.lost:
		case issuer := <-d.done:
			busy--
			d.attempts[issuer].busy = false
		}
		timer.Stop()
		if ctx.Err() != nil {
			for ; busy > 0; busy-- {
				<-d.done
			}
			return
		}
	}
}

// round starts the attempts that are due, and says when the next one is.
func (d *dialler) round(ctx context.Context) (started int, wait time.Duration) {
	now := time.Now()
	wanted := d.wanted()
	wait = maxRedial
	back := d.settle(wanted, now)
	for _, m := range wanted {
		a := d.attempts[m.issuer]
		if back && a.next.Sub(now) > time.Second {
			a.next = now.Add(jittered(time.Second))
		}
		switch {
		case a.busy, a.connected:
		case now.Before(a.next):
			wait = min(wait, a.next.Sub(now))
		default:
			a.busy = true
			a.failed++
			a.next = now.Add(jittered(d.pause(a.failed, len(wanted))))
			started++
			d.goes(func() { d.attempt(ctx, m.issuer, a) })
		}
	}
	return started, wait
}

// settle notes who is connected. It reports whether somebody is back who had
// been away for long: then a link is up again, and others behind it wait too.
func (d *dialler) settle(wanted []memberPeers, now time.Time) (back bool) {
	for _, m := range wanted {
		a := d.attempts[m.issuer]
		if a == nil {
			a = new(attempt)
			d.attempts[m.issuer] = a
		}
		if !a.busy && (a.next.IsZero() || !sameMember(&a.at, &m)) { // new, or somewhere else
			*a = attempt{at: m, next: now.Add(d.yields(m))}
		}
		// Who takes connections and says nothing on them is dialled as rarely
		// as who takes none.
		if a.connected = d.connected(m); a.connected && d.greeted(m) {
			back = back || a.failed > 2
			a.failed, a.next = 0, now.Add(d.yields(m))
		}
	}
	return back
}

// pause grows with each failure, up to the time in which so many members can
// be dialled without being a load: a federation of three finds a member again
// within the second.
func (d *dialler) pause(failed, members int) time.Duration {
	most := min(max(time.Second, time.Duration(members)*200*time.Millisecond), maxRedial)
	return min(minRedial<<min(failed, 10), most)
}

func (d *dialler) yields(m memberPeers) time.Duration {
	for _, p := range m.peers {
		if d.host.ID() > p.ID {
			return yield
		}
	}
	return 0
}

func (d *dialler) connected(m memberPeers) bool {
	for _, p := range m.peers {
		if d.host.Network().Connectedness(p.ID) != network.Connected {
			return false
		}
	}
	return len(m.peers) > 0
}

// greeted says whether each peer of a member has said what it holds.
func (d *dialler) greeted(m memberPeers) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(m.peers, func(p peer.AddrInfo) bool {
		return d.sessions[p.ID] == nil || !d.sessions[p.ID].greeted
	})
}

// wanted are the members to be connected to.
func (d *dialler) wanted() []memberPeers {
	if own, _ := d.replica.Chain().Member(d.replica.issuer); own.State == registry.MemberExpelled {
		return nil
	}
	return neighbours(d.replica.issuer, d.members.each(), fullMesh, someSay)
}

// neighbours chooses the members that one connects to: all of them up to full,
// else some, by a rule without a memory, so that it finds the same ones again.
func neighbours(own string, all []memberPeers, full, some int) []memberPeers {
	if len(all) <= full {
		return all
	}
	distance := func(m memberPeers) string {
		sum := sha256.Sum256([]byte(min(own, m.issuer) + "\n" + max(own, m.issuer)))
		return string(sum[:])
	}
	near := slices.Clone(all)
	slices.SortFunc(near, func(a, b memberPeers) int { return strings.Compare(distance(a), distance(b)) })
	return near[:some]
}

// attempt dials the peers of a member. When that fails, or takes long, the
// issuer is asked where they are now.
func (d *dialler) attempt(ctx context.Context, issuer string, a *attempt) {
	defer func() { d.done <- issuer }()
	d.slots <- struct{}{}
	defer func() { <-d.slots }()
	m, ok := d.members.at(issuer)
	if !ok {
		return
	}
	dialled := make(chan bool, 1)
	go func() { dialled <- d.dial(ctx, m) }()
	timer := time.NewTimer(dialLong)
	defer timer.Stop()
	select {
	case connected := <-dialled:
		if connected {
			return
		}
		dialled <- false
	case <-timer.C:
	}
	if time.Since(a.fetched) >= a.fetch {
		a.fetched, a.fetch = time.Now(), min(max(minFetch, 2*a.fetch), maxFetch)
		if d.ask(ctx, issuer) {
			if m, ok = d.members.at(issuer); ok {
				d.dial(ctx, m)
			}
		}
	}
	<-dialled
}

// dial connects to each peer of a member, however often that failed before. The
// gater lets it use the addresses of the broker record alone.
func (d *dialler) dial(ctx context.Context, m memberPeers) (connected bool) {
	all := len(m.peers) > 0
	for _, p := range m.peers {
		if d.host.Network().Connectedness(p.ID) == network.Connected {
			continue
		}
		d.host.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.TempAddrTTL)
		if s, ok := d.host.Network().(*swarm.Swarm); ok {
			s.Backoff().Clear(p.ID)
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		err := d.host.Connect(ctx, p)
		cancel()
		if err != nil {
			d.log.Debug("cannot connect", "issuer", m.issuer, "peer", p.ID, "error", err)
			all = false
		}
	}
	return all
}

// ask fetches the broker record of a member from its issuer URL. It reports
// whether that has something new.
func (d *dialler) ask(ctx context.Context, issuer string) bool {
	m, ok := d.members.at(issuer)
	if d.cfg.HTTP == nil || !ok {
		return false
	}
	raw, _, err := guard.Fetch(ctx, d.cfg.HTTP, issuer+"/federation/brokers/"+m.key, registry.MaxRecordBytes)
	if err != nil {
		d.log.Debug("cannot fetch broker record", "issuer", issuer, "error", err)
		return false
	}
	record, err := registry.ParseRecord(raw, registry.KindBroker)
	if err != nil {
		d.log.Warn("no broker record at the issuer", "issuer", issuer, "error", err)
		return false
	}
	return d.members.hint(record)
}
