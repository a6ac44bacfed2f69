// SPDX-License-Identifier: Apache-2.0

// Package storetest checks that a store keeps the promises of accounts.Store.
// Every engine runs it:
//
//	func TestAccounts(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) accounts.Store { … })
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
)

// Run runs the suite. open returns an empty store and is called for each test.
func Run(t *testing.T, open func(t *testing.T) accounts.Store) {
	for name, test := range map[string]func(*testing.T, accounts.Store){
		"Add":               testAdd,
		"NameOnce":          testNameOnce,
		"List":              testList,
		"Change":            testChange,
		"ChangeOfOldState":  testChangeOfOldState,
		"Rehash":            testRehash,
		"Remove":            testRemove,
		"Session":           testSession,
		"SessionOfOldState": testSessionOfOldState,
		"SessionReplaces":   testSessionReplaces,
		"SessionBound":      testSessionBound,
		"Touch":             testTouch,
		"PurgeSessions":     testPurgeSessions,
		"Grant":             testGrant,
		"GrantOnce":         testGrantOnce,
		"GrantBound":        testGrantBound,
		"GrantOfDisabled":   testGrantOfDisabled,
		"EndGrant":          testEndGrant,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const now = int64(1_800_000_000)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: %v, expected %v", what, err, sentinel)
	}
}

// add stores a user of that name and returns it as it is stored.
func add(t *testing.T, s accounts.Store, name string) accounts.User {
	t.Helper()
	must(t, s.AddUser(ctx, accounts.User{
		ID: registry.NewID(), Name: name, DisplayName: "The " + name, CreatedAt: now, PasswordAt: now,
	}, "hash of "+name))
	return user(t, s, name)
}

func user(t *testing.T, s accounts.Store, name string) accounts.User {
	t.Helper()
	u, _, err := s.UserByName(ctx, name)
	must(t, err)
	return u
}

// session starts one that was last seen at the given time.
func session(t *testing.T, s accounts.Store, u accounts.User, hash string, seen int64) accounts.Session {
	t.Helper()
	started := newSession(u, hash, seen)
	must(t, s.StartSession(ctx, started, "", 10))
	return started
}

func newSession(u accounts.User, hash string, seen int64) accounts.Session {
	return accounts.Session{Hash: hash, User: u, AuthTime: now, SeenAt: seen, ExpiresAt: now + 1000}
}

