// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/oldsite"
)

// A site that knows another member only: the client notices nothing of it.
func TestThroughAnotherMember(t *testing.T) {
	w := newWorld(t)
	home, runner := w.home(), w.newBroker()
	runner.notified = func(_ context.Context, home string) string { return home }
	home.notified = func(context.Context, string) string { return "https://not.asked.example" }
	site := w.newSite(oldsite.Behaviour{}, runner)
	a := home.connect(site.URL())
	a.want(t, http.StatusOK, "")
	set := live(t, site)
	if a.text("client_token") != set.Token || a.text("client_secret") != set.Secret || a.text("api_root") != site.IndexURL() || set.Broker != runner.issuer+"/" {
		t.Errorf("answer is %s, the site has %+v", a.body, set)
	}
	for _, b := range []*broker{home, runner} {
		saved, err := b.Connections(t.Context(), client)
		check(t, err)
		if len(saved) != 1 || saved[0].Through != runner.issuer || saved[0].Site != site.IndexURL() || saved[0].Resource != strings.TrimSuffix(site.URL(), "/") {
			t.Errorf("saved %+v", saved)
		}
		if raw := fmt.Sprintf("%+v", saved); strings.Contains(raw, set.Token) || strings.Contains(raw, set.Secret) {
			t.Error("credentials were stored")
		}
	}
}

// Asked first is who has connected the client there before, and then who is
// online; an earlier one that is no member any more is not asked.
func TestOrder(t *testing.T) {
	s := newStage(t)
	var issuers []string
	for i := range 20 {
		issuer := fmt.Sprintf("https://m%02d.example", i)
		issuers = append(issuers, issuer)
		s.world.brokers[issuer] = s.world.bare(issuer)
		s.lies[issuer] = func(context.Context, []byte) ([]byte, error) {
			return []byte(`{"client_id":"` + client + `","error":{"status":400,"code":"ba.unknown_broker","message":"No."}}`), nil
		}
	}
	s.post = func(*http.Request, url.Values) (int, string) {
		return 400, `{"code":"ba.unknown_broker","message":"Unknown."}`
	}
	s.offline[issuers[0]], s.offline[issuers[1]] = true, true
	a := s.stageConnect(t.Context())
	a.want(t, http.StatusBadRequest, "ba.unknown_broker")
	if want := issuers[2:18]; !slices.Equal(s.asked, want) {
		t.Errorf("asked %v, expected %v", s.asked, want)
	}
	if !strings.Contains(a.text("message"), "adds https://broker.example/at/ to") {
		t.Errorf("message is %s", a.text("message"))
	}

	for _, through := range []string{issuers[17], "https://gone.example", s.issuer} {
		s.change(func() {
			s.connections["x"] = brokered.Connection{ClientID: client, Site: "https://blog.example/wp-json/", Through: through}
			s.connections["y"] = brokered.Connection{ClientID: client, Site: "https://other.example/wp-json/", Through: issuers[9]}
			s.asked = nil
		})
		s.stageConnect(t.Context()).want(t, http.StatusBadRequest, "ba.unknown_broker")
		want := issuers[2]
		if through == issuers[17] {
			want = through
		}
		if s.asked[0] != want || len(s.asked) != 16 {
			t.Errorf("through %s: asked %v", through, s.asked)
		}
	}
}

// The error names who could not be reached, and who refused.
func TestUnreachableMembersAreNamed(t *testing.T) {
	w := newWorld(t)
	home, away, denying := w.home(), w.newBroker(), w.newBroker()
	site := w.newSite(oldsite.Behaviour{}, away, denying)
	home.offline[away.issuer] = true
	denying.denied[strings.TrimSuffix(site.URL(), "/")] = true
	a := home.connect(site.URL())
	a.want(t, http.StatusBadRequest, "ba.unknown_broker")
	data, _ := json.Marshal(a.json["data"])
	if !strings.Contains(a.text("message"), "not reachable now: "+away.issuer) || !strings.Contains(a.text("message"), denying.issuer+" (comity.site_denied)") ||
		string(data) != `{"unreachable":["`+away.issuer+`"]}` {
		t.Errorf("answer is %s", a.body)
	}
	home.change(func() { home.offline[away.issuer] = false })
	home.connect(site.URL()).want(t, http.StatusOK, "")

	// From now on it is known which one the site knows.
	home.change(func() { home.offline[away.issuer] = true })
	a = home.connect(site.URL())
	a.want(t, http.StatusServiceUnavailable, "comity.unavailable")
	if !strings.Contains(a.text("message"), "the site knows "+away.issuer) {
		t.Errorf("answer is %s", a.body)
	}
}

