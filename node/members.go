// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/node/publish"
	"github.com/comity-network/comity/registry"
)

// applicantWait is how long an approval waits for what comes by itself: the
// applicant's own signature, and the end of a charter that is pending.
const applicantWait = 15 * time.Second

// followEvery is how often it looks.
const followEvery = 20 * time.Millisecond

// ShowFederation implements admin.Operations.
func (n *Node) ShowFederation(ctx context.Context) (admin.Federation, error) {
	chain := n.replica.Chain()
	c := chain.Latest()
	_, _, frozen := chain.Conflict()
	f := admin.Federation{
		Issuer: n.cfg.Issuer, Federation: chain.Federation(), Name: c.Name, CharterVersion: c.Version, Charter: c.CID,
		Threshold: chain.Threshold(), ViewQuorum: chain.ViewQuorum(), BanThreshold: chain.BanThreshold(),
		MaxAge: c.MaxAge, MaxSuspension: c.MaxSuspension, SuspensionQuota: c.SuspensionQuota,
		ClientsPerMember: c.ClientsPerMember, Frozen: frozen, Joining: n.joiningStatus(),
		Members: publish.Members(ctx, n.replica, n.cfg.Now()),
	}
	if asked, asks := n.asksFirst(); asks {
		f = admin.Federation{Issuer: n.cfg.Issuer, Federation: asked, Joining: f.Joining, Members: []publish.Member{}}
	}
	return f, nil
}

func (n *Node) joiningStatus() *admin.Joining {
	s, waiting := n.asking()
	if !waiting && s.State != membership.Refused {
		return nil
	}
	return &admin.Joining{URL: s.URL, Federation: s.Federation, Request: s.Request, State: string(s.State), Trouble: s.Trouble}
}

// FoundFederation implements admin.Operations.
func (n *Node) FoundFederation(ctx context.Context, limits membership.Limits) (admin.Decision, error) {
	if n.left() {
		if err := n.foundAnew(ctx, limits); err != nil {
			return admin.Decision{}, err
		}
		if err := n.announce(ctx); err != nil {
			return admin.Decision{}, err
		}
		return n.decision(membership.Outcome{Charter: n.replica.Chain().Latest(), InForce: true}), nil
	}
	if err := n.closed(); err != nil {
		return admin.Decision{}, err
	}
	o, err := n.desk.SetLimits(ctx, limits)
	return n.decision(o), err
}

// ListRequests implements admin.Operations.
func (n *Node) ListRequests(ctx context.Context) (admin.RequestList, error) {
	items, err := n.desk.List(ctx)
	if err != nil {
		return admin.RequestList{}, err
	}
	list := admin.RequestList{Requests: []admin.Request{}}
	for _, item := range items {
		r := admin.Request{
			State: string(item.State), Changes: item.Changes, ApprovedBy: item.Signers,
			Approvals: item.Approval.Have, Needed: item.Approval.Need,
		}
		if item.Proposal != nil {
			r.ID, r.Charter = item.Proposal.CID, item.Proposal.CID
		}
		if q := item.Request; q != nil {
			r.ID, r.Issuer, r.Key, r.Reason = q.ID, q.Issuer, q.Key, q.Reason
			r.ReceivedAt, r.ExpiresAt = q.ReceivedAt, q.ExpiresAt
			if record, err := registry.ParseRecord([]byte(q.Record), registry.KindBroker); err == nil {
				r.Organisation = record.Broker.Organisation
			}
		}
		list.Requests = append(list.Requests, r)
	}
	return list, nil
}

// ApproveRequest implements admin.Operations.
func (n *Node) ApproveRequest(ctx context.Context, name admin.Name) (admin.Decision, error) {
	if err := n.closed(); err != nil {
		return admin.Decision{}, err
	}
	o, err := n.desk.Approve(ctx, name.Name)
	if err != nil {
		return admin.Decision{}, err
	}
	return n.decision(n.follow(ctx, o)), nil
}

// follow waits while the rest comes by itself: a queued approval gets its turn,
// and an applicant signs the charter that admits it.
func (n *Node) follow(ctx context.Context, o membership.Outcome) membership.Outcome {
	deadline := time.NewTimer(applicantWait)
	defer deadline.Stop()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for !o.InForce && n.desk.Awaits(o) {
		select {
		case <-ctx.Done():
			return o
		case <-deadline.C:
			return o
		case <-tick.C:
			o = n.desk.Follow(ctx, o)
		}
	}
	return o
}

// RefuseRequest implements admin.Operations.
func (n *Node) RefuseRequest(ctx context.Context, refusal admin.Refusal) (admin.Decision, error) {
	r, err := n.desk.Refuse(ctx, refusal.Name, refusal.Reason)
	if err != nil {
		return admin.Decision{}, err
	}
	return admin.Decision{Subject: r.Issuer, State: string(membership.Refused)}, nil
}

// ExpelMember implements admin.Operations.
func (n *Node) ExpelMember(ctx context.Context, name admin.Name) (admin.Decision, error) {
	o, err := n.desk.Expel(ctx, name.Name)
	return n.decision(o), err
}

// LeaveFederation implements admin.Operations.
func (n *Node) LeaveFederation(ctx context.Context) (admin.Decision, error) {
	if s, waiting := n.asking(); waiting {
		if err := n.applicant.Withdraw(); err != nil {
			return admin.Decision{}, err
		}
		return admin.Decision{Subject: s.URL, State: "withdrawn"}, nil
	}
	return n.ExpelMember(ctx, admin.Name{Name: n.cfg.Issuer})
}

func (n *Node) decision(o membership.Outcome) admin.Decision {
	d := admin.Decision{Subject: o.Subject, State: "queued", Pending: o.Pending}
	if o.Charter == nil {
		return d
	}
	d.State = "proposed"
	if o.InForce {
		d.State, d.Pending = "in-force", ""
	}
	d.CharterVersion, d.Charter, d.ApprovedBy = o.Charter.Version, o.Charter.CID, membership.Signers(o.Charter)
	d.Approvals, d.Needed = o.Approval.Have, o.Approval.Need
	return d
}
