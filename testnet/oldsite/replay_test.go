// SPDX-License-Identifier: Apache-2.0

package oldsite_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/oldsite"
)

func replay(t *testing.T, name string, b *broker, scale float64) *oldsite.Replay {
	t.Helper()
	r, err := oldsite.NewReplay(oldsite.ReplayConfig{Recording: name, ConfirmURL: b.URL + "/broker/confirm/", Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestReplayOfCompleteConnections walks through a recording as a broker, a
// client and a browser do.
func TestReplayOfCompleteConnections(t *testing.T) {
	for _, test := range []struct {
		name, agent, token, secret, access string
		weight                             int
	}{
		{"connect-6.1.9", "WordPress/6.1.9", "pCFvwAJZeGlh", "ourPbFMZZUWvEo4YgxGKB5LjITCd1H5hQcWrpEQ0Rd0aIjlZ", "", 164480},
		{"connect-7.1.4", "WordPress/7.1.4", "FTSvbhgVGfmg", "fF6cSGBXGxsho0N7o363KRfUjaO0faFkyarCsXRAe5eXb7n7", "iCGVEc3GaSUAoQILlQBdCYeD", 196405},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBroker(t)
			r := replay(t, test.name, b, 0)
			site := strings.TrimSuffix(r.URL(), "/")
			if link := get(t, http.MethodHead, r.URL()).Header.Get("Link"); link != "<"+site+`/wp-json/>; rel="https://api.w.org/"` {
				t.Fatalf("Link: %s", link)
			}
			index := get(t, http.MethodGet, site+"/wp-json/?_fields=authentication,namespaces")
			var fields struct{ Authentication struct{ Broker string } }
			if err := json.Unmarshal([]byte(index.Body), &fields); err != nil || len(index.Body) != test.weight {
				t.Fatalf("%v, %d bytes", err, len(index.Body))
			}
			if a := post(t, fields.Authentication.Broker, b.form("appkey0001")); a.Status != http.StatusAccepted || a.Body != "" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			want := confirmation{
				"POST", "/broker/confirm/",
				"verifier=" + verifier + "&client_id=appkey0001&client_token=" + test.token + "&client_secret=" + test.secret,
				"application/x-www-form-urlencoded", test.agent + "; " + site,
			}
			if got := b.confirmations(); len(got) != 1 || got[0] != want {
				t.Errorf("%+v", got)
			}
			token, _ := pair(t, post(t, site+"/oauth1/request", nil))
			authorize := get(t, http.MethodGet, site+"/oauth1/authorize?oauth_token="+token)
			if to := authorize.Header.Get("Location"); to != site+"/wp-login.php?action=oauth1_authorize&oauth_token="+token {
				t.Errorf("authorize: to %s", to)
			}
			back := post(t, authorize.Header.Get("Location"), url.Values{"wp-submit": {"authorize"}}).Header.Get("Location")
			if !strings.HasPrefix(back, callback+"?state=xyz&oauth_token="+token+"&oauth_verifier=") {
				t.Errorf("approved: to %s", back)
			}
			if access, _ := pair(t, post(t, site+"/oauth1/access", nil)); test.access != "" && access != test.access {
				t.Errorf("access token %s", access)
			}
			if a := get(t, http.MethodGet, site+"/wp-json/wp/v2/users/me?context=edit"); a.Status != 200 || !strings.Contains(a.Body, "admin@example.org") {
				t.Errorf("users/me: %d %s", a.Status, a.Body)
			}
			if a := get(t, http.MethodGet, site+"/feed/"); a.Status != 404 {
				t.Errorf("what was not recorded: %d", a.Status)
			}
		})
	}
}

// TestReplays: what each recording of one connection request does to a broker
// that agrees, and what the client's first request gets.
func TestReplays(t *testing.T) {
	for _, test := range []struct {
		name     string
		status   int // of the connection request
		confirms int
		first    int // status of the first request token; 0: none was recorded
	}{
		{"known", 202, 1, 200}, {"refused", 202, 1, 401}, {"created", 202, 1, 401}, {"slow", 202, 1, 200}, {"late", 202, 1, 401},
		{"redirect-302", 202, 2, 200}, {"redirect-307", 202, 2, 200}, {"unknown-broker", 400, 0, 0}, {"duplicate-members", 202, 1, 0},
		{"unheard", 202, 0, 0}, {"early", 202, 1, 401}, {"other-broker", 202, 1, 0}, {"concurrent", 202, 1, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBroker(t)
			elsewhere := newBroker(t)
			if strings.HasPrefix(test.name, "redirect") {
				b.answer = func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", elsewhere.URL)
					w.WriteHeader(http.StatusTemporaryRedirect)
				}
			}
			r := replay(t, test.name, b, 0)
			if get(t, http.MethodHead, r.URL()).Header.Get("Link") == "" {
				t.Error("no discovery")
			}
			a := post(t, r.URL()+"wp-json/broker/v1/connect", b.form("appkey0001"))
			if n := len(b.confirmations()) + len(elsewhere.confirmations()); a.Status != test.status || n != test.confirms {
				t.Errorf("%d %s, %d confirms", a.Status, a.Body, n)
			}
			for _, c := range elsewhere.confirmations() {
				if !strings.Contains(c.Body, "client_secret=") || (c.Method == "GET") != (test.name == "redirect-302") {
					t.Errorf("redirected: %+v", c)
				}
			}
			if test.first == 0 {
				return
			}
			if a := post(t, r.URL()+"oauth1/request", nil); a.Status != test.first || a.Status == 401 && a.Body != "Consumer Key is invalid" {
				t.Errorf("the first request: %d %s", a.Status, a.Body)
			}
			if test.name == "early" { // too early once, and then in time
				pair(t, post(t, r.URL()+"oauth1/request", nil))
			}
		})
	}
}

