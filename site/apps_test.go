// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// rules are what an owner writes into Config.Apps.
type rules = map[string]site.AppRules

// TestAppRules: whom the owner's rules let in, asked where an app comes in and
// where it comes back.
func TestAppRules(t *testing.T) {
	f := newFederation(t, 3)
	a, b := f.brokers[0], f.brokers[1]
	app, sibling, foreign := a.register(metadata()), a.register(metadata()), b.register(metadata())
	for _, c := range []struct {
		name   string
		rules  rules
		denied []string // of app, sibling and foreign, through broker a
	}{
		{"none", nil, nil},
		{"an empty rule", rules{"": {Allow: []string{}}}, nil},
		{"one app denied", rules{"": {Deny: []string{app}}}, []string{app}},
		{"one app allowed", rules{"": {Allow: []string{app}}}, []string{sibling, foreign}},
		{"a home denied", rules{"": {Deny: []string{a.issuer}}}, []string{app, sibling}},
		{"a home allowed", rules{"": {Allow: []string{a.issuer}}}, []string{foreign}},
		{"a home and an app of another", rules{"": {Allow: []string{a.issuer, foreign}}}, nil},
		{"a home without one of its apps", rules{"": {Allow: []string{a.issuer}, Deny: []string{app}}}, []string{app, foreign}},
		{"deny wins over allow", rules{"": {Allow: []string{app}, Deny: []string{a.issuer}}}, []string{app, sibling, foreign}},
		{"at this broker", rules{a.issuer: {Deny: []string{app}}}, []string{app}},
		{"at another broker", rules{b.issuer: {Deny: []string{app}}}, nil},
		{"both must allow", rules{"": {Allow: []string{app, sibling}}, a.issuer: {Allow: []string{app, foreign}}}, []string{sibling, foreign}},
		{"a host is no home", rules{"": {Deny: []string{strings.TrimPrefix(a.issuer, "http://")}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, f, nil) // without rules at first
			tokens, refreshes, codes := map[string]string{}, map[string]*protocol.SignedCode{}, map[string]*protocol.SignedCode{}
			viaA := func(q url.Values) { q.Set("issuer", a.issuer) }
			for _, client := range []string{app, sibling, foreign} {
				tokens[client], refreshes[client] = s.login("alice", client)
				codes[client] = s.consent("alice", client, viaA)
			}
			s.config.Apps = c.rules
			s.reopen()
			for _, client := range []string{app, sibling, foreign} {
				status, event := http.StatusOK, "202"
				if slices.Contains(c.denied, client) {
					status, event = http.StatusUnauthorized, "400 access_denied"
				}
				s.wantStatus(tokens[client], status)
				if got := post(t, s.url("/comity/events"), a.issued("new "+client, codes[client], nil)); got != event {
					t.Errorf("a new token: %s, want %s", got, event)
				}
				refresh := a.issued("next "+client, refreshes[client], func(i *protocol.TokenIssued) { i.CodeJTI = "" })
				if got := post(t, s.url("/comity/events"), refresh); got != event {
					t.Errorf("a refresh: %s, want %s", got, event)
				}
				got := newBrowser(s, "alice").get(s.request(client, viaA))
				if status == http.StatusOK {
					if got.StatusCode != http.StatusOK {
						t.Errorf("login: %d %s", got.StatusCode, got.body)
					}
					continue
				}
				wantPage(t, got, http.StatusForbidden)
				if !strings.Contains(got.body, "The owner of this site does not let this app in.") {
					t.Errorf("page: %s", got.body)
				}
			}
			grants, err := s.Grants(t.Context(), "alice")
			must(t, err)
			for _, g := range grants {
				if slices.Contains(c.denied, g.ClientID) != strings.Contains(g.Stopped, site.ErrDenied.Error()) {
					t.Errorf("grant of %s is stopped: %q", g.ClientID, g.Stopped)
				}
			}
			s.config.Apps = nil // the owner thinks again
			s.reopen()
			for _, token := range tokens {
				s.wantStatus(token, http.StatusOK)
			}
		})
	}
}

// TestAppRulesWithConsentOpen: a page of consent that lay open while the owner
// denied the app gives no code.
func TestAppRulesWithConsentOpen(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	b := newBrowser(s, "alice")
	form := b.get(s.request(client, nil)).form()
	form.Set("decision", "allow")
	s.config.Apps = rules{"": {Deny: []string{client}}}
	s.reopen()
	wantPage(t, b.post(s.url("/comity/authorize"), form), http.StatusForbidden)
}

