// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/oldsite"
)

// Everything in a connection request is from the registration, and verifiers
// cannot be guessed.
func TestConnectionRequest(t *testing.T) {
	s := newStage(t)
	seen := map[string]bool{}
	s.post = func(r *http.Request, f url.Values) (int, string) {
		verifier := f.Get("verifier")
		if len(verifier) < 32 || strings.Trim(verifier, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || seen[verifier] {
			t.Errorf("verifier is %q", verifier)
		}
		seen[verifier] = true
		f.Del("verifier")
		want := url.Values{
			"client_id": {client}, "broker": {"https://broker.example/at/"}, "callback_url": {callback},
			"client_name": {"Example App"}, "client_description": {"Example App"}, "client_details": {"https://app.example/about"},
		}
		if f.Encode() != want.Encode() || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("request is %v, %v", f, r.Header)
		}
		f.Set("verifier", verifier)
		return s.confirms(r, f)
	}
	for range 3 {
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	}
}

// A description is told where the registration has one.
func TestClientDescription(t *testing.T) {
	for raw, want := range map[string]string{`"Reads & <b>writes</b>."`: "Reads & <b>writes</b>.", `7`: "Example App", `""`: "Example App"} {
		s := newStage(t)
		s.world.records.change(client, func(c *registry.ClientState) {
			c.Registration.Registration.Extra = map[string]json.RawMessage{"client_description": json.RawMessage(raw)}
		})
		s.post = func(r *http.Request, f url.Values) (int, string) {
			if got := f.Get("client_description"); got != want {
				t.Errorf("%s: told %q", raw, got)
			}
			return s.confirms(r, f)
		}
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	}
}

// A site's refusal is passed on when it can be recognised as one, and nothing
// else is.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name       string
		status     int
		body       string
		wantStatus int
		wantCode   string
		want       string // in the answer
	}{
		{"rejected", 400, `{"code":"ba.rejected_client","message":"Not here.","data":{"status":400}}`, 400, "ba.rejected_client", `"message":"Not here.","data":{"status":400}`},
		{"callback", 400, `{"code":"ba.invalid_callback","message":"No."}`, 400, "ba.invalid_callback", `"message":"No."`},
		{"missing member", 400, `{"code":"rest_missing_callback_param","message":"Missing parameter(s): verifier","data":{"status":400,"params":["verifier"]}}`, 400, "rest_missing_callback_param", `"params":["verifier"]`},
		{"no route", 404, `{"code":"rest_no_route","message":"No route."}`, 404, "rest_no_route", ""},
		{"timed out", 409, `{"code":"ba.timed_out","message":"Too slow."}`, 409, "ba.timed_out", "Too slow."},
		{"unknown member", 400, `{"code":"ba.rejected_client","message":"No.","x":1}`, 400, "ba.rejected_client", ""},
		{"data is no object", 400, `{"code":"ba.rejected_client","message":"No.","data":null}`, 400, "ba.rejected_client", ""},
		{"long message", 400, `{"code":"ba.rejected_client","message":"` + strings.Repeat("x", 2000) + `"}`, 400, "ba.rejected_client", "x…"},
		{"long data", 400, `{"code":"ba.rejected_client","message":"No.","data":{"x":"` + strings.Repeat("x", 2000) + `"}}`, 400, "ba.rejected_client", `"message":"No."}`},
		{"HTML in a message", 400, `{"code":"ba.rejected_client","message":"<script>"}`, 400, "ba.rejected_client", `\u003cscript\u003e`},
		{"our code", 400, `{"code":"comity.unauthorized","message":"No."}`, 502, "comity.site_unusable", "400"},
		{"other code", 400, `{"code":"forbidden","message":"No."}`, 502, "comity.site_unusable", "400"},
		{"odd code", 400, `{"code":"ba.x\" onload","message":"No."}`, 502, "comity.site_unusable", "400"},
		{"control characters", 400, `{"code":"ba.rejected_client","message":"a\u001bb"}`, 502, "comity.site_unusable", "400"},
		{"code twice", 400, `{"code":"ba.rejected_client","code":"ba.invalid_callback","message":"No."}`, 502, "comity.site_unusable", "400"},
		{"code is a number", 400, `{"code":7,"message":"No."}`, 502, "comity.site_unusable", "400"},
		{"message is missing", 400, `{"code":"ba.rejected_client"}`, 502, "comity.site_unusable", "400"},
		{"page", 403, `<html>Forbidden by a firewall</html>`, 502, "comity.site_unusable", "403"},
		{"too long", 400, `{"code":"ba.rejected_client","message":"No."` + strings.Repeat(" ", 5000) + `}`, 502, "comity.site_unusable", "400"},
		{"with 500", 500, `{"code":"ba.rejected_client","message":"No."}`, 502, "comity.site_unusable", "500"},
		{"with 200", 200, `{"code":"ba.rejected_client","message":"No."}`, 502, "comity.site_unusable", "200"},
		{"200", 200, `{}`, 502, "comity.site_unusable", "200"},
		{"201", 201, ``, 502, "comity.site_unusable", "201"},
		{"204", 204, ``, 502, "comity.site_unusable", "204"},
		{"302", 302, ``, 502, "comity.site_unusable", "302"},
		{"307", 307, ``, 502, "comity.site_unusable", "307"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t)
			s.post = func(r *http.Request, f url.Values) (int, string) {
				s.confirms(r, f) // which counts only with a 202
				return test.status, test.body
			}
			a := s.stageConnect(t.Context())
			a.want(t, test.wantStatus, test.wantCode)
			if !strings.Contains(a.body, test.want) || strings.Contains(a.body, "SECRET") {
				t.Errorf("answer is %s", a.body)
			}
			if len(s.connections) != 0 {
				t.Error("a connection was saved")
			}
		})
	}
}

