// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// TestFederationStops: who is stopped by one is stopped by all.
func TestFederationStops(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "--max-suspension", "1h", "--suspension-quota", "2")
	atB, atC := c.at(1).site("at-b", nil), c.at(2).site("at-c", nil)
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
	t.Run("the bounds of a member's suspension", func(t *testing.T) {
		c := c.in(t)
		a, another := c.register("Bounded", "none"), c.register("One too many", "none")
		s := c.loginBy(1, a, atB)
		c.known(2, a)
		c.known(2, another)
		wantText(t, c.refusesTo(2, "app", "suspend", a.ClientID, "--reason", "policy", "--for", "61m"), "3600 s at most")
		c.stop(2, 3, "suspend", a.ClientID, "--reason", "policy", "--for", "2s") // the second one alive of C
		c.stopped(a, "policy")
		c.refuses(a, s.target, s.tokens)
		wantText(t, c.refusesTo(2, "app", "suspend", another.ClientID, "--reason", "policy"), "2 such clients at a time")
		wantText(t, c.refusesTo(0, "app", "reinstate", a.ClientID), "suspended by "+c.all[2].Issuer, "nobody can lift that")
		c.eventually("the suspension ends by itself", func() bool {
			e := oauthError(c.ask(1, a))
			return e != nil && e.Code == "invalid_grant"
		})
		c.accepts(a, s.target, s.tokens)
		wantText(t, c.refusesTo(2, "app", "suspend", a.ClientID, "--reason", "policy"), "once in 30 days")
	})
	t.Run("acknowledgements are shown as they come", func(t *testing.T) {
		c := c.in(t)
		a := c.register("Watched", "none")
		c.known(2, a)
		c.signal(2, syscall.SIGSTOP)
		said := &watcher{text: "acknowledged by 2 of 3 online members", then: func() { c.all[2].Signal(syscall.SIGCONT) }}
		err := process.Command(c.ctx, said, said, c.all[0].Binary, "app", "revoke", a.ClientID, "--yes", "--reason", "policy", "--data", c.all[0].Dir)
		if err != nil {
			t.Fatal(err)
		}
		// Had it been silent until its end, nobody would have woken C.
		wantText(t, said.String(), "acknowledged by 1 of 3 online members", "acknowledged by 3 of 3 online members")
		if strings.Contains(said.String(), "not yet by") {
			t.Errorf("it says %s", said)
		}
	})
	t.Run("the operator does not wait for them", func(t *testing.T) {
		c := c.in(t)
		a := c.register("Not watched", "none")
		c.known(2, a)
		c.signal(2, syscall.SIGSTOP)
		cmd := exec.CommandContext(c.ctx, c.all[0].Binary, "app", "revoke", a.ClientID, "--yes", "--reason", "policy", "--data", c.all[0].Dir)
		said := &watcher{text: "acknowledged by 2 of 3 online members", then: func() { cmd.Process.Signal(syscall.SIGINT) }}
		cmd.Stderr = said
		cmd.Run()
		c.signal(2, syscall.SIGCONT)
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("status %d", code)
		}
		wantText(t, said.String(), "interrupted: the revoke is recorded as entry ", "comity app show "+a.ClientID)
		c.until("C has it", func() bool {
			e := oauthError(c.ask(2, a))
			return e != nil && e.Code == "invalid_client"
		})
	})
	t.Run("stopped while B was down", func(t *testing.T) {
		c := c.in(t)
		a := c.register("Slept through", "none")
		s := c.loginBy(1, a, atB)
		c.all[1].Kill()
		done := c.stop(0, 2, "revoke", "--yes", a.ClientID, "--reason", "policy")
		if done.State != "revoked" || done.Millis > 5000 {
			t.Errorf("the stop waits for a member that was killed: %+v", done)
		}
		c.all[0].Kill() // B has to learn it from C
		c.start(1)
		c.neverMints(1, s)
		c.start(0)
		c.agree()
		c.stopped(a, "policy")
	})
	t.Run("a broker that was alone brings its clients", func(t *testing.T) {
		n, err := process.Start(c.ctx, process.Config{
			Binary: binary, Dir: filepath.Join(c.dir, "broker-d"), Args: []string{"--allow-private-addresses"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Kill()
		alone := *c.world
		alone.TB, alone.broker = t, n
		live, dead := alone.register("Of D", "private_key_jwt"), alone.register("Stopped at D", "none")
		alone.command("app", "revoke", dead.ClientID, "--yes", "--reason", "malicious")
		former := n.Ready.Federation
		alone.stopInOrder()
		n.Args = append(n.Args, "--join", c.broker.Issuer)
		alone.restart()
		defer func(before process.Federation) { c.all = before }(c.all)
		c.join(n)
		if s := c.status(3); s.Federation == former || s.Federation != c.broker.Ready.Federation || len(s.Members) != 4 {
			t.Errorf("D says %+v", s)
		}
		c := c.in(t)
		c.stopped(dead, "malicious")
		// It hears of new members so in any case, within 30 s. For a moment not
		// enough members have signed what the new one has stopped.
		c.until("the site takes the stop list of all", func() bool { return atB.Poll(c.ctx) == nil })
		c.loginBy(1, live, atB)
	})
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

// watcher keeps what is written and acts when a text has come, while the writer
// goes on.
type watcher struct {
	text string
	then func()

	mu   sync.Mutex
	all  bytes.Buffer
	done bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if !w.done && strings.Contains(w.all.String(), w.text) {
		w.done = true
		w.then()
	}
	return len(p), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}
