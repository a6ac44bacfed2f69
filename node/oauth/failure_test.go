// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/site/protocol"
)

// agree asserts that broker and site hold the same tokens for good, after what
// is in the outbox was delivered, and that nothing is pending.
func (w *world) agree(t *testing.T) {
	t.Helper()
	w.deliver()
	pending, err := w.db.Pending(context.Background(), w.clock.now().Unix()+1000)
	check(t, err)
	if len(pending) != 0 {
		t.Errorf("%d tokens are pending", len(pending))
	}
	for _, hash := range w.site.live() {
		if got, err := w.db.Token(context.Background(), w.stored(hash)); err != nil || got.State != oauth.TokenReleased {
			t.Errorf("the site accepts a token that is %q at the broker (%v)", got.State, err)
		}
	}
}

// fault 37, and silence: what the app, the site and the broker hold after each
// way in which a site can fail to answer.
func TestFault37SiteFails(t *testing.T) {
	for name, test := range map[string]struct {
		mood   mood
		status int
		code   string
		again  string // what the same code gives when the site is well again
	}{
		"500":                     {fails, 503, "temporarily_unavailable", ""},
		"500 after it stored":     {storesFails, 503, "temporarily_unavailable", ""},
		"silence":                 {silent, 503, "temporarily_unavailable", ""},
		"silence after it stored": {storesSilent, 503, "temporarily_unavailable", ""},
		"stale":                   {stale, 503, "temporarily_unavailable", ""},
		"refusal":                 {refuses, 400, "invalid_grant", "invalid_grant"},
		"denial":                  {denies, 400, "invalid_grant", "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.public()
			w.site.setMood(test.mood)
			code, v := a.consent(w.site)
			answer := a.redeem(code, v)
			want(t, answer, test.status, test.code)
			if (answer.Header.Get("Retry-After") != "") != (test.status == 503) {
				t.Errorf("Retry-After %q", answer.Header.Get("Retry-After"))
			}
			w.agree(t)
			w.site.setMood(accepts)
			again := a.redeem(code, v)
			if test.again != "" {
				want(t, again, http.StatusBadRequest, test.again)
				w.agree(t)
				return
			}
			access, refresh := tokens(t, again)
			w.agree(t)
			if live := w.site.live(); len(live) != 1 || !w.site.accepted(access) {
				t.Errorf("the site accepts %d tokens", len(live))
			}
			// The same, for a refresh.
			w.site.setMood(test.mood)
			want(t, a.refresh(refresh), test.status, test.code)
			w.site.setMood(accepts)
			tokens(t, a.refresh(refresh))
			w.agree(t)
		})
	}
}

// The same code may be tried three times.
func TestThreeTries(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	w.site.setMood(fails)
	code, v := a.consent(w.site)
	for range oauth.MaxTries {
		want(t, a.redeem(code, v), http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	w.site.setMood(accepts)
	want(t, a.redeem(code, v), http.StatusBadRequest, "invalid_grant")
}

// A replay while the first redemption is under way revokes nothing.
func TestReplayWhilePending(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, v := a.consent(w.site)
	w.site.setDuring(func() {
		w.site.setDuring(nil)
		want(t, a.redeem(code, v), http.StatusBadRequest, "invalid_grant")
	})
	access, _ := tokens(t, a.redeem(code, v))
	if !w.active(w.site, access) {
		t.Error("the token is dead")
	}
}

// An app that hangs up gets no token, and leaves no doubt.
func TestClientGoesAway(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	code, v := a.consent(w.site)
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan struct{})
	handler := w.handler
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer close(answered)
		handler.ServeHTTP(rw, r)
	})
	w.site.setDuring(cancel)
	form := codeForm(code, v)
	form.Set("client_id", a.id)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.issuer+"/oauth/token", strings.NewReader(form.Encode()))
	check(t, err)
	r.Header.Set("Content-Type", formType)
	if _, err := http.DefaultClient.Do(r); !errors.Is(err, context.Canceled) {
		t.Fatalf("request: %v", err)
	}
	<-answered
	w.agree(t)
	if len(w.site.live()) != 1 {
		t.Errorf("the site accepts %d tokens, expected the one that was released", len(w.site.live()))
	}
}

var errCrash = errors.New("the process is gone")

// mortal is a store and a sender that die at one step, as a process does:
// from then on nothing works any more.
type mortal struct {
	oauth.Store
	sender oauth.Sender
	at     string // "mint", "deliver" or "release"
	after  bool   // the step has its effect before the process dies
	dead   bool
}