// TestAppRulesWithoutGrant: the owner's rules come before what it has opted in
// to, for programs and for people of a broker, whether the site has met the
// app or not.
func TestAppRulesWithoutGrant(t *testing.T) {
	f := newFederation(t, 2)
	a := f.brokers[0]
	yes := func(string, string, string) bool { return true }
	met, denied, allowed := a.register(metadata()), a.register(metadata()), a.register(metadata())
	s := newSite(t, f, func(c *site.Config) { c.AllowClientCredentials, c.AllowBrokerUsers = yes, yes })
	s.login("alice", met)
	s.config.Apps = rules{a.issuer: {Deny: []string{denied, met}}}
	s.reopen()
	for client, want := range map[string]string{met: "400 access_denied", denied: "400 access_denied", allowed: "202"} {
		program := a.event(s.config.Resource, func(e *protocol.Event) {
			e.TokenIssued = &protocol.TokenIssued{
				TokenHash: protocol.TokenHash("program " + client), TokenType: "Bearer", ClientID: client, Scope: "read", ExpiresAt: f.clock.Unix() + 60,
			}
		})
		if got := post(t, s.url("/comity/events"), program); got != want {
			t.Errorf("a program's: %s, want %s", got, want)
		}
		if got := post(t, s.url("/comity/events"), a.person(s, "person "+client, client, nil)); got != want {
			t.Errorf("a person's: %s, want %s", got, want)
		}
	}
}

// describedApps serves the documents of apps that describe themselves and
// counts how often they are asked for.
func describedApps(t testing.TB) (server *httptest.Server, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		writeJSON(w, map[string]any{
			"client_id": server.URL + r.URL.Path, "client_name": "Self", "redirect_uris": []string{callback},
			"token_endpoint_auth_method": "none",
		})
	}))
	t.Cleanup(server.Close)
	return server, asked
}

// TestAppRulesSelfDescribed: apps that no broker has registered, by their URL
// and by its host. One that is denied is not even asked for its document.
func TestAppRulesSelfDescribed(t *testing.T) {
	f := newFederation(t, 1)
	server, asked := describedApps(t)
	one, host := server.URL+"/one", strings.TrimPrefix(server.URL, "http://")
	registered := f.brokers[0].register(metadata())
	for _, c := range []struct {
		name             string
		rules            rules
		self, registered bool
	}{
		{"none", nil, true, true},
		{"its URL denied", rules{"": {Deny: []string{one}}}, false, true},
		{"another URL denied", rules{"": {Deny: []string{one + "/more"}}}, true, true},
		{"its host denied", rules{"": {Deny: []string{host}}}, false, true},
		{"another host denied", rules{"": {Deny: []string{"app.example"}}}, true, true},
		{"its origin is that of a broker", rules{"": {Deny: []string{server.URL}}}, true, true},
		{"its host alone allowed", rules{"": {Allow: []string{host}}}, true, false},
		{"a broker alone allowed", rules{"": {Allow: []string{f.brokers[0].issuer}}}, false, true},
		{"its origin alone allowed", rules{"": {Allow: []string{server.URL}}}, false, false},
		{"at its broker", rules{f.brokers[0].issuer: {Deny: []string{host}}}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, f, func(c *site.Config) { c.SelfDescribed = true })
			token, _ := s.login("alice", one)
			s.config.Apps = c.rules
			before := asked.Load()
			fresh := newSite(t, f, func(config *site.Config) { config.SelfDescribed, config.Apps = true, c.rules })
			s.reopen()
			for client, allowed := range map[string]bool{one: c.self, registered: c.registered} {
				want := http.StatusForbidden
				if allowed {
					want = http.StatusOK
				}
				if got := newBrowser(fresh, "alice").get(fresh.request(client, nil)); got.StatusCode != want || got.location().Host != "" {
					t.Errorf("login of %s: %d, want %d", client, got.StatusCode, want)
				}
			}
			if !c.self && asked.Load() != before {
				t.Error("an app that the owner does not want was asked for its document")
			}
			if c.self {
				s.wantStatus(token, http.StatusOK)
			} else {
				s.wantStatus(token, http.StatusUnauthorized)
			}
		})
	}
}

