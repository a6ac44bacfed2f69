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
	Brokers int  `default:"1" placeholder:"N" help:"How many brokers take part. This version runs one: a federation of several is not built yet."`
	Logs    bool `help:"Show what the broker logs, too."`
}

func (demoCmd) Help() string {
	return `One broker as a child process of this binary, two sites and one app, all on loopback. A user logs in at the first site and lets the app in; the same registration opens the second; then the operator revokes the app, and each site refuses it by itself. Sites and app speak HTTP only. Everything is in a temporary directory that is removed at the end.`
}

func (c demoCmd) Run(e *environment) error {
	if c.Brokers != 1 {
		return usageError{fmt.Errorf("--brokers %d: this version runs one broker; leave the option out", c.Brokers)}
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := demo.Config{Binary: binary}
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
		return errors.New("the story did not come to its end: the last step says why; --logs shows what the broker said")
	}
	return nil
}