// step runs f, unless the process is dead or dies before it.
func (m *mortal) step(name string, f func() error) error {
	if m.dead || name == m.at && !m.after {
		m.dead = true
		return errCrash
	}
	err := f()
	if name == m.at {
		m.dead = true
		return errCrash
	}
	return err
}

func (m *mortal) Mint(ctx context.Context, mint oauth.Mint) error {
	return m.step("mint", func() error { return m.Store.Mint(ctx, mint) })
}

func (m *mortal) Release(ctx context.Context, key string, now time.Time) error {
	return m.step("release", func() error { return m.Store.Release(ctx, key, now) })
}

func (m *mortal) Void(ctx context.Context, key string, o oauth.Outcome, at int64, queue ...notify.Message) error {
	return m.step("void", func() error { return m.Store.Void(ctx, key, o, at, queue...) })
}

func (m *mortal) RevokeToken(ctx context.Context, hash string, at int64, reason string, queue ...notify.Message) error {
	return m.step("revoke", func() error { return m.Store.RevokeToken(ctx, hash, at, reason, queue...) })
}

func (m *mortal) Deliver(ctx context.Context, message notify.Message) (a notify.Answer) {
	err := m.step("deliver", func() error {
		a = m.sender.Deliver(ctx, message)
		return nil
	})
	if err != nil {
		return notify.Answer{Err: err}
	}
	return a
}

// fault 38: the process dies between any two steps. After the restart every
// token is either acknowledged and released, or void and the site knows; none
// is active without acknowledgement; and the app can go on.
func TestFault38Crash(t *testing.T) {
	for _, grant := range []string{"code", "refresh"} {
		for _, step := range []string{"mint", "deliver", "release"} {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, dies at %s, effect %v", grant, step, after), func(t *testing.T) {
					w := newWorld(t)
					a := w.public()
					code, v := a.consent(w.site)
					use := func() response { return a.redeem(code, v) }
					if grant == "refresh" {
						_, refresh := tokens(t, a.redeem(code, v))
						use = func() response { return a.refresh(refresh) }
					}
					before := len(w.site.live())

					m := &mortal{Store: w.cfg.Store, sender: w.cfg.Sender, at: step, after: after}
					healthy := w.cfg
					w.cfg.Store, w.cfg.Sender = m, m
					w.start()
					if answer := use(); answer.Status < 500 || answer.text("access_token") != "" {
						t.Fatalf("the dying process answered %d %s", answer.Status, answer.Body)
					}

					w.cfg = healthy
					w.start() // recovers
					w.agree(t)
					released := step == "release" && after
					if got, want := len(w.site.live())-before, map[bool]int{true: 1}[released]; got != want {
						t.Errorf("the site accepts %d new tokens, expected %d", got, want)
					}
					w.clock.advance(3 * time.Second)
					answer := use()
					if released {
						// The app never got it: to the broker that is a replay,
						// and the user logs in again.
						want(t, answer, http.StatusBadRequest, "invalid_grant")
					} else {
						tokens(t, answer)
					}
					w.agree(t)
				})
			}
		}
	}
}

// A write that failed in a process that lives on: the app gets no token, and
// whatever of it is on disk ends at once or by the sweep.
func TestReleaseFailed(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("effect %v", after), func(t *testing.T) {
			w := newWorld(t, func(w *world, cfg *oauth.Config) {
				cfg.Store = &flaky{Store: cfg.Store, after: after}
			})
			a := w.public()
			answer := a.login(w.site)
			want(t, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
			w.agree(t)
			if len(w.site.live()) != 0 {
				t.Error("the site accepts a token that nobody has")
			}
		})
	}
}

// flaky cannot release.
type flaky struct {
	oauth.Store
	after bool // the release is on disk although it failed
}

