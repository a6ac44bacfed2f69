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
	"github.com/comity-network/comity/testnet/process"
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
	s.chapter = "The stop, while the app goes on calling its sites (times from the start of the command)"
	refusals := make([]refusal, len(s.logins))
	s.step("the operator revokes the app", func() (string, error) { return s.revoke(refusals) })
	for i, r := range refusals {
		name := s.logins[i].name + " refuses"
		if s.err != nil {
			return
		}
		if r.err != nil {
			s.step(name, func() (string, error) { return "", r.err })
			return
		}
		s.tell(name, r.after, fmt.Sprintf("%d %s", r.answer.Status, why(r.answer.Challenge)))
		s.result.RevocationMillis = max(s.result.RevocationMillis, millis(r.after))
	}
	for i, broker := range s.brokers {
		name := "the broker gives no new token"
		if len(s.brokers) > 1 {
			name = "broker " + letter(i) + " gives no new token"
		}
		s.step(name, func() (string, error) { return s.refusedBy(broker) })
	}
}

// revoke runs the command at the app's home, and notes each site's refusal.
func (s *stage) revoke(refusals []refusal) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, stopLimit)
	defer cancel()
	began := time.Now()
	calls := sync.WaitGroup{}
	defer calls.Wait()
	for i, login := range s.logins {
		calls.Go(func() { refusals[i] = s.callUntilRefused(ctx, login.session, began) })
	}
	var revoked struct {
		State        string   `json:"state"`
		Index        int64    `json:"index"`
		Acknowledged []string `json:"acknowledged_by"`
	}
	err := s.brokers[0].JSON(s.ctx, &revoked, "app", "revoke", s.app.client.ClientID, "--yes", "--reason", "malicious")
	if err == nil && len(revoked.Acknowledged) != len(s.brokers) {
		err = fmt.Errorf("acknowledged by %d of %d members: %v", len(revoked.Acknowledged), len(s.brokers), revoked.Acknowledged)
	}
	if err != nil {
		cancel()
		return "", err
	}
	detail := fmt.Sprintf("comity app revoke: %s, entry %d of the log", revoked.State, revoked.Index)
	if len(s.brokers) > 1 {
		detail = fmt.Sprintf("%s, acknowledged by all %d members", detail, len(s.brokers))
	}
	return detail, nil
}

// refusedBy wants the broker to refuse the app, as an app finds out that does
// not know that it was stopped: it asks for new tokens.
func (s *stage) refusedBy(broker *process.Node) (string, error) {
	target, err := s.app.client.Broker(s.ctx, broker.Issuer)
	if err != nil {
		return "", err
	}
	session := s.logins[0].session
	for _, l := range s.logins {
		if l.session.target.Issuer == broker.Issuer {
			session = l.session
		}
	}
	_, err = s.app.client.Refresh(s.ctx, target, session.tokens.RefreshToken)
	refused := (*app.Error)(nil)
	if !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return "", fmt.Errorf("expected invalid_client, not %v", err)
	}
	return fmt.Sprintf("%d %s: %s", refused.Status, refused.Code, refused.Description), nil
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