// Whatever a site does with its time, the client has an answer after 25 s, and
// nothing is left behind.
func TestTimes(t *testing.T) {
	for name, test := range map[string]struct {
		post func(s *stage, r *http.Request, f url.Values) (int, string)
		took time.Duration
		ok   bool
	}{
		"no answer": {func(_ *stage, r *http.Request, _ url.Values) (int, string) { <-r.Context().Done(); return 0, "" }, 20 * time.Second, false},
		"confirmed, no answer": {func(s *stage, r *http.Request, f url.Values) (int, string) {
			s.confirms(r, f)
			<-r.Context().Done()
			return 0, ""
		}, 20 * time.Second, false},
		"accepted, no confirm": {func(*stage, *http.Request, url.Values) (int, string) { return 202, "" }, 25 * time.Second, false},
		"all at 19 s": {func(s *stage, r *http.Request, f url.Values) (int, string) {
			time.Sleep(19 * time.Second)
			return s.confirms(r, f)
		}, 19 * time.Second, true},
		"confirm 24 s after the 202": {func(s *stage, r *http.Request, f url.Values) (int, string) {
			go func() {
				time.Sleep(24 * time.Second)
				s.stageConfirm(confirmOf(f))
			}()
			return 202, ""
		}, 24*time.Second + 500*time.Millisecond, true},
		"confirm at the last moment": {func(s *stage, r *http.Request, f url.Values) (int, string) {
			go func() {
				time.Sleep(25 * time.Second)
				s.stageConfirm(confirmOf(f))
			}()
			return 202, ""
		}, 25 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.post = func(r *http.Request, f url.Values) (int, string) { return test.post(s, r, f) }
				began := time.Now()
				a := s.stageConnect(t.Context())
				took := time.Since(began)
				if test.ok {
					a.want(t, http.StatusOK, "")
				} else {
					a.want(t, http.StatusConflict, "ba.timed_out")
				}
				if took != test.took {
					t.Errorf("took %v, expected %v", took, test.took)
				}
				synctest.Wait()
				if !s.Idle() {
					t.Error("something is left behind")
				}
			})
		})
	}
}

// A confirm and a 202 that come together cost no wait, whichever the broker
// hears of first.
func TestNoWaitInTheUsualOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.post = s.confirms
		began := time.Now()
		for range 100 {
			s.stageConnect(t.Context()).want(t, http.StatusOK, "")
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

// When the client goes away, so does the request to the site.
func TestClientGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		ctx, leave := context.WithCancel(t.Context())
		s.post = func(r *http.Request, _ url.Values) (int, string) {
			time.Sleep(3 * time.Second)
			leave()
			<-r.Context().Done()
			return 202, ""
		}
		began := time.Now()
		s.stageConnect(ctx)
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
		synctest.Wait()
		if !s.Idle() {
			t.Error("something is left behind")
		}
		if !strings.Contains(s.world.logged.String(), `"code":"canceled"`) {
			t.Error("not in the audit log")
		}
	})
}

