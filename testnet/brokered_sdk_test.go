// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
	sdk "github.com/comity-network/comity/site"
	"github.com/comity-network/comity/testnet/oldsite"
	"github.com/comity-network/comity/testnet/process"
)

// toldSite starts a site that speaks OAuth 1.0a and is made with the SDK.
func (w *world) toldSite(name string, change func(*sdk.Config)) *oldsite.Site {
	w.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		w.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, name+".db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		w.Fatal(err)
	}
	cfg := sdk.Config{
		Resource: "http://" + address, Name: name, Brokers: []string{w.broker.Issuer}, Federation: w.broker.Ready.Federation,
		Store: db, Key: registry.GenerateSigningKey(), Scopes: map[string]string{"notes": "Read your notes"},
		User: func(*http.Request) (string, bool) { return "", false },
		Log:  slog.New(slog.NewJSONHandler(w.logs, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := sdk.New(w.ctx, cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	w.Cleanup(func() { cancel(); <-ended; s.Close(); db.Close() })
	w.until("the site is fresh", func() bool { return s.Poll(w.ctx) == nil && s.Fresh() == nil })
	return w.oldSite(oldsite.Config{Listen: address, Name: name, SDK: s}, w.broker)
}

// TestBrokeredSiteIsTold: a site that speaks OAuth 1.0a and is made with the SDK
// hears of a stop from its broker, and the credentials that it gave are dead.
func TestBrokeredSiteIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.registerConsumer("Blogger")
	s := w.toldSite("Told", nil)
	old := w.oldSite(oldsite.Config{Name: "Not told"}, w.broker)
	with := w.mustConnect(w.broker.Issuer, client, s)
	w.mustConnect(w.broker.Issuer, client, old)
	w.calls(client, s, with)
	works := func(when string, want bool) {
		t.Helper()
		if _, _, err := client.at(with).RequestToken(); (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	works("before", true)

	stop := func(args ...string) (told struct {
		Told   int `json:"sites_told"`
		ToTell int `json:"sites_to_tell"`
		ToCall int `json:"sites_to_call"`
	}) {
		t.Helper()
		if err := w.broker.JSON(w.ctx, &told, append([]string{"app"}, args...)...); err != nil {
			t.Fatal(err)
		}
		return told
	}
	if told := stop("suspend", client.id, "--reason", "policy"); told.Told != 1 || told.ToCall != 1 {
		t.Errorf("suspended: %+v", told)
	}
	works("suspended", false)
	if told := stop("reinstate", client.id); told.Told != 1 || told.ToCall != 0 {
		t.Errorf("reinstated: %+v", told)
	}
	w.until("it works again", func() bool { // after the site has fetched the list without it
		_, _, err := client.at(with).RequestToken()
		return err == nil
	})

	if told := stop("revoke", client.id, "--yes", "--reason", "malicious"); told.Told != 1 || told.ToTell != 1 || told.ToCall != 1 {
		t.Errorf("revoked: %+v", told)
	}
	works("revoked", false)
	if left := s.Credentials(client.id); len(left) != 0 {
		t.Errorf("the site keeps %d sets of credentials", len(left))
	}
	text := w.command("app", "show", client.id)
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, old.IndexURL()) {
			wantText(t, line, "Not told", "no: call its owner")
		}
		if strings.HasPrefix(line, s.IndexURL()) {
			wantText(t, line, "Told", "yes")
		}
	}
	wantText(t, text, s.IndexURL(), old.IndexURL())
	w.broker.Kill()
	w.restart()
	works("after a restart of the broker", false)
}

// TestBrokeredOwnersRules: the owner of a site lets some clients in and some
// not, and the client hears that from the site itself.
func TestBrokeredOwnersRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	liked, disliked := w.registerConsumer("Liked"), w.registerConsumer("Disliked")
	s := w.toldSite("Choosy", func(c *sdk.Config) {
		c.Apps = map[string]sdk.AppRules{w.broker.Issuer: {Deny: []string{disliked.id}}}
	})
	nobody := w.toldSite("Closed", func(c *sdk.Config) {
		c.Apps = map[string]sdk.AppRules{"": {Deny: []string{w.broker.Issuer}}}
	})
	w.mustConnect(w.broker.Issuer, liked, s)
	wantText(t, w.refused(w.broker.Issuer, disliked, s.URL(), "ba.rejected_client"), "owner")
	wantText(t, w.refused(w.broker.Issuer, liked, nobody.URL(), "ba.rejected_client"), "owner")
}
