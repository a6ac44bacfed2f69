// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dghubble/oauth1"

	"github.com/comity-network/comity/testnet/oldsite"
)

// played is a recording of WordPress with the original plugin, played to a
// broker that runs.
type played struct {
	recording string
	differs   string   // what the recorded broker or client did otherwise; empty: nothing
	connects  int      // of the one client; zero: one
	together  bool     // at the same time
	scale     float64  // of the recorded times; zero: 1
	status    int      // of each connect; zero: 200
	code      string   // of each connect
	sets      []string // token and secret that each connect gives, as recorded, in the order in which the site is asked
	lost      bool     // the site confirms once more, to where the broker has redirected it: nowhere
	mute      bool     // the site confirms nothing
	calls     string   // what the client does then: "asks" for a request token, "logs in" and calls the API
}

// recordings are all of them, at the recorded pace where that is at most a
// second, and otherwise at a tenth of it.
//
// Where the recorded broker was what went wrong, the site is all the same: it
// sends its confirm and accepts, whatever it is told. This broker tells it 200,
// at once, so the client gets what was sent. What the recorded client did with
// keys that were dead then is not played: these are not.
var recordings = []played{
	{recording: "connect-6.1.9", sets: []string{"pCFvwAJZeGlh ourPbFMZZUWvEo4YgxGKB5LjITCd1H5hQcWrpEQ0Rd0aIjlZ"}, calls: "logs in"},
	{recording: "connect-7.1.4", sets: []string{"FTSvbhgVGfmg fF6cSGBXGxsho0N7o363KRfUjaO0faFkyarCsXRAe5eXb7n7"}, calls: "logs in"},
	{recording: "known", connects: 2, calls: "asks", sets: []string{
		"XNkbscusXIOQ WWCscQdui3e81QlI4iSYdkz0XUyVTj2egdwcpH56D1OkyfPm",
		"XNkbscusXIOQ WWCscQdui3e81QlI4iSYdkz0XUyVTj2egdwcpH56D1OkyfPm",
	}},
	{recording: "concurrent", connects: 4, together: true, calls: "asks",
		differs: "the four requests were sent at the same time, and made three sets: here they take turns",
		sets: []string{
			"xDM03FB5gYtE IdC8HRNeqhF2axFN5yXHNdN7oGYzyX94ZVyql0hgpeMBIDws",
			"xDM03FB5gYtE IdC8HRNeqhF2axFN5yXHNdN7oGYzyX94ZVyql0hgpeMBIDws",
			"XmHKCk9J1zNd rghM7LqWyfWbAGmmVMf072pX4X0LuBJ3WAnV3ShJxm0aqLc8",
			"KHg6Qg16TpMi qklcn7kY3TAKQxjIAmgmjPgFtXXVL7nCCEY7kZGJCL5g3L8D",
		}},
	{recording: "unknown-broker", status: http.StatusBadRequest, code: "ba.unknown_broker", mute: true},
	{recording: "created", differs: "the broker answered 201, and the key was dead",
		sets: []string{"PB1Egm4eQY22 fVRszqSt4Wr0B3FvnXUNak8AHQx9EOphlGNJDtjf458oSecB"}},
	{recording: "refused", differs: "the broker answered 400, and the key was dead",
		sets: []string{"NaawHwikzEh7 yqqVlOF4kD6cSAxejZhRmHCmMtbZnWotqqWIrPh7uEaboPJh"}},
	{recording: "early", differs: "the client was told before the 202, and called too early: here it is told after it",
		sets: []string{"lMbyQngsru8e wGKwpUIcbA1UDAaB78tSAyoMGcPI4KvMq5PzdcuBvxiSSs2f"}},
	{recording: "slow", scale: 0.1, calls: "asks", differs: "the broker took 4 s: the 202 comes as late, the credentials with it",
		sets: []string{"ZyI4rf1EW9iE OUTaBKpmrWxXl3xmUFjVbnzSf7MAfUzYXJ6smviTcyjwEHgd"}},
	{recording: "late", scale: 0.1, differs: "the broker took 6 s, the site gave up, and the key was dead: the 202 comes as late",
		sets: []string{"QGmci32l3Nrs uh8894XlNURQwZf5Zgl4rnxuPdY8MIbayCPHnILTFXFhLC1N"}},
	{recording: "redirect-302", differs: "the broker redirected the site: this one does not, so the second request of the site goes nowhere", lost: true,
		sets: []string{"ZJFrIQO8RaJ6 Lb5Q23S56XD8o5ymYBoVgvj9SMtLpVT2suYQ0wE4HNM7ncP7"}},
	{recording: "redirect-307", differs: "as redirect-302", lost: true,
		sets: []string{"yzqPDzPPREU7 koP4VrWHKf7K7nJtfDHRQm80KaGacpRyW4UbS6godJaQCCDa"}},
	{recording: "other-broker", connects: 2,
		differs: "two brokers asked for one client: here only its home does, and is sent the same twice",
		sets: []string{
			"LnZvvYLZoHHi CISlbPHSqdGf4Al4rw1QFavnw3dDuZjSykcNuKQMVGqflBDr",
			"LnZvvYLZoHHi CISlbPHSqdGf4Al4rw1QFavnw3dDuZjSykcNuKQMVGqflBDr",
		}},
	{recording: "duplicate-members",
		differs: "the client id held members of its own: no id of a federation does, and TestBrokeredForeignClientID tries that one",
		sets:    []string{"YuHluT2tTiGz KU7Z4DCEBB1QBywr95dxzh8AzAi5NQTeZBxnmPw2zmmzT3fC"}},
	{recording: "unheard", status: http.StatusConflict, code: "ba.timed_out", mute: true,
		differs: "the broker's certificate was bad, so no confirm came, and none comes: the client hears of it after 25 s"},
}

