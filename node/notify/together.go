// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"net/http"
	"time"

	"github.com/comity-network/comity/internal/group"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/site/protocol"
)

// Many tokens for one site at the same time cost it, and the broker, a
// signature, an exchange and a wait for the disk each. So what comes while
// pushes to a site are under way shares the next one, where the site takes
// batches. An event that is alone is pushed alone, at once.

const (
	// pushes is how many are under way to one site: while it stores one batch,
	// the next is signed.
	pushes = 2
	// turn is how long an event waits for those before it. Then it goes alone:
	// that the site is slow with one must not delay all the others.
	turn = 250 * time.Millisecond
	// batchTimeout is how long a site has for a batch, of which it judges
	// nothing that takes longer. Then each goes alone, in the time that is left.
	batchTimeout = time.Second
)

// line is where events for one site wait for each other.
type line struct {
	*group.Line[*parcel]
	users int
}

// parcel is an event in a line, and what became of it.
type parcel struct {
	event  protocol.Event
	answer Answer
	done   bool // answer is there; else it is to be pushed alone
}

// together pushes e with others that are there at the same time. ok is false
// when it must be pushed alone; the site may have stored it or not.
func (s *Sender) together(ctx context.Context, site *sites.Site, e protocol.Event) (answer Answer, ok bool) {
	l := s.enter(site.Resource)
	defer s.leave(site.Resource, l)
	p := &parcel{event: e}
	waiting, cancel := context.WithTimeout(ctx, s.turn)
	defer cancel()
	err := l.Join(waiting, p, func(all []*parcel) {
		if len(all) > 1 {
			s.batch(ctx, site.EventsEndpoint, all)
			return
		}
		p.answer, p.done = s.alone(ctx, site.EventsEndpoint, e), true
	})
	return p.answer, err == nil && p.done
}

// batch pushes events in one, for all of them: the one whose ctx it has may
// give up, the others do not.
func (s *Sender) batch(ctx context.Context, endpoint string, all []*parcel) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	events := make([]protocol.Event, len(all))
	now := s.cfg.Now().Unix()
	for i, p := range all {
		events[i] = p.event
		events[i].IssuedAt = now
	}
	token, n, err := protocol.SignBatch(s.cfg.Key(), events)
	if err != nil {
		return // who is wrong is told so when it goes alone
	}
	status, _, body, err := s.post(ctx, endpoint, "application/secevent-batch+jwt", token)
	if err != nil || status != http.StatusAccepted {
		return
	}
	said, err := protocol.ParseBatchAnswer(body)
	if err != nil {
		return
	}
	alone := make(map[string]bool, len(said.Alone))
	for _, id := range said.Alone {
		alone[id] = true
	}
	for _, p := range all[:n] {
		if !alone[p.event.ID] {
			p.answer, p.done = Answer{Accepted: true}, true
		}
	}
}

func (s *Sender) enter(site string) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[site]
	if l == nil {
		l = &line{Line: group.NewLine[*parcel](pushes, protocol.MaxBatchEvents)}
		s.lines[site] = l
	}
	l.users++
	return l
}

func (s *Sender) leave(site string, l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(s.lines, site)
	}
}
