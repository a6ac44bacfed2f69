// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzAuthorize: no query makes the authorization endpoint panic, or send a
// browser anywhere but to the registered address and the login.
func FuzzAuthorize(f *testing.F) { // fault 19
	tb := &plainTB{}
	f.Cleanup(tb.end)
	fed := newFederation(tb, 1)
	s := newSite(tb, fed, nil)
	client := fed.brokers[0].register(metadata())
	_, good, _ := strings.Cut(s.request(client, nil), "?")
	f.Add(good)
	f.Add(strings.Replace(good, "S256", "plain", 1))
	f.Add(good + "&redirect_uri=https://evil.example/")
	f.Add("client_id=" + client + "&redirect_uri=//evil.example")
	f.Add("resume=a.b")
	f.Add("request=a.b.c&client_id=" + client)
	handler := s.mux()
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/comity/authorize", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		to := w.Header().Get("Location")
		if w.Code >= 500 && w.Code != http.StatusBadGateway || to != "" && !strings.HasPrefix(to, callback+"?") && !strings.HasPrefix(to, "/login?") {
			t.Errorf("%d, Location %q", w.Code, to)
		}
	})
}

// FuzzEvents: no body makes the events endpoint panic, or is acknowledged.
func FuzzEvents(f *testing.F) { // fault 19
	tb := &plainTB{}
	f.Cleanup(tb.end)
	fed := newFederation(tb, 1)
	s := newSite(tb, fed, nil)
	good := fed.brokers[0].issued("t", s.consent("alice", fed.brokers[0].register(metadata()), nil), nil)
	f.Add(good[:len(good)-1])
	f.Add("a.b.c")
	f.Add("")
	handler := s.mux()
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/comity/events", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/secevent+jwt")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest && body != good {
			t.Errorf("%d for %q", w.Code, body)
		}
	})
}
