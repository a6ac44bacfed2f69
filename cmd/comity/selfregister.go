// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/comity-network/comity/node/admin"
)

type appTokenCmd struct {
	Uses int64         `default:"1" placeholder:"N" help:"How many apps it may register. Default: 1."`
	For  time.Duration `default:"24h" placeholder:"D" help:"How long it is good, at most a year. Default: 24h."`
}

func (appTokenCmd) Help() string {
	return `Whoever has the token registers apps as you would: signed, in this broker's log, known to every broker and site. Send it to developers who register by a program (RFC 7591), at /oauth/register. It is printed once; only its hash is stored.

  comity app token                        # one app, within a day
  comity app token --uses 20 --for 72h    # for a class

  curl https://broker.example/oauth/register -H "Authorization: Bearer $TOKEN" \
    -H "Content-Type: application/json" \
    -d '{"client_name":"My App","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}'

A registration that is refused does not use it up.`
}

func (c appTokenCmd) Run(e *environment) error {
	return e.token("/app/token", admin.TokenDraft{Uses: c.Uses, For: int64(c.For.Seconds())})
}

type appEndTokenCmd struct {
	ID string `arg:"" help:"The token's id, as comity app tokens shows it."`
}

func (appEndTokenCmd) Help() string {
	return `Apps that were registered with it stay registered.

  comity app end-token n4qk2vza`
}

func (c appEndTokenCmd) Run(e *environment) error {
	return e.token("/app/end-token", admin.TokenID{ID: c.ID})
}

// token performs an operation on one token and shows it.
func (e *environment) token(path string, in any) error {
	var t admin.Token
	if err := e.node().Call(e.ctx, path, in, &t); err != nil {
		return err
	}
	return e.print(t, func(w io.Writer) {
		row(w, "id", t.ID)
		if t.Token != "" {
			row(w, "token", t.Token+"   (shown once)")
		}
		row(w, "used", fmt.Sprintf("%d of %d", t.Used, t.Uses))
		row(w, "until", when(t.ExpiresAt))
	})
}

type appTokensCmd struct{}

func (appTokensCmd) Run(e *environment) error {
	var list admin.TokenList
	if err := e.node().Call(e.ctx, "/app/tokens", struct{}{}, &list); err != nil {
		return err
	}
	return e.print(list, func(w io.Writer) {
		if len(list.Tokens) == 0 {
			fmt.Fprintln(w, "no token: comity app token --help")
			return
		}
		fmt.Fprintln(w, "ID\tUSED\tUNTIL")
		for _, t := range list.Tokens {
			fmt.Fprintf(w, "%s\t%d of %d\t%s\n", t.ID, t.Used, t.Uses, when(t.ExpiresAt))
		}
	})
}

type appPromoteCmd struct {
	ID string `arg:"" help:"Its client_id, which begins with local-."`
}

func (appPromoteCmd) Help() string {
	return `From then on the app is registered as by comity app register: signed, in the log, known to every broker and site. It gets a new client_id, and keeps its secret and its registration token. It hears of the new client_id when it next reads its registration; then the old one ends.

Look first at what it says of itself: comity app list --local --json

  comity app promote local-Zk3…`
}

func (c appPromoteCmd) Run(e *environment) error {
	var app admin.App
	if err := e.node().Call(e.ctx, "/app/promote", admin.AppID{ClientID: c.ID}, &app); err != nil {
		return err
	}
	return e.printApp(app)
}

// local lists the apps of this broker alone.
func (c appListCmd) local(e *environment) error {
	var list admin.LocalAppList
	if err := e.node().Call(e.ctx, "/app/local", admin.Page{After: c.After, Limit: c.Limit}, &list); err != nil {
		return err
	}
	return e.print(list, func(w io.Writer) {
		if len(list.Apps) == 0 {
			fmt.Fprintln(w, "no app has registered itself at this broker alone")
			return
		}
		fmt.Fprintln(w, "CLIENT\tUNTIL\tNAME\tPROMOTED TO")
		for _, a := range list.Apps {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.ClientID, when(a.ExpiresAt), a.Name, orDash(a.Promoted))
		}
		if list.Next != "" {
			fmt.Fprintf(w, "more: comity app list --local --after %s\n", list.Next)
		}
	})
}
