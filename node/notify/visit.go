// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"log/slog"
)

// visit delivers what waits for one site until nothing is left, and reports
// whether all went well. When ctx ends it finishes the attempt under way.
func (o *Outbox) visit(ctx, visits context.Context, site string, s *state) bool {
	for ctx.Err() == nil {
		messages, err := o.cfg.Store.Queued(visits, site, batch)
		if err != nil {
			o.cfg.Log.Error("outbox cannot be read", "site", site, "error", err)
			return false
		}
		if len(messages) == 0 {
			return true
		}
		done, failed, cause := o.deliver(ctx, visits, messages)
		if err := o.dequeue(done); err != nil {
			o.cfg.Log.Error("outbox cannot be written; sites will see events twice", "site", site, "error", err)
			return false
		}
		if cause != nil {
			o.cfg.Log.Log(visits, level(s, cause), "site does not take events", "site", site, "jti", failed.Event.ID, "error", cause)
			o.stuck(visits, s, failed, cause)
			return false
		}
	}
	return true
}

// level is for people who need to know that a site fails, but not again and
// again. failures is only written between visits.
func level(s *state, cause error) slog.Level {
	if s.failures > 0 || errors.Is(cause, ErrNoEndpoint) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// deliver delivers messages of one site in order, up to the first that fails,
// and returns those that are done with. Expired ones are dropped, wherever
// they stand.
func (o *Outbox) deliver(ctx, visits context.Context, messages []Message) (done []Done, failed Message, cause error) {
	now := o.cfg.Now().Unix()
	for _, m := range messages {
		id := Done{m.Site, m.Event.ID}
		switch {
		case m.ExpiresAt <= now:
			o.cfg.Log.Warn("event dropped: nobody needs it any more", "site", m.Site, "jti", m.Event.ID, "event", m.Event.URI())
			done = append(done, id)
			continue
		case cause != nil || ctx.Err() != nil:
			continue
		}
		switch a := o.cfg.Sender.Deliver(visits, m); {
		case a.Accepted:
			done = append(done, id)
		case a.Refused != nil:
			o.cfg.Log.Warn("site refuses an event", "site", m.Site, "jti", m.Event.ID, "event", m.Event.URI(),
				"error", a.Refused.Err, "description", a.Refused.Description)
			done = append(done, id)
		default:
			failed, cause = m, a.Err
		}
	}
	return done, failed, cause
}

// stuck puts a message behind the others when the site answered it with an
// error again and again: the site is alive, so it may be this one message.
func (o *Outbox) stuck(ctx context.Context, s *state, m Message, cause error) {
	var status *StatusError
	if !errors.As(cause, &status) {
		s.message, s.answers = "", 0
		return
	}
	if s.message != m.Event.ID {
		s.message, s.answers = m.Event.ID, 0
	}
	if s.answers++; s.answers < patience {
		return
	}
	s.message, s.answers = "", 0
	if err := o.cfg.Store.Postpone(ctx, m.Site, m.Event.ID); err != nil {
		o.cfg.Log.Error("outbox cannot be written", "site", m.Site, "error", err)
	}
}

func (o *Outbox) dequeue(ids []Done) error {
	if len(ids) == 0 {
		return nil
	}
	gone := make(chan error, 1)
	o.done <- removal{ids, gone}
	return <-gone
}
