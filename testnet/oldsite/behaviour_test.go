// SPDX-License-Identifier: Apache-2.0

package oldsite_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/oldsite"
)

func TestRefuse(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	for _, r := range []oldsite.Refusal{
		{Status: 400, Code: "ba.rejected_client", Message: "no"},
		{Status: 409, Code: "ba.timed_out", Message: "too late"},
		{Status: 503, Code: "internal", Message: "<script>"},
	} {
		s.Behave(oldsite.Behaviour{Refuse: &r})
		a := post(t, s.ConnectURL(), b.form("appkey0001"))
		if a.Status != r.Status || code(t, a) != r.Code {
			t.Errorf("%d %s, want %+v", a.Status, a.Body, r)
		}
	}
	if got := b.confirmations(); len(got) != 0 {
		t.Errorf("confirmed: %v", got)
	}
}

func TestAcceptStatus(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Behaviour.AcceptStatus = http.StatusOK
	s := start(t, c)
	if a := post(t, s.ConnectURL(), b.form("appkey0001")); a.Status != http.StatusOK || len(s.Credentials("appkey0001")) != 1 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestNoConfirm(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Behaviour.NoConfirm = true
	s := start(t, c)
	if a := post(t, s.ConnectURL(), b.form("appkey0001")); a.Status != http.StatusAccepted || len(b.confirmations()) != 0 {
		t.Errorf("%d, confirms: %v", a.Status, b.confirmations())
	}
}

// TestAcceptFirst: the broker answers the confirm only when it has read the
// 202, so with the right order of the plugin it would hang.
func TestAcceptFirst(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Behaviour.AcceptFirst = true
	s := start(t, c)
	accepted := make(chan struct{})
	b.answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-accepted:
		case <-r.Context().Done():
		}
	}
	r, err := request(within(t), s.ConnectURL(), b.form("appkey0001"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("status %d", response.StatusCode)
	}
	close(accepted)
	e, err := s.Wait(within(t), oldsite.Ended(oldsite.Confirm))
	if err != nil || e.Status != 200 {
		t.Errorf("%v, confirm %+v", err, e)
	}
	if _, err := s.Wait(within(t), oldsite.Ended(oldsite.Connect)); err != nil || len(s.Credentials("appkey0001")) != 1 {
		t.Errorf("%v, credentials %v", err, s.Credentials("appkey0001"))
	}
}

func TestSlowConfirm(t *testing.T) {
	const pause = 100 * time.Millisecond
	for name, behaviour := range map[string]oldsite.Behaviour{
		"before the confirm":          {ConfirmAfter: pause},
		"before the credentials work": {StoreAfter: pause},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t)
			c := b.config()
			c.Behaviour = behaviour
			s := start(t, c)
			connect(t, s, b, "appkey0001")
			request, confirm := s.LogOf(oldsite.Connect)[0], s.LogOf(oldsite.Confirm)[0]
			before, after := confirm.Began.Sub(request.Began), request.Ended.Sub(confirm.Ended)
			if behaviour.ConfirmAfter > 0 && before < pause || behaviour.StoreAfter > 0 && after < pause {
				t.Errorf("%v before and %v after the confirm", before, after)
			}
		})
	}
}

func TestConfirmTimes(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Behaviour.ConfirmTimes = 3
	s := start(t, c)
	connect(t, s, b, "appkey0001")
	got := b.confirmations()
	if len(got) != 3 || got[0] != got[1] || got[1] != got[2] {
		t.Errorf("%+v", got)
	}
}

