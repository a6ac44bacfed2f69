// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/registry"
)

// How often the other members are asked for a newer charter over HTTP.
const (
	askLeaving = time.Second     // while the end of the own membership is proposed
	askAlone   = 3 * time.Second // while no member is connected
)

// followCharters asks the other members for newer charters over HTTP where the
// peer-to-peer network may not bring them: nobody keeps a connection to a
// broker that is no longer a member, so it would never hear of that.
func (n *Node) followCharters(ctx context.Context) error {
	tick := time.NewTicker(askLeaving)
	defer tick.Stop()
	var last time.Time
	for turn := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		every := n.askEvery()
		if now := time.Now(); every == 0 || now.Sub(last) < every {
			continue
		} else {
			last = now
		}
		others := n.otherMembers()
		if len(others) == 0 {
			continue
		}
		source := others[turn%len(others)]
		turn++
		if err := n.fetchCharters(ctx, source); err != nil && ctx.Err() == nil {
			n.log.Debug("no newer charter over HTTP", "from", source, "error", err)
		}
	}
}

// askEvery is how often to ask; 0: the network does.
func (n *Node) askEvery() time.Duration {
	chain := n.replica.Chain()
	if own, ok := chain.Member(n.cfg.Issuer); !ok || own.State == registry.MemberExpelled {
		return 0 // there is nothing more to hear
	}
	for _, p := range n.replica.Proposals() {
		leaves := func(m registry.Member) bool { return m.Issuer == n.cfg.Issuer && m.State == registry.MemberExpelled }
		if slices.ContainsFunc(p.Members, leaves) {
			return askLeaving
		}
	}
	if len(n.network.Online()) == 0 {
		return askAlone
	}
	return 0
}

func (n *Node) otherMembers() []string {
	var others []string
	for _, m := range n.replica.Chain().ActiveMembers() {
		if m.Issuer != n.cfg.Issuer {
			others = append(others, m.Issuer)
		}
	}
	return others
}

// fetchCharters takes the versions that a member shows and this replica lacks.
// The replica checks them.
func (n *Node) fetchCharters(ctx context.Context, source string) error {
	raw, _, err := guard.Fetch(ctx, n.peers, source+"/federation/charter", registry.MaxCharterBytes)
	if err != nil {
		return err
	}
	newest, err := registry.ParseCharter(raw)
	if err != nil {
		return err
	}
	for version := n.replica.Chain().Latest().Version + 1; version <= newest.Version; version++ {
		raw, _, err := guard.Fetch(ctx, n.peers, source+"/federation/charter/"+strconv.FormatInt(version, 10), registry.MaxCharterBytes)
		if err != nil {
			return err
		}
		if _, err := n.replica.Accept(ctx, federation.Inbound{Charter: raw}); err != nil {
			return fmt.Errorf("charter version %d of %s: %w", version, source, err)
		}
		if n.replica.Chain().Latest().Version < version {
			return errors.New("the charter has too few approvals")
		}
	}
	return nil
}
