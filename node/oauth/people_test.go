// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/login"
	"github.com/comity-network/comity/node/oauth"
	webapp "github.com/comity-network/comity/testnet/app"
)

// password of everybody.
const password = "correct horse battery"

// people are accounts at the broker of a world, with the pages.
type people struct {
	*accounts.Accounts
	w *world
}

// newPeopled is a world whose broker has accounts, of ada and of grace.
func newPeopled(t testing.TB, change ...func(*world, *oauth.Config)) (*world, *people) {
	t.Helper()
	p := &people{}
	with := func(w *world, cfg *oauth.Config) {
		p.w = w
		var err error
		p.Accounts, err = accounts.New(accounts.Config{
			Store: w.db, Key: make([]byte, 32), Cost: accounts.Cost{Memory: 8, Time: 1, Threads: 1}, Now: w.clock.now,
			Log: slog.New(slog.NewJSONHandler(w.logged, nil)),
		})
		check(t, err)
		pages, err := login.New(login.Config{
			Issuer: w.issuer, Organisation: "Example Org", Accounts: p.Accounts, Clients: w.ledger,
			Broker: func() login.Broker { return w.server }, Now: w.clock.now, Log: cfg.Log,
		})
		check(t, err)
		cfg.People, cfg.IDTokens, cfg.Subject = pages, newIDTokens(w), p.Accounts.Subject
	}
	w := newWorld(t, append([]func(*world, *oauth.Config){with}, change...)...)
	mux := http.NewServeMux()
	mux.Handle("/", w.handler)
	for _, path := range []string{"/login", "/login/decision", "/logout", "/account", "/device"} {
		mux.Handle(path, w.cfg.People.(*login.Pages).Handler())
	}
	w.handler = mux
	for _, name := range []string{"ada", "grace"} {
		_, err := p.Add(context.Background(), accounts.Draft{Name: name, DisplayName: strings.ToUpper(name), Password: password})
		check(t, err)
	}
	return w, p
}

// idTokens signs ID tokens with a key of the tests.
type idTokens struct {
	w   *world
	key *rsa.PrivateKey
}

func newIDTokens(w *world) *idTokens { return &idTokens{w, newRSA()} }

func (k *idTokens) SignIDToken(alg string, claims []byte) (string, error) {
	if alg == "EdDSA" {
		return k.w.tokenKey.Sign("JWT", claims), nil
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: k.key, KeyID: "rsa"}}, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (k *idTokens) PublicKeys() ([]json.RawMessage, error) {
	key, err := json.Marshal(jose.JSONWebKey{Key: &k.key.PublicKey, KeyID: "rsa", Algorithm: "RS256", Use: "sig"})
	return []json.RawMessage{key}, err
}

// browser of one person, which stops where the app would answer.
type browser struct {
	*webapp.Browser
	w *world
}

func (w *world) browser() *browser {
	b := &browser{webapp.NewBrowser(nil), w}
	b.StopAt = "https://app.example/"
	return b
}

func (b *browser) open(target string) *webapp.Page {
	b.w.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.w.issuer + target
	}
	p, err := b.Open(context.Background(), target)
	check(b.w.t, err)
	return p
}

// press submits a form of the page; values are names and values by turns.
func (b *browser) press(p *webapp.Page, button string, values ...string) *webapp.Page {
	b.w.t.Helper()
	fields := map[string]string{}
	for i := 0; i < len(values); i += 2 {
		fields[values[i]] = values[i+1]
	}
	p, err := b.Submit(context.Background(), p, button, fields)
	check(b.w.t, err)
	return p
}

func (b *browser) logIn(p *webapp.Page, name string) *webapp.Page {
	b.w.t.Helper()
	return b.press(p, "Log in", "name", name, "password", password)
}

// here is an authorization request for a login at the broker. more are names
// and values by turns; an empty value takes a parameter away.
func (a *app) here(verifier string, more ...string) string {
	q := url.Values{
		"client_id": {a.id}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid"}, "state": {"st&=ate"},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}, "nonce": {"n-1"},
	}
	for i := 0; i < len(more); i += 2 {
		if q.Set(more[i], more[i+1]); more[i+1] == "" {
			q.Del(more[i])
		}
	}
	return "/oauth/authorize?" + q.Encode()
}

// answer is what came back to the app, in the query or in the fragment.
func (w *world) answer(p *webapp.Page) url.Values {
	w.t.Helper()
	if !p.Stopped {
		w.t.Fatalf("the browser did not come back to the app: %s %d %s", p.URL, p.Status, webapp.Text(p.Body))
	}
	u, err := url.Parse(p.URL)
	check(w.t, err)
	q := u.Query()
	if u.Fragment != "" {
		if q, err = url.ParseQuery(u.EscapedFragment()); err != nil {
			w.t.Fatal(err)
		}
	}
	if q.Get("iss") != w.issuer || q.Get("state") != "st&=ate" {
		w.t.Errorf("iss or state is wrong: %s", p.URL)
	}
	return q
}

// allow is a whole login of a person: what came back to the app.
func (a *app) allow(b *browser, name, verifier string, more ...string) url.Values {
	a.w.t.Helper()
	p := b.open(a.here(verifier, more...))
	if strings.Contains(p.Body, `name="password"`) {
		p = b.logIn(p, name)
	}
	if !p.Stopped {
		p = b.press(p, "Allow")
	}
	return a.w.answer(p)
}

// showsPage fails the test unless p is a page with that status and text.
func showsPage(t testing.TB, p *webapp.Page, status int, text string) {
	t.Helper()
	if p.Stopped || p.Status != status || !strings.Contains(webapp.Text(p.Body), text) {
		t.Errorf("%s: %d %s, expected a page, %d, with %q", p.URL, p.Status, webapp.Text(p.Body), status, text)
	}
}