// TestBrokeredRecordings plays every recording.
func TestBrokeredRecordings(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range recordings {
		names = append(names, p.recording)
	}
	slices.Sort(names)
	if all := slices.Sorted(slices.Values(oldsite.Recordings())); !slices.Equal(names, all) {
		t.Errorf("played are %v, recorded %v", names, all)
	}
	w := newWorld(t)
	for _, p := range recordings {
		t.Run(p.recording, func(t *testing.T) {
			t.Parallel()
			in := *w
			in.TB = t
			in.play(p)
		})
	}
}

func (w *world) play(p played) {
	if p.differs != "" {
		w.Logf("recorded otherwise: %s", p.differs)
	}
	client := w.registerConsumer("Blogger of " + p.recording)
	r, err := oldsite.NewReplay(oldsite.ReplayConfig{
		Recording: p.recording, ConfirmURL: w.broker.Issuer + "/broker/confirm/", Scale: cmp.Or(p.scale, 1),
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { r.Close() })

	answers := w.connectAll(p, client, r.URL())
	w.received(p, client, r)
	var sets []string
	for _, a := range answers {
		if p.code == "" {
			sets = append(sets, a.ClientToken+" "+a.ClientSecret)
			w.describes(a, r.URL())
		} else if a.Status != "error" || a.Message == "" || a.ClientToken != "" || a.APIRoot != "" {
			w.Errorf("the error is %+v", a)
		}
	}
	recorded := slices.Clone(p.sets)
	if p.together { // who was first is not known
		slices.Sort(sets)
		slices.Sort(recorded)
	}
	if !slices.Equal(sets, recorded) {
		w.Errorf("the client got %q, recorded are %q", sets, recorded)
	}
	switch p.calls {
	case "asks":
		if _, _, err := client.at(answers[0]).RequestToken(); err != nil {
			w.Error(err)
		}
	case "logs in":
		w.logsIn(client, r, answers[0])
	}
}

// connectAll connects as often as the recording has it, and wants the same
// status and code each time.
func (w *world) connectAll(p played, c consumer, site string) []connected {
	w.Helper()
	answers := make([]connected, max(p.connects, 1))
	connect := func(i int) {
		status, answer, err := w.tryConnect(w.broker.Issuer, c, site)
		if err != nil || status != cmp.Or(p.status, http.StatusOK) || answer.Code != p.code {
			w.Errorf("connect %d: %d %+v, %v", i, status, answer, err)
		}
		answers[i] = answer
	}
	var all sync.WaitGroup
	for i := range answers {
		if p.together {
			all.Go(func() { connect(i) })
		} else {
			connect(i)
		}
	}
	all.Wait()
	return answers
}

// verifierForm is what a verifier looks like.
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9]{32,255}$`)

// received checks what the site was sent, and in which order.
func (w *world) received(p played, c consumer, r *oldsite.Replay) {
	w.Helper()
	log := r.Log()
	if len(log) < 2 || log[0].Kind != oldsite.Discovery {
		w.Fatalf("the site was not discovered first: %+v", log)
	}
	var order, want []oldsite.Kind
	found := map[oldsite.Kind]int{}
	for _, e := range log {
		switch {
		case e.Kind == oldsite.Connect || e.Kind == oldsite.Confirm:
			order = append(order, e.Kind)
		case e.Kind == oldsite.Other && !strings.HasSuffix(e.URL, "/.well-known/oauth-protected-resource"):
			w.Errorf("the site was asked for %s", e.URL)
		case len(order) > 0 && e.Kind == oldsite.Index && !p.together:
			w.Error("discovered after the connection request")
		}
		found[e.Kind]++
	}
	most := 1 // the broker remembers it
	if p.together {
		most = 2 // at a time
	}
	if found[oldsite.Discovery] > most || found[oldsite.Index] > most {
		w.Errorf("the exchanges were %v", found)
	}
	for range max(p.connects, 1) {
		want = append(want, oldsite.Connect)
		if !p.mute {
			want = append(want, oldsite.Confirm)
		}
		if p.lost {
			want = append(want, oldsite.Confirm)
		}
	}
	if !slices.Equal(order, want) {
		w.Fatalf("connection requests and confirms were %v, expected %v", order, want)
	}

	confirms := r.LogOf(oldsite.Confirm)
	used := map[string]bool{}
	var last time.Time // when the connection request before has ended
	for i, e := range r.LogOf(oldsite.Connect) {
		form, err := url.ParseQuery(e.Body)
		if err != nil {
			w.Fatal(err)
		}
		verifier := form.Get("verifier")
		if used[verifier] || !verifierForm.MatchString(verifier) {
			w.Errorf("verifier %d is %q", i, verifier)
		}
		used[verifier] = true
		sent := url.Values{
			"client_id": {c.id}, "broker": {w.broker.Issuer + "/"}, "callback_url": {c.callback}, "verifier": {verifier},
			"client_name": {"Blogger of " + p.recording}, "client_description": {"Blogger of " + p.recording}, "client_details": {""},
		}
		if !reflect.DeepEqual(form, sent) || e.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			w.Errorf("connection request %d is %v", i, form)
		}
		if e.Ended.IsZero() {
			w.Error("the client had its answer before the broker had the site's")
		}
		if e.Began.Before(last) {
			w.Errorf("connection request %d overlaps with the one before", i)
		}
		last = e.Ended
		if p.mute {
			continue
		}
		confirm := confirms[0]
		confirms = confirms[1:]
		if confirm.Status != http.StatusOK || confirm.Began.Before(e.Began) || confirm.Ended.After(e.Ended) || !strings.HasPrefix(confirm.Body, "verifier="+verifier+"&") {
			w.Errorf("confirm %d is %+v, its connection request %+v", i, confirm, e)
		}
		if p.lost {
			if confirms[0].URL != "" || confirms[0].Status != 0 {
				w.Errorf("the site was led to %+v", confirms[0])
			}
			confirms = confirms[1:]
		}
	}
}

// describes checks what a client is told of the site of a recording.
func (w *world) describes(a connected, site string) {
	w.Helper()
	site = strings.TrimSuffix(site, "/")
	d := a.SiteData
	want := connected{}.SiteData
	want.Name, want.URL, want.Home = "Site 1", site, site
	want.Namespaces = d.Namespaces // they differ by version
	want.Authentication.Broker = site + "/wp-json/broker/v1/connect"
	at := &want.Authentication.OAuth1
	at.Request, at.Authorize, at.Access, at.Version = site+"/oauth1/request", site+"/oauth1/authorize", site+"/oauth1/access", "0.1"
	if a.APIRoot != site+"/wp-json/" || !reflect.DeepEqual(d, want) || !slices.Contains(d.Namespaces, "broker/v1") || !slices.Contains(d.Namespaces, "wp/v2") {
		w.Errorf("api_root %s, site_data %+v", a.APIRoot, d)
	}
}

// logsIn runs the recorded three legs and the call after them. The user's
// browser sends its recorded form only: what leads to it was not recorded.
func (w *world) logsIn(c consumer, r *oldsite.Replay, with connected) {
	w.Helper()
	config := c.at(with)
	token, secret, err := config.RequestToken()
	if err != nil {
		w.Fatal(err)
	}
	browser := http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := browser.PostForm(r.URL()+"wp-login.php", url.Values{"wp-submit": {"authorize"}})
	if err != nil {
		w.Fatal(err)
	}
	res.Body.Close()
	back, err := res.Location()
	if err != nil || !strings.HasPrefix(back.String(), c.callback+"?") || back.Query().Get("oauth_token") != token {
		w.Fatalf("sent back to %v, %v", back, err)
	}
	access, accessSecret, err := config.AccessToken(token, secret, back.Query().Get("oauth_verifier"))
	if err != nil {
		w.Fatal(err)
	}
	res, err = config.Client(w.ctx, oauth1.NewToken(access, accessSecret)).Get(with.APIRoot + "wp/v2/users/me")
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(body), "admin@example.org") {
		w.Errorf("the API answers %s %q, %v", res.Status, body, err)
	}
}

// TestBrokeredForeignClientID: an id that a confirm would corrupt is no client's.
func TestBrokeredForeignClientID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.oldSite(oldsite.Config{}, w.broker)
	odd := consumer{id: "x&client_token=EVILTOKEN&client_secret=EVILSECRET", secret: "a-secret-that-was-guessed"}
	w.refused(w.broker.Issuer, odd, s.URL(), "comity.unauthorized")
	if len(s.Log()) != 0 {
		t.Error("the site was asked for it")
	}
}
