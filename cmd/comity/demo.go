// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/comity-network/comity/testnet/demo"
)

type demoCmd struct {
	Brokers int  `default:"3" placeholder:"N" help:"How many brokers take part, 1 to 5. Default: ${default}."`
	Logs    bool `help:"Show what the brokers log, too."`
}

func (demoCmd) Help() string {
	return `Three brokers as child processes of this binary, two sites and one app, all on loopback. The brokers become a federation. The app is registered with the first; each site knows one of the others. A user logs in at the first site and lets the app in; the same registration opens the second; the first broker is killed, and a login works all the same; it comes back, and its operator revokes the app: each site refuses it by itself, and so does each broker. Sites and app speak HTTP only. Everything is in a temporary directory that is removed at the end.

With --brokers 1 nobody is killed.`
}

func (c demoCmd) Run(e *environment) error {
	if c.Brokers < 1 || c.Brokers > demo.MaxBrokers {
		return usageError{fmt.Errorf("--brokers %d: choose 1 to %d", c.Brokers, demo.MaxBrokers)}
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := demo.Config{Binary: binary, Brokers: c.Brokers}
	if c.Logs {
		cfg.Log = e.err
	}
	if !e.json {
		cfg.Report = demo.Printer(e.out)
	}
	// Whoever closes the terminal or the pipe ends the story, in order.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGHUP)
	defer stop()
	result := demo.Run(ctx, cfg)
	if err := e.print(result, func(w io.Writer) { fmt.Fprint(w, result.Summary()) }); err != nil {
		return err
	}
	if !result.OK {
		return errors.New("the story did not come to its end: the last step says why; --logs shows what the brokers said")
	}
	return nil
}
