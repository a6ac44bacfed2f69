// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
)

// alive asserts that a session is there, or not.
func (w *world) alive(what, token string, expected bool) {
	w.t.Helper()
	_, err := w.Session(w.t.Context(), token)
	if expected {
		if err != nil {
			w.t.Errorf("%s: %v", what, err)
		}
		return
	}
	want(w.t, what, err, accounts.ErrNoSession)
}

func TestSession(t *testing.T) {
	w := newWorld(t, nil)
	u := w.add("alice")
	token, started := w.login("alice", home, "")
	if len(token) != 43 || strings.Contains(started.Hash, token) {
		t.Errorf("token %s of session %s", token, started.Hash)
	}
	w.pass(30 * time.Minute)
	s, err := w.Session(t.Context(), token)
	check(t, err)
	if s.Hash != started.Hash || s.User.ID != u.ID || s.AuthTime != 1_800_000_000 || s.ExpiresAt != s.AuthTime+24*3600 {
		t.Errorf("session %+v", s)
	}
	for _, no := range []string{"", "x", started.Hash, token + "A", token[:42], strings.Repeat("A", 43), strings.Repeat("A", 1<<20)} {
		w.alive("another token", no, false)
	}
}

func TestSessionEndsByItself(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	used, _ := w.login("alice", home, "")
	unused, _ := w.login("alice", home, "")
	w.pass(accounts.SessionIdle - time.Second)
	w.alive("unused for 8 h but a second", used, true)
	w.pass(time.Second)
	w.alive("unused for 8 h", unused, false)
	for range 3 {
		w.pass(accounts.SessionIdle/2 - time.Second)
		w.alive("in use", used, true)
	}
	w.pass(accounts.SessionIdle/2 + 2*time.Second)
	w.alive("in use for 24 h but a second", used, true)
	w.pass(time.Second)
	w.alive("in use for 24 h", used, false)
}

// Session fixation: a login gives the browser another session than the one that
// somebody may have planted there, and ends that one.
func TestSessionIsRenewed(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	w.add("mallory")
	planted, _ := w.login("mallory", work, "")
	token, s := w.login("alice", home, planted)
	if token == planted || s.User.Name != "alice" {
		t.Errorf("the login kept the session: %+v", s)
	}
	w.alive("the planted session", planted, false)
	w.pass(time.Hour)
	again, renewed := w.login("alice", home, token)
	if renewed.AuthTime != s.AuthTime+3600 {
		t.Errorf("auth_time %d after a second login, before %d", renewed.AuthTime, s.AuthTime)
	}
	w.alive("before the second login", token, false)
	w.alive("after it", again, true)
}

// fault 31: nothing of a session is left after the logout, a new password, or
// the end of the account.
func TestFault31SessionAfterLogout(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	w.add("bob")
	bystander, _ := w.login("bob", home, "")
	for name, end := range map[string]func(token string) error{
		"logout":       func(token string) error { return w.End(t.Context(), token) },
		"new password": func(string) error { _, err := w.SetPassword(t.Context(), "alice", password); return err },
		"disabled": func(string) error {
			_, err := w.Disable(t.Context(), "alice")
			check(t, err)
			_, err = w.Enable(t.Context(), "alice")
			return err
		},
		"removed": func(string) error {
			_, err := w.Remove(t.Context(), "alice")
			check(t, err)
			w.add("alice")
			return nil
		},
	} {
		token, _ := w.login("alice", home, "")
		w.alive(name+", before", token, true)
		check(t, end(token))
		w.alive(name, token, false)
	}
	w.alive("somebody else", bystander, true)
	check(t, w.End(t.Context(), "no token"))
}

func TestSessionOfAChangedAccount(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	u, err := w.Authenticate(t.Context(), "alice", password, home)
	check(t, err)
	_, err = w.Disable(t.Context(), "alice")
	check(t, err)
	_, _, err = w.Start(t.Context(), u, "")
	want(t, "disabled between password and session", err, accounts.ErrNoSession)
}

func TestSessionsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	var tokens []string
	for range accounts.MaxSessions + 5 {
		token, _ := w.login("alice", home, "")
		tokens = append(tokens, token)
		w.pass(time.Second)
	}
	for i, token := range tokens {
		w.alive("one of many", token, i >= 5)
	}
}

func TestPurge(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	token, _ := w.login("alice", home, "")
	check(t, w.Purge(t.Context()))
	w.alive("before its time", token, true)
	w.pass(accounts.SessionLife)
	check(t, w.Purge(t.Context()))
	w.pass(-accounts.SessionLife)
	w.alive("deleted", token, false)
}

func TestGrants(t *testing.T) {
	w := newWorld(t, nil)
	alice, bob := w.add("alice"), w.add("bob")
	g, err := w.Grant(t.Context(), alice.ID, "app", "https://a.example", "read")
	check(t, err)
	if len(g.ID) != 22 {
		t.Errorf("grant %+v", g)
	}
	w.pass(time.Hour)
	wider, err := w.Grant(t.Context(), alice.ID, "app", "https://a.example", "write read")
	check(t, err)
	if wider.ID != g.ID || wider.Scope != "read write" || wider.CreatedAt != g.CreatedAt {
		t.Errorf("a second consent gave %+v after %+v", wider, g)
	}
	if got, u, err := w.FindGrant(t.Context(), g.ID); err != nil || got != wider || u.ID != alice.ID {
		t.Errorf("found %+v of %+v, %v", got, u, err)
	}
	// fault 31: an id is no right.
	_, err = w.EndGrant(t.Context(), bob.ID, g.ID)
	want(t, "ended by somebody else", err, registry.ErrNotFound)
	_, err = w.Disable(t.Context(), "alice")
	check(t, err)
	_, _, err = w.FindGrant(t.Context(), g.ID)
	want(t, "of a disabled account", err, registry.ErrNotFound)
	_, err = w.Enable(t.Context(), "alice")
	check(t, err)
	if ended, err := w.EndGrant(t.Context(), alice.ID, g.ID); err != nil || ended != wider {
		t.Errorf("ended %+v, %v", ended, err)
	}
	if list, err := w.Grants(t.Context(), alice.ID); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	for name, bad := range map[string][3]string{
		"no client": {"", "https://a.example", ""}, "no resource": {"app", "", ""}, "no scope": {"app", "https://a.example", "a  b"},
	} {
		_, err := w.Grant(t.Context(), alice.ID, bad[0], bad[1], bad[2])
		want(t, name, err, registry.ErrForm)
	}
	_, err = w.Grant(t.Context(), alice.ID, "app", "https://a.example", strings.Repeat("a", 600))
	check(t, err)
	_, err = w.Grant(t.Context(), alice.ID, "app", "https://a.example", strings.Repeat("b", 600))
	want(t, "too much in all", err, registry.ErrLimit)
}
