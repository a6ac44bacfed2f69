// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

var methods = []string{"none", "private_key_jwt", "client_secret_basic", "client_secret_post"}

// TestFederation: three brokers, of which any will do, and which die and come
// back.
func TestFederation(t *testing.T) {
	const maxAge = 4
	c := newCluster(t, "--name", "Three", "--max-age", "4s")
	status := c.agree()
	if len(status.Members) != 3 || status.CharterVersion != 4 || status.Federation != c.broker.Ready.Federation {
		t.Fatalf("the brokers agree on %+v", status)
	}
	atB := c.at(1).site("at-b", nil)
	keyed := c.register("Keyed", "private_key_jwt")
	c.loginBy(1, keyed, atB)
	t.Run("a client of A with every method at a site of B", func(t *testing.T) {
		for _, method := range methods {
			s := c.in(t).loginBy(1, c.register("App "+method, method), atB)
			tokens, err := s.app.Refresh(c.ctx, s.target, s.tokens.RefreshToken)
			if err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			c.in(t).call(s.app, s.target, tokens, http.StatusOK)
		}
	})
	t.Run("A dead for longer than max_age", func(t *testing.T) {
		c := c.in(t)
		c.all[0].Kill()
		c.eventually("nothing was heard of A for max_age", func() bool {
			age := c.status(1).Members[0].ViewAge
			return age != nil && *age > maxAge
		})
		c.loginBy(1, keyed, atB)
	})
	t.Run("B cut off from all others", func(t *testing.T) {
		c := c.in(t)
		target := c.discover(keyed, atB.API)
		request := keyed.NewRequest(target, site.ReadNotes, false)
		code := c.authorize(keyed, target, request)
		c.all[2].Kill()
		c.eventually("B is stale", func() bool { return !c.status(1).Fresh })
		_, err := keyed.Redeem(c.ctx, target, request, code)
		refused := c.wantError(err, http.StatusServiceUnavailable, "temporarily_unavailable")
		wantText(t, refused.Description, "of 3 members, 2 needed")
		if refused.RetryAfter == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run("restarts in any order, with other addresses", func(t *testing.T) {
		c := c.in(t)
		c.move(0) // C and A are down
		c.start(2)
		c.start(0)
		c.agree()
		for _, n := range c.all {
			n.Kill()
		}
		c.move(1)
		for _, i := range []int{1, 2, 0} {
			c.start(i)
		}
		if again := c.agree(); again.Federation != status.Federation || again.CharterVersion != status.CharterVersion {
			t.Errorf("after restarts the brokers agree on %+v", again)
		}
		c.eventually("the site is fresh", func() bool { return atB.Fresh() == nil })
		c.loginBy(1, keyed, atB)
	})
}

// move gives a broker that does not run another address among the members.
func (c *cluster) move(i int) {
	c.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		c.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	c.all[i].Args = append(c.all[i].Args, "--p2p", "/ip4/127.0.0.1/tcp/"+port)
}

// eventually is until, for what takes seconds.
func (c *cluster) eventually(what string, holds func() bool) {
	c.Helper()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	c.until(what, func() bool {
		<-every.C
		return holds()
	})
}

// TestFederationStops: who is stopped by one is stopped by all.
func TestFederationStops(t *testing.T) {
	c := newCluster(t)
	atB, atC := c.at(1).site("at-b", nil), c.at(2).site("at-c", nil)
	t.Run("a site puts C in front of B", func(t *testing.T) {
		c := c.in(t)
		moving := c.at(1).site("moving", func(s *site.Config) { s.Brokers = []string{c.all[1].Issuer, c.all[2].Issuer} })
		a := c.register("Following", "private_key_jwt")
		old := c.loginBy(1, a, moving)
		moving.Close()
		moving = c.at(2).site("moving", func(s *site.Config) {
			s.Brokers = []string{c.all[2].Issuer, c.all[1].Issuer}
			s.Listen = strings.TrimPrefix(old.target.Resource, "http://")
		})
		c.loginBy(2, a, moving)
		c.call(old.app, old.target, old.tokens, http.StatusOK)
	})
	for _, tt := range []struct {
		name, reason string
		by           int
		args         []string
	}{
		{"revoked at home", "malicious", 0, []string{"revoke", "--yes"}},
		{"suspended by another member", "compromised", 2, []string{"suspend", "--for", "1h"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := c.in(t)
			a := c.register("App "+tt.name, "none")
			sessions := []session{c.loginBy(1, a, atB), c.loginBy(2, a, atC)}
			c.stop(tt.by, 3, append(tt.args, a.ClientID, "--reason", tt.reason)...)
			c.stopped(a, tt.reason)
			for i, s := range []*site.Site{atB, atC} {
				c.refuses(a, sessions[i].target, sessions[i].tokens)
				c.told(s, i+1, tt.by, a.ClientID, c.records(tt.by, a))
				if active, _ := c.at(i+1).introspect(s, sessions[i].tokens.AccessToken); active {
					t.Errorf("the token is alive at broker %c", 'A'+i+1)
				}
			}
		})
	}
}

// told wants the site to have been told by its own broker, with the signed
// record of the member that stopped the client in the event, unchanged.
func (c *cluster) told(s *site.Site, own, by int, clientID string, records []string) {
	c.Helper()
	push, err := s.Pushes.Wait(c.ctx, func(p site.Push) bool {
		return site.Accepted(protocol.EventClientDisabled)(p) && p.Event.ClientDisabled.ClientID == clientID
	})
	if err != nil {
		c.Fatal(err)
	}
	if push.Event.Issuer != c.all[own].Issuer {
		c.Errorf("the site was told by %s, expected its own broker %s", push.Event.Issuer, c.all[own].Issuer)
	}
	for _, raw := range push.Event.ClientDisabled.Records {
		record, err := registry.ParseRecord([]byte(raw))
		if err == nil && record.Revocation != nil && record.Revocation.Issuer == c.all[by].Issuer && slices.Contains(records, raw) {
			return
		}
	}
	c.Errorf("the event does not carry the record of %s: %v", c.all[by].Issuer, push.Event.ClientDisabled.Records)
}
