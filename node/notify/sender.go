// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// SenderConfig configures a Sender. All fields but Timeout are needed.
type SenderConfig struct {
	Client  *http.Client // of internal/guard
	Sites   Directory
	Key     func() registry.SigningKey // the current token key
	Now     func() time.Time
	Timeout time.Duration // of one attempt, the look-up of the site included; 0: guard.Timeout
}

// Sender pushes events. It is safe for concurrent use.
type Sender struct {
	cfg  SenderConfig
	turn time.Duration

	mu    sync.Mutex
	lines map[string]*line // of sites that take batches, by resource; as long as somebody is in them
}

// NewSender returns a sender.
func NewSender(cfg SenderConfig) *Sender {
	if cfg.Timeout == 0 {
		cfg.Timeout = guard.Timeout
	}
	return &Sender{cfg: cfg, turn: turn, lines: map[string]*line{}}
}

// Deliver pushes m to its site within the timeout: once, or, where it went in a
// batch without having been stored for sure, once more alone. The same message
// may be delivered again: its event must have an ID.
func (s *Sender) Deliver(ctx context.Context, m Message) Answer {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	site, err := s.cfg.Sites.Site(ctx, m.Site)
	if err != nil {
		return Answer{Err: err}
	}
	if site.EventsEndpoint == "" {
		return Answer{Err: fmt.Errorf("%w: %s", ErrNoEndpoint, m.Site)}
	}
	if site.EventBatches && m.Event.InBatches() {
		if answer, ok := s.together(ctx, site, m.Event); ok {
			return answer
		}
	}
	return s.alone(ctx, site.EventsEndpoint, m.Event)
}

// alone pushes one event.
func (s *Sender) alone(ctx context.Context, endpoint string, e protocol.Event) Answer {
	token, err := s.Sign(e)
	if err != nil {
		return Answer{Err: err}
	}
	status, header, body, err := s.post(ctx, endpoint, "application/secevent+jwt", token)
	switch status {
	case 0:
		return Answer{Err: err}
	case http.StatusAccepted: // what it says more, or that it says too much, does not matter
		return Answer{Accepted: true}
	case http.StatusBadRequest:
		return refusal(header, body, err)
	}
	return Answer{Err: &StatusError{status}}
}

// Sign signs e with the current token key, issued now.
func (s *Sender) Sign(e protocol.Event) (string, error) {
	if e.ID == "" {
		return "", errors.New("event has no jti: a second attempt would look like another event")
	}
	e.IssuedAt = s.cfg.Now().Unix()
	return protocol.SignEvent(s.cfg.Key(), e)
}

// post returns the site's answer. status is 0 when there is none; else err is
// what is wrong with the body.
func (s *Sender) post(ctx context.Context, endpoint, kind, token string) (status int, header http.Header, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(token))
	if err != nil {
		return 0, nil, nil, err
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "comity")
	resp, err := s.cfg.Client.Do(r)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("push: %w", err)
	}
	defer resp.Body.Close()
	// Read it all, for the connection to be of use again.
	body, err = guard.ReadLimited(resp.Body, protocol.MaxAnswerBytes)
	return resp.StatusCode, resp.Header, body, err
}

// refusal reads an answer 400.
func refusal(header http.Header, body []byte, err error) Answer {
	if err != nil {
		return Answer{Err: fmt.Errorf("push: body of the answer 400: %w", err)}
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return Answer{Err: fmt.Errorf("push: the answer 400 is not application/json: %w", &StatusError{http.StatusBadRequest})}
	}
	refused, err := protocol.ParsePushError(body)
	if err != nil {
		return Answer{Err: fmt.Errorf("push: %w: %w", &StatusError{http.StatusBadRequest}, err)}
	}
	return Answer{Refused: refused}
}

// StatusError is an answer that says nothing, by a site that is alive.
type StatusError struct {
	Code int // HTTP status
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("push: the answer is %d, which is neither 202 nor an error of RFC 8935", e.Code)
}
