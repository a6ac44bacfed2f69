// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// Who logs in: at the broker with this password, at sites as they have it.
const (
	person   = "ada"
	password = "correct horse battery"
)

// callback is where apps want the browser back; nobody listens there, the
// tests read the URL.
const callback = "http://127.0.0.1:1/callback"

// metadata are client metadata as RFC 7591 has them.
type metadata map[string]any

// client is what a registration answers.
type client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// world is one broker with an account, and what a test adds.
type world struct {
	testing.TB
	ctx    context.Context
	dir    string
	issuer string
	broker *process.Node

	// approve is the person at a site that has pages of its own; nil: visit.
	approve func(link string) string
}

func newWorld(t testing.TB, options ...string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{TB: t, ctx: ctx, dir: t.TempDir()}
	var err error
	w.broker, err = process.Start(ctx, process.Config{
		Binary: binary, Dir: filepath.Join(w.dir, "broker"), Args: append([]string{"--allow-private-addresses", "--organisation", "Example Org"}, options...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.broker.Kill()
		if t.Failed() {
			t.Logf("the broker wrote:\n%s", w.broker.Output())
		}
	})
	w.issuer = w.broker.Issuer
	return w
}

// addPerson makes the account at the broker.
func (w *world) addPerson() {
	w.Helper()
	cmd := exec.CommandContext(w.ctx, binary, "user", "add", person, "--display-name", "Ada Example", "--password-stdin", "--data", w.broker.Dir)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("comity user add: %v\n%s", err, out)
	}
}

// site starts a site that delegates to the broker, with users of its own.
func (w *world) site(change func(*site.Config)) *site.Site {
	w.Helper()
	cfg := site.Config{Dir: filepath.Join(w.dir, "site"), Name: "Notebook", Brokers: []string{w.issuer}, Federation: w.broker.Ready.Federation}
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

// newMetadata is what most clients have, and what m says instead; nil in m
// leaves a member out.
func newMetadata(m metadata) metadata {
	full := metadata{
		"client_name": "Reader", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"},
	}
	for name, value := range m {
		full[name] = value
		if value == nil {
			delete(full, name)
		}
	}
	return full
}

// register registers a client as the operator does.
func (w *world) register(m metadata) client {
	w.Helper()
	data, err := json.Marshal(newMetadata(m))
	w.check(err)
	file := filepath.Join(w.TempDir(), "client.json")
	w.check(os.WriteFile(file, data, 0o600))
	var c client
	w.check(w.broker.JSON(w.ctx, &c, "app", "register", "--from", file))
	return c
}

// registrationToken is what the operator gives to a developer whose app
// registers itself.
func (w *world) registrationToken() string {
	w.Helper()
	var made struct {
		Token string `json:"initial_access_token"`
	}
	w.check(w.broker.JSON(w.ctx, &made, "app", "token"))
	return made.Token
}

// check ends the test on an error.
func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// visit is a person with a fresh browser who opens link, logs in wherever that
// leads, and allows what is asked. It returns where the browser ends: at the
// app's redirect URI, or on a page that asks nothing more.
func (w *world) visit(link string) string {
	w.Helper()
	browser := app.NewBrowser(nil)
	browser.StopAt = callback
	page, err := browser.Open(w.ctx, link)
	w.check(err)
	for _, step := range []struct {
		button string
		values map[string]string
	}{
		{"Go on", nil}, // a device's code, which came with the link
		{"Log in", map[string]string{"name": person, "password": w.passwordAt(page)}},
		{"answer=allow", nil},
		{"decision=allow", nil},
	} {
		if has(page, step.button) {
			if step.values != nil {
				step.values["password"] = w.passwordAt(page)
			}
			page, err = browser.Submit(w.ctx, page, step.button, step.values)
			w.check(err)
		}
	}
	if !page.Stopped && page.Status != http.StatusOK {
		w.Fatalf("the browser ends at %s with %d: %s", page.URL, page.Status, app.Text(page.Body))
	}
	return page.URL
}

// passwordAt is the password of the broker on its pages, and of sites elsewhere.
func (w *world) passwordAt(p *app.Page) string {
	if strings.HasPrefix(p.URL, w.issuer) {
		return password
	}
	return "lovelace"
}

func has(p *app.Page, button string) bool {
	for _, form := range p.Forms {
		for _, b := range form.Buttons {
			if strings.EqualFold(b.Label, button) || b.Name+"="+b.Value == button {
				return !p.Stopped
			}
		}
	}
	return false
}

// code takes the code out of an answer to an app, which names the broker (RFC
// 9207).
func (w *world) code(back, state string) string {
	w.Helper()
	u, err := url.Parse(back)
	w.check(err)
	q := u.Query()
	if !strings.HasPrefix(back, callback+"?") || q.Get("code") == "" || q.Get("state") != state || q.Get("iss") != w.issuer {
		w.Fatalf("the app gets %s, expected a code, state %s and iss %s", back, state, w.issuer)
	}
	return q.Get("code")
}

// call calls the site's API with a token and wants a status.
func (w *world) call(s *site.Site, authorization string, status int) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, s.API, nil)
	w.check(err)
	req.Header.Set("Authorization", authorization)
	res, err := http.DefaultClient.Do(req)
	w.check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	w.check(err)
	if res.StatusCode != status {
		w.Fatalf("the site answers %s %q, expected %d", res.Status, body, status)
	}
}

// post sends a form to an endpoint of the broker as a client with a secret
// does; a public client names itself in the form.
func (w *world) post(path string, c client, form url.Values) (status int, answer map[string]any) {
	w.Helper()
	if c.Secret == "" {
		form.Set("client_id", c.ID)
	}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.issuer+path, strings.NewReader(form.Encode()))
	w.check(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	res, err := http.DefaultClient.Do(req)
	w.check(err)
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil && err != io.EOF {
		w.Fatal(err)
	}
	return res.StatusCode, answer
}
