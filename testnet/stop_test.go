// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/proxy"
	"github.com/comity-network/comity/testnet/site"
)

// refuses waits until the site refuses the token.
func (w *world) refuses(a *app.App, t *app.Target, tokens *app.Tokens) *app.Answer {
	w.Helper()
	var answer *app.Answer
	w.until("the site refuses", func() bool {
		var err error
		if answer, err = a.Call(w.ctx, t, tokens); err != nil {
			w.Fatal(err)
		}
		return answer.Status == http.StatusUnauthorized
	})
	return answer
}

// accepts waits until the site accepts the token.
func (w *world) accepts(a *app.App, t *app.Target, tokens *app.Tokens) {
	w.Helper()
	w.until("the site accepts", func() bool {
		answer, err := a.Call(w.ctx, t, tokens)
		return err == nil && answer.Status == http.StatusOK
	})
}

// TestSuspendAndReinstate: without a cutoff a suspension only blocks.
func TestSuspendAndReinstate(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("App", "none")
	target, tokens := w.login(a, s.API)
	w.command("app", "suspend", a.ClientID, "--reason", "policy")
	w.refuses(a, target, tokens)
	if active, _ := w.introspect(s, tokens.AccessToken); active {
		t.Error("the token of a suspended client is active at the broker")
	}
	_, err := a.Refresh(w.ctx, target, tokens.RefreshToken)
	refused := w.wantError(err, http.StatusUnauthorized, "invalid_client")
	if !strings.Contains(refused.Description, "policy") {
		t.Errorf("the broker does not say why: %s", refused.Description)
	}
	if _, err := w.tryAuthorize(a, a.NewRequest(target, site.ReadNotes, false)); err == nil {
		t.Error("a suspended client gets a code")
	}
	push, err := s.Pushes.Wait(w.ctx, site.Accepted(protocol.EventClientDisabled))
	if err != nil {
		t.Fatal(err)
	}
	if len(push.Event.ClientDisabled.Records) == 0 {
		t.Error("the event does not carry the record that justifies it")
	}

	w.command("app", "reinstate", a.ClientID)
	w.accepts(a, target, tokens)
	if active, _ := w.introspect(s, tokens.AccessToken); !active {
		t.Error("the token of a reinstated client is not active at the broker")
	}
	tokens, err = a.Refresh(w.ctx, target, tokens.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	w.call(a, target, tokens, http.StatusOK)
}

// TestCutoff: tokens up to the cutoff stay dead when the client is back.
func TestCutoff(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("App", "none")
	target, tokens := w.login(a, s.API)
	w.command("app", "suspend", a.ClientID, "--reason", "compromised", "--cutoff", "now")
	w.refuses(a, target, tokens)
	w.command("app", "reinstate", a.ClientID)
	var fresh *app.Tokens
	w.until("a new login works", func() bool {
		request := a.NewRequest(target, site.ReadNotes, false)
		code, err := w.tryAuthorize(a, request)
		if err != nil {
			return false
		}
		// A token of the very second of the cutoff is dead as well.
		if fresh, err = a.Redeem(w.ctx, target, request, code); err != nil {
			return false
		}
		answer, err := a.Call(w.ctx, target, fresh)
		return err == nil && answer.Status == http.StatusOK
	})
	w.call(a, target, tokens, http.StatusUnauthorized)
	if active, _ := w.introspect(s, tokens.AccessToken); active {
		t.Error("a token from before the cutoff is active again at the broker")
	}
	if _, err := a.Refresh(w.ctx, target, tokens.RefreshToken); err == nil {
		t.Error("a refresh token from before the cutoff works again")
	}
}

// TestRevoke: final, at the broker, at a site that is told, and at a site that
// cannot be told and finds it in the stop list.
func TestRevoke(t *testing.T) {
	w := newWorld(t)
	told := w.site("told", nil)
	listen, behind := w.proxied()
	untold := w.site("untold", func(c *site.Config) {
		c.Listen, c.Resource, c.ByHand = listen, "http://"+behind.Address(), true
	})
	if err := untold.Poll(w.ctx); err != nil {
		t.Fatal(err)
	}
	a := w.register("App", "private_key_jwt")
	target, tokens := w.login(a, told.API)
	otherTarget, otherTokens := w.login(a, untold.API)
	otherTarget.API = "http://" + listen + "/api/notes" // the app's way to the site stays open
	behind.Set(proxy.Cut)
	w.command("app", "revoke", a.ClientID, "--yes", "--reason", "malicious")

	answer := w.refuses(a, target, tokens)
	if !strings.Contains(answer.Challenge, "invalid_token") {
		t.Errorf("the site answers %s", answer.Challenge)
	}
	_, err := a.Refresh(w.ctx, target, tokens.RefreshToken)
	refused := w.wantError(err, http.StatusUnauthorized, "invalid_client")
	if !strings.Contains(refused.Description, "malicious") {
		t.Errorf("the broker does not say why: %s", refused.Description)
	}

	w.call(a, otherTarget, otherTokens, http.StatusOK) // it cannot know yet
	w.until("the stop list tells the site", func() bool {
		if err := untold.Poll(w.ctx); err != nil {
			t.Log(err)
		}
		answer, err := a.Call(w.ctx, otherTarget, otherTokens)
		return err == nil && answer.Status == http.StatusUnauthorized
	})
	if _, err := w.broker.Run(w.ctx, "app", "reinstate", a.ClientID); err == nil {
		t.Error("a revoked client is back")
	}

	// The event that could not be delivered waits and is delivered.
	behind.Set(proxy.Pass)
	if _, err := untold.Pushes.Wait(w.ctx, site.Accepted(protocol.EventClientDisabled)); err != nil {
		t.Errorf("the site was not told when it was back: %v", err)
	}
}

// TestUntoldSuspension: a suspension kills nothing, so that a site that is not
// told of it, and not of its end, must find both in the stop list.
func TestUntoldSuspension(t *testing.T) {
	w := newWorld(t)
	listen, behind := w.proxied()
	s := w.site("untold", func(c *site.Config) {
		c.Listen, c.Resource, c.ByHand = listen, "http://"+behind.Address(), true
	})
	if err := s.Poll(w.ctx); err != nil {
		t.Fatal(err)
	}
	a := w.register("App", "none")
	target, tokens := w.login(a, s.API)
	target.API = "http://" + listen + "/api/notes"
	behind.Set(proxy.Cut)
	for _, step := range []struct {
		command []string
		status  int
	}{
		{[]string{"app", "suspend", a.ClientID, "--reason", "policy"}, http.StatusUnauthorized},
		{[]string{"app", "reinstate", a.ClientID}, http.StatusOK},
	} {
		w.command(step.command...)
		w.until("the stop list tells the site of "+step.command[1], func() bool {
			if err := s.Poll(w.ctx); err != nil {
				t.Log(err)
			}
			answer, err := a.Call(w.ctx, target, tokens)
			return err == nil && answer.Status == step.status
		})
	}
}

// proxied returns a free address and a proxy in front of it.
func (w *world) proxied() (listen string, p *proxy.Proxy) {
	w.Helper()
	listen, err := process.FreeAddress()
	if err != nil {
		w.Fatal(err)
	}
	if p, err = proxy.New(listen); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(p.Close)
	return listen, p
}

// TestCutOffSite: a site that hears nothing refuses when max_age has passed,
// and works again when it hears.
func TestCutOffSite(t *testing.T) {
	w := newWorld(t)
	var ahead atomic.Int64 // seconds that the site's clock is ahead
	s := w.site("notebook", func(c *site.Config) {
		c.ByHand = true
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	})
	if err := s.Poll(w.ctx); err != nil {
		t.Fatal(err)
	}
	a := w.register("App", "none")
	target, tokens := w.login(a, s.API)
	w.call(a, target, tokens, http.StatusOK)
	ahead.Store(80)
	w.call(a, target, tokens, http.StatusOK)
	ahead.Store(121)
	answer := w.call(a, target, tokens, http.StatusServiceUnavailable)
	if answer.RetryAfter == "" || !strings.Contains(answer.Body, "temporarily_unavailable") {
		t.Errorf("the site answers %+v", answer)
	}
	if _, err := w.tryAuthorize(a, a.NewRequest(target, site.ReadNotes, false)); err == nil {
		t.Error("a stale site gives a code")
	}
	// Its clock is put right, and it asks.
	ahead.Store(0)
	if err := s.Poll(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.call(a, target, tokens, http.StatusOK)
}

// TestSiteSurvivesRestart: what the site acknowledged and what it was told to
// stop are on its disk.
func TestSiteSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	live, dead := w.register("Live", "none"), w.register("Dead", "none")
	target, tokens := w.login(live, s.API)
	deadTarget, deadTokens := w.login(dead, s.API)
	w.command("app", "revoke", dead.ClientID, "--yes", "--reason", "malicious")
	w.refuses(dead, deadTarget, deadTokens)
	if err := s.Poll(w.ctx); err != nil { // and holds the stop list that this made
		t.Fatal(err)
	}
	s.Close()
	w.site("notebook", func(c *site.Config) {
		c.Listen, c.ByHand = strings.TrimPrefix(s.Resource, "http://"), true // asks nobody
	})
	w.call(live, target, tokens, http.StatusOK)
	w.call(dead, deadTarget, deadTokens, http.StatusUnauthorized)
}

// TestFaultyAnswers is the table of "failed and not stored" and "failed but
// stored": whatever a site does instead of saying yes, the app gets no token
// of which the site does not know, and once the site is well again both agree.
// fault 36, fault 37
func TestFaultyAnswers(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	for name, tt := range map[string]struct {
		fault  site.Fault
		status int
		code   string
		again  bool // the same code works when it is tried again
	}{
		"refuses":               {site.Refuse, http.StatusBadRequest, "invalid_grant", false},
		"fails, not stored":     {site.FailBefore, http.StatusServiceUnavailable, "temporarily_unavailable", true},
		"fails, stored":         {site.FailAfter, http.StatusServiceUnavailable, "temporarily_unavailable", true},
		"cuts, not stored":      {site.CutBefore, http.StatusServiceUnavailable, "temporarily_unavailable", true},
		"cuts, stored":          {site.CutAfter, http.StatusServiceUnavailable, "temporarily_unavailable", true},
		"is silent, not stored": {site.SilentBefore, http.StatusServiceUnavailable, "temporarily_unavailable", true},
		"is silent, stored":     {site.SilentAfter, http.StatusServiceUnavailable, "temporarily_unavailable", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			a := w.register("App "+name, "none")
			target := w.discover(a, s.API)
			request := a.NewRequest(target, site.ReadNotes, false)
			code := w.authorize(a, target, request)
			s.Pushes.On(site.Rule{Kind: protocol.EventTokenIssued, Fault: tt.fault})
			_, err := a.Redeem(w.ctx, target, request, code)
			refused := w.wantError(err, tt.status, tt.code)
			if tt.status == http.StatusServiceUnavailable && refused.RetryAfter == "" {
				t.Error("no Retry-After")
			}
			var tokens *app.Tokens
			if !tt.again {
				_, err = a.Redeem(w.ctx, target, request, code)
				w.wantError(err, http.StatusBadRequest, "invalid_grant")
				return
			}
			w.until("the same code works again", func() bool {
				tokens, err = a.Redeem(w.ctx, target, request, code)
				if err != nil {
					w.wantError(err, http.StatusServiceUnavailable, "temporarily_unavailable")
				}
				return err == nil
			})
			w.call(a, target, tokens, http.StatusOK)
		})
	}
	w.awaitEmptyOutbox()
	w.agree(siteDatabase{s.Resource, s.DB})
}

// rule calls before when the next token is notified.
func rule(before func()) site.Rule {
	return site.Rule{Kind: protocol.EventTokenIssued, Before: before}
}
