// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/comity-network/comity/node"
)

type fsckCmd struct {
	Store string `placeholder:"sqlite:PATH" help:"The database, where it is not in the data directory."`
}

func (fsckCmd) Help() string {
	return `Reads every log entry, checks its signature, its place in the Merkle log and the signed checkpoint over it, and the database's own structure. It changes nothing. Stop the node first.`
}

func (c fsckCmd) Run(e *environment) error {
	report, err := node.Fsck(e.ctx, node.Config{DataDir: e.data, Store: c.Store})
	if err != nil {
		return err
	}
	if err := e.print(report, func(w io.Writer) {
		row(w, "records", report.Records)
		row(w, "clients", report.Clients)
		for _, p := range report.Problems {
			row(w, "problem", p)
		}
		if report.OK {
			row(w, "result", "all is well")
		}
	}); err != nil {
		return err
	}
	if !report.OK {
		return fmt.Errorf("%d problems found in %s: restore the data directory from a backup", len(report.Problems), e.data)
	}
	return nil
}
