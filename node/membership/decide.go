// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/comity-network/comity/registry"
)

// Outcome is what an operator's decision has come to.
type Outcome struct {
	Subject  string // issuer that it is about, or ""
	Charter  *registry.SignedCharter
	InForce  bool
	Approval Tally  // of Charter, when it is not in force
	Pending  string // what is missing, for people; empty when it is done
}

// Approve signs the charter that admits an applicant, making it where there is
// none yet. name is the id of a request, the issuer that asks, or the CID of a
// charter that another member has proposed, of whatever kind. When another
// charter is pending, the approval is kept, and its turn comes after that one.
func (d *Desk) Approve(ctx context.Context, name string) (Outcome, error) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	for _, p := range d.pending() {
		if p.CID == name {
			return d.approveProposal(ctx, p)
		}
	}
	request, err := d.find(ctx, name)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return Outcome{}, err
	}
	state, charter := Admitted, (*registry.SignedCharter)(nil)
	if err == nil {
		state, charter = d.stateOf(request)
	}
	if state == Admitted {
		// No request that waits: another member's applicant, or a member
		// that is to go.
		for _, p := range d.pending() {
			if about(d.Replica.Chain().Latest(), p, name) {
				return d.approveProposal(ctx, p)
			}
		}
		if err == nil {
			return Outcome{Subject: request.Issuer, Charter: charter, InForce: true}, nil
		}
		return d.decided(name)
	}
	if _, err := FetchBroker(ctx, d.HTTP, request.Issuer, request.Key); err != nil {
		return Outcome{}, fmt.Errorf("not approved: %w", err)
	}
	if err := d.Store.DecideRequest(ctx, request.ID, Approved, ""); err != nil {
		return Outcome{}, err
	}
	d.audit("membership-approved", request)
	d.poke()
	return d.admit(ctx, request)
}

// decided answers an approval that comes when others' were enough.
func (d *Desk) decided(name string) (Outcome, error) {
	chain := d.Replica.Chain()
	if m, ok := chain.Member(name); ok && m.State == registry.MemberActive && m.Keys[len(m.Keys)-1].Key.KeyID != d.Key {
		return Outcome{Subject: name, Charter: chain.Latest(), InForce: true}, nil
	}
	if charter := chain.ByCID(name); charter != nil {
		return Outcome{Charter: charter, InForce: true}, nil
	}
	return Outcome{}, fmt.Errorf("%w: nothing waits here under %s: comity federation requests lists what does", registry.ErrNotFound, name)
}

func (d *Desk) audit(event string, r Request) {
	d.Log.Info("membership decided", slog.Group("audit", "event", event,
		"issuer", r.Issuer, "key", r.Key, "request", r.ID, "reason", r.Reason))
}

// find looks a request up by id or issuer.
func (d *Desk) find(ctx context.Context, name string) (Request, error) {
	now := d.Now().Unix()
	if r, err := d.Store.Request(ctx, name, now); !errors.Is(err, registry.ErrNotFound) {
		return r, err
	}
	all, err := d.Store.Requests(ctx, now)
	if err != nil {
		return Request{}, err
	}
	for _, r := range all {
		if r.Issuer == name {
			return r, nil
		}
	}
	return Request{}, fmt.Errorf("%w: no request %s", registry.ErrNotFound, name)
}

// about reports whether a proposal changes one thing alone, the membership of
// issuer. Whoever approves it by that name has seen all that it does; what
// changes more must be approved by its CID.
func about(newest, p *registry.SignedCharter, issuer string) bool {
	changes := Changes(&newest.Charter, &p.Charter)
	return len(changes) == 1 && changes[0].Issuer == issuer
}

// approveProposal signs what another member proposed. Whoever it admits is
// asked first.
func (d *Desk) approveProposal(ctx context.Context, p *registry.SignedCharter) (Outcome, error) {
	subject := ""
	for _, c := range Changes(&d.Replica.Chain().Latest().Charter, &p.Charter) {
		subject = c.Issuer
		if c.Kind != "admit" {
			continue
		}
		if _, err := FetchBroker(ctx, d.HTTP, c.Issuer, c.Key); err != nil {
			return Outcome{}, fmt.Errorf("not approved: %w", err)
		}
	}
	return d.sign(ctx, subject, p)
}

