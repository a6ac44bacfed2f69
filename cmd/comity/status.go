// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
)

type showStatusCmd struct{}

func (showStatusCmd) Run(e *environment) error {
	var s admin.Status
	if err := e.node().Call(e.ctx, "/status", struct{}{}, &s); err != nil {
		return err
	}
	return e.print(s, func(w io.Writer) {
		row(w, "issuer", s.Issuer)
		row(w, "state", freshness(s))
		row(w, "federation", s.Federation)
		joiningRows(w, s.Joining)
		if s.CharterVersion > 0 {
			row(w, "charter", fmt.Sprintf("version %d", s.CharterVersion))
		}
		row(w, "peer", fmt.Sprintf("%s, %d connected", s.PeerID, s.Peers))
		row(w, "addresses", strings.Join(s.Addresses, ", "))
		row(w, "clients", counts(s.Clients))
		row(w, "outbox", fmt.Sprintf("%d events waiting", s.Outbox))
		row(w, "store", s.Store)
		row(w, "running", time.Duration(s.Uptime)*time.Second)
		for _, m := range s.Members {
			row(w, "member", fmt.Sprintf("%s, %s, %s, log of %d records, %s", m.Issuer, m.State, reached(m), m.Head.Size, viewAge(m.ViewAge)))
		}
	})
}

func freshness(s admin.Status) string {
	if s.Fresh {
		return "fresh"
	}
	return "stale: " + s.StaleReason
}

func reached(m admin.Member) string {
	if m.Online {
		return "online"
	}
	return "not connected"
}

func viewAge(seconds *int64) string {
	if seconds == nil {
		return "no view seen"
	}
	return fmt.Sprintf("view %d s old", *seconds)
}

func counts(clients map[string]int) string {
	var parts []string
	for state, n := range clients {
		parts = append(parts, fmt.Sprintf("%d %s", n, state))
	}
	if len(parts) == 0 {
		return "none"
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

type versionCmd struct{}

func (versionCmd) Run(e *environment) error {
	v := node.BuildVersion()
	return e.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "comity %s (commit %s, %s)\n", v.Version, v.Commit, v.Go)
	})
}
