// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

const reasons = "malicious,compromised,policy,superseded,developer-request,unspecified"

type appSuspendCmd struct {
	ID     string        `arg:"" help:"The client_id."`
	For    time.Duration `placeholder:"24h" help:"How long; it then ends by itself. Default: until it is lifted."`
	Cutoff string        `placeholder:"now|TIME" help:"Tokens issued up to then stay dead when the suspension ends (now, or RFC 3339)."`
	Reason string        `required:"" enum:"${reasons}" help:"One of ${enum}. It is public."`
	Note   string        `help:"A note for this node's audit log; it stays here."`
}

func (appSuspendCmd) Help() string {
	return `From this moment no broker issues the app a token and no site accepts one it has.

  comity app suspend CLIENT_ID --for 24h --cutoff now --reason compromised`
}

func (c appSuspendCmd) Run(e *environment) error {
	cutoff, err := parseCutoff(c.Cutoff)
	if err != nil {
		return err
	}
	if c.For < 0 || c.For%time.Second != 0 {
		return usageError{errors.New("--for must be a positive whole number of seconds, such as 24h or 90s")}
	}
	return e.stop(admin.Stop{
		ClientID: c.ID, Action: registry.Suspend, Reason: c.Reason, Note: c.Note,
		For: int64(c.For / time.Second), Cutoff: cutoff,
	})
}

type appReinstateCmd struct {
	ID     string `arg:"" help:"The client_id."`
	Cutoff string `placeholder:"now|TIME" help:"Tokens issued up to then stay dead (now, or RFC 3339)."`
	Reason string `default:"unspecified" enum:"${reasons}" help:"One of ${enum}. It is public."`
	Note   string `help:"A note for this node's audit log; it stays here."`
}

func (c appReinstateCmd) Run(e *environment) error {
	cutoff, err := parseCutoff(c.Cutoff)
	if err != nil {
		return err
	}
	return e.stop(admin.Stop{ClientID: c.ID, Action: registry.Reinstate, Reason: c.Reason, Note: c.Note, Cutoff: cutoff})
}

type appRevokeCmd struct {
	ID     string `arg:"" help:"The client_id."`
	Reason string `required:"" enum:"${reasons}" help:"One of ${enum}. It is public."`
	Note   string `help:"A note for this node's audit log; it stays here."`
	Yes    bool   `help:"Do not ask for the app's name."`
}

func (appRevokeCmd) Help() string {
	return `A revocation is final: no broker issues the app a token again, every token that it has is dead at every site, and nobody can take it back. For an app that another broker has registered it is a vote, and counts when enough members have voted (comity federation show); to stop such an app at once: comity app suspend. To stop an app and look first: comity app suspend.

  comity app revoke CLIENT_ID --reason malicious

CLIENT_ID may be the URL of an app that describes itself; it has no home, so that a revocation is a vote.`
}

func (c appRevokeCmd) Run(e *environment) error {
	if !c.Yes {
		if err := e.confirm(c.ID); err != nil {
			return err
		}
	}
	return e.stop(admin.Stop{ClientID: c.ID, Action: registry.Revoke, Reason: c.Reason, Note: c.Note})
}

// confirm asks for the app's name to be typed.
func (e *environment) confirm(id string) error {
	var app admin.App
	if err := e.node().Call(e.ctx, "/app/show", admin.AppID{ClientID: id}, &app); err != nil {
		return err
	}
	if app.Name == "" { // it describes itself
		app.Name, app.Home = app.ClientID, "none"
	}
	question := fmt.Sprintf("This stops %q (%s, home %s) at every site, for good.", app.Name, app.State, app.Home)
	var f admin.Federation
	if err := e.node().Call(e.ctx, "/federation/show", struct{}{}, &f); err != nil {
		return err
	}
	if f.Issuer != app.Home {
		question = fmt.Sprintf("This is the vote of %s to stop %q (%s, home %s) at every site, for good; %d members must vote.",
			f.Issuer, app.Name, app.State, app.Home, f.BanThreshold)
	}
	return e.typed(question, "its name", app.Name, "revoked")
}

// line reads one line from the operator.
func (e *environment) line() (string, error) {
	line, err := bufio.NewReader(e.in).ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// stop sends the stop and shows live who has acknowledged it.
func (e *environment) stop(s admin.Stop) error {
	var last admin.StopProgress
	live := terminal(e.err)
	err := e.node().Stop(e.ctx, s, func(p admin.StopProgress) {
		last = p
		if live {
			fmt.Fprintf(e.err, "\r\033[K%s", progress(p))
		} else if !e.json {
			fmt.Fprintln(e.err, progress(p))
		}
	})
	if live {
		fmt.Fprintln(e.err)
	}
	if e.ctx.Err() != nil && last.Record != "" {
		return fmt.Errorf("interrupted: the %s is recorded as entry %d and takes its way; comity app show %s says who has it", last.Action, last.Index, last.ClientID)
	}
	if err != nil {
		return err
	}
	return e.print(last, func(w io.Writer) {
		row(w, "client_id", last.ClientID)
		row(w, "state", last.State)
		row(w, "record", last.Record)
		row(w, "log", fmt.Sprintf("entry %d", last.Index))
		row(w, "acknowledged by", strings.Join(last.Acknowledged, ", "))
		if late := append(last.Missing, last.Away...); len(late) > 0 {
			row(w, "not yet by", strings.Join(late, ", ")+" (learns of it when it is back)")
		}
		if last.SitesTold < last.SitesToTell {
			row(w, "sites", fmt.Sprintf("%d of %d told; the others are told when they answer, and find it in the stop list", last.SitesTold, last.SitesToTell))
		}
		if last.SitesToCall > 0 {
			row(w, "sites to call", fmt.Sprintf("%d that gave it credentials by OAuth 1.0a do not hear of this: comity app show lists them", last.SitesToCall))
		}
		if last.Action == string(registry.Revoke) && last.State != string(registry.ClientRevoked) {
			row(w, "pending", "this was a vote: the app is revoked when enough members have voted (comity federation show)")
		}
	})
}

func progress(p admin.StopProgress) string {
	line := fmt.Sprintf("%s recorded as entry %d; acknowledged by %d of %d online members", p.Action, p.Index, len(p.Acknowledged), p.Online)
	if len(p.Away) > 0 {
		line += fmt.Sprintf(", %d not connected", len(p.Away))
	}
	if p.SitesToTell > 0 {
		line += fmt.Sprintf("; %d of %d sites that hold its tokens told", p.SitesTold, p.SitesToTell)
	}
	return fmt.Sprintf("%s (%.0f ms)", line, p.Millis)
}

// parseCutoff reads now, a time, or nothing. The node resolves now (-1), so
// that it is the time of the record.
func parseCutoff(s string) (int64, error) {
	switch s {
	case "":
		return 0, nil
	case "now":
		return -1, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, usageError{fmt.Errorf("--cutoff %q is neither now nor a time such as 2026-01-31T12:00:00Z", s)}
	}
	return t.Unix(), nil
}
