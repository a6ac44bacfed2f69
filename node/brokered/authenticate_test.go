// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/node/brokered/oauth1"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/oldsite"
)

// An unknown client, one without a secret and a wrong secret get the same
// bytes, and no site hears of them (fault 15).
func TestNotAuthenticated(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	form := url.Values{"server_url": {site.URL()}}
	bare := registry.CID([]byte("without a secret"))
	w.register(bare, home.issuer)
	orphan := "https://app.example/client.json" // known by its URL, without a home
	w.records.change(orphan, func(s *registry.ClientState) { s.ID, s.Status = orphan, registry.ClientActive })
	home.secrets[orphan] = secret

	var first answer
	for i, test := range []struct{ name, id, secret string }{
		{"wrong secret", client, "wrong"},
		{"unknown client", registry.CID([]byte("nobody")), secret},
		{"no CID", "somebody", secret},
		{"no secret", bare, secret},
		{"no home", orphan, secret},
	} {
		a := home.send(home.signed(t.Context(), test.id, test.secret, form))
		a.want(t, http.StatusUnauthorized, "comity.unauthorized")
		a.header.Del("Date")
		if i == 0 {
			first = a
		}
		if a.body != first.body || !maps.EqualFunc(a.header, first.header, func(x, y []string) bool { return strings.Join(x, "|") == strings.Join(y, "|") }) {
			t.Errorf("%s: %s %v differs from %s %v", test.name, a.body, a.header, first.body, first.header)
		}
		if got := a.header.Get("WWW-Authenticate"); got != `OAuth realm="`+home.issuer+`"` {
			t.Errorf("%s: WWW-Authenticate is %q", test.name, got)
		}
	}
	if n := len(site.Log()); n != 0 {
		t.Errorf("the site was asked %d times", n)
	}
	if len(home.nonces) != 0 {
		t.Error("a nonce of somebody who does not have the secret was claimed")
	}
}

// A replay is refused, after a restart too, and of many at the same time one
// passes.
func TestReplay(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	form := url.Values{"server_url": {site.URL()}}
	r := home.signed(t.Context(), client, secret, form)
	again := func() answer {
		c := r.Clone(t.Context())
		c.Body, _ = r.GetBody()
		return home.send(c)
	}
	again().want(t, http.StatusOK, "")
	again().want(t, http.StatusUnauthorized, "comity.unauthorized")
	home.restart()
	again().want(t, http.StatusUnauthorized, "comity.unauthorized")

	r = home.signed(t.Context(), client, secret, form)
	passed := make(chan int, 10)
	for range cap(passed) {
		go func() { passed <- again().status }()
	}
	ok := 0
	for range cap(passed) {
		if <-passed == http.StatusOK {
			ok++
		}
	}
	if ok != 1 {
		t.Errorf("%d of %d equal requests passed", ok, cap(passed))
	}
}

