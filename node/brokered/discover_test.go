// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/brokered"
	"github.com/comity-network/comity/testnet/oldsite"
)

// Every way in which sites name their index leads to a connection.
func TestDiscovery(t *testing.T) {
	for name, c := range map[string]oldsite.Config{
		"one link":            {},
		"several headers":     {Behaviour: oldsite.Behaviour{Link: oldsite.SeveralHeaders}},
		"several links":       {Behaviour: oldsite.Behaviour{Link: oldsite.SeveralLinks}},
		"parameter order":     {Behaviour: oldsite.Behaviour{Link: oldsite.ParameterOrder}},
		"several relations":   {Behaviour: oldsite.Behaviour{Link: oldsite.SeveralRels}},
		"relative":            {Behaviour: oldsite.Behaviour{Link: oldsite.RelativeLink}},
		"below a path":        {Path: "/blog"},
		"plain permalinks":    {PlainPermalinks: true},
		"plain below a path":  {PlainPermalinks: true, Path: "/blog"},
		"five redirects":      {Behaviour: oldsite.Behaviour{Redirects: 5}},
		"an index of 196 KB":  {Behaviour: oldsite.Behaviour{IndexBytes: oldsite.MeasuredIndex}},
		"the endpoint itself": {Behaviour: oldsite.Behaviour{Link: oldsite.EndpointHeader}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			home := w.home()
			c.Brokers = map[string]string{home.issuer + "/": home.issuer + "/broker/verify"}
			site := w.siteOf(c)
			a := home.connect(site.URL())
			a.want(t, http.StatusOK, "")
			live(t, site)
			root := site.IndexURL()
			if c.Behaviour.Link == oldsite.EndpointHeader {
				root = ""
			}
			if a.text("api_root") != root {
				t.Errorf("api_root is %q, expected %q", a.text("api_root"), root)
			}
			for _, e := range site.LogOf(oldsite.Index) {
				if u, err := url.Parse(e.URL); err != nil || u.Query().Get("_fields") != "authentication,namespaces,name,description,url,home" {
					t.Errorf("index asked: %s", e.URL)
				}
			}
		})
	}
}

// What a site must not be, and what its owner reads.
func TestUnusableSites(t *testing.T) {
	edit := func(f func(map[string]any)) oldsite.Behaviour { return oldsite.Behaviour{EditIndex: f} }
	broker := func(v any) oldsite.Behaviour {
		return edit(func(m map[string]any) { m["authentication"] = map[string]any{"broker": v} })
	}
	for name, test := range map[string]struct {
		b    oldsite.Behaviour
		says string
	}{
		"no link":              {oldsite.Behaviour{Link: oldsite.NoLink}, "names no API index"},
		"six redirects":        {oldsite.Behaviour{Redirects: 6}, "more than 5 times"},
		"redirects for ever":   {oldsite.Behaviour{Redirects: -1}, "more than 5 times"},
		"redirect to gopher":   {oldsite.Behaviour{Redirects: 1, RedirectTo: "gopher://127.0.0.1/"}, "does not follow"},
		"redirect with user":   {oldsite.Behaviour{Redirects: 1, RedirectTo: "http://a:b@127.0.0.1/"}, "user info"},
		"no plugin":            {edit(func(m map[string]any) { m["authentication"] = []any{} }), "plugin"},
		"null":                 {edit(func(m map[string]any) { m["authentication"] = nil }), "plugin"},
		"nothing":              {edit(func(m map[string]any) { delete(m, "authentication") }), "plugin"},
		"only OAuth":           {edit(func(m map[string]any) { delete(m["authentication"].(map[string]any), "broker") }), "plugin"},
		"authentication text":  {edit(func(m map[string]any) { m["authentication"] = "x" }), "not an object"},
		"broker is an object":  {broker(map[string]any{"url": "x"}), "not a URL string"},
		"broker is null":       {broker(nil), "not a URL string"},
		"broker is relative":   {broker("/connect"), "not an absolute URL"},
		"broker with user":     {broker("http://u@127.0.0.1/"), "user info"},
		"broker with fragment": {broker("http://127.0.0.1/#x"), "fragment"},
		"broker is mail":       {broker("mailto:a@b.example"), "https"},
		"broker is long":       {broker("http://127.0.0.1/" + strings.Repeat("x", 3000)), "2048"},
		"name is a number":     {edit(func(m map[string]any) { m["name"] = 7 }), "name has the wrong type"},
		"namespaces is text":   {edit(func(m map[string]any) { m["namespaces"] = "wp/v2" }), "namespaces has the wrong type"},
		"300 namespaces":       {edit(func(m map[string]any) { m["namespaces"] = make300() }), "namespaces"},
		"huge authentication":  {edit(func(m map[string]any) { m["authentication"].(map[string]any)["x"] = strings.Repeat("x", 9000) }), "8192"},
		"index of 300 KB":      {oldsite.Behaviour{IndexBytes: 300 << 10, EditIndex: func(m map[string]any) { m["description"] = strings.Repeat("x", 300<<10) }}, "too long"},
		"index is a page":      {oldsite.Behaviour{IndexFault: oldsite.NotJSON}, "not a JSON object"},
		"index is broken":      {oldsite.Behaviour{IndexFault: oldsite.Broken}, "does not answer as it should"},
		"endless index":        {oldsite.Behaviour{IndexFault: oldsite.Endless}, ""},     // fault 36
		"endless header":       {oldsite.Behaviour{HeadFault: oldsite.Endless}, ""},      // fault 36
		"cut":                  {oldsite.Behaviour{HeadFault: oldsite.Cut}, ""},          // fault 36
		"endless answer":       {oldsite.Behaviour{ConnectFault: oldsite.Endless}, ""},   // fault 36
		"connection cut":       {oldsite.Behaviour{ConnectFault: oldsite.Cut}, "answer"}, // fault 36
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			home := w.home()
			site := w.newSite(test.b, home)
			a := home.connect(site.URL())
			a.want(t, http.StatusBadGateway, "comity.site_unusable")
			if !strings.Contains(a.text("message"), test.says) {
				t.Errorf("message is %q, expected %q in it", a.text("message"), test.says)
			}
			if !home.Idle() {
				t.Error("something is left behind")
			}
		})
	}
}

