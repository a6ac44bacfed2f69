// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/proxy"
	"github.com/comity-network/comity/testnet/site"
)

// rounds is how often something is killed: n times, ten times that with
// COMITY_LONG=1.
func rounds(n int) int {
	if os.Getenv("COMITY_LONG") != "" {
		return 10 * n
	}
	return n
}

// scene is one exchange at the token endpoint, and the means to end the broker
// in the middle of it.
type scene struct {
	*world
	s     *site.Site
	front *proxy.Proxy // between the app and the broker
	died  chan struct{}
}

// kill ends the broker at once.
func (c *scene) kill() {
	c.broker.Kill()
	close(c.died)
}

// points are the places where a broker can die, in the order of an exchange.
// Each arms the scene.
var points = []struct {
	name string
	arm  func(c *scene)
}{
	{"before the mint, while it asks who the site is", func(c *scene) {
		c.s.Pushes.On(site.Rule{Kind: site.Metadata, Before: c.kill})
	}},
	{"after the mint, the notification is lost", func(c *scene) {
		c.s.Pushes.On(site.Rule{Kind: protocol.EventTokenIssued, Before: c.kill, Fault: site.CutBefore})
	}},
	{"after the notification, before the site stores it", func(c *scene) {
		c.s.Pushes.On(site.Rule{Kind: protocol.EventTokenIssued, Before: c.kill})
	}},
	{"after the site stored it, before it says so", func(c *scene) {
		c.s.Pushes.On(site.Rule{Kind: protocol.EventTokenIssued, After: c.kill})
	}},
	{"after the site said so, before the broker read it", func(c *scene) {
		c.s.Pushes.On(site.Rule{Kind: protocol.EventTokenIssued, After: func() { c.broker.Signal(syscall.SIGSTOP) }})
		c.afterPush(c.kill)
	}},
	{"somewhere after the acknowledgement", func(c *scene) {
		c.afterPush(func() {
			spin(time.Duration(rand.IntN(5000)) * time.Microsecond)
			c.kill()
		})
	}},
	{"after its answer, which is lost", func(c *scene) {
		c.front.LoseAnswers(c.kill)
	}},
	{"somewhere", func(c *scene) {
		go func() {
			spin(time.Duration(rand.IntN(20000)) * time.Microsecond)
			c.kill()
		}()
	}},
}

// spin passes a time that is too short to be slept.
func spin(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
	}
}

// afterPush calls f when the site has answered one more notification of a
// token.
func (c *scene) afterPush(f func()) {
	seen := len(c.s.Pushes.All())
	go func() {
		c.s.Pushes.WaitFrom(c.ctx, seen, site.Accepted(protocol.EventTokenIssued))
		f()
	}()
}

// throughFront returns the app with its connections to the broker led through
// the proxy.
func (c *scene) throughFront(a *app.App) *app.App {
	broker := strings.TrimPrefix(c.broker.Issuer, "http://")
	copied := *a
	copied.HTTP = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == broker {
				address = c.front.Address()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	return &copied
}

// TestFault38KillBroker kills the broker between any two steps of a login and
// of a refresh. After its restart broker and site agree on every token, a
// token that the app has works, and nothing acknowledged is missing.
func TestFault38KillBroker(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	book := &ledger{world: w}
	for i := range rounds(16) {
		point, refresh := points[i%len(points)], i/len(points)%2 == 1
		name := fmt.Sprintf("%d %s", i, point.name)
		if refresh {
			name += ", at a refresh"
		}
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			book.world = &w
			killRound(&w, s, book, point.arm, refresh)
		})
		if t.Failed() {
			break
		}
	}
}

