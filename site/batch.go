// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/comity-network/comity/site/internal/trust"
	"github.com/comity-network/comity/site/protocol"
)

// serveBatch receives several notifications at once: 202 with the names of those
// that are not stored, which the broker then sends alone. Nobody is asked
// anything for one of them, since all the others would wait for the answer.
func (s *Site) serveBatch(w http.ResponseWriter, r *http.Request) {
	batch, err := s.readBatch(w, r)
	if err != nil {
		s.answer(w, err)
		return
	}
	s.writeJSON(w, http.StatusAccepted, protocol.BatchAnswer{Alone: s.takeAll(r.Context(), batch.Events)})
}

func (s *Site) readBatch(w http.ResponseWriter, r *http.Request) (*protocol.SignedBatch, error) {
	token, err := readEvent(w, r)
	if err != nil {
		return nil, err
	}
	batch, err := protocol.ParseBatch(token)
	if err != nil {
		return nil, refuse400(protocol.ErrInvalidRequest, "%v", err)
	}
	return batch, s.authenticate(r.Context(), batch, &batch.Events[0])
}

// takeAll stores authentic events, together, and returns the jti of those that
// it has not stored.
func (s *Site) takeAll(ctx context.Context, events []protocol.Event) []string {
	errs := make([]error, len(events))
	var all sync.WaitGroup
	for i := range events {
		all.Go(func() { errs[i] = s.takeQuickly(ctx, &events[i]) })
	}
	all.Wait()
	alone := []string{}
	for i, err := range errs {
		if err != nil {
			alone = append(alone, events[i].ID)
		}
	}
	return alone
}

// takeQuickly takes one event, unless somebody has to be asked for that. It runs
// in a goroutine of its own, where a panic of a function of the site's would end
// the program; in a handler it does not.
func (s *Site) takeQuickly(ctx context.Context, event *protocol.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			s.config.Log.Error("event not stored", "error", err, "stack", string(debug.Stack()))
		}
	}()
	return s.take(ctx, event, func(context.Context, string, *protocol.TokenIssued) (*trust.Client, error) { return nil, errUnmet })
}