func make300() []any {
	all := make([]any, 300)
	for i := range all {
		all[i] = "x"
	}
	return all
}

// fault 36: a site that keeps a connection waiting, at each step.
func TestFault36SlowSites(t *testing.T) {
	quick := func(b *broker) {
		b.cfg.Discovery = guard.New(guard.Config{AllowPrivate: true, Timeout: 150 * time.Millisecond})
		b.cfg.Requests = guard.New(guard.Config{AllowPrivate: true, Timeout: 150 * time.Millisecond})
	}
	for _, fault := range []oldsite.Fault{oldsite.Silent, oldsite.Trickle} {
		for name, test := range map[string]struct {
			b      oldsite.Behaviour
			status int
			code   string
		}{
			"head":    {oldsite.Behaviour{HeadFault: fault}, 502, "comity.site_unusable"},
			"index":   {oldsite.Behaviour{IndexFault: fault}, 502, "comity.site_unusable"},
			"connect": {oldsite.Behaviour{ConnectFault: fault}, 409, "ba.timed_out"},
		} {
			t.Run(fmt.Sprint(name, fault), func(t *testing.T) {
				w := newWorld(t)
				home := w.home(quick)
				site := w.newSite(test.b, home)
				began := time.Now()
				home.connect(site.URL()).want(t, test.status, test.code)
				if d := time.Since(began); d > 3*time.Second {
					t.Errorf("took %v", d)
				}
				if !home.Idle() {
					t.Error("something is left behind")
				}
			})
		}
	}
}

// A discovery counts for a day, and until a connection request fails.
func TestDiscoveryIsKept(t *testing.T) {
	w := newWorld(t)
	home := w.home()
	site := w.newSite(oldsite.Behaviour{}, home)
	heads := func(want int) {
		t.Helper()
		if n := len(site.LogOf(oldsite.Discovery)); n != want {
			t.Errorf("%d discoveries, expected %d", n, want)
		}
	}
	home.connect(site.URL()).want(t, 200, "")
	home.connect(site.URL()).want(t, 200, "")
	heads(1)
	w.clock.pass(24 * time.Hour)
	home.connect(site.URL()).want(t, 200, "")
	heads(2)
	site.Behave(oldsite.Behaviour{Refuse: &oldsite.Refusal{Status: 400, Code: "ba.rejected_client", Message: "No."}})
	home.connect(site.URL()).want(t, 400, "ba.rejected_client")
	site.Behave(oldsite.Behaviour{Refuse: &oldsite.Refusal{Status: 404, Code: "rest_no_route", Message: "No."}})
	home.connect(site.URL()).want(t, 404, "rest_no_route")
	heads(2)
	site.Behave(oldsite.Behaviour{})
	home.connect(site.URL()).want(t, 200, "")
	heads(3)
}

