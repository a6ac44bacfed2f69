// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"log/slog"
	"time"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/site/protocol"
)

const (
	// pollBytes is how many characters of events an answer holds; what JSON
	// adds stays below protocol.MaxPollBytes.
	pollBytes = protocol.MaxPollBytes - 64<<10
	// maxPollRequest bounds a request: MaxPollEvents acknowledgements, or as
	// many errors with short descriptions.
	maxPollRequest = 32 << 10
)

// PollerConfig configures a Poller. All fields are needed.
type PollerConfig struct {
	Store Store
	// Sign signs an event with a fresh iat; it is Sender.Sign.
	Sign func(protocol.Event) (string, error)
	// Authenticate takes a site's assertion, once; it is
	// sites.Directory.Authenticate.
	Authenticate func(ctx context.Context, assertion string) (*sites.Site, error)
	Now          func() time.Time
	Log          *slog.Logger
}

// Poller hands events to sites that fetch them (RFC 8936). Its handler is in
// pollhttp.go.
type Poller struct {
	cfg PollerConfig
}

// NewPoller returns a poller.
func NewPoller(cfg PollerConfig) *Poller { return &Poller{cfg} }

// Poll removes the messages that site has acknowledged or refused and returns
// those that wait, signed now, in order. They stay until they are
// acknowledged.
func (p *Poller) Poll(ctx context.Context, site string, r *protocol.PollRequest) (*protocol.PollAnswer, error) {
	if err := p.settle(ctx, site, r); err != nil {
		return nil, err
	}
	max := protocol.MaxPollEvents
	if r.MaxEvents != nil {
		max = min(max, *r.MaxEvents)
	}
	messages, err := p.cfg.Store.Queued(ctx, site, max+1)
	if err != nil {
		return nil, err
	}
	answer := &protocol.PollAnswer{Sets: map[string]string{}}
	size := 0
	for i, m := range messages {
		if m.ExpiresAt <= p.cfg.Now().Unix() {
			continue // the outbox removes it
		}
		if i == max {
			answer.MoreAvailable = true
			break
		}
		token, err := p.cfg.Sign(m.Event)
		if err != nil {
			return nil, err
		}
		if size += len(token); size > pollBytes {
			answer.MoreAvailable = true
			break
		}
		answer.Sets[m.Event.ID] = token
	}
	return answer, nil
}

// settle removes what the site has stored or does not want.
func (p *Poller) settle(ctx context.Context, site string, r *protocol.PollRequest) error {
	var done []Done
	for _, id := range r.Ack {
		done = append(done, Done{site, id})
	}
	for id, e := range r.SetErrs {
		p.cfg.Log.Warn("site refuses an event", "site", site, "jti", id, "error", e.Err, "description", e.Description)
		done = append(done, Done{site, id})
	}
	if len(done) == 0 {
		return nil
	}
	return p.cfg.Store.Dequeue(ctx, done)
}
