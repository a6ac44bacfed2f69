// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/publish"
	"github.com/comity-network/comity/registry"
)

// Status implements admin.Operations.
func (n *Node) Status(ctx context.Context) (admin.Status, error) {
	depth, err := n.outbox.Depth(ctx)
	if err != nil {
		return admin.Status{}, err
	}
	chain := n.replica.Chain()
	s := admin.Status{
		Issuer: n.cfg.Issuer, Version: BuildVersion().Version,
		Federation: chain.Federation(), CharterVersion: chain.Latest().Version,
		PeerID: n.keys.peerID, Addresses: n.network.Addresses(), Members: n.members(ctx), Joining: n.joiningStatus(),
		Fresh: true, Clients: n.countClients(), Outbox: int(depth), Store: n.cfg.Store,
		Uptime: int64(n.cfg.Now().Sub(n.started).Seconds()),
	}
	for _, p := range n.network.Peers() {
		if p.Connected {
			s.Peers++
		}
	}
	if err := n.fresh(); err != nil {
		s.Fresh, s.StaleReason = false, err.Error()
	}
	if asked, asks := n.asksFirst(); asks {
		s.Federation, s.CharterVersion, s.Members = asked, 0, []admin.Member{}
	}
	return s, nil
}

// members lists the members of the federation with what this node knows of
// each.
func (n *Node) members(ctx context.Context) []admin.Member {
	network := n.network
	online, log := network.Online(), n.ownLog()
	all := []admin.Member{}
	for _, m := range publish.Members(ctx, n.replica, n.cfg.Now()) {
		member := admin.Member{Member: m, Online: slices.Contains(online, m.Issuer), Acknowledged: network.Heads(m.Issuer)[log]}
		if m.Issuer == n.cfg.Issuer {
			member.Online, member.Acknowledged = true, m.Head.Size
		}
		all = append(all, member)
	}
	return all
}

// countClients counts by state: all that are registered, less those that are
// stopped.
func (n *Node) countClients() map[string]int {
	counts := map[string]int{string(registry.ClientActive): int(n.replica.Registered())}
	for _, stop := range n.replica.StopList().Stops() {
		counts[string(stop.Status)]++
		counts[string(registry.ClientActive)]--
	}
	return counts
}

// sameBroker reports whether two broker records say the same.
func sameBroker(a, b registry.Broker) bool {
	return fmt.Sprint(a.Organisation, a.Endpoints, a.TokenKeys, a.Peers) ==
		fmt.Sprint(b.Organisation, b.Endpoints, b.TokenKeys, b.Peers)
}

// ListSites implements admin.Operations.
func (n *Node) ListSites(ctx context.Context) (admin.SiteList, error) {
	entries, err := n.sites.List(ctx)
	if err != nil {
		return admin.SiteList{}, err
	}
	list := admin.SiteList{Sites: []admin.Site{}}
	for _, e := range entries {
		waiting, err := n.store.WaitingEvents(ctx, e.Resource)
		if err != nil {
			return admin.SiteList{}, err
		}
		list.Sites = append(list.Sites, admin.Site{
			Resource: e.Resource, Policy: string(e.Rule), LastSeen: e.LastSeen, Waiting: waiting,
		})
	}
	return list, nil
}

// ShowSite implements admin.Operations.
func (n *Node) ShowSite(ctx context.Context, site admin.SiteName) (admin.Site, error) {
	list, err := n.ListSites(ctx)
	if err != nil {
		return admin.Site{}, err
	}
	at := slices.IndexFunc(list.Sites, func(s admin.Site) bool { return s.Resource == site.Resource })
	if at < 0 {
		return admin.Site{}, fmt.Errorf("this broker has not met %s and has no rule for it; comity site check %s looks whether it could be served", site.Resource, site.Resource)
	}
	return list.Sites[at], nil
}

// CheckSite implements admin.Operations.
func (n *Node) CheckSite(ctx context.Context, site admin.SiteName) (admin.SiteCheck, error) {
	report := n.sites.Check(ctx, site.Resource)
	check := admin.SiteCheck{Resource: site.Resource, OK: report.OK(), Findings: []string{}}
	for _, f := range report.Findings {
		check.Findings = append(check.Findings, f.Problem+": "+f.Remedy)
	}
	return check, nil
}

// AllowSite implements admin.Operations.
func (n *Node) AllowSite(ctx context.Context, site admin.SiteName) (admin.Site, error) {
	if err := n.sites.Allow(ctx, site.Resource); err != nil {
		return admin.Site{}, err
	}
	return n.ShowSite(ctx, site)
}

// DenySite implements admin.Operations.
func (n *Node) DenySite(ctx context.Context, site admin.SiteName) (admin.Site, error) {
	if err := n.sites.Deny(ctx, site.Resource); err != nil {
		return admin.Site{}, err
	}
	return n.ShowSite(ctx, site)
}
