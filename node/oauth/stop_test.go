// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

// stopped revokes or suspends a client in the records and tells the server, as
// the node does.
func (w *world) stopped(a *app, action registry.Action, cutoff int64) registry.ClientState {
	w.t.Helper()
	state := w.ledger.revoke(a.id, action, cutoff)
	check(w.t, w.server.ClientStopped(context.Background(), state))
	return state
}

func (w *world) reinstated(a *app, cutoff int64) {
	w.t.Helper()
	check(w.t, w.server.ClientEnabled(context.Background(), w.ledger.revoke(a.id, registry.Reinstate, cutoff)))
}

func TestRevokedClient(t *testing.T) {
	w := newWorld(t)
	a, other := w.public(), w.public()
	second, idle := w.newSite(), w.newSite()
	first, refresh := tokens(t, a.login(w.site))
	tokens(t, a.refresh(refresh)) // two tokens at one site
	elsewhere, _ := tokens(t, a.login(second))
	kept, _ := tokens(t, other.login(idle))

	state := w.stopped(a, registry.Revoke, 0)
	for _, token := range []string{first, elsewhere} {
		if w.state(oauth.TokenKey(token)) != oauth.TokenRevoked {
			t.Error("a token is not dead in the store")
		}
	}
	if w.active(w.site, first) || w.active(second, elsewhere) || !w.active(idle, kept) {
		t.Error("not exactly the client's tokens are dead")
	}
	want(t, a.refresh(refresh), http.StatusUnauthorized, "invalid_client")

	w.deliver()
	for i, s := range []*testSite{w.site, second, idle} {
		if want := min(1, 2-i); len(s.disabled) != want {
			t.Errorf("site %d got %d client-disabled events, expected %d", i, len(s.disabled), want)
		}
	}
	e := w.site.disabled[0]
	if e.Audience != w.ledger.federation() || e.ClientDisabled.ClientID != a.id ||
		!slices.Equal(e.ClientDisabled.Records, []string{state.Because[0].Raw}) {
		t.Errorf("event %+v", e.ClientDisabled)
	}
	if !strings.Contains(w.logged.String(), `"audit":{"event":"client-stopped","client":"`+a.id) {
		t.Error("no audit line")
	}
}

// A suspension without cutoff only blocks.
func TestSuspendedClient(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	access, refresh := tokens(t, a.login(w.site))
	state := w.stopped(a, registry.Suspend, 0)
	check(t, w.server.ClientStopped(context.Background(), state)) // the same news again
	if w.active(w.site, access) {
		t.Error("the token of a suspended client is active")
	}
	want(t, a.refresh(refresh), http.StatusUnauthorized, "invalid_client")
	want(t, a.login(w.site), http.StatusUnauthorized, "invalid_client")
	w.clock.advance(time.Minute)
	w.reinstated(a, 0)
	if !w.active(w.site, access) {
		t.Error("the token does not live again")
	}
	tokens(t, a.refresh(refresh))
	w.deliver()
	if len(w.site.disabled) != 1 || len(w.site.enabled) != 1 {
		t.Errorf("the site got %d and %d events", len(w.site.disabled), len(w.site.enabled))
	}
}

// With a cutoff what was issued up to it is dead for good.
func TestSuspendedWithCutoff(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	old, oldRefresh := tokens(t, a.login(w.site))
	w.clock.advance(time.Minute)
	cutoff := w.clock.now().Unix() - 30
	young, youngRefresh := tokens(t, a.login(w.site))
	w.stopped(a, registry.Suspend, cutoff)
	w.clock.advance(time.Minute)
	w.reinstated(a, 0)
	if w.active(w.site, old) || !w.active(w.site, young) {
		t.Error("not exactly the old token is dead")
	}
	if w.state(oauth.TokenKey(old)) != oauth.TokenRevoked {
		t.Error("the old token is not dead in the store")
	}
	want(t, a.refresh(oldRefresh), http.StatusBadRequest, "invalid_grant")
	tokens(t, a.refresh(youngRefresh))
	tokens(t, a.login(w.site))
}

// The records count at once, whether or not the server was told of them.
func TestCutoffCountsAtOnce(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	access, refresh := tokens(t, a.login(w.site))
	w.ledger.revoke(a.id, registry.Suspend, w.clock.now().Unix())
	w.ledger.revoke(a.id, registry.Reinstate, 0)
	w.clock.advance(time.Second)
	if w.active(w.site, access) {
		t.Error("the token is active")
	}
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	if live, _ := a.introspect(refresh).JSON["active"].(bool); live {
		t.Error("the refresh token is active")
	}
}

