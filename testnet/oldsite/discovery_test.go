// SPDX-License-Identifier: Apache-2.0

package oldsite_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/oldsite"
)

func TestDiscovery(t *testing.T) {
	s := start(t, oldsite.Config{Name: "Site 1"})
	head := get(t, http.MethodHead, s.URL())
	if link := head.Header.Get("Link"); head.Status != 200 || link != "<"+s.URL()+`wp-json/>; rel="https://api.w.org/"` {
		t.Errorf("HEAD: %d, Link: %s", head.Status, link)
	}
	index := get(t, http.MethodGet, s.IndexURL())
	if ct := index.Header.Get("Content-Type"); index.Status != 200 || ct != "application/json; charset=UTF-8" {
		t.Errorf("index: %d %s", index.Status, ct)
	}
	home := strings.TrimSuffix(s.URL(), "/")
	if want := `"request":"` + strings.ReplaceAll(home, "/", `\/`) + `\/oauth1\/request"`; !strings.Contains(index.Body, want) {
		t.Errorf("the index is without %s: %s", want, index.Body)
	}
	var parsed struct {
		Name, Description, URL, Home string
		Namespaces                   []string
		Authentication               struct {
			Broker string
			OAuth1 struct{ Request, Authorize, Access string }
		}
	}
	if err := json.Unmarshal([]byte(index.Body), &parsed); err != nil {
		t.Fatal(err)
	}
	a := parsed.Authentication
	if parsed.Name != "Site 1" || parsed.URL != home || parsed.Home != home || !slices.Contains(parsed.Namespaces, "broker/v1") ||
		a.Broker != s.ConnectURL() || a.OAuth1.Authorize != home+"/oauth1/authorize" || a.OAuth1.Access != home+"/oauth1/access" {
		t.Errorf("index: %+v", parsed)
	}
}

func TestIndexOfChosenFields(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := start(t, oldsite.Config{PlainPermalinks: plain, Behaviour: oldsite.Behaviour{IndexBytes: oldsite.MeasuredIndex}})
		u, err := url.Parse(s.IndexURL())
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		query.Set("_fields", "authentication,namespaces")
		u.RawQuery = query.Encode()
		whole, chosen := get(t, http.MethodGet, s.IndexURL()), get(t, http.MethodGet, u.String())
		if len(whole.Body) != oldsite.MeasuredIndex {
			t.Errorf("the whole index weighs %d bytes, want %d", len(whole.Body), oldsite.MeasuredIndex)
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(chosen.Body), &fields); err != nil {
			t.Fatal(err)
		}
		if len(fields) != 2 || fields["authentication"] == nil || fields["namespaces"] == nil || len(chosen.Body) > 600 {
			t.Errorf("%d bytes: %s", len(chosen.Body), chosen.Body)
		}
	}
}

func TestPlacesOfASite(t *testing.T) {
	for _, test := range []struct {
		name    string
		config  oldsite.Config
		index   string // after the host
		connect string
	}{
		{"pretty", oldsite.Config{}, "/wp-json/", "/wp-json/broker/v1/connect"},
		{"plain", oldsite.Config{PlainPermalinks: true}, "/index.php?rest_route=/", "/index.php?rest_route=/broker/v1/connect"},
		{"below its host", oldsite.Config{Path: "/blog"}, "/blog/wp-json/", "/blog/wp-json/broker/v1/connect"},
		{"plain below its host", oldsite.Config{Path: "/blog", PlainPermalinks: true}, "/blog/index.php?rest_route=/", "/blog/index.php?rest_route=/broker/v1/connect"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBroker(t)
			test.config.Brokers = b.config().Brokers
			s := start(t, test.config)
			host, err := url.Parse(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			root := "http://" + host.Host
			if link := get(t, http.MethodHead, s.URL()).Header.Get("Link"); link != "<"+root+test.index+`>; rel="https://api.w.org/"` {
				t.Errorf("Link: %s", link)
			}
			if s.ConnectURL() != root+test.connect {
				t.Errorf("endpoint %s", s.ConnectURL())
			}
			connect(t, s, b, "appkey0001")
			if a := get(t, http.MethodHead, s.ConnectURL()); a.Status != 200 || a.Header.Get("X-BA-Endpoint") != "connection-request" {
				t.Errorf("HEAD of the endpoint: %d %v", a.Status, a.Header)
			}
		})
	}
}

