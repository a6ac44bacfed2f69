// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/dghubble/oauth1"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/testnet/oldsite"
	"github.com/comity-network/comity/testnet/process"
)

// consumer is a client of sites that speak OAuth 1.0a; its library is not ours.
type consumer struct {
	id, secret, callback string
}

// registerConsumer registers a client with a second secret.
func (w *world) registerConsumer(name string, more ...string) consumer {
	w.Helper()
	c := consumer{callback: "http://127.0.0.1:1/callback"}
	args := append([]string{"app", "register", "--name", name, "--redirect-uri", c.callback, "--oauth1"}, more...)
	var made admin.App
	if err := w.broker.JSON(w.ctx, &made, args...); err != nil {
		w.Fatal(err)
	}
	c.id, c.secret = made.ClientID, made.OAuth1Secret
	w.secrets.Add("OAuth 1.0a secret", c.secret)
	return c
}

// oldSite starts a site that knows these brokers and nothing of Comity.
func (w *world) oldSite(cfg oldsite.Config, brokers ...*process.Node) *oldsite.Site {
	w.Helper()
	cfg.Brokers = map[string]string{}
	for _, b := range brokers {
		cfg.Brokers[b.Issuer+"/"] = b.Issuer + "/broker/confirm/"
	}
	s, err := oldsite.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { s.Close() })
	return s
}

