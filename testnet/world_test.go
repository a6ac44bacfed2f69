// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// world is one broker with the sites and apps of one test.
type world struct {
	testing.TB
	ctx     context.Context
	dir     string
	broker  *process.Node
	secrets *app.Secrets
	logs    *logBuffer // of the sites
}

// newWorld starts a broker.
func newWorld(t testing.TB, options ...string) *world {
	t.Helper()
	return newWorldWith(t, process.Config{Args: options})
}

func newWorldWith(t testing.TB, cfg process.Config) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	w := &world{TB: t, ctx: ctx, dir: t.TempDir(), secrets: &app.Secrets{}, logs: &logBuffer{}}
	cfg.Binary = binary
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(w.dir, "broker")
	}
	cfg.Args = append([]string{"--allow-private-addresses"}, cfg.Args...)
	var err error
	if w.broker, err = process.Start(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.broker.Kill()
		w.searchSecrets()
		if t.Failed() {
			t.Logf("the broker wrote:\n%s", w.broker.Output())
			t.Logf("the sites wrote:\n%s", w.logs)
		}
	})
	return w
}

// site starts a site named name that delegates to the broker.
func (w *world) site(name string, change func(*site.Config)) *site.Site {
	w.Helper()
	cfg := w.siteConfig(name)
	if change != nil {
		change(&cfg)
	}
	s, err := site.Start(w.ctx, cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	return s
}

func (w *world) siteConfig(name string) site.Config {
	return site.Config{
		Dir: filepath.Join(w.dir, name), Name: name, Brokers: []string{w.broker.Issuer}, Federation: w.broker.Ready.Federation,
		Log: slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})).With("site", name),
	}
}

// register registers an app with the authentication method.
func (w *world) register(name, method string, more ...string) *app.App {
	w.Helper()
	a := &app.App{RedirectURI: "http://127.0.0.1:1/callback", AuthMethod: method, Secrets: w.secrets}
	args := append([]string{"app", "register", "--name", name, "--redirect-uri", a.RedirectURI, "--auth-method", method}, more...)
	keyFile := filepath.Join(w.dir, name+".jwk")
	if method == "private_key_jwt" {
		args = append(args, "--new-key", keyFile)
	}
	var registered struct {
		ClientID string `json:"client_id"`
		Secret   string `json:"client_secret"`
	}
	if err := w.broker.JSON(w.ctx, &registered, args...); err != nil {
		w.Fatal(err)
	}
	a.ClientID, a.Secret = registered.ClientID, registered.Secret
	w.secrets.Add("client secret", a.Secret)
	if method == "private_key_jwt" {
		data, err := os.ReadFile(keyFile)
		if err != nil {
			w.Fatal(err)
		}
		if a.Key, err = app.ParseKey(data); err != nil {
			w.Fatal(err)
		}
	}
	return a
}

// discover finds out about the site of an API, as the app does.
func (w *world) discover(a *app.App, api string) *app.Target {
	w.Helper()
	target, err := a.Discover(w.ctx, api, "")
	if err != nil {
		w.Fatal(err)
	}
	return target
}

// authorize lets the user log in and consent; it returns the code.
func (w *world) authorize(a *app.App, t *app.Target, r *app.Request) string {
	w.Helper()
	code, err := w.tryAuthorize(a, r)
	if err != nil {
		w.Fatal(err)
	}
	return code
}

func (w *world) tryAuthorize(a *app.App, r *app.Request) (string, error) {
	browser := app.NewBrowser(nil)
	browser.StopAt = a.RedirectURI
	page, err := browser.Open(w.ctx, r.URL)
	if err != nil {
		return "", err
	}
	if !page.Stopped {
		if page, err = browser.Submit(w.ctx, page, "Log in", map[string]string{"name": "ada", "password": "lovelace"}); err != nil {
			return "", err
		}
	}
	if !page.Stopped {
		if page, err = browser.Submit(w.ctx, page, "decision=allow", nil); err != nil {
			return "", err
		}
	}
	if !page.Stopped {
		return "", errors.New("the site does not send the browser back: " + app.Text(page.Body))
	}
	return a.Code(r, page.URL)
}

// login is a whole login.
func (w *world) login(a *app.App, api string) (*app.Target, *app.Tokens) {
	w.Helper()
	target := w.discover(a, api)
	request := a.NewRequest(target, site.ReadNotes, false)
	tokens, err := a.Redeem(w.ctx, target, request, w.authorize(a, target, request))
	if err != nil {
		w.Fatal(err)
	}
	return target, tokens
}

// call calls the API and wants a status.
func (w *world) call(a *app.App, t *app.Target, tokens *app.Tokens, status int) *app.Answer {
	w.Helper()
	answer, err := a.Call(w.ctx, t, tokens)
	if err != nil {
		w.Fatal(err)
	}
	if answer.Status != status {
		w.Fatalf("the site answered %d (%s) %q, expected %d", answer.Status, answer.Challenge, answer.Body, status)
	}
	return answer
}

// until polls a condition; it fails the test when it does not come true.
func (w *world) until(what string, holds func() bool) {
	w.Helper()
	limit := time.After(patience)
	for every := time.NewTicker(5 * time.Millisecond); !holds(); {
		select {
		case <-every.C:
		case <-limit:
			w.Fatalf("it never came true that %s", what)
		}
	}
}

// command runs a command of the binary that must succeed.
func (w *world) command(args ...string) string {
	w.Helper()
	out, err := w.broker.Run(w.ctx, args...)
	if err != nil {
		w.Fatalf("comity %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// restart starts the broker again after it was stopped or killed.
func (w *world) restart() {
	w.Helper()
	if err := w.broker.Restart(w.ctx); err != nil {
		w.Fatal(err)
	}
}

// fsck checks the broker's stored log; the broker must not be running.
func (w *world) fsck() {
	w.Helper()
	w.command("fsck")
}

// wantError wants an OAuth error.
func (w *world) wantError(err error, status int, code string) *app.Error {
	w.Helper()
	e := (*app.Error)(nil)
	if !errors.As(err, &e) || e.Status != status || e.Code != code {
		w.Fatalf("got %v, expected %d %s", err, status, code)
	}
	return e
}

// searchSecrets looks for everything secret in all that was written: fault 84.
func (w *world) searchSecrets() {
	w.Helper()
	texts := w.written()
	for value, kind := range w.secrets.All() {
		for _, place := range places(texts, value) {
			w.Errorf("fault 84: %s holds a %s", place, kind)
		}
	}
}

// written is all that broker and sites have written, by place.
func (w *world) written() map[string][]byte {
	w.Helper()
	texts := map[string][]byte{"the broker's output": []byte(w.broker.Output()), "the sites' logs": []byte(w.logs.String())}
	for _, root := range []string{w.dir, w.broker.Dir} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".jwk") {
				return err
			}
			texts[path], err = os.ReadFile(path)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.Error(err)
		}
	}
	return texts
}

// places lists the texts that hold value.
func places(texts map[string][]byte, value string) []string {
	var found []string
	for place, text := range texts {
		if bytes.Contains(text, []byte(value)) {
			found = append(found, place)
		}
	}
	slices.Sort(found)
	return found
}

// logBuffer is an io.Writer for several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var _ io.Writer = (*logBuffer)(nil)

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
