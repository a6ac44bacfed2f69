// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/membership"
)

type federationCmd struct {
	Show     federationShowCmd     `cmd:"" help:"Show the federation: its id, charter, limits and members."`
	Create   federationCreateCmd   `cmd:"" help:"Choose name and limits of a federation, while this broker is alone in it."`
	Requests federationRequestsCmd `cmd:"" help:"List who asks for membership, and what other members propose."`
	Approve  federationApproveCmd  `cmd:"" help:"Approve a request for membership, or a proposal of another member."`
	Refuse   federationRefuseCmd   `cmd:"" help:"Refuse a request for membership."`
	Expel    federationExpelCmd    `cmd:"" help:"End another broker's membership."`
	Leave    federationLeaveCmd    `cmd:"" help:"End this broker's own membership, or take its request for one back."`
}

type federationShowCmd struct{}

func (federationShowCmd) Run(e *environment) error {
	var f admin.Federation
	if err := e.node().Call(e.ctx, "/federation/show", struct{}{}, &f); err != nil {
		return err
	}
	return e.print(f, func(w io.Writer) {
		row(w, "federation", f.Federation)
		joiningRows(w, f.Joining)
		if f.CharterVersion == 0 {
			return
		}
		row(w, "name", f.Name)
		row(w, "charter", fmt.Sprintf("version %d, %s", f.CharterVersion, f.Charter))
		if f.Frozen {
			row(w, "frozen", "two valid charters of one version are known; none can follow")
		}
		row(w, "approvals", fmt.Sprintf("%d for the next charter, %d to ban a client", f.Threshold, f.BanThreshold))
		row(w, "views", fmt.Sprintf("%d needed, not older than %v", f.ViewQuorum, time.Duration(f.MaxAge)*time.Second))
		row(w, "suspensions", fmt.Sprintf("of others' clients: %d at a time, up to %v each", f.SuspensionQuota, time.Duration(f.MaxSuspension)*time.Second))
		row(w, "clients", fmt.Sprintf("up to %d for each member", f.ClientsPerMember))
		for _, m := range f.Members {
			row(w, "member", fmt.Sprintf("%s, %s, log of %d records, key %s", m.Issuer, m.State, m.Head.Size, m.Key))
		}
	})
}

func joiningRows(w io.Writer, j *admin.Joining) {
	if j == nil {
		return
	}
	row(w, "asks to join", fmt.Sprintf("%s, at %s", j.Federation, j.URL))
	row(w, "request", strings.TrimSpace(j.Request+" "+j.State))
	row(w, "trouble", j.Trouble)
}

type federationCreateCmd struct {
	Name             string        `placeholder:"N" help:"What the federation is called."`
	MaxAge           time.Duration `placeholder:"D" help:"How old the members' views may be: the longest time for which a stopped app can still be accepted anywhere. 2s to 1h; a new federation has 2m."`
	Threshold        *int          `placeholder:"N" help:"Members that must approve a charter. 0, as in a new federation, means more than half of them, and one of one or two. The charter of a broker that is alone can say 0 or 1."`
	MaxSuspension    time.Duration `placeholder:"D" help:"How long a member may suspend another's app by itself. A new federation has 24h."`
	SuspensionQuota  int           `placeholder:"N" help:"How many such suspensions a member may hold at a time. A new federation has 20."`
	ClientsPerMember int64         `placeholder:"N" help:"How many apps a member may register. A new federation has 1000000."`
}

func (federationCreateCmd) Help() string {
	return `A node's first start founds a federation of one. This command gives it another name and other limits by the next version of its charter; the federation id stays. It works as long as the broker is alone: later, limits are the members' common matter. A broker that has left a federation, or was expelled from it, founds one of its own by this command; its apps stay.

  comity federation create --name "Universities" --max-age 60s`
}

func (c federationCreateCmd) Run(e *environment) error {
	limits := membership.Limits{
		Name: c.Name, Threshold: c.Threshold, SuspensionQuota: c.SuspensionQuota, ClientsPerMember: c.ClientsPerMember,
	}
	for _, d := range []struct {
		flag string
		from time.Duration
		to   *int64
	}{{"--max-age", c.MaxAge, &limits.MaxAge}, {"--max-suspension", c.MaxSuspension, &limits.MaxSuspension}} {
		if d.from < 0 || d.from%time.Second != 0 {
			return usageError{fmt.Errorf("%s must be a positive whole number of seconds, such as 90s or 2m", d.flag)}
		}
		*d.to = int64(d.from / time.Second)
	}
	var done admin.Decision
	if err := e.node().Call(e.ctx, "/federation/create", limits, &done); err != nil {
		return err
	}
	return e.printDecision(done)
}

type federationRequestsCmd struct{}

func (federationRequestsCmd) Run(e *environment) error {
	var list admin.RequestList
	if err := e.node().Call(e.ctx, "/federation/requests", struct{}{}, &list); err != nil {
		return err
	}
	return e.print(list, func(w io.Writer) {
		if len(list.Requests) == 0 {
			fmt.Fprintln(w, "nobody asks for membership, and nothing is proposed")
		}
		for i, r := range list.Requests {
			if i > 0 {
				fmt.Fprintln(w)
			}
			printRequest(w, r)
		}
	})
}

