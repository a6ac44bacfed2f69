// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Federation is some nodes of one federation. The first has founded it.
type Federation []*Node

// Status is what a node says of itself and of the federation.
type Status struct {
	Issuer         string   `json:"issuer"`
	Federation     string   `json:"federation"`
	CharterVersion int64    `json:"charter_version"`
	Fresh          bool     `json:"fresh"`
	StaleReason    string   `json:"stale_reason"`
	Peers          int      `json:"peers"`
	Outbox         int      `json:"outbox_depth"`
	Members        []Member `json:"members"`
}

// Member is a member as one node sees it.
type Member struct {
	Issuer string `json:"issuer"`
	State  string `json:"state"`
	Head   Head   `json:"head"`
	Online bool   `json:"online"`

	ViewAge *int64 `json:"view_age"` // seconds; nil: no view of it is known
}

// Head is how far a node knows a member's log.
type Head struct {
	Size int64  `json:"size"`
	Root string `json:"root"`
}

// Status asks the node.
func (n *Node) Status(ctx context.Context) (Status, error) {
	var s Status
	err := n.JSON(ctx, &s, "status")
	return s, err
}

// StartFederation starts n nodes, the first on a federation of its own with
// the limits (options of `comity federation create`), the others with --join;
// it has each admitted, and returns when all agree. The nodes that were
// started are returned with an error, too.
func StartFederation(ctx context.Context, n int, config func(i int) (Config, error), limits ...string) (Federation, error) {
	var f Federation
	for i := range n {
		cfg, err := config(i)
		if err != nil {
			return f, err
		}
		if i > 0 {
			cfg.Args = append(slices.Clone(cfg.Args), "--join", f[0].Issuer)
		}
		node, err := Start(ctx, cfg)
		if node != nil {
			f = append(f, node)
		}
		if err != nil {
			return f, err
		}
		if i == 0 && len(limits) > 0 {
			_, err = node.Run(ctx, append([]string{"federation", "create"}, limits...)...)
		} else if i > 0 {
			_, err = f[:i].Admit(ctx, node)
		}
		if err != nil {
			return f, err
		}
	}
	_, err := f.Agree(ctx)
	return f, err
}

// Admit approves the applicant's request as one member after the other, until
// it is admitted; it returns who had to approve.
//
// With the charter in force the request is gone: a member that cannot approve
// is asked whether the applicant is a member already.
func (f Federation) Admit(ctx context.Context, applicant *Node) (approved []string, err error) {
	for _, member := range f {
		var decision struct {
			State string `json:"state"`
		}
		// A request that was just made, or a proposal of another member, takes
		// a moment to arrive.
		admitted := false
		err := poll(ctx, func() error {
			err := member.JSON(ctx, &decision, "federation", "approve", applicant.Issuer)
			if err != nil && member.knows(ctx, applicant.Issuer) {
				admitted, err = true, nil
			}
			return err
		})
		if err != nil {
			return approved, fmt.Errorf("approve %s: %w", applicant.Issuer, err)
		}
		if admitted {
			return approved, nil
		}
		approved = append(approved, member.Issuer)
		if decision.State == "in-force" {
			return approved, nil
		}
	}
	return approved, fmt.Errorf("all members approve of %s and it is not admitted", applicant.Issuer)
}

// Agree waits until all nodes are fresh, see each other, and name the same
// federation, charter version and heads of logs. It returns what they say.
func (f Federation) Agree(ctx context.Context) (Status, error) {
	var first Status
	err := poll(ctx, func() error {
		for i, n := range f {
			s, err := n.Status(ctx)
			if err == nil {
				err = s.complete(f)
			}
			if i == 0 {
				first = s
			}
			if err == nil {
				err = first.same(s)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", n.Issuer, err)
			}
		}
		return nil
	})
	return first, err
}

// knows reports whether the node says that issuer is an active member.
func (n *Node) knows(ctx context.Context, issuer string) bool {
	s, err := n.Status(ctx)
	return err == nil && slices.ContainsFunc(s.Members, func(m Member) bool { return m.Issuer == issuer && m.State == "active" })
}

// complete wants every node of f to be seen.
func (s *Status) complete(f Federation) error {
	if !s.Fresh {
		return errors.New("stale: " + s.StaleReason)
	}
	for _, n := range f {
		i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Issuer == n.Issuer })
		if i < 0 || !s.Members[i].Online {
			return errors.New("it is not connected to " + n.Issuer)
		}
	}
	return nil
}

// same compares what two nodes know.
func (s *Status) same(other Status) error {
	if s.Federation != other.Federation || s.CharterVersion != other.CharterVersion {
		return fmt.Errorf("charter %d of %s, elsewhere %d of %s", other.CharterVersion, other.Federation, s.CharterVersion, s.Federation)
	}
	equal := slices.EqualFunc(s.Members, other.Members, func(a, b Member) bool {
		return a.Issuer == b.Issuer && a.State == b.State && a.Head == b.Head
	})
	if !equal {
		return errors.New("the members' logs are not the same as elsewhere")
	}
	return nil
}

// agreeTimeout bounds what members do among themselves, far above what they
// need.
const agreeTimeout = 30 * time.Second

// poll tries until it succeeds; it returns the last error when time is over.
func poll(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, agreeTimeout)
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	var last error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return last
		}
	}
}
