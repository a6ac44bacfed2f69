// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/site"
)

// TestFault16Bearer: where a token may stand.
func TestFault16Bearer(t *testing.T) { // fault 16
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	token, _ := s.login("alice", f.brokers[0].register(metadata()))
	for _, c := range []struct {
		name, query string
		headers     []string
		status      int
		code        string
	}{
		{"Bearer", "", []string{"Bearer " + token}, 200, ""},
		{"bearer", "", []string{"bearer " + token}, 200, ""},
		{"BEARER, two spaces", "", []string{"BEARER  " + token}, 200, ""},
		{"nothing", "", nil, 401, ""},
		{"Basic", "", []string{"Basic YTpi"}, 401, ""},
		{"query", "?access_token=" + token, nil, 400, "invalid_request"},
		{"query, escaped", "?%61ccess_token=" + token, nil, 400, "invalid_request"},
		{"query and header", "?access_token=" + token, []string{"Bearer " + token}, 400, "invalid_request"},
		{"two headers", "", []string{"Bearer " + token, "Bearer " + token}, 400, "invalid_request"},
		{"two tokens", "", []string{"Bearer " + token + ", " + token}, 400, "invalid_request"},
		{"no token", "", []string{"Bearer "}, 400, "invalid_request"},
		{"no space", "", []string{"Bearer" + token}, 401, ""},
		{"unknown", "", []string{"Bearer " + token + "x"}, 401, "invalid_token"},
		{"tab", "", []string{"Bearer\t" + token}, 401, ""},
		{"very long", "", []string{"Bearer " + strings.Repeat("a", 5000)}, 400, "invalid_request"},
		{"DPoP with a Bearer token", "", []string{"DPoP " + token}, 401, "invalid_token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, s.url("/photos"+c.query), nil)
			must(t, err)
			req.Header["Authorization"] = c.headers
			got := newBrowser(s, "").do(req)
			challenge := got.Header.Get("WWW-Authenticate")
			if got.StatusCode != c.status {
				t.Fatalf("%d %s, want %d", got.StatusCode, got.body, c.status)
			}
			if c.status == http.StatusOK {
				return
			}
			want := `Bearer resource_metadata="` + s.config.Resource + `/.well-known/oauth-protected-resource"`
			if !strings.HasPrefix(challenge, want) || c.code != "" != strings.Contains(challenge, `error="`+c.code+`"`) {
				t.Errorf("challenge %q", challenge)
			}
		})
	}
}

// TestFault24OtherSite: a token of one site is nothing at another, and its
// announcement is not taken there.
func TestFault24OtherSite(t *testing.T) { // fault 24
	f := newFederation(t, 1)
	a, b := newSite(t, f, nil), newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, code := a.login("alice", client)
	a.wantStatus(token, http.StatusOK)
	b.wantStatus(token, http.StatusUnauthorized)
	if got := post(t, b.url("/comity/events"), f.brokers[0].issued(token, code, nil)); got != "400 invalid_audience" {
		t.Errorf("the announcement for A at B: %s", got)
	}
	code.Issuer = b.config.Resource // signed anew for B, about A's grant
	if got := post(t, b.url("/comity/events"), f.brokers[0].issued(token, code, nil)); got != "400 invalid_grant" {
		t.Errorf("A's grant at B: %s", got)
	}
	b.wantStatus(token, http.StatusUnauthorized)
}

// TestExpiry: a token ends with its second.
func TestExpiry(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	token, _ := s.login("alice", f.brokers[0].register(metadata()))
	s.poll(3599 * time.Second)
	s.wantStatus(token, http.StatusOK)
	s.poll(time.Second)
	s.wantStatus(token, http.StatusUnauthorized)
}

// TestRestart: what was acknowledged is known after a crash.
func TestRestart(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	for range 5 {
		code := s.consent("alice", client, nil)
		token := "t-" + code.ID
		event := f.brokers[0].issued(token, code, nil)
		if got := post(t, s.url("/comity/events"), event); got != "202" {
			t.Fatal(got)
		}
		s.reopen()
		s.wantStatus(token, http.StatusOK)
		if got := post(t, s.url("/comity/events"), event); got != "202" {
			t.Errorf("the same event after the restart: %s", got)
		}
	}
	page := newBrowser(s, "alice")
	form := page.get(s.request(client, nil)).form()
	form.Set("decision", "allow")
	s.reopen() // a page that is open meanwhile still works
	if got := page.post(s.url("/comity/authorize"), form); got.StatusCode != http.StatusSeeOther {
		t.Errorf("consent after a restart: %d", got.StatusCode)
	}
}

// TestTwoProcesses: two processes of one site share what they know.
func TestTwoProcesses(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	config := s.config
	config.Store = openDB(t, s.path)
	second, err := site.New(t.Context(), config)
	must(t, err)
	defer second.Close()
	token, code := s.login("alice", f.brokers[0].register(metadata()))
	check := func() error {
		req, err := http.NewRequest(http.MethodGet, s.url("/photos"), nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		_, err = second.Check(nil, req)
		return err
	}
	must(t, check())
	must(t, s.EndGrant(t.Context(), "alice", code.Grant))
	if check() == nil {
		t.Error("the second process does not know that the grant has ended")
	}
}