// lives reports whether the session is there now.
func lives(t *testing.T, s accounts.Store, hash string) bool {
	t.Helper()
	_, err := s.SessionByHash(ctx, hash, now, now-100)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func grant(u accounts.User, client, scope string) accounts.Grant {
	return accounts.Grant{
		ID: registry.NewID(), UserID: u.ID, ClientID: client, Resource: "https://a.example", Scope: scope, CreatedAt: now,
	}
}

func testAdd(t *testing.T, s accounts.Store) {
	if _, _, err := s.UserByName(ctx, "alice"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("before: %v", err)
	}
	u := accounts.User{ID: registry.NewID(), Name: "alice", DisplayName: "Alice Ä", CreatedAt: now, PasswordAt: now}
	must(t, s.AddUser(ctx, u, "hash"))
	got, hash, err := s.UserByName(ctx, "alice")
	must(t, err)
	if got != u || hash != "hash" {
		t.Errorf("stored %+v with %q, expected %+v", got, hash, u)
	}
}

func testNameOnce(t *testing.T, s accounts.Store) {
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			err := s.AddUser(ctx, accounts.User{ID: fmt.Sprint(i), Name: "alice", CreatedAt: now, PasswordAt: now}, "h")
			if err == nil {
				won.Add(1)
			} else {
				want(t, "a name that is taken", err, registry.ErrConflict)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d accounts have one name", won.Load())
	}
}

func testList(t *testing.T, s accounts.Store) {
	for _, name := range []string{"carol", "alice", "bob"} {
		add(t, s, name)
	}
	for _, c := range []struct {
		after string
		limit int
		want  string
	}{{"", 10, "[alice bob carol]"}, {"alice", 1, "[bob]"}, {"carol", 10, "[]"}, {"", 0, "[]"}} {
		list, err := s.ListUsers(ctx, c.after, c.limit)
		must(t, err)
		names := []string{}
		for _, u := range list {
			names = append(names, u.Name)
			if u != user(t, s, u.Name) {
				t.Errorf("the list has %+v", u)
			}
		}
		if fmt.Sprint(names) != c.want {
			t.Errorf("after %q, %d: %v, expected %s", c.after, c.limit, names, c.want)
		}
	}
}

func testChange(t *testing.T, s accounts.Store) {
	u, other := add(t, s, "alice"), add(t, s, "bob")
	session(t, s, u, "a", now)
	session(t, s, other, "b", now)
	before := user(t, s, "alice")
	change := before
	change.Disabled, change.PasswordAt = true, now+5
	must(t, s.ChangeUser(ctx, change, ""))
	got, hash, err := s.UserByName(ctx, "alice")
	must(t, err)
	if !got.Disabled || got.PasswordAt != now+5 || got.Version == before.Version || hash != "hash of alice" {
		t.Errorf("after the change: %+v with %q", got, hash)
	}
	got.Disabled = false
	must(t, s.ChangeUser(ctx, got, "new"))
	if got, hash, err = s.UserByName(ctx, "alice"); err != nil || got.Disabled || hash != "new" {
		t.Errorf("after the second change: %+v with %q, %v", got, hash, err)
	}
	if lives(t, s, "a") || !lives(t, s, "b") {
		t.Error("a change ends the sessions of its user, and no others")
	}
	if got, hash, err := s.UserByName(ctx, "bob"); err != nil || got.Disabled || hash != "hash of bob" {
		t.Errorf("somebody else was changed: %+v with %q, %v", got, hash, err)
	}
}

// A password that is set while the account is being disabled must not enable it.
func testChangeOfOldState(t *testing.T, s accounts.Store) {
	old := add(t, s, "alice")
	disabled := old
	disabled.Disabled = true
	must(t, s.ChangeUser(ctx, disabled, ""))
	want(t, "a change of an old state", s.ChangeUser(ctx, old, "new"), registry.ErrConflict)
	if got, hash, err := s.UserByName(ctx, "alice"); err != nil || !got.Disabled || hash != "hash of alice" {
		t.Errorf("it was made: %+v with %q, %v", got, hash, err)
	}
	must(t, s.RemoveUser(ctx, old.ID))
	want(t, "a change of nobody", s.ChangeUser(ctx, old, "new"), registry.ErrConflict)
}

func testRehash(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	session(t, s, u, "a", now)
	u = user(t, s, "alice")
	must(t, s.Rehash(ctx, u.ID, "something else", "wrong"))
	must(t, s.Rehash(ctx, u.ID, "hash of alice", "stronger"))
	got, hash, err := s.UserByName(ctx, "alice")
	must(t, err)
	if hash != "stronger" || got != u || !lives(t, s, "a") {
		t.Errorf("after the rehash: %+v with %q", got, hash)
	}
}

func testRemove(t *testing.T, s accounts.Store) {
	u, other := add(t, s, "alice"), add(t, s, "bob")
	session(t, s, u, "a", now)
	session(t, s, other, "b", now)
	g, err := s.AddGrant(ctx, grant(u, "app", "read"), 10)
	must(t, err)
	kept, err := s.AddGrant(ctx, grant(other, "app", "read"), 10)
	must(t, err)
	must(t, s.RemoveUser(ctx, u.ID))
	want(t, "removed twice", s.RemoveUser(ctx, u.ID), registry.ErrNotFound)
	_, _, err = s.UserByName(ctx, "alice")
	want(t, "the account", err, registry.ErrNotFound)
	_, _, err = s.GrantByID(ctx, g.ID)
	want(t, "the grant", err, registry.ErrNotFound)
	if list, err := s.GrantsOf(ctx, u.ID); err != nil || len(list) != 0 {
		t.Errorf("grants of nobody: %v, %v", list, err)
	}
	if _, _, err := s.GrantByID(ctx, kept.ID); err != nil {
		t.Errorf("somebody else's grant: %v", err)
	}
	if lives(t, s, "a") || !lives(t, s, "b") {
		t.Error("the sessions of the removed account end, and no others")
	}
}

func testSession(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	started := session(t, s, u, "a", now)
	u.LastLogin = now
	started.User = u
	if got, err := s.SessionByHash(ctx, "a", now, now-100); err != nil || !reflect.DeepEqual(got, started) {
		t.Errorf("%+v, %v, expected %+v", got, err, started)
	}
	for name, at := range map[string]struct {
		hash       string
		now, since int64
	}{
		"another token":  {"b", now, now - 100},
		"when it ends":   {"a", now + 1000, now - 100},
		"without use":    {"a", now + 500, now},
		"no token":       {"", now, now - 100},
		"after its time": {"a", now + 5000, now + 4000},
	} {
		_, err := s.SessionByHash(ctx, at.hash, at.now, at.since)
		want(t, name, err, registry.ErrNotFound)
	}
	must(t, s.EndSession(ctx, "a"))
	must(t, s.EndSession(ctx, "a"))
	if lives(t, s, "a") {
		t.Error("it lives after its end")
	}
}

// Between the password and the session the account may have been changed.
func testSessionOfOldState(t *testing.T, s accounts.Store) {
	old := add(t, s, "alice")
	must(t, s.ChangeUser(ctx, old, "new password"))
	want(t, "old password", s.StartSession(ctx, newSession(old, "a", now), "", 10), registry.ErrNotFound)
	u := user(t, s, "alice")
	u.Disabled = true
	must(t, s.ChangeUser(ctx, u, ""))
	u = user(t, s, "alice")
	want(t, "disabled", s.StartSession(ctx, newSession(u, "a", now), "", 10), registry.ErrNotFound)
	must(t, s.RemoveUser(ctx, u.ID))
	want(t, "removed", s.StartSession(ctx, newSession(u, "a", now), "", 10), registry.ErrNotFound)
	if lives(t, s, "a") {
		t.Error("a session was started")
	}
}

func testSessionReplaces(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	session(t, s, u, "before", now)
	session(t, s, u, "elsewhere", now)
	must(t, s.StartSession(ctx, newSession(u, "after", now), "before", 10))
	if lives(t, s, "before") || !lives(t, s, "after") || !lives(t, s, "elsewhere") {
		t.Error("a login ends the session that the browser had, and no other")
	}
}

func testSessionBound(t *testing.T, s accounts.Store) {
	u, other := add(t, s, "alice"), add(t, s, "bob")
	session(t, s, other, "other", now-50)
	for i, seen := range []int64{now - 3, now - 9, now - 5} {
		must(t, s.StartSession(ctx, newSession(u, fmt.Sprint(i), seen), "", 3))
	}
	must(t, s.StartSession(ctx, newSession(u, "3", now-20), "", 3)) // the new one stays in any case
	for hash, alive := range map[string]bool{"0": true, "1": false, "2": true, "3": true, "other": true} {
		if lives(t, s, hash) != alive {
			t.Errorf("session %s lives: %v", hash, !alive)
		}
	}
}

func testTouch(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	session(t, s, u, "a", now-50)
	session(t, s, u, "b", now-50)
	must(t, s.TouchSession(ctx, "a", now))
	must(t, s.TouchSession(ctx, "a", now-20))
	must(t, s.TouchSession(ctx, "nothing", now))
	for hash, seen := range map[string]int64{"a": now, "b": now - 50} {
		if got, err := s.SessionByHash(ctx, hash, now, now-100); err != nil || got.SeenAt != seen {
			t.Errorf("%s was seen at %d, %v, expected %d", hash, got.SeenAt, err, seen)
		}
	}
}

func testPurgeSessions(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	session(t, s, u, "idle", now-100)
	session(t, s, u, "live", now-99)
	expired := newSession(u, "expired", now)
	expired.ExpiresAt = now
	must(t, s.StartSession(ctx, expired, "", 10))
	must(t, s.PurgeSessions(ctx, now, now-100))
	for hash, stays := range map[string]bool{"idle": false, "expired": false, "live": true} {
		if _, err := s.SessionByHash(ctx, hash, 0, 0); (err == nil) != stays {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

func testGrant(t *testing.T, s accounts.Store) {
	u, other := add(t, s, "alice"), add(t, s, "bob")
	first := grant(u, "app", "read")
	if got, err := s.AddGrant(ctx, first, 10); err != nil || got != first {
		t.Fatalf("%+v, %v", got, err)
	}
	second := grant(u, "another", "")
	second.CreatedAt = now + 1
	_, err := s.AddGrant(ctx, second, 10)
	must(t, err)
	theirs, err := s.AddGrant(ctx, grant(other, "app", "write"), 10)
	must(t, err)
	again := grant(u, "app", "write read")
	again.CreatedAt = now + 9
	first.Scope = "read write"
	if got, err := s.AddGrant(ctx, again, 10); err != nil || got != first {
		t.Errorf("a second consent gave %+v, %v, expected %+v", got, err, first)
	}
	if got, of, err := s.GrantByID(ctx, first.ID); err != nil || got != first || of != u {
		t.Errorf("by its id: %+v of %+v, %v", got, of, err)
	}
	list, err := s.GrantsOf(ctx, u.ID)
	must(t, err)
	if !reflect.DeepEqual(list, []accounts.Grant{second, first}) {
		t.Errorf("the list is %+v", list)
	}
	if list, err := s.GrantsOf(ctx, other.ID); err != nil || !reflect.DeepEqual(list, []accounts.Grant{theirs}) {
		t.Errorf("somebody else's list is %+v, %v", list, err)
	}
}

func testGrantOnce(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := s.AddGrant(ctx, grant(u, "app", fmt.Sprint("scope", i)), 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := s.GrantsOf(ctx, u.ID)
	must(t, err)
	scope, err := accounts.MergeScope(list[0].Scope, "scope0 scope19")
	if len(list) != 1 || err != nil || scope != list[0].Scope || len(scope) != 10*len("scope0 ")+10*len("scope19 ")-1 {
		t.Errorf("%d grants, the first for %q", len(list), list[0].Scope)
	}
}

func testGrantBound(t *testing.T, s accounts.Store) {
	u, other := add(t, s, "alice"), add(t, s, "bob")
	for _, client := range []string{"a", "b", "a"} {
		_, err := s.AddGrant(ctx, grant(u, client, "read"), 2)
		must(t, err)
	}
	_, err := s.AddGrant(ctx, grant(u, "c", "read"), 2)
	want(t, "one grant too many", err, registry.ErrLimit)
	_, err = s.AddGrant(ctx, grant(other, "c", "read"), 2)
	must(t, err)
}

func testGrantOfDisabled(t *testing.T, s accounts.Store) {
	u := add(t, s, "alice")
	g, err := s.AddGrant(ctx, grant(u, "app", "read"), 10)
	must(t, err)
	u.Disabled = true
	must(t, s.ChangeUser(ctx, u, ""))
	_, _, err = s.GrantByID(ctx, g.ID)
	want(t, "a grant of a disabled account", err, registry.ErrNotFound)
	_, err = s.AddGrant(ctx, grant(u, "app", "write"), 10)
	want(t, "a new one", err, registry.ErrNotFound)
	if list, err := s.GrantsOf(ctx, u.ID); err != nil || len(list) != 1 || list[0] != g {
		t.Errorf("the list is %+v, %v", list, err)
	}
	u = user(t, s, "alice")
	u.Disabled = false
	must(t, s.ChangeUser(ctx, u, ""))
	if got, _, err := s.GrantByID(ctx, g.ID); err != nil || got != g {
		t.Errorf("enabled again: %+v, %v", got, err)
	}
}

func testEndGrant(t *testing.T, s accounts.Store) {
	u, other := add(t, s, "alice"), add(t, s, "bob")
	g, err := s.AddGrant(ctx, grant(u, "app", "read"), 10)
	must(t, err)
	_, err = s.EndGrant(ctx, other.ID, g.ID)
	want(t, "by somebody else", err, registry.ErrNotFound)
	if got, err := s.EndGrant(ctx, u.ID, g.ID); err != nil || got != g {
		t.Errorf("ended %+v, %v", got, err)
	}
	_, err = s.EndGrant(ctx, u.ID, g.ID)
	want(t, "twice", err, registry.ErrNotFound)
	_, _, err = s.GrantByID(ctx, g.ID)
	want(t, "the ended grant", err, registry.ErrNotFound)
	next, err := s.AddGrant(ctx, grant(u, "app", "write"), 10)
	must(t, err)
	if next.ID == g.ID || next.Scope != "write" {
		t.Errorf("a consent after the end revives it: %+v", next)
	}
}