func TestRequestsRefused(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	good := url.Values{"server_url": {site.URL()}}
	with := func(form url.Values) *http.Request { return home.signed(t.Context(), client, secret, form) }
	header := func(r *http.Request, name, value string) *http.Request { r.Header.Set(name, value); return r }
	body := func(r *http.Request, body string) *http.Request {
		n, err := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
		check(t, err)
		n.Header = r.Header
		return n
	}
	at := func(ahead time.Duration) *http.Request {
		w.clock.pass(ahead)
		defer w.clock.pass(-ahead)
		return with(good)
	}
	token := func() *http.Request {
		body := []byte(good.Encode())
		r, err := http.NewRequest(http.MethodPost, home.issuer+"/broker/connect", bytes.NewReader(body))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		check(t, oauth1.SignHMAC(r, body, oauth1.Parameters{ConsumerKey: client, Token: "token", Method: oauth1.HMACSHA1, Nonce: rand.Text(), Timestamp: time.Now().Unix()}, secret, "s"))
		return r
	}
	get := with(good)
	get.Method = http.MethodGet
	for _, test := range []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"no server_url", with(url.Values{"x": {"y"}}), 400, "comity.invalid_request"},
		{"empty server_url", with(url.Values{"server_url": {""}}), 400, "comity.invalid_request"},
		{"server_url twice", with(url.Values{"server_url": {site.URL(), site.URL()}}), 400, "comity.invalid_request"},
		{"unknown member twice", with(url.Values{"server_url": {site.URL()}, "x": {"1", "2"}}), 400, "comity.invalid_request"},
		{"callback_url twice", with(url.Values{"server_url": {site.URL()}, "callback_url": {callback, callback}}), 400, "comity.invalid_request"},
		{"callback of another", with(url.Values{"server_url": {site.URL()}, "callback_url": {callback + "/"}}), 400, "ba.invalid_callback"},
		{"callback with another port", with(url.Values{"server_url": {site.URL()}, "callback_url": {"https://app.example:444/callback"}}), 400, "ba.invalid_callback"},
		{"user info", with(url.Values{"server_url": {"http://user@127.0.0.1/"}}), 400, "comity.invalid_request"},
		{"fragment", with(url.Values{"server_url": {site.URL() + "#top"}}), 400, "comity.invalid_request"},
		{"empty fragment", with(url.Values{"server_url": {site.URL() + "#"}}), 400, "comity.invalid_request"},
		{"relative", with(url.Values{"server_url": {"/wp-json/"}}), 400, "comity.invalid_request"},
		{"gopher", with(url.Values{"server_url": {"gopher://127.0.0.1/"}}), 400, "comity.invalid_request"},
		{"long server_url", with(url.Values{"server_url": {site.URL() + strings.Repeat("a", 3000)}}), 400, "comity.invalid_request"},
		{"JSON", header(with(good), "Content-Type", "application/json"), 415, "comity.invalid_request"},
		{"no content type", header(with(good), "Content-Type", ""), 415, "comity.invalid_request"},
		{"compressed", header(with(good), "Content-Encoding", "gzip"), 400, "comity.invalid_request"},
		{"body after signing", body(with(good), "server_url=http%3A%2F%2F127.0.0.1%3A1%2F"), 401, "comity.unauthorized"},
		{"too long", body(with(good), good.Encode()+"&x="+strings.Repeat("x", 16<<10)), 413, "comity.invalid_request"},
		{"unsigned", func() *http.Request { r := with(good); r.Header.Del("Authorization"); return r }(), 401, "comity.unauthorized"},
		{"GET", get, 405, "comity.invalid_request"},
		{"16 minutes old", at(-16 * time.Minute), 401, "comity.unauthorized"},
		{"16 minutes ahead", at(16 * time.Minute), 401, "comity.unauthorized"},
		{"a token", token(), 400, "comity.invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) { home.send(test.r).want(t, test.status, test.code) })
	}
	if n := len(site.Log()); n != 0 {
		t.Errorf("the site was asked %d times", n)
	}
	home.send(at(-14*time.Minute)).want(t, http.StatusOK, "")
	home.send(with(url.Values{"server_url": {site.URL()}, "callback_url": {second}})).want(t, http.StatusOK, "")
}

// The signature is over the configured issuer, whatever Host says.
func TestHostIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	r := home.signed(t.Context(), client, secret, url.Values{"server_url": {site.URL()}})
	r.Host = "evil.example"
	r.Header.Set("X-Forwarded-Host", "evil.example")
	home.send(r).want(t, http.StatusOK, "")
}