func TestConfirmBodies(t *testing.T) {
	const one = "verifier=" + verifier + "&client_id=appkey0001&client_token="
	for _, test := range []struct {
		name   string
		change func(string) string
		check  func(form url.Values, body string) bool
	}{
		{"wrong verifier", oldsite.WrongVerifier, func(f url.Values, _ string) bool {
			return len(f["verifier"]) == 1 && f.Get("verifier") != verifier && f.Get("client_id") == "appkey0001"
		}},
		{"wrong client id", oldsite.WrongClientID, func(f url.Values, _ string) bool {
			return f.Get("client_id") == "somebody-else" && f.Get("verifier") == verifier
		}},
		{"missing secret", oldsite.MissingSecret, func(f url.Values, _ string) bool { return !f.Has("client_secret") && f.Has("client_token") }},
		{"empty token", oldsite.EmptyToken, func(f url.Values, _ string) bool { return f.Has("client_token") && f.Get("client_token") == "" }},
		{"duplicate member", oldsite.DuplicateMember, func(f url.Values, _ string) bool { return len(f["client_token"]) == 2 }},
		{"duplicate verifier", oldsite.DuplicateVerifier, func(f url.Values, _ string) bool {
			return len(f["verifier"]) == 2 && f["verifier"][1] == verifier
		}},
		{"oversized secret", oldsite.OversizedSecret, func(f url.Values, _ string) bool { return len(f.Get("client_secret")) == 1<<20 }},
		{"control characters", oldsite.ControlCharacters, func(f url.Values, _ string) bool { return strings.Contains(f.Get("client_token"), "\r\n") }},
		{"no form", oldsite.NotAForm, func(_ url.Values, body string) bool { return strings.HasPrefix(body, "{") }},
		{"extra member", oldsite.ExtraMember, func(f url.Values, body string) bool { return strings.HasPrefix(body, one) && len(f) == 5 }},
		{"another order", oldsite.AnotherOrder, func(f url.Values, body string) bool {
			return strings.HasPrefix(body, "client_secret=") && strings.HasSuffix(body, "&verifier="+verifier) && len(f) == 4
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBroker(t)
			c := b.config()
			c.Behaviour.ConfirmBody = test.change
			s := start(t, c)
			post(t, s.ConnectURL(), b.form("appkey0001"))
			got := b.confirmations()
			if len(got) != 1 {
				t.Fatalf("%d confirms", len(got))
			}
			if form, _ := url.ParseQuery(got[0].Body); !test.check(form, got[0].Body) {
				t.Errorf("%.300s", got[0].Body)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	b := newBroker(t)
	for _, place := range []struct {
		name string
		set  func(*oldsite.Behaviour, oldsite.Fault)
		ask  func(context.Context, *oldsite.Site) (*http.Request, error)
	}{
		{"head", func(b *oldsite.Behaviour, f oldsite.Fault) { b.HeadFault = f }, func(ctx context.Context, s *oldsite.Site) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodHead, s.URL(), nil)
		}},
		{"index", func(b *oldsite.Behaviour, f oldsite.Fault) { b.IndexFault = f }, func(ctx context.Context, s *oldsite.Site) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodGet, s.IndexURL(), nil)
		}},
		{"connect", func(b *oldsite.Behaviour, f oldsite.Fault) { b.ConnectFault = f }, func(ctx context.Context, s *oldsite.Site) (*http.Request, error) {
			return request(ctx, s.ConnectURL(), b.form("appkey0001"))
		}},
	} {
		for _, fault := range []struct {
			name  string
			fault oldsite.Fault
			check func(t *testing.T, r *http.Request, head bool)
		}{
			{"silent", oldsite.Silent, silent}, {"cut", oldsite.Cut, cut}, {"endless", oldsite.Endless, endless},
			{"trickle", oldsite.Trickle, trickle}, {"broken", oldsite.Broken, page(500)}, {"not JSON", oldsite.NotJSON, page(200)},
		} {
			t.Run(place.name+" "+fault.name, func(t *testing.T) {
				c := b.config()
				place.set(&c.Behaviour, fault.fault)
				s := start(t, c)
				r, err := place.ask(within(t), s)
				if err != nil {
					t.Fatal(err)
				}
				fault.check(t, r, place.name == "head")
				if place.name == "connect" {
					if _, err := s.Wait(within(t), oldsite.Ended(oldsite.Connect)); err != nil {
						t.Fatal(err)
					}
				}
				if confirmed := len(s.Credentials("appkey0001")) == 1; confirmed != (place.name == "connect") {
					t.Errorf("confirmed: %v", confirmed)
				}
			})
		}
	}
}

func silent(t *testing.T, r *http.Request, _ bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 200*time.Millisecond)
	defer cancel()
	if a, err := try(r.WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v; want no answer", a, err)
	}
}

func cut(t *testing.T, r *http.Request, _ bool) {
	t.Helper()
	if a, err := try(r); !errors.Is(err, io.EOF) {
		t.Errorf("%+v, %v; want the end of the connection", a, err)
	}
}

// endless reads 4 MB, or as much of a header as Go's client wants to.
func endless(t *testing.T, r *http.Request, head bool) {
	t.Helper()
	client := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 1 << 20}
	response, err := client.RoundTrip(r)
	if head {
		if err == nil || !strings.Contains(err.Error(), "headers exceeded") {
			t.Errorf("%v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.CopyN(io.Discard, response.Body, 4<<20); err != nil {
		t.Errorf("ended after %d bytes: %v", n, err)
	}
}

// trickle waits for three bytes of a body, which take their time. A header is
// not seen before its end.
func trickle(t *testing.T, r *http.Request, head bool) {
	t.Helper()
	if head {
		silent(t, r, head)
		return
	}
	began := time.Now()
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.CopyN(io.Discard, response.Body, int64(len(`{"name":"`)+3)); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 3*50*time.Millisecond {
		t.Errorf("three bytes came in %v", took)
	}
}

func page(status int) func(t *testing.T, r *http.Request, head bool) {
	return func(t *testing.T, r *http.Request, head bool) {
		t.Helper()
		a, err := try(r)
		if err != nil || a.Status != status || a.Header.Get("Content-Type") != "text/html; charset=UTF-8" || !head && a.Body == "" {
			t.Errorf("%v, %d %v", err, a.Status, a.Header)
		}
	}
}

// TestCloseEndsWhatIsUnderWay: no handler and no confirm outlives the site.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	b := newBroker(t)
	b.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	c := b.config()
	c.ConfirmTimeout = time.Hour
	s := start(t, c)
	failed := make(chan error)
	r, err := request(within(t), s.ConnectURL(), b.form("appkey0001"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := try(r)
		failed <- err
	}()
	if _, err := s.Wait(within(t), oldsite.Began(oldsite.Confirm)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-within(t).Done():
		t.Fatal("Close does not return")
	}
	if err := <-failed; err == nil {
		t.Error("the connection request was answered by a closed site")
	}
	if _, err := s.Wait(within(t), oldsite.Began(oldsite.Index)); err == nil {
		t.Error("waiting for a closed site ends without an error")
	}
}
