// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/comity-network/comity/registry"
)

const (
	// sweepEvery is how often Run looks for tokens that were left pending.
	sweepEvery = 5 * time.Second
	// pendingLife is longer than any request can need between mint and
	// release.
	pendingLife = 15 * time.Second
	// purgeEvery is how often Run forgets what has expired.
	purgeEvery = 10 * time.Minute
)

// Recover brings the store to a state that the process before this one may not
// have reached: every pending token is void, its site will be told, and the
// stops that the records know are carried out. Call it before serving.
func (s *Server) Recover(ctx context.Context) error {
	if err := s.voidPending(ctx, math.MaxInt64); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	holders, err := s.cfg.Store.Holders(ctx, s.now())
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, id := range holders {
		if err := s.recoverStop(ctx, id); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	return nil
}

// voidPending makes void what is pending since before a second.
func (s *Server) voidPending(ctx context.Context, before int64) error {
	pending, err := s.cfg.Store.Pending(ctx, before)
	if err != nil {
		return err
	}
	for _, t := range pending {
		if err := s.cfg.Store.Void(ctx, t.Key, Undo, s.now(), s.deadToken("not-released")(t)); err != nil {
			return err
		}
		s.log.InfoContext(ctx, "a pending token is void", "token", short(t.Hash()), "site", t.Site, "client", t.ClientID)
	}
	return nil
}

// Sweep makes void what a failed write has left pending. Run calls it.
func (s *Server) Sweep(ctx context.Context) error {
	return s.voidPending(ctx, s.now()-seconds(pendingLife))
}

// recoverStop carries out what the records say of one client. Doing it twice
// changes nothing; sites may hear of it twice.
func (s *Server) recoverStop(ctx context.Context, id string) error {
	state, err := s.cfg.Clients.State(ctx, id)
	if err != nil {
		// Introspection refuses an unknown client's tokens as well.
		return ignore(err, registry.ErrNotFound)
	}
	if state.HomeStatus == registry.BrokerExpelled {
		return s.BrokerChanged(ctx, state.Home, registry.BrokerExpelled)
	}
	if state.Status != registry.ClientActive {
		return s.ClientStopped(ctx, state)
	}
	if state.Cutoff > 0 {
		_, err = s.cfg.Store.StopClient(ctx, s.stopOf(state), nil)
	}
	return err
}

// Run does the housekeeping until ctx ends: tokens that a failed write has left
// pending become void, and what has expired is forgotten. It returns nil.
func (s *Server) Run(ctx context.Context) error {
	sweep, purge := time.NewTicker(sweepEvery), time.NewTicker(purgeEvery)
	defer sweep.Stop()
	defer purge.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			err = s.Sweep(ctx)
		case <-purge.C:
			err = s.cfg.Store.Purge(ctx, s.now())
		}
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "housekeeping of tokens failed; it will be tried again", "error", err)
		}
	}
}
