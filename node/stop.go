// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// How long a stop is watched. Members and sites that are slower get it all the
// same: by sync, and from the outbox.
const (
	memberWait = 10 * time.Second // for the members that are online, while they answer: see silence
	siteWait   = 2 * time.Second  // for the sites, after all members
	sitePoll   = 10 * time.Millisecond
)

// StopApp implements admin.Operations.
func (n *Node) StopApp(ctx context.Context, stop admin.Stop, progress func(admin.StopProgress)) error {
	began := time.Now()
	if _, err := n.client(ctx, stop.ClientID); err != nil {
		return err
	}
	record, index, err := n.recordStop(ctx, stop)
	if err != nil {
		return err
	}
	return n.watchStop(ctx, stop, record, index, began, progress)
}

// recordStop signs and logs a stop.
func (n *Node) recordStop(ctx context.Context, stop admin.Stop) (*registry.Record, int64, error) {
	body := n.revocation(stop)
	record, index, err := n.replica.Append(ctx, federation.Draft{Revocation: &body})
	if err != nil {
		return nil, 0, err
	}
	n.log.Info("stop recorded", slog.Group("audit",
		"event", "app-"+string(stop.Action), "client", stop.ClientID, "reason", stop.Reason,
		"note", stop.Note, "record", record.CID, "index", index))
	return record, index, nil
}

// watchStop reports who has acknowledged a stop, at once and at every change,
// until all members that are online and all sites that are to be told have, or
// their time is over.
func (n *Node) watchStop(ctx context.Context, stop admin.Stop, record *registry.Record, index int64, began time.Time, progress func(admin.StopProgress)) error {
	toTell, err := n.store.WaitingChanges(ctx, stop.ClientID)
	if err != nil {
		return err
	}
	toCall, err := n.sitesToCall(ctx, stop)
	if err != nil {
		return err
	}
	last := admin.StopProgress{Online: -1}
	members, grace := time.NewTimer(silence), time.NewTimer(absence)
	defer members.Stop()
	defer grace.Stop()
	tick := time.NewTicker(sitePoll)
	defer tick.Stop()
	var sites <-chan time.Time // runs when all members have acknowledged
	for membersDone, waited := false, false; ; {
		changed := n.network.Changed()
		state, err := n.replica.Client(ctx, stop.ClientID)
		if err != nil {
			return err
		}
		waiting, err := n.store.WaitingChanges(ctx, stop.ClientID)
		if err != nil {
			return err
		}
		p := admin.StopProgress{
			ClientID: stop.ClientID, Action: string(stop.Action), State: string(state.Status), Record: record.CID, Index: index,
			SitesTold: max(0, toTell-waiting), SitesToTell: toTell, SitesToCall: toCall, Millis: float64(time.Since(began).Microseconds()) / 1000,
		}
		p.Acknowledged, p.Missing, p.Away = n.acknowledged(n.ownLog(), index+1)
		p.Online = len(p.Missing) + len(p.Acknowledged)
		if len(p.Acknowledged) > len(last.Acknowledged) {
			members.Reset(min(silence, memberWait-time.Since(began)))
		}
		all := len(p.Missing) == 0 && (waited || len(p.Away) == 0)
		if membersDone = membersDone || all; membersDone && sites == nil {
			sites = time.After(siteWait)
		}
		if p.Done = membersDone && waiting == 0; p.Done || moved(last, p) {
			progress(p)
			last = p
		}
		if p.Done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-tick.C:
		case <-grace.C:
			waited = true
		case <-members.C:
			membersDone = true
		case <-sites:
			last.Done = true
			progress(last)
			return nil
		}
	}
}

// sitesToCall counts the sites at which a client that is stopped has credentials
// and which nobody can tell.
func (n *Node) sitesToCall(ctx context.Context, stop admin.Stop) (count int, err error) {
	if stop.Action == registry.Reinstate {
		return 0, nil
	}
	connections, err := n.connections(ctx, stop.ClientID)
	for _, c := range connections {
		if !c.Told {
			count++
		}
	}
	return count, err
}

// moved reports whether there is something new to tell.
func moved(last, p admin.StopProgress) bool {
	return last.Online != p.Online || len(last.Acknowledged) != len(p.Acknowledged) || len(last.Away) != len(p.Away) ||
		last.SitesTold != p.SitesTold || last.State != p.State
}

// revocation is the unsigned record that a stop asks for.
func (n *Node) revocation(stop admin.Stop) registry.Revocation {
	now := n.cfg.Now().Unix()
	r := registry.Revocation{Client: stop.ClientID, Action: stop.Action, Reason: stop.Reason, Cutoff: stop.Cutoff}
	if stop.Cutoff < 0 {
		r.Cutoff = now
	}
	if stop.For > 0 {
		r.Until = now + stop.For
	}
	return r
}

// changed is told by the replica of every change, after it is on disk. It
// kills what the change kills, and queues what sites must hear.
func (n *Node) changed(c federation.Change) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var err error
	switch {
	case c.Client != "" && c.Stopped:
		err = n.oauth.ClientStopped(ctx, c.State)
	case c.Client != "" && c.Enabled:
		err = n.oauth.ClientEnabled(ctx, c.State)
	case c.Broker != "" && (c.Stopped || c.Enabled):
		err = n.oauth.BrokerChanged(ctx, c.Broker, n.replica.BrokerStatus(c.Broker))
	}
	if err != nil {
		// The records stop the client at every request whatever the store
		// says; Recover finishes the rest at the next start.
		n.log.Error("a change is not carried out in full", "client", c.Client, "broker", c.Broker, "error", fmt.Sprint(err))
	}
}