func killRound(w *world, s *site.Site, book *ledger, arm func(*scene), refresh bool) {
	front, err := proxy.New(strings.TrimPrefix(w.broker.Issuer, "http://"))
	if err != nil {
		w.Fatal(err)
	}
	defer front.Close()
	c := &scene{world: w, s: s, front: front, died: make(chan struct{})}
	registered := book.register(fmt.Sprintf("App %d", len(book.apps)))
	a := c.throughFront(registered)
	target := w.discover(a, s.API)
	form := url.Values{"grant_type": {"refresh_token"}}
	request := a.NewRequest(target, site.ReadNotes, false)
	code := w.authorize(a, target, request)
	if refresh {
		tokens, err := a.Redeem(w.ctx, target, request, code)
		if err != nil {
			w.Fatal(err)
		}
		form.Set("refresh_token", tokens.RefreshToken)
	} else {
		form = url.Values{
			"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {request.RedirectURI}, "code_verifier": {request.Verifier},
		}
	}

	w.broker.Kill() // so that it meets the site for the first time again
	w.restart()
	arm(c)
	tokens, err := a.Ask(w.ctx, target, form)
	select {
	case <-c.died:
	case <-time.After(patience):
		w.Fatalf("the broker did not come to where it dies; the app got %v", err)
	}
	s.Pushes.Clear()
	front.Set(proxy.Pass)
	w.fsck()
	w.restart()
	w.Logf("the app got %v; the broker was back after %v", err, w.broker.Ready.Took.Round(time.Millisecond))

	if err == nil {
		w.call(a, target, tokens, http.StatusOK)
	} else if !refresh {
		// The app tries again, as apps do. It gets a token that works, or a
		// refusal, never a token that does not work.
		if tokens, err = a.Ask(w.ctx, target, form); err == nil {
			w.call(a, target, tokens, http.StatusOK)
		}
	}
	w.awaitEmptyOutbox()
	w.agree(siteDatabase{s.Resource, s.DB})
	book.check()
}

// TestFault38KillSite kills the site before and after it has stored a
// notification. After its restart it agrees with the broker.
func TestFault38KillSite(t *testing.T) {
	w := newWorld(t)
	s := w.siteChild("notebook", w.logs)
	deaths := []struct{ when, kind string }{
		{"before", protocol.EventTokenIssued},
		{"after", protocol.EventTokenIssued},
		{"before", protocol.EventTokenRevoked},
		{"after", protocol.EventTokenRevoked},
		{"before", protocol.EventClientDisabled},
		{"after", protocol.EventClientDisabled},
	}
	db := openDatabase(t, site.Database(s.config.Dir))
	for i := range rounds(len(deaths)) {
		death := deaths[i%len(deaths)]
		a := w.register(fmt.Sprintf("App %d", i), "none")
		target := w.discover(a, s.API)
		request := a.NewRequest(target, site.ReadNotes, false)
		code := w.authorize(a, target, request)
		var tokens *app.Tokens
		var err error
		if death.kind != protocol.EventTokenIssued {
			if tokens, err = a.Redeem(w.ctx, target, request, code); err != nil {
				t.Fatal(err)
			}
		}
		s.dies(death.when, death.kind)
		switch death.kind {
		case protocol.EventTokenIssued:
			_, err = a.Redeem(w.ctx, target, request, code)
			w.wantError(err, http.StatusServiceUnavailable, "temporarily_unavailable")
		case protocol.EventTokenRevoked:
			if err := a.Revoke(w.ctx, target, tokens.AccessToken); err != nil {
				t.Fatal(err)
			}
		default:
			w.command("app", "revoke", a.ClientID, "--yes", "--reason", "malicious")
		}
		<-s.done
		s.start(w.logs)
		if tokens != nil {
			w.refuses(a, target, tokens)
		} else {
			w.until("the same code works", func() bool {
				tokens, err = a.Redeem(w.ctx, target, request, code)
				return err == nil
			})
			w.call(a, target, tokens, http.StatusOK)
		}
		w.awaitEmptyOutbox()
		w.agree(siteDatabase{s.Resource, db})
		if t.Failed() {
			t.Fatalf("in round %d: the site died %s %s", i, death.when, death.kind)
		}
	}
}

// TestFault63KillUnderLoad kills the broker at random moments while logins,
// refreshes, registrations and stops are under way.
func TestFault63KillUnderLoad(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	book := &ledger{world: w}
	for i := range rounds(5) {
		l := newLoad(w, s, book)
		l.start()
		l.await(5 + rand.IntN(60))
		spin(time.Duration(rand.IntN(3000)) * time.Microsecond)
		w.broker.Kill()
		l.stop()
		w.fsck()
		w.restart()
		t.Logf("round %d: killed after %d operations; the broker was back after %v", i, l.done.Load(), w.broker.Ready.Took.Round(time.Millisecond))
		w.awaitEmptyOutbox()
		w.agree(siteDatabase{s.Resource, s.DB})
		l.checkTokens()
		book.check()
		if t.Failed() {
			break
		}
	}
}
