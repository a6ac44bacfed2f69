// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/oldsite"
)

// What the original plugin was measured to do, numbered as in
// docs/spec/brokered.md, and what the broker makes of it.

// The 202 comes last: the confirm is served while the request is open.
func TestFact01ConfirmWhileTheRequestIsOpen(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	began := time.Now()
	home.connect(site.URL()).want(t, http.StatusOK, "")
	connect, confirm := site.LogOf(oldsite.Connect)[0], site.LogOf(oldsite.Confirm)[0]
	if confirm.Status != http.StatusOK || confirm.Began.Before(connect.Began) || confirm.Ended.After(connect.Ended) {
		t.Errorf("confirm %+v is not inside of connect %+v", confirm, connect)
	}
	if d := time.Since(began); d > 4*time.Second { // the site waits for 5
		t.Errorf("took %v", d)
	}
}

// The credentials work only after our 200 and the site's 202: released before,
// the client's first call would fail.
func TestFact02ReleasedAfterBoth(t *testing.T) {
	for name, b := range map[string]oldsite.Behaviour{
		"stored late":    {StoreAfter: 300 * time.Millisecond},
		"accepted first": {AcceptFirst: true, ConfirmAfter: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			home := w.home()
			site := w.newSite(b, home)
			a := home.connect(site.URL())
			a.want(t, http.StatusOK, "")
			if b.AcceptFirst { // the site says nothing more: it has stored by then, on most machines
				_, err := site.Wait(within(t), oldsite.Ended(oldsite.Connect)) // its last step, after it has stored
				check(t, err)
			} else if site.LogOf(oldsite.Connect)[0].Ended.IsZero() {
				t.Error("released before the site has accepted")
			}
			if set := live(t, site); set.Token != a.text("client_token") {
				t.Errorf("released %s, live is %s", a.text("client_token"), set.Token)
			}
		})
	}
}

// The site gives up on a confirm silently. One that we answered late counts as
// failed, although the site may have stored it.
func TestFact03LateConfirmFails(t *testing.T) {
	w := newWorld(t)
	late := func(b *broker) {
		inner := b.cfg.Clients
		b.cfg.Clients = clientsFunc(func(id string) (registry.ClientState, error) {
			state, err := inner.Client(t.Context(), id)
			if b.Server != nil && b.Pending() == 0 && len(w.site("confirm").LogOf(oldsite.Confirm)) > 0 { // claimed: this is the confirm
				w.clock.pass(2 * time.Second)
			}
			return state, err
		})
	}
	home := w.home(late)
	w.sites = map[string]*oldsite.Site{"confirm": w.newSite(oldsite.Behaviour{}, home)}
	site := w.site("confirm")
	a := home.connect(site.URL())
	a.want(t, http.StatusBadGateway, "comity.site_unusable")
	_, err := site.Wait(within(t), oldsite.Ended(oldsite.Connect)) // its last step: what is not stored now never is
	check(t, err)
	if confirms := site.LogOf(oldsite.Confirm); len(confirms) != 1 || confirms[0].Status != http.StatusConflict {
		t.Errorf("confirms are %+v", confirms)
	}
	if len(site.Credentials(client)) != 0 {
		t.Error("a late confirm made the site store credentials")
	}
}

// Exactly 200 with {} activates.
func TestFact04Exactly200(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	for range 2 {
		site := w.newSite(oldsite.Behaviour{}, home)
		home.connect(site.URL()).want(t, http.StatusOK, "")
		if c := site.LogOf(oldsite.Confirm); len(c) != 1 || c[0].Status != 200 {
			t.Errorf("confirms are %+v", c)
		}
		live(t, site)
	}
}

