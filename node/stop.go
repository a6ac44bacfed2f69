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

// siteWait is how long a stop waits to see the sites acknowledge it, after all
// members have. Sites that are slower are told by the outbox all the same.
const siteWait = 2 * time.Second

// sitePoll is how often it looks.
const sitePoll = 10 * time.Millisecond

// StopApp implements admin.Operations.
func (n *Node) StopApp(ctx context.Context, stop admin.Stop, progress func(admin.StopProgress)) error {
	began := time.Now()
	if _, err := n.client(ctx, stop.ClientID); err != nil {
		return err
	}
	body := n.revocation(stop)
	record, index, err := n.replica.Append(ctx, federation.Draft{Revocation: &body})
	if err != nil {
		return err
	}
	n.log.Info("stop recorded", slog.Group("audit",
		"event", "app-"+string(stop.Action), "client", stop.ClientID, "reason", stop.Reason,
		"note", stop.Note, "record", record.CID, "index", index))
	report := func(told, toTell int, done bool) error {
		state, err := n.replica.Client(ctx, stop.ClientID)
		if err != nil {
			return err
		}
		progress(admin.StopProgress{
			ClientID: stop.ClientID, Action: string(stop.Action), State: string(state.Status),
			Record: record.CID, Index: index, Online: 1, Acknowledged: []string{n.cfg.Issuer},
			SitesTold: told, SitesToTell: toTell,
			Millis: float64(time.Since(began).Microseconds()) / 1000, Done: done,
		})
		return nil
	}
	return n.watchSites(ctx, stop.ClientID, report)
}

// watchSites reports until every site that is to be told has acknowledged, or
// siteWait is over.
func (n *Node) watchSites(ctx context.Context, client string, report func(told, toTell int, done bool) error) error {
	toTell, err := n.store.WaitingChanges(ctx, client)
	if err != nil {
		return err
	}
	if toTell == 0 {
		return report(0, 0, true)
	}
	if err := report(0, toTell, false); err != nil {
		return err
	}
	deadline := time.NewTimer(siteWait)
	defer deadline.Stop()
	tick := time.NewTicker(sitePoll)
	defer tick.Stop()
	for told := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return report(told, toTell, true)
		case <-tick.C:
		}
		waiting, err := n.store.WaitingChanges(ctx, client)
		if err != nil {
			return err
		}
		if now := max(0, toTell-waiting); now != told {
			told = now
			if err := report(told, toTell, told == toTell); err != nil || told == toTell {
				return err
			}
		}
	}
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
