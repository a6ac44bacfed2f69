// SPDX-License-Identifier: Apache-2.0

package sites_test

import (
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func assertion(t *testing.T, k registry.SigningKey, a protocol.SiteAssertion) string {
	t.Helper()
	token, err := protocol.SignSiteAssertion(k, a)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A new key of the site is found at once, but wrong keys do not make the
// broker ask the site more than once in ten seconds.
func TestUnknownKey(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	authenticate := func(k registry.SigningKey) error {
		a := protocol.SiteAssertion{Issuer: p.URL, Audience: issuer, IssuedAt: w.time().Unix()}
		site, err := w.Authenticate(t.Context(), assertion(t, k, a))
		if err == nil && site.Resource != p.URL {
			t.Errorf("authenticated as %s", site.Resource)
		}
		return err
	}
	fetches := func(want int64) {
		t.Helper()
		if n := p.fetches.Load(); n != want {
			t.Errorf("%d fetches, want %d", n, want)
		}
	}
	wantIs(t, authenticate(key("site")), nil)
	p.change(func() { p.key = key("next") })
	wantIs(t, authenticate(key("next")), protocol.ErrUnknownKey)
	fetches(1) // was fetched a moment ago
	w.pass(10 * time.Second)
	wantIs(t, authenticate(key("next")), nil)
	fetches(2)
	wantIs(t, authenticate(key("site")), protocol.ErrUnknownKey)
	fetches(2)

	// The site fails while somebody names wrong keys: it stays known.
	p.change(func() { p.broken = true })
	w.pass(10 * time.Second)
	wantIs(t, authenticate(key("wrong")), protocol.ErrUnknownKey)
	fetches(3)
	wantIs(t, authenticate(key("next")), nil)
	fetches(3)
	w.pass(10 * time.Minute)
	wantIs(t, authenticate(key("next")), sites.ErrUnreachable)
}

func TestAuthenticate(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	good := protocol.SiteAssertion{Issuer: p.URL, Audience: issuer, IssuedAt: w.time().Unix()}
	for _, tt := range []struct {
		name  string
		alter func(*protocol.SiteAssertion)
		want  error
	}{
		{"good", func(a *protocol.SiteAssertion) {}, nil},
		{"for another broker", func(a *protocol.SiteAssertion) { a.Audience = "https://first.example" }, protocol.ErrAudience},
		{"for the endpoint", func(a *protocol.SiteAssertion) { a.Audience = issuer + "/federation/events" }, protocol.ErrAudience},
		{"old", func(a *protocol.SiteAssertion) { a.IssuedAt -= 71 }, protocol.ErrExpired},
		{"fault 44: clock ahead by 10 min", func(a *protocol.SiteAssertion) { a.IssuedAt += 600 }, protocol.ErrClock},
		{"fault 44: clock behind by 10 min", func(a *protocol.SiteAssertion) { a.IssuedAt -= 600 }, protocol.ErrClock},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := good
			tt.alter(&a)
			_, err := w.Authenticate(t.Context(), assertion(t, key("site"), a))
			wantIs(t, err, tt.want)
		})
	}
	once := assertion(t, key("site"), good)
	_, err := w.Authenticate(t.Context(), once)
	wantIs(t, err, nil)
	_, err = w.Authenticate(t.Context(), once)
	wantIs(t, err, sites.ErrReplay)
	_, err = w.Authenticate(t.Context(), "x")
	wantIs(t, err, registry.ErrForm)

	// A site cannot speak for another.
	other := newPeer(t)
	other.change(func() { other.key = key("other") })
	_, err = w.Authenticate(t.Context(), assertion(t, key("other"), good))
	wantIs(t, err, protocol.ErrUnknownKey)
}

// An assertion for somebody else makes the broker ask nobody.
func TestAuthenticateAsksNobody(t *testing.T) {
	p, w := newPeer(t), newWorld(t, sites.Open)
	a := protocol.SiteAssertion{Issuer: p.URL, Audience: "https://first.example", IssuedAt: w.time().Unix()}
	_, err := w.Authenticate(t.Context(), assertion(t, key("site"), a))
	wantIs(t, err, protocol.ErrAudience)
	if n := p.fetches.Load(); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alter func(*peer)
		want  []string // one in each finding, in order
	}{
		{"good", func(p *peer) {}, nil},
		{"delegates elsewhere", func(p *peer) { p.meta.AuthorizationServers = []string{"https://first.example"} }, []string{"authorization_servers"}},
		{"federation", func(p *peer) { p.meta.Federation = registry.CID([]byte("other")) }, []string{"comity_federation"}},
		{"no events", func(p *peer) { p.meta.EventsEndpoint = "" }, []string{"no comity_events_endpoint"}},
		{"events not there", func(p *peer) { p.meta.EventsEndpoint = p.URL + "/nothing" }, []string{"does not take events"}},
		{"events taken blindly", func(p *peer) { p.meta.EventsEndpoint = p.URL + "/jwks" }, []string{"does not take events"}},
		{"jwks not there", func(p *peer) { p.meta.JWKSURI = p.URL + "/nothing" }, []string{"404"}},
		{"jwks elsewhere", func(p *peer) { p.meta.JWKSURI = "https://cdn.example/jwks" }, []string{"jwks_uri"}},
		{"metadata fail", func(p *peer) { p.broken = true }, []string{"500"}},
		{"fault 44: clock", func(p *peer) { p.date = "Sun, 06 Nov 1994 08:49:37 GMT" }, []string{"clocks differ"}},
		{"several", func(p *peer) {
			p.meta.AuthorizationServers, p.meta.EventsEndpoint = []string{"https://first.example"}, ""
		}, []string{"authorization_servers", "no comity_events_endpoint"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, w := newPeer(t), newWorld(t, sites.Open)
			p.date = w.time().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
			tt.alter(p)
			r := w.Check(t.Context(), p.URL)
			if r.OK() != (len(tt.want) == 0) || len(r.Findings) != len(tt.want) {
				t.Fatalf("findings: %+v", r.Findings)
			}
			for i, f := range r.Findings {
				if !strings.Contains(f.Problem, tt.want[i]) || f.Remedy == "" {
					t.Errorf("finding %d is %+v, want %q", i, f, tt.want[i])
				}
			}
		})
	}
	w := newWorld(t, sites.Listed)
	if r := w.Check(t.Context(), "wiki.example"); r.OK() {
		t.Error("not a URL, and nothing found")
	}
	p := newPeer(t)
	p.date = w.time().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	if r := w.Check(t.Context(), p.URL); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Remedy, "comity site allow "+p.URL) {
		t.Errorf("findings: %+v", r.Findings)
	}
	if r := w.Check(t.Context(), "https://169.254.169.254"); r.OK() || !strings.Contains(r.Findings[len(r.Findings)-1].Remedy, "public internet") {
		t.Errorf("findings: %+v", r.Findings)
	}
}