// The site follows redirects and carries the secret along: no path redirects.
func TestFact05NoRedirects(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	for _, path := range []string{
		"/broker/confirm", "/broker/confirm/", "/broker/verify", "/broker/verify/", "//broker/confirm", "/broker//confirm/",
		"/broker/./confirm", "/broker/x/../confirm", "/broker/confirm//", "/broker", "/broker/", "/", "/broker/Confirm", "/broker/connect/", "/broker/connect",
	} {
		a := home.post(path, "verifier=x&client_id=x&client_token=x&client_secret=x")
		served := strings.Trim(path, "/") == "broker/confirm" && !strings.Contains(path, "//") || strings.HasPrefix(path, "/broker/verify")
		if a.status >= 300 && a.status < 400 || a.header.Get("Location") != "" || served != (a.text("code") == "ba.invalid_verifier") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// The confirm is not URL-encoded: what client ids of a federation hold needs
// no encoding, and other ids are not used.
func TestFact06NotEncoded(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	home.connect(site.URL()).want(t, http.StatusOK, "")
	if body := site.LogOf(oldsite.Confirm)[0].Body; !strings.Contains(body, "&client_id="+client+"&") {
		t.Errorf("confirm is %s", body)
	}
	const odd = "a&client_token=x"
	w.register(odd, home.issuer)
	home.secrets[odd] = secret
	before := len(site.Log())
	home.send(home.signed(t.Context(), odd, secret, formOf(site))).want(t, http.StatusBadRequest, "ba.rejected_client")
	if len(site.Log()) != before {
		t.Error("the site was asked for an id that it would corrupt")
	}
}

// A known client is sent its old key and secret again, whoever asks: so only
// the current home may ask for it.
func TestFact07KnownClient(t *testing.T) {
	w := newWorld(t)
	home, runner, thief := w.home(), w.newBroker(), w.newBroker()
	site := w.newSite(oldsite.Behaviour{}, runner)
	first := home.connect(site.URL())
	first.want(t, http.StatusOK, "")
	second := home.connect(site.URL())
	second.want(t, http.StatusOK, "")
	if first.text("client_secret") != second.text("client_secret") {
		t.Fatal("the site has not sent the same secret again")
	}
	reply, err := runner.Answer(t.Context(), func(who string) bool { return who == thief.issuer }, memberRequest(client, site.URL(), callback))
	check(t, err)
	if strings.Contains(string(reply), first.text("client_secret")) || !strings.Contains(string(reply), "comity.other_home") {
		t.Errorf("another member got %s", reply)
	}
}

// Simultaneous connects of one client would make several sets: they take turns.
func TestFact08Turns(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{ConfirmAfter: 50 * time.Millisecond}, home)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if a := home.connect(site.URL()); a.status != http.StatusOK {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	live(t, site)
	if n := overlapping(site.LogOf(oldsite.Connect)); n != 1 {
		t.Errorf("%d connects of one client at a time", n)
	}
}

// TLS is not demanded by the plugin; by the broker it is, but on addresses that
// the operator has opened.
func TestFact09TLS(t *testing.T) {
	w := newWorld(t)
	home := w.home(public)
	a := home.connect("http://blog.example/")
	a.want(t, http.StatusBadGateway, "comity.site_unusable")
	if !strings.Contains(a.text("message"), "https") {
		t.Errorf("answer is %s", a.body)
	}
}

// A site has few workers: two connects at a time.
func TestFact10TwoAtATime(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{ConfirmAfter: 50 * time.Millisecond}, home)
	var all sync.WaitGroup
	for i := range 8 {
		id := registry.CID([]byte{byte(i)})
		w.register(id, home.issuer)
		home.change(func() { home.secrets[id] = secret })
		all.Go(func() {
			a, err := send(home.signed(t.Context(), id, secret, formOf(site)))
			if err != nil || a.status != http.StatusOK {
				t.Errorf("%d %s, %v", a.status, a.body, err)
			}
		})
	}
	all.Wait()
	if n := overlapping(site.LogOf(oldsite.Connect)); n != 2 {
		t.Errorf("%d connects at a time, expected 2", n)
	}
}

// HMAC-SHA1 and HMAC-SHA256, within 900 s, as sites do it.
func TestFact11Methods(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	for _, method := range []string{"HMAC-SHA1", "HMAC-SHA256"} {
		for _, skew := range []time.Duration{-890 * time.Second, 0, 890 * time.Second} {
			home.send(home.signedWith(method, skew, formOf(site))).want(t, http.StatusOK, "")
		}
	}
	home.send(home.signedWith("HMAC-SHA1", -910*time.Second, formOf(site))).want(t, http.StatusUnauthorized, "comity.unauthorized")
}

// overlapping is how many exchanges were open at the same time.
func overlapping(all []oldsite.Exchange) int {
	most := 0
	for _, e := range all {
		most = max(most, len(slices.DeleteFunc(slices.Clone(all), func(o oldsite.Exchange) bool {
			return o.Began.After(e.Began) || !o.Ended.After(e.Began)
		})))
	}
	return most
}