func printRequest(w io.Writer, r admin.Request) {
	row(w, "id", r.ID)
	row(w, "state", r.State)
	row(w, "issuer", r.Issuer)
	row(w, "organisation", r.Organisation)
	row(w, "key", r.Key)
	row(w, "asked", when(r.ReceivedAt))
	row(w, "until", when(r.ExpiresAt))
	row(w, "reason", r.Reason)
	for _, c := range r.Changes {
		row(w, "proposes", c)
	}
	if r.Needed > 0 {
		row(w, "approved by", fmt.Sprintf("%d of %d needed: %s", r.Approvals, r.Needed, strings.Join(r.ApprovedBy, ", ")))
	}
}

type federationApproveCmd struct {
	ID string `arg:"" help:"The id in comity federation requests, or the issuer that asks."`
}

func (federationApproveCmd) Help() string {
	return `This broker fetches the applicant's issuer URL itself and goes on only when it finds a broker record signed with the key that asks. Then it signs the charter that admits the applicant. Where more approvals are needed, the command says so, and the other members see the proposal in comity federation requests.`
}

func (c federationApproveCmd) Run(e *environment) error {
	var done admin.Decision
	if err := e.node().Call(e.ctx, "/federation/approve", admin.Name{Name: c.ID}, &done); err != nil {
		return err
	}
	return e.printDecision(done)
}

type federationRefuseCmd struct {
	ID     string `arg:"" help:"The id in comity federation requests, or the issuer that asks."`
	Reason string `placeholder:"TEXT" help:"Why; the applicant's operator sees it."`
}

func (c federationRefuseCmd) Run(e *environment) error {
	var done admin.Decision
	if err := e.node().Call(e.ctx, "/federation/refuse", admin.Refusal{Name: c.ID, Reason: c.Reason}, &done); err != nil {
		return err
	}
	return e.printDecision(done)
}

type federationExpelCmd struct {
	Issuer string `arg:"" help:"The member's issuer URL."`
	Yes    bool   `help:"Do not ask for the issuer."`
}

func (federationExpelCmd) Help() string {
	return `Expelling a broker stops every app that it has registered and every token that it has minted, at every site, for good. What its log holds by now stays valid as evidence. Enough other members must approve: they see the proposal in comity federation requests.`
}

func (c federationExpelCmd) Run(e *environment) error {
	if !c.Yes {
		question := fmt.Sprintf("This ends the membership of %s for good, and stops all its apps.", c.Issuer)
		if err := e.typed(question, "its issuer", c.Issuer, "expelled"); err != nil {
			return err
		}
	}
	var done admin.Decision
	if err := e.node().Call(e.ctx, "/federation/expel", admin.Name{Name: c.Issuer}, &done); err != nil {
		return err
	}
	return e.printDecision(done)
}

type federationLeaveCmd struct {
	Yes bool `help:"Do not ask for this broker's issuer."`
}

func (federationLeaveCmd) Help() string {
	return `The membership ends by a charter that this broker and enough of the others sign; until then everything goes on. Then the apps that are registered here stop everywhere, and the issuer and its key cannot come back into this federation. A broker that still waits for its admission takes its request back.`
}

func (c federationLeaveCmd) Run(e *environment) error {
	if !c.Yes {
		var s admin.Status
		if err := e.node().Call(e.ctx, "/status", struct{}{}, &s); err != nil {
			return err
		}
		question := fmt.Sprintf("This ends the membership of %s for good, and stops all its apps.", s.Issuer)
		if s.Joining != nil {
			question = fmt.Sprintf("This takes the request of %s for membership back.", s.Issuer)
		}
		if err := e.typed(question, "this broker's issuer", s.Issuer, "changed"); err != nil {
			return err
		}
	}
	var done admin.Decision
	if err := e.node().Call(e.ctx, "/federation/leave", struct{}{}, &done); err != nil {
		return err
	}
	return e.printDecision(done)
}

// printDecision shows what a decision has come to.
func (e *environment) printDecision(d admin.Decision) error {
	return e.print(d, func(w io.Writer) {
		row(w, "about", d.Subject)
		row(w, "state", d.State)
		if d.CharterVersion > 0 {
			row(w, "charter", fmt.Sprintf("version %d, %s", d.CharterVersion, d.Charter))
			row(w, "signed by", strings.Join(d.ApprovedBy, ", "))
		}
		row(w, "pending", d.Pending)
	})
}

// typed asks for a word to be typed before something that cannot be undone.
func (e *environment) typed(question, what, want, done string) error {
	fmt.Fprintf(e.err, "%s\nType %s to go on: ", question, what)
	line, err := e.line()
	if err != nil {
		fmt.Fprintln(e.err)
		return fmt.Errorf("nothing was typed, so nothing was %s; --yes goes on without asking", done)
	}
	if line != want {
		return errors.New("that is not " + what + ", so nothing was " + done + "; expected " + fmt.Sprintf("%q", want))
	}
	return nil
}
