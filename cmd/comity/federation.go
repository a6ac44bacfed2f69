// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/publish"
)

type federationCmd struct {
	Show federationShowCmd `cmd:"" help:"Show the federation: its id, charter and members."`
}

type federationShowCmd struct{}

func (federationShowCmd) Run(e *environment) error {
	var s admin.Status
	if err := e.node().Call(e.ctx, "/status", struct{}{}, &s); err != nil {
		return err
	}
	out := struct {
		Federation     string           `json:"federation"`
		CharterVersion int64            `json:"charter_version"`
		Members        []publish.Member `json:"members"`
	}{s.Federation, s.CharterVersion, s.Members}
	return e.print(out, func(w io.Writer) {
		row(w, "federation", s.Federation)
		row(w, "charter", fmt.Sprintf("version %d", s.CharterVersion))
		for _, m := range s.Members {
			row(w, "member", fmt.Sprintf("%s, %s, log of %d records, key %s", m.Issuer, m.State, m.Head.Size, m.Key))
		}
	})
}
