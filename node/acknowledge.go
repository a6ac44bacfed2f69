// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"slices"
	"time"

	"github.com/comity-network/comity/registry"
)

// registerAcks is how many other members a registration waits for, where so many
// are online, and silence is for how long without any of them answering: one
// that was killed counts as online until its connection is given up.
const (
	registerAcks = 2
	silence      = 2 * time.Second
	// absence is how long members that are not connected are waited for: a
	// connection that was made twice is closed once, and opened again.
	absence = 300 * time.Millisecond
)

// ownLog names this broker's log.
func (n *Node) ownLog() string { return n.logOf(n.keys.record.ID()) }

// logOf names the log of the broker that has, or had, a record key.
func (n *Node) logOf(key string) string {
	if m, _, ok := n.replica.Chain().MemberByKey(key); ok {
		return m.Keys[0].Key.KeyID
	}
	return key
}

// acknowledged are the members that have stored a log up to size, this broker
// among them; of those that have not, missing are online and away are not.
func (n *Node) acknowledged(log string, size int64) (have, missing, away []string) {
	network := n.network
	have = network.Acknowledged(log, size)
	online := network.Online()
	for _, m := range n.replica.Chain().ActiveMembers() {
		switch {
		case slices.Contains(have, m.Issuer), n.replica.BrokerStatus(m.Issuer) != registry.BrokerActive:
		case slices.Contains(online, m.Issuer):
			missing = append(missing, m.Issuer)
		default:
			away = append(away, m.Issuer)
		}
	}
	return have, missing, away
}

// awaitMembers waits until two other members have stored the own log up to
// size, or all that are online where these are fewer.
func (n *Node) awaitMembers(ctx context.Context, size int64) {
	deadline := time.NewTimer(silence)
	defer deadline.Stop()
	grace := time.NewTimer(absence)
	defer grace.Stop()
	waited := false
	for log := n.ownLog(); ; {
		changed := n.network.Changed()
		have, missing, away := n.acknowledged(log, size)
		if len(have) > registerAcks { // this broker is one of them
			return
		}
		if len(missing) == 0 && (waited || len(away) == 0) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-grace.C:
			waited = true
		case <-deadline.C:
			n.log.Warn("a registration is not acknowledged by other members yet; they get it when they can", "missing", missing)
			return
		case <-changed:
		}
	}
}

// holders lists the members that hold every record about a client.
func (n *Node) holders(ctx context.Context, client string) ([]string, error) {
	rows, err := n.store.Client(ctx, client)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, row := range rows {
		sizes[row.Log] = max(sizes[row.Log], row.Index+1) // 0: heard, and in no log yet
	}
	var all []string
	first := true
	for log, size := range sizes {
		have := n.network.Acknowledged(log, size)
		if first {
			all, first = have, false
			continue
		}
		all = slices.DeleteFunc(all, func(issuer string) bool { return !slices.Contains(have, issuer) })
	}
	return all, nil
}