// What a site says to the member that it knows reaches the client.
func TestVerdictThroughAnotherMember(t *testing.T) {
	w := newWorld(t)
	home, runner := w.home(), w.newBroker()
	w.newBroker() // whom the site does not know either
	site := w.newSite(oldsite.Behaviour{}, runner)
	home.connect(site.URL()).want(t, http.StatusOK, "")
	site.Behave(oldsite.Behaviour{ConfirmBody: oldsite.WrongClientID})
	a := home.connect(site.URL())
	a.want(t, http.StatusBadRequest, "ba.unknown_broker")
	if !strings.Contains(a.text("message"), runner.issuer+" (comity.site_unusable)") {
		t.Errorf("answer is %s", a.body)
	}
}

// A site that does not know a member is not bothered by it for ten minutes,
// whoever is asked for; the home's own clients may try each time.
func TestUnknownIsRemembered(t *testing.T) {
	w := newWorld(t)
	home, stranger := w.home(), w.newBroker()
	site := w.newSite(oldsite.Behaviour{})
	from := func(b *broker) (n int) {
		for _, e := range site.LogOf(oldsite.Connect) {
			if strings.Contains(e.Body, url.QueryEscape(b.issuer+"/")) {
				n++
			}
		}
		return n
	}
	for range 3 {
		home.connect(site.URL()).want(t, http.StatusBadRequest, "ba.unknown_broker")
	}
	if from(stranger) != 1 || from(home) != 3 {
		t.Errorf("the member asked %d times, the home %d times", from(stranger), from(home))
	}
	own := registry.CID([]byte("a client of the member"))
	w.register(own, stranger.issuer)
	stranger.change(func() { stranger.secrets[own] = secret })
	for range 2 {
		stranger.send(stranger.signed(t.Context(), own, secret, formOf(site))).want(t, http.StatusBadRequest, "ba.unknown_broker")
	}
	if from(stranger) != 3 {
		t.Errorf("for its own client the member asked %d times", from(stranger)-1)
	}
	w.clock.pass(10 * time.Minute)
	home.connect(site.URL()).want(t, http.StatusBadRequest, "ba.unknown_broker")
	if from(stranger) != 4 {
		t.Errorf("after ten minutes the member has asked %d times", from(stranger))
	}
}

