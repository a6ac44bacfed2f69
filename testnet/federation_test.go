// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/proxy"
	"github.com/comity-network/comity/testnet/site"
)

// movable is a cluster whose brokers can move: each is behind a proxy, which
// has the address that its issuer names.
type movable struct {
	*cluster
	fronts []*proxy.Proxy
}

func newMovable(t *testing.T, limits ...string) *movable {
	t.Helper()
	m := &movable{}
	m.cluster = newClusterWith(t, func(i int) process.Config {
		front, err := proxy.New("127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(front.Close)
		m.fronts = append(m.fronts, front)
		return process.Config{Issuer: "http://" + front.Address(), Args: settle(t, front)}
	}, limits...)
	return m
}

// settle puts the broker behind front on ports of its own, and returns its
// options.
func settle(t testing.TB, front *proxy.Proxy) []string {
	t.Helper()
	var addresses [2]string
	for i := range addresses {
		var err error
		if addresses[i], err = process.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	front.To(addresses[0])
	_, port, _ := strings.Cut(addresses[1], ":")
	return []string{
		"--allow-private-addresses", "--listen", addresses[0],
		"--p2p", "/ip4/127.0.0.1/tcp/" + port, "--p2p", "/ip4/127.0.0.1/udp/" + port + "/quic-v1",
	}
}

// move gives a broker that does not run other addresses than it had, for HTTP
// and among the members; its issuer stays.
func (m *movable) move(i int) { m.all[i].Args = settle(m, m.fronts[i]) }

func (m *movable) in(t *testing.T) *movable { return &movable{m.cluster.in(t), m.fronts} }

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

// signal sends a signal to a broker: SIGSTOP cuts it off, and it does not
// notice.
func (c *cluster) signal(i int, s syscall.Signal) {
	c.Helper()
	if err := c.all[i].Signal(s); err != nil {
		c.Fatal(err)
	}
}

// unseen waits until a broker has heard nothing of another for longer than
// max_age.
func (c *cluster) unseen(by, of int, maxAge int64) {
	c.Helper()
	c.eventually("nothing was heard for max_age", func() bool {
		age := c.status(by).Members[of].ViewAge
		return age != nil && *age > maxAge
	})
}

// TestFederation: three brokers, of which any will do, and which die, are cut
// off, move and come back.
func TestFederation(t *testing.T) {
	t.Parallel()
	const maxAge = 3
	c := newMovable(t, "--name", "Three", "--max-age", "3s")
	status := c.agree()
	if len(status.Members) != 3 || status.CharterVersion != 4 || status.Federation != c.broker.Ready.Federation {
		t.Fatalf("the brokers agree on %+v", status)
	}
	atB := c.at(1).site("at-b", nil)
	keyed := c.register("Keyed", "private_key_jwt")
	open := c.loginBy(1, keyed, atB)
	t.Run("a stop while B is cut off, and its author dead", func(t *testing.T) {
		c := c.in(t)
		a := c.register("Missed", "none")
		s := c.loginBy(1, a, atB)
		c.signal(1, syscall.SIGSTOP)
		c.unseen(0, 1, maxAge)
		c.stop(0, 2, "revoke", "--yes", a.ClientID, "--reason", "policy")
		c.all[0].Kill()
		c.signal(1, syscall.SIGCONT)
		c.neverMints(1, s)
		c.start(0)
		c.agree()
	})
	t.Run("A dead for longer than max_age", func(t *testing.T) {
		c := c.in(t)
		c.all[0].Kill()
		c.unseen(1, 0, maxAge)
		c.loginBy(1, keyed, atB)
	})
	t.Run("B cut off from all others", func(t *testing.T) {
		c := c.in(t)
		target := c.discover(keyed, atB.API)
		request := keyed.NewRequest(target, site.ReadNotes, false)
		code := c.authorize(keyed, target, request)
		c.signal(2, syscall.SIGSTOP) // A is dead
		c.eventually("B is stale, and says why", func() bool {
			s := c.status(1)
			return !s.Fresh && strings.HasPrefix(s.StaleReason, "views of 1 of 3 members, 2 needed")
		})
		_, err := keyed.Redeem(c.ctx, target, request, code)
		refused := c.wantError(err, http.StatusServiceUnavailable, "temporarily_unavailable")
		wantText(t, refused.Description, "views of 1 of 3 members, 2 needed")
		if refused.RetryAfter == "" {
			t.Error("no Retry-After")
		}
		c.eventually("the site is stale as well", func() bool {
			answer, err := keyed.Call(c.ctx, open.target, open.tokens)
			return err == nil && answer.Status == http.StatusServiceUnavailable
		})
		c.signal(2, syscall.SIGCONT)
		c.eventually("B, C and the site are fresh", func() bool {
			return c.status(1).Fresh && c.status(2).Fresh && atB.Fresh() == nil
		})
		if _, err := keyed.Redeem(c.ctx, target, request, code); err != nil {
			t.Errorf("the same code again: %v", err)
		}
	})
	t.Run("restarts in any order, with other addresses", func(t *testing.T) {
		c := c.in(t)
		c.start(0)
		for i, n := range c.all { // one by one
			n.Kill()
			c.move(i)
			c.start(i)
			c.agree()
		}
		for _, order := range orders() {
			for i, n := range c.all { // all at once: nobody is where anybody knows
				n.Kill()
				c.move(i)
			}
			for _, i := range order {
				c.start(i)
			}
			if again := c.agree(); again.Federation != status.Federation || again.CharterVersion != status.CharterVersion {
				t.Fatalf("after restarts the brokers agree on %+v", again)
			}
		}
		c.eventually("the site is fresh", func() bool { return atB.Fresh() == nil })
		c.loginBy(1, keyed, atB)
		c.call(open.app, open.target, open.tokens, http.StatusOK)
	})
}

// orders of starting three brokers: one, all with COMITY_LONG=1.
func orders() [][]int {
	if os.Getenv("COMITY_LONG") == "" {
		return [][]int{{1, 2, 0}}
	}
	return [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
}

// neverMints asks a broker for tokens until it refuses the client. It must not
// give any.
func (c *cluster) neverMints(i int, s session) {
	c.Helper()
	c.until("the broker knows", func() bool {
		_, err := s.app.Refresh(c.ctx, s.target, s.tokens.RefreshToken)
		if err == nil {
			c.Fatalf("broker %c mints a token before it knows", 'A'+i)
		}
		if e := oauthError(err); e == nil || e.Code != "invalid_client" && e.Status != http.StatusServiceUnavailable {
			c.Fatalf("broker %c answers %v", 'A'+i, err)
		}
		return oauthError(err).Code == "invalid_client"
	})
	c.refuses(s.app, s.target, s.tokens)
}