func TestLinkForms(t *testing.T) {
	s := start(t, oldsite.Config{})
	right := "<" + s.IndexURL() + ">"
	for _, test := range []struct {
		name    string
		form    oldsite.LinkForm
		headers int
		has     string // of the last
	}{
		{"one link", oldsite.OneLink, 1, right + `; rel="https://api.w.org/"`},
		{"several headers", oldsite.SeveralHeaders, 3, right + `; rel="https://api.w.org/"`},
		{"several links", oldsite.SeveralLinks, 1, `rel=shortlink,` + right + `; rel="https://api.w.org/"`},
		{"parameter order", oldsite.ParameterOrder, 1, right + `; title="the API; rel=\"next\"";type="application/json" ; rel="https://api.w.org/"`},
		{"several relations", oldsite.SeveralRels, 1, right + `; rel="service https://api.w.org/"`},
		{"relative", oldsite.RelativeLink, 1, `</wp-json/>; rel="https://api.w.org/"`},
		{"endpoint", oldsite.EndpointHeader, 0, ""},
		{"none", oldsite.NoLink, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.Behave(oldsite.Behaviour{Link: test.form})
			header := get(t, http.MethodHead, s.URL()).Header
			links := header.Values("Link")
			if len(links) != test.headers || len(links) > 0 && !strings.Contains(links[len(links)-1], test.has) {
				t.Errorf("Link: %q", links)
			}
			if is := header.Get("X-BA-Endpoint") == "connection-request"; is != (test.form == oldsite.EndpointHeader) {
				t.Errorf("X-BA-Endpoint: %q", header.Get("X-BA-Endpoint"))
			}
		})
	}
}

func TestTheSiteItselfIsTheEndpoint(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Behaviour.Link = oldsite.EndpointHeader
	s := start(t, c)
	if a := post(t, s.URL(), b.form("appkey0001")); a.Status != http.StatusAccepted || len(s.Credentials("appkey0001")) != 1 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestRedirectsOfHead(t *testing.T) {
	s := start(t, oldsite.Config{Behaviour: oldsite.Behaviour{Redirects: 2}})
	at := s.URL()
	for range 2 {
		a := get(t, http.MethodHead, at)
		if a.Status != http.StatusMovedPermanently {
			t.Fatalf("HEAD %s: %d", at, a.Status)
		}
		at = a.Header.Get("Location")
	}
	if a := get(t, http.MethodHead, at); a.Status != 200 || a.Header.Get("Link") == "" {
		t.Errorf("HEAD %s: %d %v", at, a.Status, a.Header)
	}
	s.Behave(oldsite.Behaviour{Redirects: -1})
	if a := get(t, http.MethodHead, s.URL()+"?hop=100"); a.Header.Get("Location") != s.URL()+"?hop=101" {
		t.Errorf("redirects end: %d %v", a.Status, a.Header)
	}
	s.Behave(oldsite.Behaviour{Redirects: 1, RedirectTo: "http://169.254.169.254/"})
	if a := get(t, http.MethodHead, s.URL()); a.Header.Get("Location") != "http://169.254.169.254/" {
		t.Errorf("redirect to %s", a.Header.Get("Location"))
	}
}

func TestEditedIndex(t *testing.T) {
	s := start(t, oldsite.Config{Behaviour: oldsite.Behaviour{EditIndex: func(index map[string]any) { delete(index, "authentication") }}})
	if a := get(t, http.MethodGet, s.IndexURL()); strings.Contains(a.Body, "broker/v1/connect") || !strings.Contains(a.Body, "namespaces") {
		t.Error(a.Body)
	}
}
