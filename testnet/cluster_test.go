// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// cluster is a world of several brokers; the one of the world is the first.
type cluster struct {
	*world
	all process.Federation
}

// newCluster starts three brokers that are one federation, with limits as
// `comity federation create` takes them.
func newCluster(t testing.TB, limits ...string) *cluster {
	t.Helper()
	return newClusterWith(t, func(int) process.Config {
		return process.Config{Args: []string{"--allow-private-addresses"}}
	}, limits...)
}

func newClusterWith(t testing.TB, config func(i int) process.Config, limits ...string) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	c := &cluster{world: &world{TB: t, ctx: ctx, dir: t.TempDir(), secrets: &app.Secrets{}, logs: &logBuffer{}}}
	var err error
	c.all, err = process.StartFederation(ctx, 3, func(i int) (process.Config, error) {
		cfg := config(i)
		cfg.Binary, cfg.Dir = binary, filepath.Join(c.dir, "broker-"+string(rune('a'+i)))
		return cfg, nil
	}, limits...)
	t.Cleanup(func() {
		for i, n := range c.all {
			n.Kill()
			c.at(i).searchSecrets()
			if t.Failed() {
				t.Logf("broker %c wrote:\n%s", 'A'+i, n.Output())
			}
		}
		if t.Failed() {
			t.Logf("the sites wrote:\n%s", c.logs)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.broker = c.all[0]
	return c
}

// at is the world as it is at another broker.
func (c *cluster) at(i int) *world {
	w := *c.world
	w.broker = c.all[i]
	return &w
}

// in is the cluster in a subtest.
func (c *cluster) in(t *testing.T) *cluster {
	w := *c.world
	w.TB = t
	return &cluster{world: &w, all: c.all}
}

// join adds a broker that runs to the federation of the others.
func (c *cluster) join(n *process.Node) {
	c.Helper()
	_, err := c.all.Admit(c.ctx, n)
	if err != nil {
		c.Fatal(err)
	}
	c.all = append(c.all, n)
	c.agree()
}

func (c *cluster) status(i int) process.Status {
	c.Helper()
	s, err := c.all[i].Status(c.ctx)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

func (c *cluster) agree() process.Status {
	c.Helper()
	s, err := c.all.Agree(c.ctx)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// start starts a broker again.
func (c *cluster) start(i int) {
	c.Helper()
	if err := c.all[i].Restart(c.ctx); err != nil {
		c.Fatal(err)
	}
}

// known waits until a broker has the registration of a.
func (c *cluster) known(i int, a *app.App) {
	c.Helper()
	c.until("the registration arrives", func() bool {
		_, err := c.all[i].Run(c.ctx, "app", "show", a.ClientID)
		return err == nil
	})
}

// session is a login with what came of it.
type session struct {
	app    *app.App
	target *app.Target
	tokens *app.Tokens
}

// loginBy is a login that must go through a broker.
func (c *cluster) loginBy(i int, a *app.App, s *site.Site) session {
	c.Helper()
	c.known(i, a)
	target, tokens := c.login(a, s.API)
	if target.Issuer != c.all[i].Issuer {
		c.Fatalf("the login went through %s, expected %s", target.Issuer, c.all[i].Issuer)
	}
	c.call(a, target, tokens, http.StatusOK)
	return session{a, target, tokens}
}

// ask sends a refresh token of nobody to a broker: what it answers tells what
// it thinks of the client.
func (c *cluster) ask(i int, a *app.App) error {
	c.Helper()
	target, err := a.Broker(c.ctx, c.all[i].Issuer)
	if err != nil {
		c.Fatal(err)
	}
	_, err = a.Ask(c.ctx, target, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {strings.Repeat("A", 43)}})
	return err
}

// stopped wants every broker to refuse the client, for a reason.
func (c *cluster) stopped(a *app.App, reason string) {
	c.Helper()
	for i := range c.all {
		refused := c.wantError(c.ask(i, a), http.StatusUnauthorized, "invalid_client")
		wantText(c, refused.Description, reason, "since 20")
	}
}

// stopResult is what a command that stops a client says at its end.
type stopResult struct {
	State        string   `json:"state"`
	Acknowledged []string `json:"acknowledged_by"`
	Missing      []string `json:"missing"`
	Away         []string `json:"away"`
	Millis       float64  `json:"ms"`
}

// stop runs a command that stops a client, at one broker, and wants the
// acknowledgement of so many members.
func (c *cluster) stop(i, members int, args ...string) (done stopResult) {
	c.Helper()
	if err := c.all[i].JSON(c.ctx, &done, append([]string{"app"}, args...)...); err != nil {
		c.Fatal(err)
	}
	late := len(done.Missing) + len(done.Away)
	if len(done.Acknowledged) != members || members+late != len(c.all) {
		c.Errorf("acknowledged by %v, not by %v and %v, expected %d", done.Acknowledged, done.Missing, done.Away, members)
	}
	return done
}

// refusesTo runs a command at one broker that must fail, in one line.
func (c *cluster) refusesTo(i int, args ...string) string {
	c.Helper()
	_, err := c.all[i].Run(c.ctx, args...)
	exit := (*process.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code != 1 || strings.Count(exit.Stderr, "\n") != 1 {
		c.Fatalf("comity %s: %v, expected status 1 and one line", strings.Join(args, " "), err)
	}
	return process.LastLine(exit.Stderr)
}

// records are the signed records that a broker publishes about a client.
func (c *cluster) records(i int, a *app.App) []string {
	c.Helper()
	res, err := http.Get(c.all[i].Issuer + "/federation/clients/" + a.ClientID)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	var shown struct {
		Records []string `json:"records"`
	}
	if err := json.NewDecoder(res.Body).Decode(&shown); err != nil {
		c.Fatal(err)
	}
	return shown.Records
}

// oauthError is the OAuth error in err, or nil.
func oauthError(err error) *app.Error {
	e := (*app.Error)(nil)
	errors.As(err, &e)
	return e
}