// What is remembered of sites is bounded.
func TestDiscoveriesAreBounded(t *testing.T) {
	s := newStage(t)
	s.post = s.confirms
	for i := range 1100 {
		s.serve(s.signed(t.Context(), client, secret, url.Values{"server_url": {fmt.Sprint(stageSite, i)}})).want(t, 200, "")
	}
	if found, _ := s.Remembered(); found != 1000 {
		t.Errorf("%d discoveries in memory", found)
	}
}

// From https no step leads to http.
func TestNoWayToHTTP(t *testing.T) {
	for name, change := range map[string]func(s *stage){
		"redirect": func(s *stage) {
			s.header = func(*http.Request) http.Header { return http.Header{"Location": {"http://blog.example/"}} }
		},
		"index": func(s *stage) {
			s.header = func(*http.Request) http.Header {
				return http.Header{"Link": {`<http://blog.example/wp-json/>; rel="https://api.w.org/"`}}
			}
		},
		"endpoint": func(s *stage) {
			s.index = strings.Replace(s.index, "https://blog.example/connect", "http://blog.example/connect", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			change(s)
			s.stageConnect(t.Context()).want(t, http.StatusBadGateway, "comity.site_unusable")
			for asked := range s.requests {
				if strings.Contains(asked, "http://") {
					t.Errorf("asked %s", asked)
				}
			}
		})
	}
}

// A link that is relative, after redirects, is relative to the last page.
func TestRelativeAfterRedirects(t *testing.T) {
	s := newStage(t)
	s.post = s.confirms
	s.header = func(r *http.Request) http.Header {
		switch r.URL.String() {
		case stageSite:
			return http.Header{"Location": {"/en"}}
		case stageSite + "en":
			return http.Header{"Location": {"../en/home/?a=b"}}
		}
		return http.Header{"Link": {`<?rest_route=/>; rel="https://api.w.org/"`}}
	}
	a := s.stageConnect(t.Context())
	a.want(t, http.StatusOK, "")
	if a.text("api_root") != "https://blog.example/en/home/?rest_route=/" || s.requests["GET https://blog.example/en/home/?rest_route=/&_fields=authentication,namespaces,name,description,url,home"] != 1 {
		t.Errorf("api_root is %s; asked %v", a.text("api_root"), s.requests)
	}
}

// fault 33: addresses that nobody may make this broker reach, at each of
// the four steps. The table of addresses is internal/guard's; here each step is
// shown to go through it. The spy is on loopback, which a public broker does
// not reach.
func TestFault33EachStepIsGuarded(t *testing.T) {
	var seen atomic.Int64
	spy, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := spy.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			c.Close()
		}
	}()
	defer func() { spy.Close(); <-done }()
	_, port, err := net.SplitHostPort(spy.Addr().String())
	check(t, err)

	// Names are those of /etc/hosts; what else looks like one is none.
	names := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
	guarded := guard.New(guard.Config{Ports: []uint16{443, uint16(spy.Addr().(*net.TCPAddr).Port)}, Resolver: names})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "0.0.0.0", "[::]",
		"10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "site.local",
	} {
		for _, scheme := range []string{"https", "http", "gopher"} {
			evil := scheme + "://" + host + ":" + port + "/"
			for step, change := range map[string]func(s *stage) string{
				"server": func(*stage) string { return evil },
				"redirect": func(s *stage) string { // fault 35
					s.header = func(*http.Request) http.Header { return http.Header{"Location": {evil}} }
					return stageSite
				},
				"index": func(s *stage) string {
					s.header = func(*http.Request) http.Header {
						return http.Header{"Link": {"<" + evil + `>; rel="https://api.w.org/"`}}
					}
					return stageSite
				},
				"endpoint": func(s *stage) string {
					s.index = strings.Replace(s.index, "https://blog.example/connect", evil, 1)
					return stageSite
				},
			} {
				s := newStage(t)
				out := &http.Client{Transport: either{s, guarded.Transport}, Timeout: 2 * time.Second}
				s.cfg.Discovery, s.cfg.Requests = out, out
				s.restart()
				server := change(s)
				a := s.serve(s.signed(t.Context(), client, secret, url.Values{"server_url": {server}}))
				if a.status != 502 && a.status != 400 || a.text("client_token") != "" {
					t.Errorf("%s %s: %d %s", step, evil, a.status, a.body)
				}
			}
		}
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("the spy saw %d connections", n)
	}
	c, err := net.Dial("tcp", spy.Addr().String()) // it is awake
	check(t, err)
	c.Read(make([]byte, 1))
	c.Close()
	if seen.Load() != 1 {
		t.Error("the spy does not see")
	}
}