// admit proposes the charter that admits an approved applicant, or signs the
// one that is there. deciding is held.
func (d *Desk) admit(ctx context.Context, r Request) (Outcome, error) {
	newest := d.Replica.Chain().Latest()
	if p := d.proposal(r.Issuer, r.Key); p != nil {
		return d.sign(ctx, r.Issuer, p)
	}
	if others := d.pending(); len(others) > 0 {
		return Outcome{Subject: r.Issuer, Pending: fmt.Sprintf("%s is approved here, and its turn comes after charter version %d, which is pending: %s",
			r.Issuer, others[0].Version, describe(newest, others[0]))}, nil
	}
	record, err := registry.ParseRecord([]byte(r.Record), registry.KindBroker)
	if err != nil {
		return Outcome{}, err
	}
	return d.propose(ctx, r.Issuer, admitting(newest, r.Issuer, record.Broker.RecordKey))
}

// propose signs a new version and spreads it. deciding is held.
func (d *Desk) propose(ctx context.Context, subject string, next registry.Charter) (Outcome, error) {
	if err := d.Closed(); err != nil {
		return Outcome{}, err
	}
	newest := d.Replica.Chain().Latest()
	signed, err := d.Replica.Propose(ctx, next)
	if err != nil {
		return Outcome{}, err
	}
	return d.signed(subject, newest, signed), nil
}

// sign adds this broker's signature to a proposal.
func (d *Desk) sign(ctx context.Context, subject string, p *registry.SignedCharter) (Outcome, error) {
	newest := d.Replica.Chain().Latest()
	signed, err := d.Replica.Approve(ctx, p.CID)
	if err != nil {
		return Outcome{}, err
	}
	return d.signed(subject, newest, signed), nil
}

func (d *Desk) signed(subject string, before, next *registry.SignedCharter) Outcome {
	d.Log.Info("charter signed", slog.Group("audit", "event", "charter-signed", "version", next.Version,
		"charter", next.CID, "changes", describe(before, next)))
	return d.outcome(subject, before, next)
}

// outcome looks what has become of a charter that follows on before.
func (d *Desk) outcome(subject string, before, signed *registry.SignedCharter) Outcome {
	o := Outcome{Subject: subject, Charter: signed}
	if known := d.Replica.Chain().ByCID(signed.CID); known != nil {
		o.Charter, o.InForce = known, true
		return o
	}
	for _, p := range d.pending() {
		if p.CID == signed.CID {
			o.Charter = p
		}
	}
	o.Approval = Progress(before, o.Charter)
	o.Pending = fmt.Sprintf("approved by %d of %d needed: the other members see it in comity federation requests", o.Approval.Have, o.Approval.Need)
	return o
}

// Awaits reports whether an outcome may come to its end without any other
// operator: a queued approval gets its turn, and the signature that is missing
// is the applicant's.
func (d *Desk) Awaits(o Outcome) bool {
	switch {
	case o.InForce:
		return false
	case o.Charter == nil:
		return true
	}
	newest := d.Replica.Chain().Latest()
	if o.Charter.Previous != newest.CID {
		return false
	}
	with := Progress(newest, o.Charter)
	old := tally(o.Charter, &newest.Charter)
	for _, c := range Changes(&newest.Charter, &o.Charter.Charter) {
		if c.Kind == "admit" && !o.Charter.SignedBy(c.Key) {
			with.Have++
		}
	}
	return old.missing() == 0 && with.missing() == 0
}

// Follow looks again what an outcome has come to.
func (d *Desk) Follow(ctx context.Context, o Outcome) Outcome {
	chain := d.Replica.Chain()
	if o.InForce {
		return o
	}
	if o.Charter == nil { // queued
		m, ok := chain.Member(o.Subject)
		if ok && m.State == registry.MemberActive {
			o.Charter, o.InForce, o.Pending = chain.Latest(), true, ""
			return o
		}
		r, err := d.find(ctx, o.Subject)
		if err != nil {
			return o
		}
		if p := d.proposal(r.Issuer, r.Key); p != nil && p.SignedBy(d.Key) {
			return d.outcome(o.Subject, chain.Latest(), p)
		}
		return o
	}
	before := chain.ByCID(o.Charter.Previous)
	if before == nil {
		return o
	}
	if rival := chain.Version(o.Charter.Version); rival != nil && rival.CID != o.Charter.CID {
		o.Pending = fmt.Sprintf("another charter became version %d: this one is void", rival.Version)
		return o
	}
	return d.outcome(o.Subject, before, o.Charter)
}