// A reinstatement may bring a cutoff of its own. In the second of the cutoff
// nothing is issued, since it would be dead at once.
func TestReinstatedWithCutoff(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	access, refresh := tokens(t, a.login(w.site))
	w.stopped(a, registry.Suspend, 0)
	w.reinstated(a, w.clock.now().Unix())
	code, v := a.consent(w.site)
	answer := a.redeem(code, v)
	want(t, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
	if answer.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", answer.Header.Get("Retry-After"))
	}
	w.clock.advance(time.Second)
	tokens(t, a.redeem(code, v))
	if w.active(w.site, access) || w.state(oauth.TokenKey(access)) != oauth.TokenRevoked {
		t.Error("a token from before the cutoff lives")
	}
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant")
}

// A stop that comes while the site is being told.
func TestStopDuringIssue(t *testing.T) {
	for name, tell := range map[string]bool{"server told": true, "server not told yet": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.public()
			w.site.setDuring(func() {
				w.site.setDuring(nil)
				state := w.ledger.revoke(a.id, registry.Revoke, 0)
				if tell {
					check(t, w.server.ClientStopped(context.Background(), state))
				}
			})
			want(t, a.login(w.site), http.StatusUnauthorized, "invalid_client")
			if len(w.site.live()) != 1 {
				t.Fatal("the site did not store the token: the test proves nothing")
			}
			w.deliver()
			if len(w.site.live()) != 0 && len(w.site.disabled) == 0 {
				t.Error("the site was told nothing")
			}
		})
	}
}

// A client whose home broker leaves stops with it, and comes back with it.
func TestSuspendedAndExpelledHome(t *testing.T) {
	w := newWorld(t)
	a, own := w.keyed(awayIssuer), w.public()
	access, refresh := tokens(t, a.login(w.site))
	kept, _ := tokens(t, own.login(w.site))
	change := func(state registry.MemberState, status registry.BrokerStatus) {
		w.ledger.setMember(awayIssuer, state)
		check(t, w.server.BrokerChanged(context.Background(), awayIssuer, status))
	}
	change(registry.MemberSuspended, registry.BrokerSuspended)
	if w.active(w.site, access) {
		t.Error("suspended home: the token is active")
	}
	answer := a.refresh(refresh)
	want(t, answer, http.StatusUnauthorized, "invalid_client")
	if !strings.Contains(answer.text("error_description"), awayIssuer) {
		t.Errorf("description %q", answer.text("error_description"))
	}
	change(registry.MemberActive, registry.BrokerActive)
	if !w.active(w.site, access) {
		t.Error("the token does not live again")
	}
	change(registry.MemberExpelled, registry.BrokerExpelled)
	if w.state(oauth.TokenKey(access)) != oauth.TokenRevoked || !w.active(w.site, kept) {
		t.Error("not exactly the tokens of the expelled broker's clients are dead")
	}
}

// A broker that is suspended itself mints nothing, and vouches for nothing.
func TestSuspendedOurselves(t *testing.T) {
	w := newWorld(t)
	a := w.keyed(awayIssuer)
	access, _ := tokens(t, a.login(w.site))
	w.ledger.setMember(w.issuer, registry.MemberSuspended)
	want(t, a.login(w.site), http.StatusServiceUnavailable, "temporarily_unavailable")
	if w.active(w.site, access) {
		t.Error("its token is active")
	}
}

// Start carries out the stops that a crash has left.
func TestRecoverCarriesOutStops(t *testing.T) {
	w := newWorld(t)
	a, b := w.public(), w.public()
	dead, _ := tokens(t, a.login(w.site))
	cut, _ := tokens(t, b.login(w.site))
	w.ledger.revoke(a.id, registry.Revoke, 0) // nobody told the server
	w.ledger.revoke(b.id, registry.Suspend, w.clock.now().Unix())
	w.ledger.revoke(b.id, registry.Reinstate, 0)
	w.start()
	for _, token := range []string{dead, cut} {
		if w.state(oauth.TokenKey(token)) != oauth.TokenRevoked {
			t.Error("a token is not dead in the store")
		}
	}
	w.deliver()
	if len(w.site.disabled) != 1 || w.site.disabled[0].ClientDisabled.ClientID != a.id {
		t.Errorf("the site got %d events", len(w.site.disabled))
	}
}
