// SPDX-License-Identifier: Apache-2.0

package wordpress_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	client1 "github.com/dghubble/oauth1"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/testnet/oldsite/wordpress"
	"github.com/comity-network/comity/testnet/process"
)

// federation is two brokers and two sites: site 1 knows broker A, site 2 knows
// broker B and nobody else.
type federation struct {
	*testing.T
	ctx     context.Context
	brokers process.Federation
	sites   *wordpress.WordPress
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	f := &federation{T: t, ctx: ctx, sites: wordpress.Start(t)}
	dir := t.TempDir()
	var err error
	f.brokers, err = process.StartFederation(ctx, 2, func(i int) (process.Config, error) {
		return process.Config{
			Binary: binary, Dir: filepath.Join(dir, "broker-"+string(rune('a'+i))), Args: []string{"--allow-private-addresses"},
		}, nil
	})
	t.Cleanup(func() {
		for i, b := range f.brokers {
			b.Kill()
			if t.Failed() {
				t.Logf("broker %c wrote:\n%s", 'A'+i, b.Output())
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range f.brokers {
		f.sites.AllowBroker(t, i, b.Issuer+"/", b.Issuer+"/broker/confirm/")
	}
	return f
}

// register registers a client at A, which both brokers then know.
func (f *federation) register(name string) admin.App {
	f.Helper()
	var made admin.App
	if err := f.brokers[0].JSON(f.ctx, &made, "app", "register", "--name", name, "--redirect-uri", callback, "--oauth1"); err != nil {
		f.Fatal(err)
	}
	if _, err := f.brokers.Agree(f.ctx); err != nil {
		f.Fatal(err)
	}
	return made
}

// connected is what A answers to a connect.
type connected struct {
	ClientToken  string `json:"client_token"`
	ClientSecret string `json:"client_secret"`
	APIRoot      string `json:"api_root"`
	SiteData     struct {
		Name           string
		Authentication struct {
			OAuth1 struct{ Request, Authorize, Access string }
		}
	} `json:"site_data"`
	Code, Message string

	status int
	took   time.Duration
}

// connect may be called from any goroutine.
func (f *federation) connect(app admin.App, site string) (a connected, err error) {
	c := client1.NewConfig(app.ClientID, app.OAuth1Secret).Client(f.ctx, client1.NewToken("", ""))
	began := time.Now()
	res, err := c.PostForm(f.brokers[0].Issuer+"/broker/connect/", url.Values{"server_url": {site}})
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		return a, err
	}
	a.status, a.took = res.StatusCode, time.Since(began)
	return a, nil
}

// mustConnect wants the one set of credentials that works at a site.
func (f *federation) mustConnect(app admin.App, site int) connected {
	f.Helper()
	a, err := f.connect(app, f.sites.URLs[site])
	if err != nil || a.status != http.StatusOK || a.APIRoot != f.sites.URLs[site]+"wp-json/" || a.SiteData.Name != siteName(site) {
		f.Fatalf("connect: %d %s %s, %q at %s, %v", a.status, a.Code, a.Message, a.SiteData.Name, a.APIRoot, err)
	}
	if live := f.sites.Live(f, site, app.ClientID); !slices.Equal(live, []string{a.ClientToken}) {
		f.Fatalf("live are %d sets", len(live))
	}
	return a
}

func siteName(site int) string { return fmt.Sprintf("Site %d", site+1) }

// calls logs the site's user in, in three legs, and calls the API.
func (f *federation) calls(with connected) {
	f.Helper()
	at := with.SiteData.Authentication.OAuth1
	config := &client1.Config{
		ConsumerKey: with.ClientToken, ConsumerSecret: with.ClientSecret, CallbackURL: callback,
		Endpoint: client1.Endpoint{RequestTokenURL: at.Request, AuthorizeURL: at.Authorize, AccessTokenURL: at.Access},
	}
	token, secret, err := config.RequestToken()
	if err != nil {
		f.Fatal(err)
	}
	ask, err := config.AuthorizationURL(token)
	if err != nil {
		f.Fatal(err)
	}
	back, err := f.sites.User.Approve(f.ctx, ask.String(), callback)
	if err != nil {
		f.Fatal(err)
	}
	access, accessSecret, err := config.AccessToken(token, secret, back.Query().Get("oauth_verifier"))
	if err != nil {
		f.Fatal(err)
	}
	const me = "wp/v2/users/me?context=edit&_fields=username,email"
	res, err := config.Client(f.ctx, client1.NewToken(access, accessSecret)).Get(with.APIRoot + me)
	if err != nil {
		f.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || string(body) != `{"username":"admin","email":"admin@example.org"}` {
		f.Fatalf("the API answers %s %q, %v", res.Status, body, err)
	}
}

// TestFederation: one client connects through its home broker to sites of
// different brokers, until it is revoked.
func TestFederation(t *testing.T) {
	f := newFederation(t)
	app := f.register("Blogger")
	for site := range f.sites.URLs {
		t.Run(siteName(site), func(t *testing.T) { f.in(t).connectsAndCalls(app, site) })
		t.Run(siteName(site)+", four connects at the same time", func(t *testing.T) { f.in(t).connectsTogether(site) })
	}

	home := f.brokers[0]
	var shown admin.App
	show := func() {
		t.Helper()
		if err := home.JSON(f.ctx, &shown, "app", "show", app.ClientID); err != nil {
			t.Fatal(err)
		}
		if len(shown.Connections) != len(f.sites.URLs) {
			t.Errorf("connected to %+v", shown.Connections)
		}
		for site, through := range f.brokers {
			if !slices.ContainsFunc(shown.Connections, func(c admin.Connection) bool {
				return c.Name == siteName(site) && c.Site == f.sites.URLs[site]+"wp-json/" && c.Through == through.Issuer
			}) {
				t.Errorf("%s through %s is not among %+v", siteName(site), through.Issuer, shown.Connections)
			}
		}
	}
	show()
	if _, err := home.Run(f.ctx, "app", "revoke", app.ClientID, "--yes", "--reason", "malicious"); err != nil {
		t.Fatal(err)
	}
	for site, address := range f.sites.URLs {
		before := f.sites.Requests(t, site)
		a, err := f.connect(app, address)
		if err != nil || a.status != http.StatusBadRequest || a.Code != "ba.rejected_client" || a.ClientToken != "" || !strings.Contains(a.Message, "malicious") {
			t.Errorf("%s: %d %s %s, %v", siteName(site), a.status, a.Code, a.Message, err)
		}
		if after := f.sites.Requests(t, site); len(after) != len(before) {
			t.Errorf("%s was asked for a client that is revoked: %q", siteName(site), after[len(before):])
		}
	}
	show()
}

// in is the federation in a subtest.
func (f *federation) in(t *testing.T) *federation {
	w := *f
	w.T = t
	return &w
}

func (f *federation) connectsAndCalls(app admin.App, site int) {
	first := f.mustConnect(app, site)
	f.calls(first)
	again := f.mustConnect(app, site)
	if again.ClientToken != first.ClientToken || again.ClientSecret != first.ClientSecret {
		f.Error("connected again, the client got other credentials")
	}
	f.calls(again)
	f.Logf("connected in %v, again in %v", first.took.Round(time.Millisecond), again.took.Round(time.Millisecond))
}

// connectsTogether: a client that the site does not know yet gets one set of
// credentials, however often it asks at the same time.
func (f *federation) connectsTogether(site int) {
	app := f.register("Hasty")
	before := f.sites.Requests(f, site)
	answers := make([]connected, 4)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			a, err := f.connect(app, f.sites.URLs[site])
			if err != nil || a.status != http.StatusOK {
				f.Errorf("connect %d: %d %s %s, %v", i, a.status, a.Code, a.Message, err)
			}
			answers[i] = a
		})
	}
	all.Wait()
	asked, open := 0, 0
	for _, r := range f.sites.Requests(f, site)[len(before):] {
		switch r {
		case "begins POST /wp-json/broker/v1/connect":
			asked, open = asked+1, open+1
		case "ends POST /wp-json/broker/v1/connect":
			open--
		}
		if open > 1 {
			f.Error("two connection requests of one client at a time")
		}
	}
	want := len(answers)
	if site > 0 {
		want *= 2 // the home asks first, and is not known there
	}
	if asked != want {
		f.Errorf("the site was asked %d times, expected %d", asked, want)
	}
	last := f.mustConnect(app, site)
	for i, a := range answers {
		if a.ClientToken != last.ClientToken || a.ClientSecret != last.ClientSecret {
			f.Errorf("connect %d got other credentials", i)
		}
	}
	slices.SortFunc(answers, func(a, b connected) int { return int(a.took - b.took) })
	f.Logf("the first of four came after %v, the last after %v", answers[0].took.Round(time.Millisecond), answers[3].took.Round(time.Millisecond))
}