// A client without a secret signs with an RSA key of its registration.
func TestRSA(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	raw, err := json.Marshal(jose.JSONWebKey{Key: &key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"})
	check(t, err)
	w.records.change(client, func(s *registry.ClientState) {
		m := s.Registration.Registration.ClientMetadata
		m.Keys = &registry.JWKSet{Keys: []json.RawMessage{raw}}
		s.Registration = &registry.Record{Registration: &registry.Registration{ClientMetadata: m}}
	})
	delete(home.secrets, client)
	for _, test := range []struct {
		key    *rsa.PrivateKey
		status int
		code   string
	}{{key, 200, ""}, {other, 401, "comity.unauthorized"}} {
		body := []byte(url.Values{"server_url": {site.URL()}}.Encode())
		r, err := http.NewRequest(http.MethodPost, home.issuer+"/broker/connect", bytes.NewReader(body))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		check(t, oauth1.SignRSA(r, body, oauth1.Parameters{ConsumerKey: client, Method: oauth1.RSASHA256, Nonce: rand.Text(), Timestamp: time.Now().Unix()}, test.key))
		home.send(r).want(t, test.status, test.code)
	}
	// A registered key does not open the way of secrets.
	home.send(home.signed(t.Context(), client, secret, url.Values{"server_url": {site.URL()}})).want(t, 401, "comity.unauthorized")
}

// A client whose home is elsewhere learns where to ask, and whether that helps.
func TestOtherHome(t *testing.T) {
	w := newWorld(t)
	home, other := w.home(), w.newBroker()
	for _, online := range []bool{true, false} {
		other.offline[home.issuer] = !online
		a := other.connect("http://127.0.0.1:1/")
		a.want(t, http.StatusBadRequest, "comity.other_home")
		data, _ := a.json["data"].(map[string]any)
		if data["home"] != home.issuer || data["connect"] != home.issuer+"/broker/connect" || data["online"] != online || !strings.Contains(a.text("message"), home.issuer+"/broker/connect") {
			t.Errorf("answer is %s", a.body)
		}
	}
}

// Failed attempts are limited by address and client; another address, and the
// client itself elsewhere, are not.
func TestFailedAttemptsAreLimited(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	wrong := func() answer {
		return home.send(home.signed(t.Context(), client, "wrong", url.Values{"server_url": {site.URL()}}))
	}
	for range 10 {
		wrong().want(t, 401, "comity.unauthorized")
	}
	a := wrong()
	a.want(t, http.StatusTooManyRequests, "comity.too_many")
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 10 {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	home.connect(site.URL()).want(t, http.StatusTooManyRequests, "comity.too_many") // from this address, too
	w.clock.pass(10 * time.Second)
	home.connect(site.URL()).want(t, http.StatusOK, "")
}

func TestStopped(t *testing.T) {
	for name, stop := range map[string]func(*registry.ClientState){
		"suspended": func(s *registry.ClientState) {
			s.Status, s.Reason, s.Since, s.Until = registry.ClientSuspended, "malicious", 1790000000, 1790003600
		},
		"revoked": func(s *registry.ClientState) {
			s.Status, s.Reason, s.Since = registry.ClientRevoked, "compromised", 1790000000
		},
		"disputed": func(s *registry.ClientState) { s.Status, s.Since = registry.ClientDisputed, 1790000000 },
		"expelled": func(s *registry.ClientState) {
			s.Status, s.HomeStatus = registry.ClientSuspended, registry.BrokerExpelled
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			home := w.home()
			site := w.newSite(oldsite.Behaviour{}, home)
			w.records.change(client, stop)
			a := home.connect(site.URL())
			a.want(t, http.StatusBadRequest, "ba.rejected_client")
			if !strings.Contains(a.text("message"), name) || name == "revoked" && !strings.Contains(a.body, `"reason":"compromised","since":1790000000`) {
				t.Errorf("answer is %s", a.body)
			}
			if len(site.Log()) != 0 {
				t.Error("the site was asked")
			}
		})
	}
}

// A broker that does not know what is stopped connects nobody; nor does one
// that cannot store.
func TestUnavailable(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	for _, set := range []func(error){func(err error) { home.stale = err }, func(err error) { home.broken = err }} {
		home.change(func() { set(errors.New("views of 2 of 5 members, 3 needed")) })
		a := home.connect(site.URL())
		a.want(t, http.StatusServiceUnavailable, "comity.unavailable")
		if a.header.Get("Retry-After") != "30" {
			t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
		home.change(func() { set(nil) })
	}
	if len(site.Log()) != 0 {
		t.Error("the site was asked")
	}
	home.connect(site.URL()).want(t, http.StatusOK, "")
}

// The script of any page may ask (CORS).
func TestOptions(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	for _, path := range []string{"/broker/connect", "/broker/connect/"} {
		r, err := http.NewRequest(http.MethodOptions, home.issuer+path, nil)
		check(t, err)
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		a := home.send(r)
		a.want(t, http.StatusNoContent, "")
		if a.header.Get("Access-Control-Allow-Methods") != "POST, OPTIONS" || a.header.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type" {
			t.Errorf("%s: headers are %v", path, a.header)
		}
	}
}