func (f *flaky) Release(ctx context.Context, key string, now time.Time) error {
	if f.after {
		if err := f.Store.Release(ctx, key, now); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: no space", oauth.ErrUnavailable)
}

// fault 64, the handlers' half: while nothing can be written, tokens are
// refused with 503 and introspection goes on.
func TestFault64NoSpace(t *testing.T) {
	f := &full{}
	w := newWorld(t, func(w *world, cfg *oauth.Config) {
		f.Store = cfg.Store
		cfg.Store = f
	})
	a := w.keyed(w.issuer)
	access, refresh := tokens(t, a.login(w.site))
	f.full = true
	for _, answer := range []response{a.login(w.site), a.refresh(refresh), a.revoke(access)} {
		want(t, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
		if strings.Contains(answer.Body, "/tmp") || answer.Header.Get("Retry-After") == "" {
			t.Errorf("answer %s", answer.Body)
		}
	}
	if !w.active(w.site, access) || a.introspect(access).JSON["active"] != true {
		t.Error("introspection does not go on")
	}
	f.full = false
	tokens(t, a.refresh(refresh))
}

// full is a store on a disk without space.
type full struct {
	oauth.Store
	full bool
}

var errNoSpace = fmt.Errorf("%w: write /tmp/x: no space left on device", oauth.ErrUnavailable)

func (f *full) Mint(ctx context.Context, m oauth.Mint) error {
	if f.full {
		return errNoSpace
	}
	return f.Store.Mint(ctx, m)
}

func (f *full) Claim(ctx context.Context, id oauth.OneTime) error {
	if f.full {
		return errNoSpace
	}
	return f.Store.Claim(ctx, id)
}

// Errors that no one expected tell the client nothing.
func TestServerError(t *testing.T) {
	b := &broken{}
	w := newWorld(t, func(w *world, cfg *oauth.Config) {
		b.Store = cfg.Store
		cfg.Store = b
	})
	a := w.public()
	answer := a.refresh("x")
	want(t, answer, http.StatusInternalServerError, "server_error")
	id := answer.Header.Get(oauth.RequestIDHeader)
	if strings.Contains(answer.Body, "innards") || !strings.Contains(answer.Body, id) {
		t.Errorf("answer %s", answer.Body)
	}
	if log := w.logged.String(); !strings.Contains(log, "innards") || !strings.Contains(log, id) {
		t.Error("the log does not say what happened")
	}
}

type broken struct{ oauth.Store }

func (b *broken) Refresh(context.Context, string) (oauth.Refresh, oauth.Family, error) {
	return oauth.Refresh{}, oauth.Family{}, errors.New("innards")
}

// fault 84, for this package: no secret is in the database or in the log.
func TestFault84NoSecretIsKept(t *testing.T) {
	w := newWorld(t)
	id := w.ledger.register(w.issuer, metadata("client_secret_post"))
	public, keyed := w.public().withDPoP(), w.keyed(w.issuer)
	var secrets []string
	code, v := public.consent(w.site)
	access, refresh := tokens(t, public.redeem(code, v))
	next, _ := tokens(t, public.refresh(refresh))
	public.redeem(code, v)
	public.refresh(refresh)
	secrets = append(secrets, code, v, access, refresh, next)
	code, v = (&app{w: w, id: id}).consent(w.site)
	form := codeForm(code, v)
	form.Set("client_id", id)
	form.Set("client_secret", secret)
	access, refresh = tokens(t, w.post("/oauth/token", form))
	form.Set("client_secret", secret+"wrong")
	w.post("/oauth/token", form)
	secrets = append(secrets, code, v, access, refresh, secret)
	assertion := keyed.assertion(nil)
	form = codeForm(keyed.consent(w.site))
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", assertion)
	w.site.setMood(fails)
	w.post("/oauth/token", form)
	secrets = append(secrets, assertion, form.Get("code"))

	check(t, w.db.Close())
	files, err := filepath.Glob(w.path + "*")
	check(t, err)
	text := w.logged.String()
	for _, name := range files {
		data, err := os.ReadFile(name)
		check(t, err)
		text += string(data)
	}
	if !strings.Contains(text, protocol.TokenHash(access)) {
		t.Fatal("the database does not hold the hash: the test proves nothing")
	}
	for i, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("secret %d is kept in clear", i)
		}
		if parts := strings.Split(s, "."); len(parts) == 3 && strings.Contains(text, parts[2]) {
			t.Errorf("the signature of secret %d is kept in clear", i)
		}
	}
}

// The sweep makes void what a failed write has left pending.
func TestRunSweeps(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	m := &mortal{Store: w.cfg.Store, sender: w.cfg.Sender, at: "deliver", after: true}
	w.cfg.Store, w.cfg.Sender = m, m
	w.start()
	code, v := a.consent(w.site)
	a.redeem(code, v)
	m.dead, m.at = false, "" // the disk works again
	w.clock.advance(time.Minute)
	check(t, w.server.Sweep(context.Background()))
	w.agree(t)
	if len(w.site.live()) != 0 {
		t.Error("the site accepts the token")
	}
}
