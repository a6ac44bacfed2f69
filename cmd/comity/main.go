// SPDX-License-Identifier: Apache-2.0

// Command comity runs a node of a federated network of OAuth brokers and
// operates it: `comity --help` is its manual, docs/ has the rest.
//
// Exit status: 0 done, 1 failed (one line on stderr says what and what to do),
// 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

type cli struct {
	Data string `env:"COMITY_DATA" default:"comity-data" placeholder:"DIR" help:"Data directory of the node: keys, database, control socket. Default: comity-data here."`
	JSON bool   `name:"json" help:"Print the result as one JSON document."`

	Run        runCmd        `cmd:"" help:"Run a node in the foreground."`
	Demo       demoCmd       `cmd:"" help:"See the whole story on this machine: an app, a broker, two sites, a login, a revocation."`
	Status     showStatusCmd `cmd:"" help:"Show how the running node is doing."`
	App        appCmd        `cmd:"" help:"Register apps, change them, stop them."`
	Site       siteCmd       `cmd:"" help:"See and choose the sites that this broker serves."`
	User       userCmd       `cmd:"" help:"The accounts of the people of this organisation, who log in at this broker."`
	Federation federationCmd `cmd:"" help:"See the federation that this broker belongs to; admit and expel members."`
	Fsck       fsckCmd       `cmd:"" help:"Check the stored log of a node that is not running, entry by entry."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

const about = `Comity is a federated network of OAuth brokers. An app registers once, with any broker; every site that trusts one broker of the federation accepts it; one command stops it at all of them.

Start a node, then, in another terminal, register an app and stop it again:

  comity run
  comity app register --name "My App" --redirect-uri https://app.example/callback
  comity app revoke CLIENT_ID --reason malicious

Every command that prints a result has --json. Commands other than run, demo, fsck and version talk to the running node through its data directory (--data).`

// environment is what commands may touch of the outside.
type environment struct {
	ctx      context.Context
	in       io.Reader
	out, err io.Writer
	json     bool
	data     string
}

func (e *environment) node() *admin.Client { return admin.Dial(e.data) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings as parameters; it returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("comity"),
		kong.Description(about),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Configuration(loadConfig),
		kong.Vars{"reasons": reasons},
	)
	if err != nil {
		fmt.Fprintln(errs, "comity:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		return usage(errs, err)
	}
	env := &environment{ctx: ctx, in: in, out: out, err: errs, json: c.JSON, data: c.Data}
	if err := parsed.Run(env); err != nil {
		if u := (usageError{}); errors.As(err, &u) {
			return usage(errs, err)
		}
		fmt.Fprintln(errs, "comity:", plain(err))
		return 1
	}
	return 0
}

// plain is the text of an error for a person: without the word in front by
// which programs tell errors apart, since the sentence behind it says the same.
func plain(err error) string {
	text := err.Error()
	for _, word := range []error{registry.ErrConflict, registry.ErrRevoked, registry.ErrNotFound, registry.ErrStale, registry.ErrForm, registry.ErrLimit} {
		text = strings.TrimPrefix(text, word.Error()+": ")
	}
	return text
}

// usageError is a mistake in the command line that only the command sees.
type usageError struct{ error }

func usage(errs io.Writer, err error) int {
	fmt.Fprintf(errs, "comity: %v (see comity --help)\n", err)
	if c := (*configError)(nil); errors.As(err, &c) {
		return 1
	}
	return 2
}
