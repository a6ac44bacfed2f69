// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/comity-network/comity/testnet/app"
)

// stopLimit is how long a site may take to refuse. It is far above what one
// needs, and below what a cut-off site would take (max_age).
const stopLimit = 30 * time.Second

// refusal is the first no of a site.
type refusal struct {
	answer *app.Answer
	after  time.Duration // since the start of the command that revoked the app
	err    error
}

// stop revokes the app on the command line, while the app goes on calling both
// sites as fast as they answer.
func (s *stage) stop() {
	s.chapter = "The stop, while the app goes on calling both sites (times from the start of the command)"
	var refusals [2]refusal
	s.step("the operator revokes the app", func() (string, error) {
		ctx, cancel := context.WithTimeout(s.ctx, stopLimit)
		defer cancel()
		began := time.Now()
		calls := sync.WaitGroup{}
		defer calls.Wait()
		for i, login := range s.logins {
			calls.Go(func() { refusals[i] = s.callUntilRefused(ctx, login, began) })
		}
		var revoked struct {
			State string `json:"state"`
			Index int64  `json:"index"`
		}
		if err := s.broker.JSON(s.ctx, &revoked, "app", "revoke", s.app.client.ClientID, "--yes", "--reason", "malicious"); err != nil {
			cancel()
			return "", err
		}
		return fmt.Sprintf("comity app revoke: %s, entry %d of the log", revoked.State, revoked.Index), nil
	})
	if s.err != nil {
		return
	}
	for i, name := range []string{"the first site refuses", "the second site refuses"} {
		r := refusals[i]
		if r.err != nil {
			s.step(name, func() (string, error) { return "", r.err })
			return
		}
		s.tell(name, r.after, fmt.Sprintf("%d %s", r.answer.Status, why(r.answer.Challenge)))
		s.result.RevocationMillis = max(s.result.RevocationMillis, millis(r.after))
	}
	s.step("the broker gives no new token", func() (string, error) {
		err := s.app.renew(s.ctx, s.logins[0])
		refused := (*app.Error)(nil)
		if !errors.As(err, &refused) || refused.Code != "invalid_client" {
			return "", fmt.Errorf("expected invalid_client, not %v", err)
		}
		return fmt.Sprintf("%d %s: %s", refused.Status, refused.Code, refused.Description), nil
	})
}

// callUntilRefused calls the site every few milliseconds until it says no.
func (s *stage) callUntilRefused(ctx context.Context, login *session, began time.Time) refusal {
	for every := time.NewTicker(2 * time.Millisecond); ; {
		answer, err := s.app.client.Call(ctx, login.target, login.tokens)
		switch {
		case err != nil:
			return refusal{err: fmt.Errorf("it does not refuse: %w", err)}
		case answer.Status == http.StatusUnauthorized:
			return refusal{answer: answer, after: time.Since(began)}
		case answer.Status != http.StatusOK:
			return refusal{err: fmt.Errorf("it answered %d: %s", answer.Status, answer.Body)}
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return refusal{err: fmt.Errorf("it does not refuse: %w", ctx.Err())}
		}
	}
}

var challengeError = regexp.MustCompile(`error="([^"]*)"(?:, error_description="([^"]*)")?`)

// why is the reason in a WWW-Authenticate header.
func why(challenge string) string {
	m := challengeError.FindStringSubmatch(challenge)
	if m == nil {
		return challenge
	}
	if m[2] == "" {
		return m[1]
	}
	return m[1] + ": " + m[2]
}
