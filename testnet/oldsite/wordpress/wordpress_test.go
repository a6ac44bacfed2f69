// SPDX-License-Identifier: Apache-2.0

package wordpress_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node/brokered/oauth1"
	"github.com/comity-network/comity/testnet/oldsite/wordpress"
)

const callback = "http://127.0.0.1:9500/cb"

// broker is a stand-in: it keeps what sites confirm.
type broker struct {
	*httptest.Server
	status int
	before func(context.Context) // is called before a confirm is answered; may be nil

	mu       sync.Mutex
	confirms []url.Values
	order    []string
}

func newBroker(t *testing.T, w *wordpress.WordPress) *broker {
	t.Helper()
	b := &broker{status: http.StatusOK}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	for i := range w.URLs {
		w.AllowBroker(t, i, b.URL+"/", b.URL+"/broker/confirm/")
	}
	return b
}

func (b *broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	if b.before != nil {
		b.before(r.Context())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.confirms = append(b.confirms, form)
	b.order = append(b.order, "confirm")
	w.WriteHeader(b.status)
}

func (b *broker) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(b.order, what)
}

// last is the last confirm.
func (b *broker) last(t *testing.T) url.Values {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.confirms) == 0 {
		t.Fatal("the site confirms nothing")
	}
	return b.confirms[len(b.confirms)-1]
}

// answered is an answer of a site.
type answered struct {
	Status int
	Header http.Header
	Body   string
}

// send may be called from any goroutine: an answer of status 0 is a failure that
// it has reported.
func send(t *testing.T, method, to string, form url.Values, sign func(*http.Request) error) answered {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a, err := try(ctx, method, to, form, sign)
	if err != nil {
		t.Error(err)
	}
	return a
}