// either sends what is for the stage's site there, and all else out.
type either struct {
	stage *stage
	out   http.RoundTripper
}

func (e either) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "blog.example" {
		return e.stage.RoundTrip(r)
	}
	return e.out.RoundTrip(r)
}

// fault 35: a connection request is not sent on by a redirect, and what is
// inside is not reached by one.
func TestFault35Redirects(t *testing.T) {
	var inside atomic.Int64
	internal := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer internal.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		w := newWorld(t)
		home := w.home()
		var site *httptest.Server
		site = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				http.Redirect(rw, r, internal.URL, code)
			case r.Method == http.MethodHead:
				rw.Header().Set("Link", "<"+site.URL+`/index>; rel="https://api.w.org/"`)
			default:
				fmt.Fprintf(rw, `{"authentication":{"broker":"%s/connect"}}`, site.URL)
			}
		}))
		home.connect(site.URL).want(t, http.StatusBadGateway, "comity.site_unusable")
		site.Close()
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestFindAPI(t *testing.T) {
	for _, test := range []struct {
		headers []string
		want    string
	}{
		{[]string{`<https://a.example/wp-json/>; rel="https://api.w.org/"`}, "https://a.example/wp-json/"},
		{[]string{`<https://a.example/wp-json/>; rel=https://api.w.org/`}, "https://a.example/wp-json/"},
		{[]string{`<https://a.example/>;rel="https://api.w.org/"`}, "https://a.example/"},
		{[]string{`<a,b;c>; rel="https://api.w.org/"`}, "a,b;c"},
		{[]string{`<a>; rel="x https://api.w.org/ y"`}, "a"},
		{[]string{`<a>; rel="HTTPS://API.W.ORG/"`}, "a"},
		{[]string{`<a>; REL = "https://api.w.org/"`}, "a"},
		{[]string{`<a>; title="a, <b>; rel=\"x\""; rel="https://api.w.org/"`}, "a"},
		{[]string{`<a>; title*=UTF-8''x; rel="https://api.w.org/"; type="x"`}, "a"},
		{[]string{`<a>; rel=next, <b>; rel="https://api.w.org/"`}, "b"},
		{[]string{`<a>; rel=next`, `<b>; rel="https://api.w.org/"`}, "b"},
		{[]string{`,, ,<a>; rel="https://api.w.org/",`}, "a"},
		{[]string{`<a>;; ;rel="https://api.w.org/"`}, "a"},
		{[]string{`<a>; crossorigin; rel="https://api.w.org/"`}, "a"},
		{[]string{`<>; rel="https://api.w.org/"`}, ""},
		{[]string{`<a>; rel="https://api.w.org/", <b>; rel="https://api.w.org/"`}, "a"},
		{[]string{`<a>; rel=next; rel="https://api.w.org/"`}, "none"},
		{[]string{`<a>; anchor="/x"; rel="https://api.w.org/"`}, "none"},
		{[]string{`<a>; rel="https://api.w.org/x"`}, "none"},
		{[]string{`<a>; title="rel=https://api.w.org/"`}, "none"},
		{[]string{`<a`}, "none"},
		{[]string{`<a>; rel="https://api.w.org/`}, "none"},
		{[]string{`a; rel="https://api.w.org/"`}, "none"},
		{[]string{`<a> rel="https://api.w.org/"`}, "none"},
		{[]string{``}, "none"},
		{nil, "none"},
	} {
		got, ok := brokered.FindAPI(test.headers...)
		if !ok {
			got = "none"
		}
		if got != test.want {
			t.Errorf("%q: %q, expected %q", test.headers, got, test.want)
		}
	}
}