func TestReplayOfAKnownClient(t *testing.T) {
	for _, name := range []string{"known", "other-broker"} {
		b := newBroker(t)
		r := replay(t, name, b, 0)
		for range 3 { // the last that was recorded is repeated
			post(t, r.URL()+"wp-json/broker/v1/connect", b.form("appkey0001"))
		}
		got := b.confirmations()
		if len(got) != 3 || got[0].Body != got[1].Body || got[1].Body != got[2].Body {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestReplayOfForeignMembers(t *testing.T) {
	b := newBroker(t)
	r := replay(t, "duplicate-members", b, 0)
	post(t, r.URL()+"wp-json/broker/v1/connect", b.form("x&client_token=EVILTOKEN&client_secret=EVILSECRET"))
	form, err := url.ParseQuery(b.confirmations()[0].Body)
	if err != nil || len(form["client_token"]) != 2 || form.Get("client_secret") != "EVILSECRET" {
		t.Errorf("%v %v", err, form)
	}
}

// TestReplayKeepsTime: with the recorded times, late is late, and a tenth of
// them is a tenth.
func TestReplayKeepsTime(t *testing.T) {
	b := newBroker(t)
	b.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	r := replay(t, "late", b, 0.1)
	began := time.Now()
	if a := post(t, r.URL()+"wp-json/broker/v1/connect", b.form("appkey0001")); a.Status != http.StatusAccepted {
		t.Errorf("%d", a.Status)
	}
	if took := time.Since(began); took < 503*time.Millisecond || took > 4*time.Second {
		t.Errorf("the site gave up after %v, recorded 5038 ms, scaled to a tenth", took)
	}
	e, err := r.Wait(within(t), oldsite.Ended(oldsite.Confirm))
	if err != nil || e.Status != 0 {
		t.Errorf("%v, confirm %+v", err, e)
	}
}

func TestRecordings(t *testing.T) {
	all := oldsite.Recordings()
	if len(all) < 15 || !slices.Contains(all, "connect-6.1.9") {
		t.Errorf("%v", all)
	}
	for _, name := range all {
		replay(t, name, newBroker(t), 0)
	}
	if _, err := oldsite.NewReplay(oldsite.ReplayConfig{Recording: "x", ConfirmURL: "http://127.0.0.1/"}); err == nil || !strings.Contains(err.Error(), "connect-6.1.9") {
		t.Errorf("an unknown recording: %v", err)
	}
	if _, err := oldsite.NewReplay(oldsite.ReplayConfig{Recording: "known"}); err == nil {
		t.Error("a replay without a confirm URL")
	}
}

func TestMalformedRecordings(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                    "",
		"no answer":                "receive GET /\n",
		"answer first":             "answer 1ms 200 OK\n\tA: b\n",
		"two answers":              "receive GET /\nanswer 1ms 200 OK\n\tA: b\nanswer 1ms 200 OK\n\tA: b\n",
		"ask after the answer":     "receive GET /\nanswer 1ms 200 OK\n\tA: b\nask 1ms POST {confirm}\n\tA: b\n",
		"a time without a unit":    "receive GET /\nanswer 1 200 OK\n\tA: b\n",
		"a header that is none":    "receive GET /\nanswer 1ms 200 OK\n\tA\n",
		"a status that is none":    "receive GET /\nanswer 1ms OK OK\n\tA: b\n",
		"an unknown word":          "receive GET /\nrespond 1ms 200 OK\n\tA: b\n",
		"like something unknown":   "like x\nreceive GET /\nanswer 1ms 200 OK\n\tA: b\n",
		"like that comes too late": "receive GET /\nanswer 1ms 200 OK\n\tA: b\nlike known\n",
	} {
		if err := oldsite.CheckRecording(text); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := oldsite.CheckRecording("receive GET /\nanswer 1ms 200 OK\n\tA: b\n"); err != nil {
		t.Errorf("a right one: %v", err)
	}
}