// Refuse ends a request. The applicant is told the reason.
func (d *Desk) Refuse(ctx context.Context, name, reason string) (Request, error) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if len(reason) > maxReason {
		return Request{}, fmt.Errorf("%w: a reason has at most %d bytes", registry.ErrLimit, maxReason)
	}
	r, err := d.find(ctx, name)
	if errors.Is(err, registry.ErrNotFound) {
		newest := d.Replica.Chain().Latest()
		for _, p := range d.pending() {
			if p.CID == name || about(newest, p, name) {
				return r, fmt.Errorf("%w: that is a proposal of another member, and not a request to this one: leave it, and this broker does not approve", registry.ErrConflict)
			}
		}
		return r, fmt.Errorf("%w: comity federation requests lists what waits", err)
	}
	if err != nil {
		return r, err
	}
	switch state, p := d.stateOf(r); {
	case state == Admitted:
		return r, fmt.Errorf("%w: %s is a member already: comity federation expel ends a membership", registry.ErrConflict, r.Issuer)
	case state == Proposed && p.SignedBy(d.Key):
		return r, fmt.Errorf("%w: this broker has signed the charter that admits %s, and a signature cannot be taken back", registry.ErrConflict, r.Issuer)
	}
	r.State, r.Reason = Refused, reason
	if err := d.Store.DecideRequest(ctx, r.ID, Refused, reason); err != nil {
		return r, err
	}
	d.audit("membership-refused", r)
	return r, nil
}

// Expel proposes the end of a membership: of a member by others, or this
// broker's own. What the member's log holds by now stays valid, what it adds
// does not. Another charter that is pending stands in the way only when it has
// the approval of enough of the present members: else each of them could keep
// itself from being expelled.
func (d *Desk) Expel(ctx context.Context, issuer string) (Outcome, error) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	newest := d.Replica.Chain().Latest()
	for _, p := range d.pending() {
		if about(newest, p, issuer) && Changes(&newest.Charter, &p.Charter)[0].Kind == "expel" {
			return d.sign(ctx, issuer, p)
		}
	}
	for _, p := range d.pending() {
		if tally(p, &newest.Charter).missing() == 0 {
			return Outcome{}, fmt.Errorf("%w: charter version %d is pending already (%s), and two of one version would divide the members: "+
				"bring that one to its end first (comity federation approve %s)", registry.ErrConflict, p.Version, describe(newest, p), p.CID)
		}
	}
	next, err := expelling(newest, issuer, d.logSize(issuer))
	if err != nil {
		return Outcome{}, err
	}
	return d.propose(ctx, issuer, next)
}

// logSize is how many entries of a member's log this replica has verified.
func (d *Desk) logSize(issuer string) int64 {
	m, ok := d.Replica.Chain().Member(issuer)
	if !ok {
		return 0
	}
	return d.Replica.Vector().Logs[m.Keys[0].Key.KeyID].Size
}

// Limits are what a founder may choose. Zero values stay as they are.
type Limits struct {
	Name             string `json:"name,omitempty"`
	MaxAge           int64  `json:"max_age,omitempty"`        // seconds
	Threshold        *int   `json:"threshold,omitempty"`      // 0: more than half
	MaxSuspension    int64  `json:"max_suspension,omitempty"` // seconds
	SuspensionQuota  int    `json:"suspension_quota,omitempty"`
	ClientsPerMember int64  `json:"clients_per_member,omitempty"`
}

// SetLimits gives a federation of which this broker is the only member another
// name and other limits, by the next version of its charter.
func (d *Desk) SetLimits(ctx context.Context, l Limits) (Outcome, error) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	chain := d.Replica.Chain()
	if len(chain.ActiveMembers()) > 1 {
		return Outcome{}, fmt.Errorf("%w: this broker is in a federation of %d members, whose limits are not its to choose: comity federation leave comes first",
			registry.ErrConflict, len(chain.ActiveMembers()))
	}
	next := draftOf(chain.Latest())
	l.Apply(&next)
	if len(Changes(&chain.Latest().Charter, &next)) == 0 {
		return Outcome{Charter: chain.Latest(), InForce: true}, nil
	}
	return d.propose(ctx, "", next)
}

// Apply sets what was chosen.
func (l Limits) Apply(c *registry.Charter) {
	if l.Name != "" {
		c.Name = l.Name
	}
	if l.Threshold != nil {
		c.Threshold = *l.Threshold
	}
	for from, to := range map[*int64]*int64{&l.MaxAge: &c.MaxAge, &l.MaxSuspension: &c.MaxSuspension, &l.ClientsPerMember: &c.ClientsPerMember} {
		if *from != 0 {
			*to = *from
		}
	}
	if l.SuspensionQuota != 0 {
		c.SuspensionQuota = l.SuspensionQuota
	}
}

func describe(before, next *registry.SignedCharter) string {
	var parts []string
	for _, c := range Changes(&before.Charter, &next.Charter) {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}
