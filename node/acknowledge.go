// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"slices"
	"time"

	"github.com/comity-network/comity/registry"
)

// registerWait bounds how long a registration waits for other members, and
// registerAcks is how many it waits for, where so many are online.
const (
	registerWait = 5 * time.Second
	registerAcks = 2
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
// among them; missing are those that are online and have not.
func (n *Node) acknowledged(log string, size int64) (have, missing []string) {
	network := n.network
	have = network.Acknowledged(log, size)
	for _, issuer := range network.Online() {
		if n.replica.BrokerStatus(issuer) == registry.BrokerActive && !slices.Contains(have, issuer) {
			missing = append(missing, issuer)
		}
	}
	return have, missing
}

// absent reports whether some active member is neither connected nor among
// those that have acknowledged something.
func (n *Node) absent(have, missing []string) bool {
	return len(have)+len(missing) < len(n.replica.Chain().ActiveMembers())
}

// awaitMembers waits until two other members have stored the own log up to
// size, or all that are online where these are fewer.
func (n *Node) awaitMembers(ctx context.Context, size int64) {
	deadline := time.NewTimer(registerWait)
	defer deadline.Stop()
	grace := time.NewTimer(absence)
	defer grace.Stop()
	waited := false
	for log := n.ownLog(); ; {
		changed := n.network.Changed()
		have, missing := n.acknowledged(log, size)
		if len(have) > registerAcks { // this broker is one of them
			return
		}
		if len(missing) == 0 && (waited || !n.absent(have, missing)) {
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
		have, _ := n.acknowledged(log, size)
		if first {
			all, first = have, false
			continue
		}
		all = slices.DeleteFunc(all, func(issuer string) bool { return !slices.Contains(have, issuer) })
	}
	return all, nil
}
