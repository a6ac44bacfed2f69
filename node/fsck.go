// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/filelock"
	"github.com/comity-network/comity/node/store"
)

// FsckReport is what a check of a data directory found.
type FsckReport struct {
	Store    string   `json:"store"`
	Records  int64    `json:"records"`
	Clients  int64    `json:"clients"`
	Problems []string `json:"problems"`
	OK       bool     `json:"ok"`
}

// Fsck checks the database of a node that is not running: its structure, and
// every log entry in it. It changes nothing.
func Fsck(ctx context.Context, cfg Config) (FsckReport, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return FsckReport{}, err
	}
	if _, err := os.Stat(cfg.storePath()); err != nil {
		return FsckReport{}, fmt.Errorf("there is no database to check: %w", err)
	}
	lock, err := filelock.Acquire(cfg.DataDir)
	if err != nil {
		return FsckReport{}, err
	}
	defer lock.Close()
	s, err := store.Open(ctx, cfg.storePath())
	if err != nil {
		return FsckReport{}, err
	}
	defer s.Close()
	report := FsckReport{Store: cfg.Store, Problems: []string{}}
	structure, err := s.CheckStructure(ctx)
	if err != nil {
		return report, err
	}
	audit, err := federation.CheckStore(ctx, s)
	if err != nil {
		return report, err
	}
	report.Records, report.Clients = audit.Records, audit.Clients
	report.Problems = append(append(report.Problems, structure...), audit.Problems...)
	report.OK = len(report.Problems) == 0
	return report, nil
}