// Each condition of the federation, with one that violates it. The site would
// give the credentials in every case.
func TestAnswerRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world, home, runner *broker)
		asks   func(home, runner, other *broker) string // who is at the stream's other end; nil: the home
		client string
		back   string
		code   string
	}{
		{name: "another member", asks: func(_, _, other *broker) string { return other.issuer }, code: "comity.other_home"},
		{name: "a stranger", asks: func(_, _, _ *broker) string { return "" }, code: "comity.other_home"},
		{name: "this broker's own client", change: func(w *world, _, runner *broker) { w.register(client, runner.issuer) },
			asks: func(_, runner, _ *broker) string { return runner.issuer }, code: "comity.other_home"},
		{name: "the home of yesterday", change: func(w *world, _, _ *broker) {
			w.records.change(client, func(s *registry.ClientState) { s.Home = "https://moved.example" })
		}, code: "comity.other_home"},
		{name: "a stopped client", change: func(w *world, _, _ *broker) {
			w.records.change(client, func(s *registry.ClientState) { s.Status, s.Since = registry.ClientSuspended, 1790000000 })
		}, code: "ba.rejected_client"},
		{name: "a stopped home", change: func(w *world, _, _ *broker) {
			w.records.change(client, func(s *registry.ClientState) { s.HomeStatus = registry.BrokerExpelled })
		}, code: "ba.rejected_client"},
		{name: "a stale broker", change: func(_ *world, _, runner *broker) { runner.stale = errors.New("no views") }, code: "comity.unavailable"},
		{name: "an unregistered callback", back: "https://evil.example/callback", code: "ba.invalid_callback"},
		{name: "an unknown client", client: registry.CID([]byte("nobody")), code: "ba.rejected_client"},
		{name: "a denied site", change: func(_ *world, _, runner *broker) { runner.denied["*"] = true }, code: "comity.site_denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			home, runner, other := w.home(), w.newBroker(), w.newBroker()
			site := w.newSite(oldsite.Behaviour{}, runner)
			if test.change != nil {
				test.change(w, home, runner)
			}
			if runner.denied["*"] {
				runner.denied[strings.TrimSuffix(site.URL(), "/")] = true
			}
			peer := home.issuer
			if test.asks != nil {
				peer = test.asks(home, runner, other)
			}
			id, back := client, callback
			if test.client != "" {
				id = test.client
			}
			if test.back != "" {
				back = test.back
			}
			reply, err := runner.Answer(t.Context(), func(who string) bool { return who == peer }, memberRequest(id, site.URL(), back))
			check(t, err)
			if !strings.Contains(string(reply), `"code":"`+test.code+`"`) || strings.Contains(string(reply), "client_token") {
				t.Errorf("reply is %s", reply)
			}
			if n := len(site.LogOf(oldsite.Connect)); n != 0 {
				t.Errorf("the site was asked %d times", n)
			}
		})
	}
}

