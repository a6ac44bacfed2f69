// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/registry"
)

// intend decides, before there is a database, whether this node is going to
// ask for membership: a crash between here and there must not make it a
// federation of its own.
func (n *Node) intend(fresh bool) (err error) {
	if n.joining, err = membership.LoadJoining(n.cfg.DataDir); err != nil {
		return err
	}
	switch {
	case n.cfg.Join == "":
		return nil // a request that was made before goes on
	case n.joining == nil && fresh:
		n.joining = &membership.Joining{URL: n.cfg.Join, Fresh: true}
	case n.joining != nil && n.joining.URL != n.cfg.Join:
		n.joining = &membership.Joining{URL: n.cfg.Join, Fresh: n.joining.Fresh}
	default:
		return nil
	}
	return n.joining.Save(n.cfg.DataDir)
}

// openMembership makes the desk, and the applicant where this node asks for
// membership.
func (n *Node) openMembership(ctx context.Context) error {
	n.desk = membership.NewDesk(membership.DeskConfig{
		Replica: n.replica, Store: n.store, Key: n.keys.record.ID(), HTTP: n.peers,
		Closed: n.closed, Now: n.cfg.Now, Log: n.log,
	})
	if err := n.settle(ctx); err != nil || n.joining == nil {
		return err
	}
	n.applicant = membership.NewApplicant(membership.ApplicantConfig{
		Dir: n.cfg.DataDir, Joining: *n.joining, Replica: n.replica, Key: n.keys.record, Issuer: n.cfg.Issuer,
		Record: n.newRecord, HTTP: n.peers, Now: n.cfg.Now, Log: n.log,
	})
	return nil
}

// settle finds out what --join means for a node that has a history.
func (n *Node) settle(ctx context.Context) error {
	chain := n.replica.Chain()
	if len(chain.Latest().Members) == 1 { // alone, or never more than that
		if n.joining == nil && n.cfg.Join != "" {
			n.joining = &membership.Joining{URL: n.cfg.Join}
			return n.joining.Save(n.cfg.DataDir)
		}
		return nil
	}
	if n.joining != nil { // it was admitted, and a crash kept it from noting that
		n.joining = nil
		if err := membership.RemoveJoining(n.cfg.DataDir); err != nil {
			return err
		}
	}
	if n.cfg.Join == "" {
		return nil
	}
	if _, member := chain.Member(n.cfg.Join); member && !n.left() {
		return nil
	}
	other, err := membership.Overview(ctx, n.peers, n.cfg.Join)
	if err != nil {
		n.log.Warn("--join is left aside: this broker is a member of a federation, and it cannot be seen whether it is that one", "federation", chain.Federation(), "error", err)
		return nil
	}
	switch {
	case other == chain.Federation():
		return nil
	case !n.left():
		return fmt.Errorf("%w: --join %s: that broker is in federation %s, and this one is a member of federation %s: leave that first (comity federation leave)",
			registry.ErrConflict, n.cfg.Join, other, chain.Federation())
	}
	if err := n.foundAnew(ctx, membership.Limits{}); err != nil {
		return err
	}
	n.joining = &membership.Joining{URL: n.cfg.Join}
	return n.joining.Save(n.cfg.DataDir)
}

// left reports whether this broker's membership has ended.
func (n *Node) left() bool {
	return n.replica.BrokerStatus(n.cfg.Issuer) == registry.BrokerExpelled
}

// foundAnew makes a broker that was a member a federation of one again, with
// its log and its clients.
func (n *Node) foundAnew(ctx context.Context, limits membership.Limits) error {
	c := federation.DefaultCharter()
	c.Name, c.Version, c.IssuedAt = n.cfg.Organisation, 1, n.cfg.Now().Unix()
	c.Members = []registry.Member{{
		Issuer: n.cfg.Issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: n.keys.record.JWK()}},
	}}
	limits.Apply(&c)
	charter, err := registry.NewCharter(c, n.keys.record)
	if err != nil {
		return err
	}
	former := n.replica.Chain().Federation()
	if err := n.replica.Adopt(ctx, [][]byte{charter.Raw}); err != nil {
		return err
	}
	n.log.Info("founded anew", slog.Group("audit", "event", "federation-founded", "federation", charter.CID, "former", former))
	return nil
}

// join asks for membership until that has come to its end.
func (n *Node) join(ctx context.Context) error {
	admitted, err := n.applicant.Run(ctx)
	if errors.Is(err, membership.ErrRefused) {
		return fmt.Errorf("%w; --join can name another member, and a new --data directory begins a federation of its own", err)
	}
	if err != nil || !admitted {
		return err
	}
	return n.announce(ctx)
}

// asking is the standing of the request for membership while there is one.
func (n *Node) asking() (membership.Standing, bool) {
	if n.applicant == nil {
		return membership.Standing{}, false
	}
	return n.applicant.Standing()
}

// federation is the id of the federation that this broker is in, or asks to
// join when it never was in one.
func (n *Node) federation() string {
	if asked, asks := n.asksFirst(); asks {
		return asked
	}
	return n.replica.Chain().Federation()
}

// asksFirst is the federation that this broker asks to join, if it never was in
// one.
func (n *Node) asksFirst() (federation string, asks bool) {
	s, waiting := n.asking()
	return s.Federation, waiting && s.Fresh
}

// fresh returns nil when this broker may act on what it knows of the
// federation; otherwise an error whose text is what is missing.
func (n *Node) fresh() error {
	if err := n.lacking(); err != nil {
		return staleError{err}
	}
	return nil
}

func (n *Node) lacking() error {
	if s, waiting := n.asking(); waiting && s.Fresh {
		n.backlog.open()
		return fmt.Errorf("%w: %s", registry.ErrStale, s)
	}
	if status := n.replica.BrokerStatus(n.cfg.Issuer); status != registry.BrokerActive {
		return fmt.Errorf("%w: this broker is %s in federation %s, by its charter version %d",
			registry.ErrStale, status, n.replica.Chain().Federation(), n.replica.Chain().Latest().Version)
	}
	if err := n.replica.Fresh(n.cfg.Now()); err != nil {
		n.backlog.open()
		return err
	}
	return n.caughtUp()
}

// staleError is the error of a stale broker without the word in front by which
// programs know it: whoever shows it says that word, or a better one.
type staleError struct{ error }

func (e staleError) Error() string {
	return strings.TrimPrefix(e.error.Error(), registry.ErrStale.Error()+": ")
}

func (e staleError) Unwrap() error { return e.error }

// closed says why this broker cannot take part in decisions on membership.
func (n *Node) closed() error {
	if s, waiting := n.asking(); waiting {
		return fmt.Errorf("this broker asks for membership itself, at %s, and decides nothing before that has ended", s.URL)
	}
	if status := n.replica.BrokerStatus(n.cfg.Issuer); status != registry.BrokerActive {
		return fmt.Errorf("this broker is %s in federation %s, and decides nothing there", status, n.replica.Chain().Federation())
	}
	return nil
}

// newRecord returns a broker record of this broker that was signed just now.
func (n *Node) newRecord(ctx context.Context) (*registry.Record, error) {
	if last, err := n.replica.BrokerRecord(ctx, n.keys.record.ID()); err == nil {
		age := n.cfg.Now().Sub(time.Unix(last.IssuedAt, 0))
		if age < membership.RecordAge/2 && sameBroker(*last.Broker, n.describe()) {
			return last, nil
		}
	}
	next := n.describe()
	record, _, err := n.replica.Append(ctx, federation.Draft{Broker: &next})
	return record, err
}