// connected is what a broker answers to a connect.
type connected struct {
	ClientToken  string `json:"client_token"`
	ClientSecret string `json:"client_secret"`
	APIRoot      string `json:"api_root"`
	SiteData     struct {
		Name, Description, URL, Home string
		Namespaces                   []string
		Authentication               struct {
			OAuth1 struct{ Request, Authorize, Access, Version string }
			Broker string
		}
	} `json:"site_data"`

	Code    string `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
}

// connect asks a broker to connect a client with a site.
func (w *world) connect(broker string, c consumer, site string) (status int, answer connected) {
	w.Helper()
	status, answer, err := w.tryConnect(broker, c, site)
	if err != nil {
		w.Fatal(err)
	}
	return status, answer
}

// tryConnect is connect for any goroutine.
func (w *world) tryConnect(broker string, c consumer, site string) (status int, answer connected, err error) {
	client := oauth1.NewConfig(c.id, c.secret).Client(w.ctx, oauth1.NewToken("", ""))
	res, err := client.PostForm(broker+"/broker/connect/", url.Values{"server_url": {site}})
	if err != nil {
		return 0, answer, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		return 0, answer, fmt.Errorf("%s: %q, %w", res.Status, body, err)
	}
	w.secrets.Add("client secret of a site", answer.ClientSecret)
	w.secrets.Add("client token of a site", answer.ClientToken)
	return res.StatusCode, answer, nil
}

// mustConnect wants credentials.
func (w *world) mustConnect(broker string, c consumer, s *oldsite.Site) connected {
	w.Helper()
	status, answer := w.connect(broker, c, s.URL())
	if status != http.StatusOK || answer.APIRoot != s.IndexURL() {
		w.Fatalf("connect: %d %+v", status, answer)
	}
	if live := s.Credentials(c.id); len(live) != 1 || live[0].Token != answer.ClientToken || live[0].Secret != answer.ClientSecret {
		w.Fatalf("the site has stored %d sets of credentials", len(live))
	}
	return answer
}

// refused wants a code, and returns the message.
func (w *world) refused(broker string, c consumer, site, code string) string {
	w.Helper()
	status, answer := w.connect(broker, c, site)
	if status < 400 || answer.Code != code || answer.Status != "error" || answer.ClientToken != "" {
		w.Fatalf("connect: %d %+v, expected %s", status, answer, code)
	}
	return answer.Message
}

// at is the client as a site knows it.
func (c consumer) at(with connected) *oauth1.Config {
	at := with.SiteData.Authentication.OAuth1
	return &oauth1.Config{
		ConsumerKey: with.ClientToken, ConsumerSecret: with.ClientSecret, CallbackURL: c.callback,
		Endpoint: oauth1.Endpoint{RequestTokenURL: at.Request, AuthorizeURL: at.Authorize, AccessTokenURL: at.Access},
	}
}

// calls logs the site's user in, in three legs, with what a connect gave, and
// calls the site's API.
func (w *world) calls(c consumer, s *oldsite.Site, with connected) {
	w.Helper()
	config := c.at(with)
	token, secret, err := config.RequestToken()
	if err != nil {
		w.Fatal(err)
	}
	ask, err := config.AuthorizationURL(token)
	if err != nil {
		w.Fatal(err)
	}
	back, err := s.Approve(w.ctx, ask.String(), c.callback)
	if err != nil {
		w.Fatal(err)
	}
	access, accessSecret, err := config.AccessToken(token, secret, back.Query().Get("oauth_verifier"))
	if err != nil {
		w.Fatal(err)
	}
	res, err := config.Client(w.ctx, oauth1.NewToken(access, accessSecret)).Get(s.APIURL())
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(body), "admin") {
		w.Errorf("the API answers %s %q, %v", res.Status, body, err)
	}
}

func (c *cluster) app(i int, id string) (a admin.App) {
	c.Helper()
	if err := c.all[i].JSON(c.ctx, &a, "app", "show", id); err != nil {
		c.Fatal(err)
	}
	return a
}

// TestBrokeredAcrossTheFederation: a client of A, a site that knows B alone.
func TestBrokeredAcrossTheFederation(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.all[0], c.all[1]
	client := c.registerConsumer("Blogger")
	away := c.oldSite(oldsite.Config{Name: "A blog of B's"}, b)
	home := c.oldSite(oldsite.Config{Name: "A blog of A's"}, a)
	c.until("B knows the client", func() bool {
		_, err := b.Run(c.ctx, "app", "show", client.id)
		return err == nil
	})

	c.calls(client, home, c.mustConnect(a.Issuer, client, home))
	c.calls(client, away, c.mustConnect(a.Issuer, client, away))
	if got := away.LogOf(oldsite.Connect); !strings.Contains(got[len(got)-1].Body, url.QueryEscape(b.Issuer+"/")) {
		t.Errorf("the last connection request was %s", got[len(got)-1].Body)
	}

	// Only the home knows the secret.
	wantText(t, c.refused(b.Issuer, client, away.URL(), "comity.other_home"), a.Issuer+"/broker/connect")

	// Both know what was connected, by name.
	for i, want := range map[int]int{0: 2, 1: 1, 2: 0} {
		shown := c.app(i, client.id)
		if len(shown.Connections) != want {
			t.Errorf("broker %c shows %+v", 'A'+i, shown.Connections)
		}
		for _, at := range shown.Connections {
			through := map[string]string{"A blog of B's": b.Issuer, "A blog of A's": a.Issuer}[at.Name]
			if at.Through != through || at.FirstAt == 0 || at.LastAt < at.FirstAt || at.Told {
				t.Errorf("broker %c shows %+v", 'A'+i, at)
			}
		}
	}
	text := c.command("app", "show", client.id)
	wantText(t, text, "CONNECTED TO (OAuth 1.0a)", away.IndexURL(), "A blog of B's", "no: call its owner")

	// B is cut off, then dead: the client hears which broker is missing.
	c.signal(1, syscall.SIGSTOP)
	c.until("A sees that B is silent", func() bool { return c.status(0).Peers == 1 })
	wantText(t, c.refused(a.Issuer, client, away.URL(), "comity.unavailable"), b.Issuer)
	c.signal(1, syscall.SIGCONT)
	c.until("A sees B", func() bool { return c.status(0).Peers == 2 })
	c.mustConnect(a.Issuer, client, away)

	// A second client is suspended by another member and comes back; the first
	// is revoked. Neither is connected by anybody while it is stopped.
	other := c.registerConsumer("Suspended")
	c.until("C knows it", func() bool {
		_, err := c.all[2].Run(c.ctx, "app", "show", other.id)
		return err == nil
	})
	c.stop(2, 3, "suspend", other.id, "--reason", "policy", "--for", "1h")
	wantText(t, c.refused(a.Issuer, other, home.URL(), "ba.rejected_client"), "suspended", "policy")

	done := struct {
		stopResult
		SitesToCall int `json:"sites_to_call"`
	}{}
	if err := a.JSON(c.ctx, &done, "app", "revoke", client.id, "--yes", "--reason", "malicious"); err != nil || done.SitesToCall != 2 {
		t.Errorf("the revocation says %+v, %v", done, err)
	}
	for _, s := range []*oldsite.Site{home, away} {
		before := len(s.Log())
		wantText(t, c.refused(a.Issuer, client, s.URL(), "ba.rejected_client"), "revoked", "malicious")
		if len(s.Log()) != before {
			t.Error("the site was asked for a client that is revoked")
		}
	}

	// A is dead: B says so to its clients.
	a.Kill()
	c.until("B sees that A is gone", func() bool { return c.status(1).Peers == 1 })
	wantText(t, c.refused(b.Issuer, other, away.URL(), "comity.other_home"), a.Issuer, "not reachable")
}

// TestBrokeredReplay: a request that somebody has listened to is refused when it
// comes again, also by a broker that was killed meanwhile.
func TestBrokeredReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.registerConsumer("Blogger")
	s := w.oldSite(oldsite.Config{}, w.broker)
	body := url.Values{"server_url": {s.URL()}}.Encode()
	var listened string
	tap := roundTripper(func(r *http.Request) (*http.Response, error) {
		listened = r.Header.Get("Authorization")
		return http.DefaultTransport.RoundTrip(r)
	})
	ctx := context.WithValue(w.ctx, oauth1.HTTPClient, &http.Client{Transport: tap})
	send := func(c *http.Client) int {
		t.Helper()
		req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.broker.Issuer+"/broker/connect", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if listened != "" {
			req.Header.Set("Authorization", listened)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if status := send(oauth1.NewConfig(client.id, client.secret).Client(ctx, oauth1.NewToken("", ""))); status != http.StatusOK {
		t.Fatalf("the first time: %d", status)
	}
	for _, when := range []string{"again", "after a kill"} {
		if status := send(http.DefaultClient); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", when, status)
		}
		w.broker.Kill()
		w.restart()
	}
	if n := len(s.LogOf(oldsite.Connect)); n != 1 {
		t.Errorf("the site was asked %d times", n)
	}
	w.mustConnect(w.broker.Issuer, client, s)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