func TestMalformedMemberRequests(t *testing.T) {
	w := newWorld(t)
	home, runner := w.home(), w.newBroker()
	right := string(memberRequest(client, "https://blog.example/", callback))
	for name, request := range map[string]string{
		"empty":            "",
		"no object":        `[]`,
		"null":             `null`,
		"no members":       `{}`,
		"trailing":         right + "{}",
		"client twice":     strings.Replace(right, "{", `{"client_id":"x",`, 1),
		"other case":       strings.Replace(right, "client_id", "Client_ID", 1),
		"number":           `{"client_id":1,"server_url":"x","callback_url":"y"}`,
		"odd client":       string(memberRequest("a&b", "https://blog.example/", callback)),
		"no server":        string(memberRequest(client, "", callback)),
		"long server":      string(memberRequest(client, "https://"+strings.Repeat("x", 2048), callback)),
		"no callback":      string(memberRequest(client, "https://blog.example/", "")),
		"too long":         right + strings.Repeat(" ", 8<<10),
		"not UTF-8":        strings.Replace(right, "blog", "\xff", 1),
		"NUL":              strings.Replace(right, "blog", `\u0000`, 1),
		"deeply nested":    strings.Replace(right, "{", `{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+",", 1),
		"binary":           "\x00\x01\x02",
		"unfinished":       right[:len(right)-1],
		"a form":           "client_id=x&server_url=y",
		"client is object": `{"client_id":{},"server_url":"x","callback_url":"y"}`,
	} {
		if reply, err := runner.Answer(t.Context(), func(string) bool { return true }, []byte(request)); err == nil {
			t.Errorf("%s: %s", name, reply)
		}
	}
	reply, err := runner.Answer(t.Context(), func(who string) bool { return who == home.issuer }, memberRequest(client, "ftp://x/", callback))
	check(t, err)
	if !strings.Contains(string(reply), "comity.invalid_request") {
		t.Errorf("reply is %s", reply)
	}
}

// When the asker goes away its verifier is worth nothing, and the request to
// the site ends.
func TestAskerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		const home = "https://home.example"
		s.world.register(client, home)
		ctx, leave := context.WithCancel(t.Context())
		var confirmed answer
		s.post = func(r *http.Request, f url.Values) (int, string) {
			leave()
			confirmed = s.stageConfirm(confirmOf(f))
			<-r.Context().Done()
			return 202, ""
		}
		reply, err := s.Answer(ctx, func(who string) bool { return who == home }, memberRequest(client, stageSite, callback))
		check(t, err)
		synctest.Wait()
		if confirmed.text("code") != "ba.invalid_verifier" || strings.Contains(string(reply), "SECRET") || !s.Idle() {
			t.Errorf("confirm got %d %s, the asker %s", confirmed.status, confirmed.body, reply)
		}
	})
}

// A peer that stops speaks for nobody any more, while the site works.
func TestAskerStopsSpeaking(t *testing.T) {
	s := newStage(t)
	const home = "https://home.example"
	s.world.register(client, home)
	s.post = func(r *http.Request, f url.Values) (int, string) {
		status, body := s.confirms(r, f)
		s.world.records.change(client, func(c *registry.ClientState) { c.Home = "https://new.example" })
		return status, body
	}
	reply, err := s.Answer(t.Context(), func(who string) bool { return who == home }, memberRequest(client, stageSite, callback))
	check(t, err)
	if strings.Contains(string(reply), "SECRET") || !strings.Contains(string(reply), "comity.other_home") {
		t.Errorf("reply is %s", reply)
	}
}

// A member may answer anything. It cannot make more of it than a failed
// connect, and another member's answer counts all the same.
func TestLyingMembers(t *testing.T) {
	right := `{"client_id":"` + client + `","client_token":"T","client_secret":"S"}`
	fails := func(status int, code, message string) string {
		raw, _ := json.Marshal(map[string]any{"client_id": client, "error": map[string]any{"status": status, "code": code, "message": message}})
		return string(raw)
	}
	for name, reply := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"no object":            "[]",
		"no members":           "{}",
		"binary":               "\x00\xff",
		"unfinished":           right[:20],
		"trailing":             right + right,
		"too long":             right + strings.Repeat(" ", 16<<10),
		"another client's":     strings.Replace(right, client, registry.CID([]byte("x")), 1),
		"nobody's":             `{"client_token":"T","client_secret":"S"}`,
		"no secret":            strings.Replace(right, `"S"`, `""`, 1),
		"no token":             strings.Replace(right, `"T"`, `""`, 1),
		"long secret":          strings.Replace(right, `"S"`, `"`+strings.Repeat("x", 256)+`"`, 1),
		"line break in secret": strings.Replace(right, `"S"`, `"a\nb"`, 1),
		"NUL in secret":        strings.Replace(right, `"S"`, `"a\u0000b"`, 1),
		"secret is a number":   strings.Replace(right, `"S"`, `7`, 1),
		"secret twice":         strings.Replace(right, `"client_secret"`, `"client_secret":"X","client_secret"`, 1),
		"error and secret":     strings.Replace(right, "{", `{"error":{"status":400,"code":"ba.rejected_client","message":"No."},`, 1),
		"odd code":             fails(400, "own.code", "No."),
		"code is a header":     fails(400, "ba.x\r\nSet-Cookie: a", "No."),
		"status 200":           fails(200, "ba.rejected_client", "No."),
		"status 9999":          fails(9999, "ba.rejected_client", "No."),
		"control characters":   fails(400, "ba.rejected_client", "a\x1bb"),
		"no message":           fails(400, "ba.rejected_client", ""),
		"error is text":        `{"client_id":"` + client + `","error":"x"}`,
		"unauthorized":         fails(401, "comity.unauthorized", "No."),
		"internal":             fails(500, "comity.internal", "No."),
		"rejected with 500":    fails(500, "ba.rejected_client", "No."),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			const liar, honest = "https://a-liar.example", "https://honest.example"
			for _, issuer := range []string{liar, honest} {
				s.world.brokers[issuer] = s.world.bare(issuer)
			}
			s.lies[liar] = func(context.Context, []byte) ([]byte, error) { return []byte(reply), nil }
			s.lies[honest] = func(context.Context, []byte) ([]byte, error) {
				return []byte(fails(400, "ba.unknown_broker", "No.")), nil
			}
			s.post = func(*http.Request, url.Values) (int, string) { return 400, refusal("ba.unknown_broker") }
			a := s.stageConnect(t.Context())
			a.want(t, http.StatusBadRequest, "ba.unknown_broker")
			if !strings.Contains(a.text("message"), liar+" (") {
				t.Errorf("message is %s", a.text("message"))
			}
			if len(s.connections) != 0 {
				t.Error("a connection was saved")
			}
			s.lies[honest] = func(context.Context, []byte) ([]byte, error) { return []byte(right), nil }
			a = s.stageConnect(t.Context())
			a.want(t, http.StatusOK, "")
			if a.text("client_token") != "T" || a.text("api_root") != "https://blog.example/wp-json/" {
				t.Errorf("answer is %s", a.body)
			}
		})
	}
}

func refusal(code string) string { return `{"code":"` + code + `","message":"No."}` }

// A member that says nothing leaves time for another, and the client has its
// answer in time.
func TestSilentMembers(t *testing.T) {
	silent := func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
	for silentOnes, want := range map[int]struct {
		took time.Duration
		code string
	}{
		1: {12 * time.Second, ""},
		2: {24 * time.Second, ""},
		3: {25 * time.Second, "ba.timed_out"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.post = func(*http.Request, url.Values) (int, string) { return 400, refusal("ba.unknown_broker") }
			for i := range 4 {
				issuer := fmt.Sprintf("https://m%d.example", i)
				s.world.brokers[issuer] = s.world.bare(issuer)
				if s.lies[issuer] = silent; i == silentOnes {
					s.lies[issuer] = func(context.Context, []byte) ([]byte, error) {
						return []byte(`{"client_id":"` + client + `","client_token":"T","client_secret":"S"}`), nil
					}
				}
			}
			began := time.Now()
			a := s.stageConnect(t.Context())
			if took := time.Since(began); took != want.took || a.text("code") != want.code {
				t.Errorf("%d silent: %d %s after %v", silentOnes, a.status, a.body, took)
			}
			synctest.Wait()
			if !s.Idle() {
				t.Error("something is left behind")
			}
		})
	}
}

// A client that the home's records stop while a member works gets nothing.
func TestStoppedWhileAMemberWorks(t *testing.T) {
	s := newStage(t)
	const runner = "https://runner.example"
	s.world.brokers[runner] = s.world.bare(runner)
	s.post = func(*http.Request, url.Values) (int, string) { return 400, refusal("ba.unknown_broker") }
	s.lies[runner] = func(context.Context, []byte) ([]byte, error) {
		s.world.records.change(client, func(c *registry.ClientState) { c.Status, c.Since = registry.ClientRevoked, 1790000000 })
		return []byte(`{"client_id":"` + client + `","client_token":"T","client_secret":"SECRET"}`), nil
	}
	a := s.stageConnect(t.Context())
	a.want(t, http.StatusBadRequest, "ba.rejected_client")
	if strings.Contains(a.body, "SECRET") {
		t.Errorf("released %s", a.body)
	}
}

// What a member says of notifications counts for the site that was asked for,
// and for no other.
func TestResourceOfAMember(t *testing.T) {
	for said, saved := range map[string]string{"https://blog.example": "https://blog.example", "https://victim.example": "", "\\u0007": "", "": ""} {
		s := newStage(t)
		const runner = "https://runner.example"
		s.world.brokers[runner] = s.world.bare(runner)
		s.post = func(*http.Request, url.Values) (int, string) { return 400, refusal("ba.unknown_broker") }
		s.lies[runner] = func(context.Context, []byte) ([]byte, error) {
			return []byte(`{"client_id":"` + client + `","client_token":"T","client_secret":"S","resource":"` + said + `"}`), nil
		}
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
		if c := s.connections[client+" https://blog.example/wp-json/"]; c.Resource != saved || c.Through != runner {
			t.Errorf("%q: saved %+v", said, c)
		}
	}
}
