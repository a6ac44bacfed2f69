// SPDX-License-Identifier: Apache-2.0

package accounts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

// cheap is a cost for tests that compute many hashes.
var cheap = accounts.Cost{Memory: 64, Time: 1, Threads: 1}

const (
	password = "correct horse battery staple"
	home     = "192.0.2.1:4000"
	work     = "198.51.100.1:4000"
)

// world is the accounts in a real store, with a clock that tests move.
type world struct {
	*accounts.Accounts
	t     testing.TB
	store *store.Store

	mu  sync.Mutex
	at  time.Time // guarded by mu
	log lockedBuffer
}

func newWorld(t testing.TB, change func(*accounts.Config)) *world {
	t.Helper()
	w := &world{t: t, at: time.Unix(1_800_000_000, 0)}
	var err error
	if w.store, err = store.Open(context.Background(), filepath.Join(t.TempDir(), "comity.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	cfg := accounts.Config{
		Store: w.store, Key: bytes.Repeat([]byte{7}, 32), Cost: cheap, Now: w.now,
		Log: slog.New(slog.NewJSONHandler(&w.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	w.Accounts = w.open(cfg)
	return w
}

func (w *world) open(cfg accounts.Config) *accounts.Accounts {
	w.t.Helper()
	a, err := accounts.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) add(name string) accounts.User {
	w.t.Helper()
	u, err := w.Add(context.Background(), accounts.Draft{Name: name, Password: password})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// login authenticates and starts a session.
func (w *world) login(name, remote, previous string) (string, accounts.Session) {
	w.t.Helper()
	u, err := w.Authenticate(context.Background(), name, password, remote)
	if err != nil {
		w.t.Fatal(err)
	}
	token, s, err := w.Start(context.Background(), u, previous)
	if err != nil {
		w.t.Fatal(err)
	}
	return token, s
}

// lockedBuffer is where logs go.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func want(t testing.TB, what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: %v, expected %v", what, err, sentinel)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAccountFromBeginToEnd(t *testing.T) {
	w := newWorld(t, nil)
	u, err := w.Add(t.Context(), accounts.Draft{Name: " Alice ", DisplayName: "Alice Ångström", Password: password})
	check(t, err)
	if len(u.ID) != 22 || u.Name != "alice" || u.DisplayName != "Alice Ångström" {
		t.Errorf("added %+v", u)
	}
	_, err = w.Add(t.Context(), accounts.Draft{Name: "ALICE", Password: password})
	want(t, "the name again", err, registry.ErrConflict)
	if got, err := w.Authenticate(t.Context(), "Alice", password, home); err != nil || got != u {
		t.Errorf("login: %+v, %v", got, err)
	}
	_, err = w.SetPassword(t.Context(), "alice", "another long password")
	check(t, err)
	_, err = w.Authenticate(t.Context(), "alice", password, home)
	want(t, "the old password", err, accounts.ErrCredentials)
	_, err = w.Authenticate(t.Context(), "alice", "another long password", home)
	check(t, err)
	_, err = w.Disable(t.Context(), "alice")
	check(t, err)
	_, err = w.Authenticate(t.Context(), "alice", "another long password", home)
	want(t, "disabled", err, accounts.ErrCredentials)
	_, err = w.Enable(t.Context(), "alice")
	check(t, err)
	_, err = w.Authenticate(t.Context(), "alice", "another long password", home)
	check(t, err)
	_, err = w.Remove(t.Context(), "alice")
	check(t, err)
	_, err = w.Authenticate(t.Context(), "alice", "another long password", home)
	want(t, "removed", err, accounts.ErrCredentials)
	for name, f := range map[string]func(context.Context, string) (accounts.User, error){
		"find": w.Find, "disable": w.Disable, "enable": w.Enable, "remove": w.Remove,
	} {
		_, err := f(t.Context(), "alice")
		want(t, name, err, registry.ErrNotFound)
		_, err = f(t.Context(), "älice")
		want(t, name, err, registry.ErrForm)
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t, nil)
	for given, folded := range map[string]string{
		"alice": "alice", "A.B-c_9+x@example.org": "a.b-c_9+x@example.org", "7": "7", strings.Repeat("a", 64): strings.Repeat("a", 64),
	} {
		if u, err := w.Add(t.Context(), accounts.Draft{Name: given, Password: password}); err != nil || u.Name != folded {
			t.Errorf("%q: %+v, %v", given, u, err)
		}
	}
	for _, name := range []string{
		"", " ", ".alice", "@example", "al ice", "alice\n", "al\x00ice", "a/b", "a|b", "a\"b", "\xff", "al\u200bice",
		"\u0430lice" /* Cyrillic */, "al\u0131ce" /* without dot */, "\uff21lice" /* wide */, "\u212aelvin", /* sign */
		strings.Repeat("a", 65), strings.Repeat("a", 100_000),
	} {
		_, err := w.Add(t.Context(), accounts.Draft{Name: name, Password: password})
		want(t, fmt.Sprintf("%.80q", name), err, registry.ErrForm)
	}
	for _, display := range []string{"  Bob", "Bob\u202e", "Bob\n", strings.Repeat("b", 1000), "e\u0301"} {
		_, err := w.Add(t.Context(), accounts.Draft{Name: "bob", DisplayName: display, Password: password})
		want(t, fmt.Sprintf("display name %.80q", display), err, registry.ErrForm)
	}
}

func TestPasswords(t *testing.T) {
	w := newWorld(t, nil)
	for name, refused := range map[string]string{
		"empty":        "",
		"short":        "1234567",
		"short in NFC": "a\u0308a\u0308a\u0308b",
		"long":         strings.Repeat("x", 1025),
		"very long":    strings.Repeat("x", 10<<20),
		"control":      "correct horse\x00battery",
		"line break":   "correct horse\nbattery",
		"not UTF-8":    "correct horse \xff",
		"the name":     "bob.the.builder",
		"in capitals":  "BOB.THE.Builder",
		"display name": "Robert Builder",
		"common":       "password",
		"common, too":  "Qwertzuiop",
		"digits":       "12345678",
	} {
		_, err := w.Add(t.Context(), accounts.Draft{Name: "bob.the.builder", DisplayName: "Robert Builder", Password: refused})
		want(t, name, err, registry.ErrForm)
		if refused != "" && refused != "password" && err != nil && strings.Contains(err.Error(), refused) {
			t.Errorf("%s: the error shows the password", name)
		}
	}
	w.add("alice")
	for name, good := range map[string]string{
		"8 bytes": "k7Wq_z2x", "1024 bytes": strings.Repeat("xyz ", 256), "spaces": " a b c d ", "not ASCII": "pässwörter",
	} {
		_, err := w.SetPassword(t.Context(), "alice", good)
		check(t, err)
		if _, err := w.Authenticate(t.Context(), "alice", good, home); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One password, sent by two keyboards.
	_, err := w.SetPassword(t.Context(), "alice", "Zu\u0308rich im Regen")
	check(t, err)
	if _, err := w.Authenticate(t.Context(), "alice", "Z\u00fcrich im Regen", home); err != nil {
		t.Errorf("the composed form: %v", err)
	}
	_, err = w.Authenticate(t.Context(), "alice", "Zurich im Regen", home)
	want(t, "another password", err, accounts.ErrCredentials)
}

// The hash has the form that other programs know, and its cost in it.
func TestHashIsReplacedWhenItsCostChanges(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	_, hash, err := w.store.UserByName(t.Context(), "alice")
	check(t, err)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("stored %s", hash)
	}
	token, _ := w.login("alice", home, "")
	stronger := w.open(accounts.Config{Store: w.store, Key: make([]byte, 32), Cost: accounts.Cost{Memory: 128, Time: 2, Threads: 2}, Now: w.now})
	_, err = stronger.Authenticate(t.Context(), "alice", "wrong password", home)
	want(t, "a wrong password", err, accounts.ErrCredentials)
	if _, same, err := w.store.UserByName(t.Context(), "alice"); err != nil || same != hash {
		t.Fatalf("a wrong password changed the hash: %s, %v", same, err)
	}
	for range 2 {
		_, err = stronger.Authenticate(t.Context(), "alice", password, home)
		check(t, err)
	}
	_, hash, err = w.store.UserByName(t.Context(), "alice")
	check(t, err)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=128,t=2,p=2$") {
		t.Errorf("after a login the hash is %s", hash)
	}
	if _, err := w.Session(t.Context(), token); err != nil {
		t.Errorf("the session ended with it: %v", err)
	}
}

// No prefix and no other byte of a stored hash lets anybody in, or takes more
// memory than a hash may.
func TestDamagedHash(t *testing.T) {
	w := newWorld(t, func(c *accounts.Config) { c.Cost = accounts.Cost{Memory: 8, Time: 1, Threads: 1} })
	w.add("alice")
	u, hash, err := w.store.UserByName(t.Context(), "alice")
	check(t, err)
	try := func(damaged string) {
		t.Helper()
		_, now, err := w.store.UserByName(t.Context(), "alice")
		check(t, err)
		check(t, w.store.Rehash(t.Context(), u.ID, now, damaged))
		if _, err := w.Authenticate(t.Context(), "alice", password, home); err == nil {
			t.Fatalf("%q lets somebody in", damaged)
		}
		w.pass(time.Minute)
	}
	for n := range len(hash) {
		try(hash[:n])
		try(hash[:n] + "!" + hash[n+1:])
	}
	for _, p := range []string{"m=4294967295,t=1,p=1", "m=8,t=4294967295,p=1", "m=8,t=1,p=255", "m=8,t=0,p=1", "m=8,t=1,p=0", "m=08,t=1,p=1", "m=8,t=1,p=1,x=1"} {
		try(strings.Replace(hash, "m=8,t=1,p=1", p, 1))
	}
	check(t, w.store.Rehash(t.Context(), u.ID, strings.Replace(hash, "m=8,t=1,p=1", "m=8,t=1,p=1,x=1", 1), hash))
	_, err = w.Authenticate(t.Context(), "alice", password, home)
	check(t, err)
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]accounts.Config{
		"no key":         {},
		"short key":      {Key: make([]byte, 31)},
		"no lane":        {Key: make([]byte, 32), Cost: accounts.Cost{Memory: 64, Time: 1}},
		"too much":       {Key: make([]byte, 32), Cost: accounts.Cost{Memory: 2 << 20, Time: 1, Threads: 1}},
		"lanes too slim": {Key: make([]byte, 32), Cost: accounts.Cost{Memory: 8, Time: 1, Threads: 2}},
	} {
		if _, err := accounts.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if c := accounts.DefaultCost; c.Memory != 64<<10 || c.Time != 3 {
		t.Errorf("the default is less than RFC 9106 recommends: %+v", c)
	}
}

func TestChangesAtTheSameTime(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	for range 8 {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := w.SetPassword(context.Background(), "alice", password); err != nil {
				want(t, "password", err, registry.ErrConflict)
			}
		})
		disabled := false
		wg.Go(func() {
			_, err := w.Disable(context.Background(), "alice")
			if disabled = err == nil; !disabled {
				want(t, "disable", err, registry.ErrConflict)
			}
		})
		wg.Wait()
		u, err := w.Find(t.Context(), "alice")
		check(t, err)
		if disabled != u.Disabled {
			t.Fatalf("disabled: %v, though the command said %v", u.Disabled, disabled)
		}
		_, err = w.Enable(t.Context(), "alice")
		check(t, err)
	}
}

func TestSubject(t *testing.T) {
	w := newWorld(t, nil)
	// printf 'app.example\0user' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…
	const vector = "iA-DdiQnZRf_A4v5fX3aYNttWbqhKN3y9jbPOkSJNKc"
	if got := w.Subject("user", "app.example"); got != vector {
		t.Errorf("subject %s, expected %s", got, vector)
	}
	seen := map[string]string{}
	for _, user := range []string{"user", "use", "another"} {
		for _, sector := range []string{"app.example", "app.examplex", "b.example", ""} {
			s := w.Subject(user, sector)
			if other := seen[s]; other != "" {
				t.Errorf("%s and %s@%s have one subject", other, user, sector)
			}
			seen[s] = user + "@" + sector
		}
	}
	other := w.open(accounts.Config{Store: w.store, Key: make([]byte, 32)})
	if other.Subject("user", "app.example") == vector {
		t.Error("the key does not matter")
	}
}

// Neither passwords nor tokens are in the log, and what was typed in the field
// of the name is not, unless there is such an account.
func TestFault84NothingSecretIsLogged(t *testing.T) {
	w := newWorld(t, nil)
	w.add("alice")
	token, s := w.login("alice", home, "")
	_, _ = w.Authenticate(t.Context(), "alice", "my wrong password", home)
	_, _ = w.Authenticate(t.Context(), "mysecret99", "x", home)
	_, err := w.SetPassword(t.Context(), "alice", "another long password")
	check(t, err)
	_, err = w.Disable(t.Context(), "alice")
	check(t, err)
	_, err = w.Enable(t.Context(), "alice")
	check(t, err)
	g, err := w.Grant(t.Context(), s.User.ID, "app", "https://a.example", "read")
	check(t, err)
	_, err = w.EndGrant(t.Context(), s.User.ID, g.ID)
	check(t, err)
	_, err = w.Remove(t.Context(), "alice")
	check(t, err)
	log := w.log.String()
	for _, event := range []string{"user-added", "login", "login-failed", "user-password-changed", "user-disabled", "user-enabled", "grant-ended", "user-removed"} {
		if !strings.Contains(log, `"audit":{"event":"`+event+`","user":`) {
			t.Errorf("no audit line says %s", event)
		}
	}
	for _, secret := range []string{password, "my wrong password", "mysecret99", "another long password", token, s.Hash, "argon2id"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q:\n%s", secret, log)
		}
	}
}