func try(ctx context.Context, method, to string, form url.Values, sign func(*http.Request) error) (answered, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return answered{}, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if sign != nil {
		if err := sign(r); err != nil {
			return answered{}, err
		}
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return answered{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answered{}, err
	}
	return answered{response.StatusCode, response.Header, string(body)}, nil
}

// found is what discovery finds of a site.
type found struct {
	Authentication struct {
		Broker string
		OAuth1 struct{ Request, Authorize, Access string }
	}
	Namespaces []string
	root       string
}

// discover does what a broker does before it connects.
func discover(t *testing.T, site string) found {
	t.Helper()
	link := send(t, http.MethodHead, site, nil, nil).Header.Get("Link")
	root, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="https://api.w.org/"`)
	if !ok {
		t.Fatalf("Link: %q", link)
	}
	f := found{root: root}
	index := send(t, http.MethodGet, root+"?_fields=authentication,namespaces", nil, nil)
	if err := json.Unmarshal([]byte(index.Body), &f); err != nil || index.Status != 200 || len(index.Body) > 2000 {
		t.Fatalf("%v: %d, %d bytes: %.2000s", err, index.Status, len(index.Body), index.Body)
	}
	return f
}

// connect sends a connection request.
func (b *broker) connect(t *testing.T, to, clientID string, more url.Values) answered {
	t.Helper()
	form := url.Values{
		"client_id": {clientID}, "broker": {b.URL + "/"}, "verifier": {strings.ToLower(rand.Text())},
		"callback_url": {callback}, "client_name": {`An "app" & <more>`},
	}
	for name, values := range more {
		form[name] = values
	}
	return send(t, http.MethodPost, to, form, nil)
}

// client is what a confirm has made.
type client struct{ key, secret string }

// signed signs a request of the client now.
func (c client) signed(method oauth1.Method, token, secret string, change func(*oauth1.Parameters)) func(*http.Request) error {
	return func(r *http.Request) error {
		p := oauth1.Parameters{ConsumerKey: c.key, Token: token, Method: method, Nonce: rand.Text(), Timestamp: time.Now().Unix()}
		if change != nil {
			change(&p)
		}
		return oauth1.SignHMAC(r, nil, p, c.secret, secret)
	}
}

func pair(t *testing.T, a answered) (key, secret string) {
	t.Helper()
	form, err := url.ParseQuery(a.Body)
	if err != nil || a.Status != 200 || !form.Has("oauth_token_secret") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return form.Get("oauth_token"), form.Get("oauth_token_secret")
}

// authorize runs the three legs.
func authorize(t *testing.T, w *wordpress.WordPress, f found, c client, method oauth1.Method) (token, secret string) {
	t.Helper()
	request, requestSecret := pair(t, send(t, http.MethodPost, f.Authentication.OAuth1.Request, nil,
		c.signed(method, "", "", func(p *oauth1.Parameters) { p.Callback = callback + "?state=xyz" })))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	back, err := w.User.Approve(ctx, f.Authentication.OAuth1.Authorize+"?oauth_token="+request, callback)
	if err != nil {
		t.Fatal(err)
	}
	if q := back.Query(); q.Get("state") != "xyz" || q.Get("oauth_token") != request || q.Get("wp_scope") != "*" {
		t.Fatalf("sent back to %s", back)
	}
	redeem := func(verifier string) answered {
		return send(t, http.MethodPost, f.Authentication.OAuth1.Access, nil,
			c.signed(method, request, requestSecret, func(p *oauth1.Parameters) { p.Verifier = verifier }))
	}
	if a := redeem("wrong"); a.Status != 401 || !strings.Contains(a.Body, "verifier") {
		t.Errorf("a wrong verifier: %d %s", a.Status, a.Body)
	}
	answers := make(chan answered, 5)
	for range cap(answers) {
		go func() { answers <- redeem(back.Query().Get("oauth_verifier")) }()
	}
	redeemed := 0
	for range cap(answers) {
		if a := <-answers; a.Status == http.StatusOK {
			redeemed++
			token, secret = pair(t, a)
		}
	}
	if redeemed != 1 {
		t.Fatalf("of five at once, %d redeem a verifier", redeemed)
	}
	return token, secret
}

func TestWordPress(t *testing.T) {
	w := wordpress.Start(t)
	b := newBroker(t, w)
	for i, site := range w.URLs {
		t.Run(fmt.Sprintf("site %d", i+1), func(t *testing.T) {
			f := discover(t, site)
			t.Run("connects and authorizes", func(t *testing.T) { connectAndAuthorize(t, w, b, f) })
			t.Run("refuses", func(t *testing.T) { refuses(t, b, f) })
			t.Run("checks signatures", func(t *testing.T) { checksSignatures(t, b, f) })
			t.Run("connects at the same time", func(t *testing.T) { connectsTogether(t, w, b, i, f) })
			t.Run("serves plain permalinks", func(t *testing.T) {
				if a := b.connect(t, site+"index.php?rest_route=/broker/v1/connect", "plain", nil); a.Status != http.StatusAccepted {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		})
	}
}

func connectAndAuthorize(t *testing.T, w *wordpress.WordPress, b *broker, f found) {
	id := "client-" + rand.Text()
	a := b.connect(t, f.Authentication.Broker, id, nil)
	b.note("answer")
	if a.Status != http.StatusAccepted {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	first := b.last(t)
	if first.Get("client_id") != id || len(first) != 4 || len(first.Get("client_token")) != 12 || len(first.Get("client_secret")) != 48 {
		t.Fatalf("confirm of %d members, token of %d, secret of %d", len(first), len(first.Get("client_token")), len(first.Get("client_secret")))
	}
	if n := len(b.order); b.order[n-2] != "confirm" || b.order[n-1] != "answer" {
		t.Errorf("order: %v", b.order)
	}
	c := client{first.Get("client_token"), first.Get("client_secret")}
	for _, method := range []oauth1.Method{oauth1.HMACSHA1, oauth1.HMACSHA256} {
		token, secret := authorize(t, w, f, c, method)
		me := f.root + "wp/v2/users/me?context=edit&_fields=username,email"
		if a := send(t, http.MethodGet, me, nil, c.signed(method, token, secret, nil)); a.Status != 200 || a.Body != `{"username":"admin","email":"admin@example.org"}` {
			t.Errorf("%s: %d %s", method, a.Status, a.Body)
		}
		if a := send(t, http.MethodGet, me, nil, c.signed(method, token, "wrong", nil)); a.Status != 401 || !strings.Contains(a.Body, "signature") {
			t.Errorf("%s, a wrong secret: %d %s", method, a.Status, a.Body)
		}
	}
	b.connect(t, f.Authentication.Broker, id, url.Values{"callback_url": {"http://other.example/cb"}})
	if again := b.last(t); again.Get("client_secret") != c.secret || again.Get("client_token") != c.key {
		t.Error("a known client is not sent its key and secret again")
	}
}

// connectsTogether: each of four requests of one client that are open at the
// same time makes credentials of its own, and all work.
func connectsTogether(t *testing.T, w *wordpress.WordPress, b *broker, site int, f found) {
	arrived, complete := make(chan struct{}, 4), make(chan struct{})
	b.before = func(ctx context.Context) {
		arrived <- struct{}{}
		select {
		case <-complete:
		case <-ctx.Done():
		}
	}
	id := "client-" + rand.Text()
	var all sync.WaitGroup
	for range cap(arrived) { // one after the other: a worker of PHP takes all that wait when it is free
		all.Go(func() {
			if a := b.connect(t, f.Authentication.Broker, id, nil); a.Status != http.StatusAccepted {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
		select {
		case <-arrived:
		case <-time.After(30 * time.Second):
			t.Error("the site does not confirm")
		}
	}
	close(complete)
	all.Wait()
	b.before = nil
	if live := w.Live(t, site, id); len(live) != cap(arrived) {
		t.Errorf("live are %v", live)
	}
}

func refuses(t *testing.T, b *broker, f found) {
	for _, test := range []struct {
		name string
		more url.Values
		code string
	}{
		{"unknown broker", url.Values{"broker": {b.URL}}, "ba.unknown_broker"},
		{"no verifier", url.Values{"verifier": nil}, "rest_missing_callback_param"},
		{"verifier with a dash", url.Values{"verifier": {"a-b"}}, "ba.invalid_verifier"},
		{"long client id", url.Values{"client_id": {strings.Repeat("x", 256)}}, "ba.invalid_client_id"},
		{"callback", url.Values{"callback_url": {"cb"}}, "ba.invalid_callback"},
	} {
		a := b.connect(t, f.Authentication.Broker, "refused", test.more)
		if a.Status != 400 || !strings.HasPrefix(a.Body, `{"code":"`+test.code+`",`) {
			t.Errorf("%s: %d %s, want 400 %s", test.name, a.Status, a.Body, test.code)
		}
	}
	if a := send(t, http.MethodHead, f.Authentication.Broker, nil, nil); a.Header.Get("X-BA-Endpoint") != "connection-request" {
		t.Errorf("HEAD of the endpoint: %d %v", a.Status, a.Header)
	}
	// Only 200 makes credentials work, and the site does not tell.
	b.status = http.StatusCreated
	defer func() { b.status = http.StatusOK }()
	if a := b.connect(t, f.Authentication.Broker, "created", nil); a.Status != http.StatusAccepted {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	c := client{b.last(t).Get("client_token"), b.last(t).Get("client_secret")}
	a := send(t, http.MethodPost, f.Authentication.OAuth1.Request, nil, c.signed(oauth1.HMACSHA1, "", "", nil))
	if a.Status != 401 || a.Body != "Consumer Key is invalid" {
		t.Errorf("confirmed with 201: %d %s", a.Status, a.Body)
	}
}

func checksSignatures(t *testing.T, b *broker, f found) {
	b.connect(t, f.Authentication.Broker, "signer", nil)
	c := client{b.last(t).Get("client_token"), b.last(t).Get("client_secret")}
	ask := func(sign func(*http.Request) error) answered {
		return send(t, http.MethodPost, f.Authentication.OAuth1.Request, nil, sign)
	}
	once, at := rand.Text(), time.Now().Unix()
	for _, test := range []struct {
		name   string
		change func(*oauth1.Parameters)
		want   string // in the answer
	}{
		{"now", nil, "oauth_token="},
		{"with a nonce", func(p *oauth1.Parameters) { p.Nonce, p.Timestamp = once, at }, "oauth_token="},
		{"with it again", func(p *oauth1.Parameters) { p.Nonce, p.Timestamp = once, at }, "nonce"},
		{"old", func(p *oauth1.Parameters) { p.Timestamp -= 950 }, "timestamp"},
		{"early", func(p *oauth1.Parameters) { p.Timestamp += 950 }, "timestamp"},
		{"another callback", func(p *oauth1.Parameters) { p.Callback = "http://evil.example/" }, "callback"},
	} {
		if a := ask(c.signed(oauth1.HMACSHA1, "", "", test.change)); !strings.Contains(a.Body, test.want) || (a.Status == 200) != (test.want == "oauth_token=") {
			t.Errorf("%s: %d %s, want %s", test.name, a.Status, a.Body, test.want)
		}
	}
	if a := ask(client{c.key, "wrong"}.signed(oauth1.HMACSHA1, "", "", nil)); a.Status != 401 || !strings.Contains(a.Body, "signature") {
		t.Errorf("another secret: %d %s", a.Status, a.Body)
	}
	if a := send(t, http.MethodGet, f.root+"wp/v2/users/me", nil, nil); a.Status != 401 {
		t.Errorf("unsigned: %d %s", a.Status, a.Body)
	}
}
