// SPDX-License-Identifier: Apache-2.0

package oldsite_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/oldsite"
)

// with is a form in which some members have other values; an empty list takes
// a member out.
func with(form url.Values, changed url.Values) url.Values {
	form = maps.Clone(form)
	maps.Copy(form, changed)
	maps.DeleteFunc(form, func(_ string, values []string) bool { return len(values) == 0 })
	return form
}

func TestConnect(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	b.answer = func(w http.ResponseWriter, _ *http.Request) {
		for _, e := range s.LogOf(oldsite.Connect) {
			if e.Status != 0 {
				t.Error("the connection request was answered before its confirm")
			}
		}
		if len(s.Credentials("appkey0001")) != 0 {
			t.Error("the credentials work before the broker has agreed")
		}
		io.WriteString(w, "{}")
	}
	a := post(t, s.ConnectURL(), b.form("appkey0001"))
	if a.Status != http.StatusAccepted || a.Body != "" || a.Header.Get("Content-Type") != "application/json; charset=UTF-8" {
		t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
	}
	got := b.confirmations()
	if len(got) != 1 {
		t.Fatalf("%d confirms", len(got))
	}
	c := s.Credentials("appkey0001")[0]
	want := confirmation{
		Method: "POST", Path: "/broker/confirm/", Type: "application/x-www-form-urlencoded",
		Body:  "verifier=" + verifier + "&client_id=appkey0001&client_token=" + c.Token + "&client_secret=" + c.Secret,
		Agent: "WordPress/7.1.4; " + strings.TrimSuffix(s.URL(), "/"),
	}
	if got[0] != want {
		t.Errorf("confirm %+v\nwant    %+v", got[0], want)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]{12}$`).MatchString(c.Token) || !regexp.MustCompile(`^[A-Za-z0-9]{48}$`).MatchString(c.Secret) {
		t.Errorf("token %q, secret %q", c.Token, c.Secret)
	}
}

func TestRefusedConnectionRequests(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		name    string
		changed url.Values
		code    string
	}{
		{"broker without its slash", url.Values{"broker": {b.URL}}, "ba.unknown_broker"},
		{"broker in capitals", url.Values{"broker": {"HTTP" + strings.TrimPrefix(b.id(), "http")}}, "ba.unknown_broker"},
		{"broker under another name", url.Values{"broker": {strings.Replace(b.id(), "127.0.0.1", "localhost", 1)}}, "ba.unknown_broker"},
		{"broker with more behind", url.Values{"broker": {b.id() + "?"}}, "ba.unknown_broker"},
		{"no client id", url.Values{"client_id": nil}, "rest_missing_callback_param"},
		{"no verifier and no callback", url.Values{"verifier": nil, "callback_url": nil}, "rest_missing_callback_param"},
		{"client id of 256", url.Values{"client_id": {long}}, "ba.invalid_client_id"},
		{"client id of 0", url.Values{"client_id": {""}}, "ba.invalid_client_id"},
		{"verifier of 256", url.Values{"verifier": {long}}, "ba.invalid_verifier"},
		{"verifier of 0", url.Values{"verifier": {""}}, "ba.invalid_verifier"},
		{"verifier with a dash", url.Values{"verifier": {"a-b"}}, "ba.invalid_verifier"},
		{"callback that is no URL", url.Values{"callback_url": {"cb"}}, "ba.invalid_callback"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := post(t, s.ConnectURL(), with(b.form("appkey0001"), test.changed))
			if got := code(t, a); a.Status != http.StatusBadRequest || got != test.code {
				t.Errorf("%d %s, want 400 %s", a.Status, got, test.code)
			}
		})
	}
	if a := post(t, s.ConnectURL(), with(b.form("a"), url.Values{"broker": {"x"}})); a.Body != `{"code":"ba.unknown_broker","data":{"status":400},"message":"Unknown broker ID."}` {
		t.Error(a.Body)
	}
	if got := b.confirmations(); len(got) != 0 {
		t.Errorf("refused requests are confirmed: %v", got)
	}
	if a := post(t, s.ConnectURL(), b.form(long[:255])); a.Status != http.StatusAccepted {
		t.Errorf("a client id of 255: %d %s", a.Status, a.Body)
	}
}

func TestOnly200Activates(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	for status, works := range map[int]bool{200: true, 201: false, 202: false, 204: false, 400: false, 500: false} {
		b.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		id := "cliB" + http.StatusText(status)
		if a := post(t, s.ConnectURL(), b.form(id)); a.Status != http.StatusAccepted {
			t.Errorf("confirm answered with %d: the site says %d", status, a.Status)
		}
		if got := len(s.Credentials(id)) == 1; got != works {
			t.Errorf("confirm answered with %d: works = %v, want %v", status, got, works)
		}
	}
}

func TestTheSiteGivesUpInSilence(t *testing.T) {
	b := newBroker(t)
	b.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	c := b.config()
	c.ConfirmTimeout = 50 * time.Millisecond
	s := start(t, c)
	if a := post(t, s.ConnectURL(), b.form("cliC6")); a.Status != http.StatusAccepted || a.Body != "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if e := s.LogOf(oldsite.Confirm); len(e) != 1 || e[0].Status != 0 || e[0].Ended.IsZero() || len(s.Credentials("cliC6")) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestConfirmFollowsRedirects(t *testing.T) {
	for status, method := range map[int]string{301: "POST", 302: "GET", 303: "GET", 307: "POST", 308: "POST"} {
		b, elsewhere := newBroker(t), newBroker(t)
		s := start(t, b.config())
		b.answer = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere.URL+"/elsewhere")
			w.WriteHeader(status)
		}
		c := connect(t, s, b, "cliE")
		got := elsewhere.confirmations()
		if len(got) != 1 || got[0].Method != method || !strings.HasSuffix(got[0].Body, "&client_secret="+c.Secret) {
			t.Errorf("%d: %+v", status, got)
		}
	}
}

func TestRedirectsOfConfirmEnd(t *testing.T) {
	b := newBroker(t)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
	}
	s := start(t, b.config())
	post(t, s.ConnectURL(), b.form("cliE"))
	if got := len(b.confirmations()); got != 6 || len(s.Credentials("cliE")) != 0 {
		t.Errorf("%d requests", got)
	}
}

func TestAKnownClientIsSentTheSameAgain(t *testing.T) {
	b, other := newBroker(t), newBroker(t)
	c := b.config()
	c.Brokers[other.id()] = other.URL + "/confirm"
	s := start(t, c)
	first := connect(t, s, b, "cliA")
	b.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
	post(t, s.ConnectURL(), with(b.form("cliA"), url.Values{"callback_url": {"http://other.example/cb"}, "client_name": {"Renamed"}}))
	post(t, s.ConnectURL(), with(b.form("cliA"), url.Values{"broker": {other.id()}}))
	for _, got := range []confirmation{b.confirmations()[1], other.confirmations()[0]} {
		if !strings.HasSuffix(got.Body, "&client_token="+first.Token+"&client_secret="+first.Secret) {
			t.Errorf("another secret: %s", got.Body)
		}
	}
	if all := s.Credentials("cliA"); len(all) != 1 || all[0] != first {
		t.Errorf("the client changed: %+v", all)
	}
}

func TestConcurrentConnectsMakeSeveralSets(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	var arrived sync.WaitGroup
	arrived.Add(4)
	b.answer = func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait()
	}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { post(t, s.ConnectURL(), b.form("cliI")) })
	}
	clients.Wait()
	all := s.Credentials("cliI")
	if len(all) != 4 {
		t.Fatalf("%d sets, want 4", len(all))
	}
	for _, c := range all {
		if a := askToken(t, s, c); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if n := s.Drop("cliI"); n != 4 || len(s.Credentials("cliI")) != 0 {
		t.Errorf("dropped %d", n)
	}
}

func TestConfirmIsNotEncoded(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	for i, id := range []string{
		"a&b=1", "x&client_token=EVILTOKEN&client_secret=EVILSECRET", "sp ace", "pl+us", "per%41cent", "ünï", `qu'ote"\back`, "<b>x</b>",
	} {
		c := connect(t, s, b, id)
		want := "verifier=" + verifier + "&client_id=" + id + "&client_token=" + c.Token + "&client_secret=" + c.Secret
		if got := b.confirmations()[i].Body; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestCertificates(t *testing.T) {
	var served sync.Map
	secure := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served.Store(r.FormValue("client_id"), true) }))
	defer secure.Close()
	form := (&broker{Server: secure}).form("cliG")
	c := oldsite.Config{Brokers: map[string]string{secure.URL + "/": secure.URL + "/confirm"}}
	for _, trusted := range []bool{false, true} {
		if trusted {
			c.Roots = secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		}
		s := start(t, c)
		a := post(t, s.ConnectURL(), form)
		_, arrived := served.Load("cliG")
		if a.Status != http.StatusAccepted || arrived != trusted || (len(s.Credentials("cliG")) == 1) != trusted {
			t.Errorf("trusted %v: %d, arrived %v", trusted, a.Status, arrived)
		}
	}
}

func TestWorkersAreLimited(t *testing.T) {
	b := newBroker(t)
	free := make(chan struct{})
	b.answer = func(http.ResponseWriter, *http.Request) { <-free }
	c := b.config()
	c.Workers = 2
	s := start(t, c)
	var clients sync.WaitGroup
	for _, id := range []string{"cliD0", "cliD1"} {
		clients.Go(func() { post(t, s.ConnectURL(), b.form(id)) })
	}
	busy := func(id string) func(oldsite.Exchange) bool {
		return func(e oldsite.Exchange) bool {
			return e.Kind == oldsite.Confirm && strings.Contains(e.Body, "client_id="+id)
		}
	}
	for _, id := range []string{"cliD0", "cliD1"} {
		if _, err := s.Wait(within(t), busy(id)); err != nil {
			t.Fatal(err)
		}
	}
	page := make(chan time.Time)
	go func() {
		get(t, http.MethodGet, s.URL())
		page <- time.Now()
	}()
	select {
	case <-page:
		t.Error("a page came while every worker was busy")
	case <-time.After(100 * time.Millisecond):
	}
	freed := time.Now()
	close(free)
	if at := <-page; at.Before(freed) {
		t.Error("the page came before a worker was free")
	}
	clients.Wait()
}
