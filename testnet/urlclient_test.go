// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

// selfDescribed is an app that no broker has registered: it serves a document
// about itself, and its client_id is where that is.
func selfDescribed(w *world) (a *app.App, fetches *atomic.Int32) {
	w.Helper()
	a = &app.App{RedirectURI: "http://127.0.0.1:1/callback", AuthMethod: "none", Secrets: w.secrets}
	fetches = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"client_id":%q,"client_name":"Stranger","redirect_uris":[%q],"grant_types":["authorization_code","refresh_token"],`+
			`"contacts":["nobody@app.example"]}`, a.ClientID, a.RedirectURI)
	}))
	w.Cleanup(server.Close)
	a.ClientID = server.URL + "/oauth/client.json"
	return a, fetches
}

// TestSelfDescribedApp: an app whose client_id is a URL logs in at a site that
// takes such apps, and at no other; its broker stops it everywhere all the same.
func TestSelfDescribedApp(t *testing.T) {
	w := newWorld(t)
	open := w.site("open", func(c *site.Config) { c.SelfDescribed = true })
	closed := w.site("closed", nil)
	a, fetches := selfDescribed(w)
	for _, through := range []bool{false, true} {
		target := w.discover(a, open.API)
		request := a.NewRequest(target, site.ReadNotes, through)
		tokens, err := a.Redeem(w.ctx, target, request, w.authorize(a, target, request))
		if err != nil {
			t.Fatal(err)
		}
		if answer := w.call(a, target, tokens, http.StatusOK); !strings.Contains(answer.Body, a.ClientID) {
			t.Errorf("the site answers %q", answer.Body)
		}
		if tokens, err = a.Refresh(w.ctx, target, tokens.RefreshToken); err != nil {
			t.Fatal(err)
		}
		w.call(a, target, tokens, http.StatusOK)
	}
	if n := fetches.Load(); n != 2 {
		t.Errorf("its document was fetched %d times, expected once by the broker and once by the site", n)
	}
	_, err := w.tryAuthorize(a, a.NewRequest(w.discover(a, closed.API), site.ReadNotes, false))
	if err == nil || !strings.Contains(err.Error(), "not registered in the federation") {
		t.Errorf("at a site that takes no such apps: %v", err)
	}

	target, tokens := w.login(a, open.API)
	w.command("app", "suspend", a.ClientID, "--reason", "policy", "--for", "1h", "--cutoff", "now")
	w.until("the site refuses", func() bool {
		answer, err := a.Call(w.ctx, target, tokens)
		return err == nil && answer.Status == http.StatusUnauthorized
	})
	_, err = a.Refresh(w.ctx, target, tokens.RefreshToken)
	w.wantError(err, http.StatusUnauthorized, "invalid_client")
	if _, err := w.tryAuthorize(a, a.NewRequest(target, site.ReadNotes, false)); err == nil || !strings.Contains(err.Error(), "stopped by the federation") {
		t.Errorf("a login after the stop: %v", err)
	}
	if _, err := w.tryAuthorize(a, a.NewRequest(target, site.ReadNotes, true)); err == nil || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("a login through the broker after the stop: %v", err)
	}
	var shown struct {
		State   string   `json:"state"`
		Records []string `json:"records"`
	}
	if err := w.broker.JSON(w.ctx, &shown, "app", "show", a.ClientID); err != nil || shown.State != "suspended" || len(shown.Records) != 1 {
		t.Errorf("comity app show: %+v, %v", shown, err)
	}
	w.broker.Kill()
	w.restart()
	w.until("the broker is fresh and still refuses", func() bool {
		_, err = a.Refresh(w.ctx, target, tokens.RefreshToken)
		return err == nil || !strings.Contains(err.Error(), "temporarily_unavailable")
	})
	w.wantError(err, http.StatusUnauthorized, "invalid_client")
}

// TestFederationStopsSelfDescribedApp: one member stops it at all brokers and
// sites for a time, and most of them together for good.
func TestFederationStopsSelfDescribedApp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "--max-suspension", "1h")
	open := func(cfg *site.Config) { cfg.SelfDescribed = true }
	atB, atC := c.at(1).site("at-b", open), c.at(2).site("at-c", open)
	a, _ := selfDescribed(c.at(0))
	sessions := []session{c.loginBy(1, a, atB), c.loginBy(2, a, atC)}
	c.stop(0, 3, "suspend", a.ClientID, "--reason", "policy", "--for", "1h")
	c.stopped(a, "policy")
	for _, s := range sessions {
		c.refuses(a, s.target, s.tokens)
	}
	state := func(i int) string {
		var shown struct {
			State string `json:"state"`
		}
		if err := c.all[i].JSON(c.ctx, &shown, "app", "show", a.ClientID); err != nil {
			t.Fatal(err)
		}
		return shown.State
	}
	wantText(t, c.refusesTo(0, "app", "reinstate", a.ClientID), "nobody can reinstate")
	c.stop(1, 3, "revoke", "--yes", a.ClientID, "--reason", "malicious")
	if got := state(0); got != "suspended" {
		t.Errorf("after one vote it is %s", got)
	}
	c.stop(2, 3, "revoke", "--yes", a.ClientID, "--reason", "malicious")
	for i := range c.all {
		if got := state(i); got != "revoked" {
			t.Errorf("after two votes it is %s at broker %d", got, i)
		}
	}
	c.stopped(a, "malicious")
}