// The connection is durable before the client has the credentials.
func TestSavedBeforeReleased(t *testing.T) {
	s := newStage(t)
	s.post = func(r *http.Request, f url.Values) (int, string) {
		status, body := s.confirms(r, f)
		s.change(func() { s.broken = errors.New("disk full") })
		return status, body
	}
	a := s.stageConnect(t.Context())
	a.want(t, http.StatusServiceUnavailable, "comity.unavailable")
	if strings.Contains(a.body, "SECRET") {
		t.Errorf("released %s", a.body)
	}
	s.change(func() { s.broken = nil })
	s.post = s.confirms
	s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	first := s.connections[client+" https://blog.example/wp-json/"]
	s.world.clock.pass(time.Hour)
	s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	again := s.connections[client+" https://blog.example/wp-json/"]
	if first.FirstAt == 0 || again.FirstAt != first.FirstAt || again.LastAt < first.LastAt+3600 {
		t.Errorf("saved %+v, then %+v", first, again)
	}
}

// Whether the site takes notifications is asked beside the exchange.
func TestNotifiedBesideTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.notified = func(_ context.Context, home string) string {
			time.Sleep(3 * time.Second)
			return home
		}
		s.post = func(r *http.Request, f url.Values) (int, string) {
			time.Sleep(3 * time.Second)
			return s.confirms(r, f)
		}
		began := time.Now()
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
		if c := s.connections[client+" https://blog.example/wp-json/"]; c.Resource != "https://blog.example" {
			t.Errorf("saved %+v", c)
		}
	})
}

// A site that the operator denies is not asked to connect, whatever it calls
// its home.
func TestDeniedSite(t *testing.T) {
	for home, denied := range map[string]string{
		"https://blog.example":       "https://blog.example",
		"https://blog.example/":      "https://blog.example",
		"https://innocent.example":   "https://blog.example",
		"https://elsewhere.example/": "https://elsewhere.example",
		"no URL":                     "https://blog.example",
		"":                           "https://blog.example",
	} {
		s := newStage(t)
		s.index = strings.Replace(s.index, `"home":"https://blog.example"`, fmt.Sprintf(`"home":%q`, home), 1)
		s.post = s.confirms
		s.denied[denied] = true
		s.stageConnect(t.Context()).want(t, http.StatusForbidden, "comity.site_denied")
		if n := s.requests["POST https://blog.example/connect"]; n != 0 {
			t.Errorf("%s: asked %d times", home, n)
		}
		s.change(func() { clear(s.denied) })
		s.stageConnect(t.Context()).want(t, http.StatusOK, "")
	}
}

// Tokens, secrets and verifiers are in no log (fault 84).
func TestNoSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	home, runner := w.home(), w.newBroker()
	own, others := w.newSite(oldsite.Behaviour{}, home), w.newSite(oldsite.Behaviour{}, runner)
	var canaries []string
	for _, site := range []*oldsite.Site{own, others} {
		a := home.connect(site.URL())
		a.want(t, http.StatusOK, "")
		form, err := url.ParseQuery(site.LogOf(oldsite.Connect)[0].Body)
		check(t, err)
		canaries = append(canaries, a.text("client_token"), a.text("client_secret"), form.Get("verifier"))
	}
	own.Behave(oldsite.Behaviour{ConfirmBody: oldsite.DuplicateMember})
	home.connect(own.URL())
	home.send(home.signed(t.Context(), client, "wrong", formOf(own)))
	for _, e := range append(own.LogOf(oldsite.Connect), others.LogOf(oldsite.Connect)...) {
		form, _ := url.ParseQuery(e.Body)
		canaries = append(canaries, form.Get("verifier"))
	}
	logged := w.logged.String()
	for _, canary := range append(canaries, secret, "oauth_signature") {
		if canary == "" || strings.Contains(logged, canary) {
			t.Errorf("%q is in the log", canary)
		}
	}
	for _, line := range []string{`"event":"connect-done"`, `"event":"connect-refused"`, `"through":"` + runner.issuer + `"`} {
		if !strings.Contains(logged, line) {
			t.Errorf("%s is not in the log", line)
		}
	}
}