// TestAppRulesConfig: rules that could not match as they are meant are refused,
// in words that name them.
func TestAppRulesConfig(t *testing.T) {
	f := newFederation(t, 1)
	issuer := f.brokers[0].issuer
	id := registry.CID([]byte("an app"))
	good := newSite(t, f, nil).config
	for _, c := range []struct {
		name  string
		rules rules
		want  string // in the error; empty: none
	}{
		{"all kinds", rules{
			"":     {Allow: []string{id, "https://app.example/client.json", "https://uni.example", "https://uni.example/broker", "app.example", "app.example:8443", "127.0.0.1:99"}},
			issuer: {Deny: []string{id}},
		}, ""},
		{"unknown broker", rules{"https://other.example": {Deny: []string{id}}}, `Apps["https://other.example"]: no such broker in Brokers`},
		{"broker with a slash", rules{issuer + "/": {}}, "no such broker in Brokers"},
		{"an id cut short", rules{issuer: {Deny: []string{id[:58]}}}, id[:58]},
		{"an id in upper case", rules{"": {Deny: []string{strings.ToUpper(id)}}}, "is neither a client_id nor"},
		{"an empty entry", rules{"": {Allow: []string{""}}}, `"" is neither`},
		{"a space", rules{"": {Allow: []string{" app.example"}}}, "is neither"},
		{"an issuer in plain http", rules{"": {Allow: []string{"http://uni.example"}}}, "is neither"},
		{"an issuer with a slash", rules{"": {Allow: []string{"https://uni.example/"}}}, "is neither"},
		{"an issuer with a query", rules{"": {Allow: []string{"https://uni.example?x"}}}, "is neither"},
		{"a host in upper case", rules{"": {Deny: []string{"App.example"}}}, "is neither"},
		{"a host with a path", rules{"": {Deny: []string{"app.example/x"}}}, "is neither"},
		{"a host with a star", rules{"": {Deny: []string{"*.app.example"}}}, "is neither"},
		{"in both lists", rules{"": {Allow: []string{id}, Deny: []string{"app.example", id}}}, id + `" is in Allow and in Deny`},
		{"denied for all, allowed at one", rules{"": {Deny: []string{id}}, issuer: {Allow: []string{id}}}, "is denied for all brokers"},
		{"allowed for all, denied at one", rules{"": {Allow: []string{id}}, issuer: {Deny: []string{id}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good
			config.Store, config.Apps = openDB(t, filepath.Join(t.TempDir(), "x.db")), c.rules
			s, err := site.New(t.Context(), config)
			if err == nil {
				s.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestWithoutTokens: a site that gives apps credentials of its own needs no
// scopes and no users here; it can be told, and takes no token.
func TestWithoutTokens(t *testing.T) {
	f := newFederation(t, 1)
	b := f.brokers[0]
	s := newSite(t, f, func(c *site.Config) { c.User, c.Scopes, c.LoginURL = nil, nil, "" })
	var m protocol.SiteMetadata
	must(t, json.Unmarshal([]byte(newBrowser(s, "").get(s.url("/.well-known/oauth-protected-resource")).body), &m))
	if m.EventsEndpoint == "" || m.AuthorizationEndpoint != "" || m.ScopesSupported != nil {
		t.Errorf("metadata: %+v", m)
	}
	client := b.register(metadata())
	if _, err := s.Client(t.Context(), b.issuer, client); err != nil {
		t.Fatal(err)
	}
	for name, event := range map[string]string{
		"of a person":  b.person(s, "p", client, nil),
		"no scope":     b.person(s, "q", client, func(i *protocol.TokenIssued) { i.Scope = "" }),
		"of a program": b.person(s, "r", client, func(i *protocol.TokenIssued) { i.Subject, i.Grant, i.Scope = "", "", "" }),
	} {
		if got := post(t, s.url("/comity/events"), event); got != "400 access_denied" {
			t.Errorf("a token %s: %s", name, got)
		}
	}
	if got := post(t, s.url("/comity/events"), b.person(s, "s", client, func(i *protocol.TokenIssued) { i.Subject = "" })); got != "400 invalid_grant" {
		t.Errorf("a token of a grant: %s", got)
	}
}
