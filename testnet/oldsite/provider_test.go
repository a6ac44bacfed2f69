// SPDX-License-Identifier: Apache-2.0

package oldsite_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/node/brokered/oauth1"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/oldsite"
)

// parameters are those of a request that is signed now.
func parameters(c oldsite.Credentials) oauth1.Parameters {
	return oauth1.Parameters{ConsumerKey: c.Token, Method: oauth1.HMACSHA1, Nonce: rand.Text(), Timestamp: time.Now().Unix()}
}

// signed sends a signed request without a body.
func signed(t *testing.T, method, to string, p oauth1.Parameters, secret, tokenSecret string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), method, to, nil)
	if err == nil {
		err = oauth1.SignHMAC(r, nil, p, secret, tokenSecret)
	}
	return do(t, r, err)
}

// askToken asks for a request token without a callback, as was measured.
func askToken(t *testing.T, s *oldsite.Site, c oldsite.Credentials) answered {
	t.Helper()
	return signed(t, http.MethodPost, s.URL()+"oauth1/request", parameters(c), c.Secret, "")
}

// pair reads the answer of a token endpoint.
func pair(t *testing.T, a answered) (key, secret string) {
	t.Helper()
	form, err := url.ParseQuery(a.Body)
	if err != nil || a.Status != 200 || form.Get("oauth_token") == "" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return form.Get("oauth_token"), form.Get("oauth_token_secret")
}

func TestThreeLegs(t *testing.T) {
	for _, method := range []oauth1.Method{oauth1.HMACSHA1, oauth1.HMACSHA256} {
		for _, config := range []oldsite.Config{{}, {PlainPermalinks: true, Path: "/blog"}} {
			t.Run(string(method), func(t *testing.T) {
				b := newBroker(t)
				config.Brokers = b.config().Brokers
				s := start(t, config)
				threeLegs(t, s, connect(t, s, b, "appkey0001"), method)
			})
		}
	}
}

// threeLegs authorizes and asks the API, and returns the access token.
func threeLegs(t *testing.T, s *oldsite.Site, c oldsite.Credentials, method oauth1.Method) (token, tokenSecret string) {
	t.Helper()
	p := parameters(c)
	p.Method, p.Callback = method, callback+"?state=xyz"
	a := signed(t, http.MethodPost, s.URL()+"oauth1/request", p, c.Secret, "")
	if ok, _ := regexp.MatchString(`^oauth_token=[A-Za-z0-9]{24}&oauth_token_secret=[A-Za-z0-9]{48}&oauth_callback_confirmed=true$`, a.Body); !ok ||
		a.Header.Get("Content-Type") != "application/x-www-form-urlencoded; charset=utf-8" {
		t.Fatalf("request token: %d %s %v", a.Status, a.Body, a.Header)
	}
	request, requestSecret := pair(t, a)

	back, err := s.Approve(within(t), s.URL()+"oauth1/authorize?oauth_token="+request, callback)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := regexp.MatchString(`^http://127\.0\.0\.1:9500/cb\?state=xyz&oauth_token=`+request+`&oauth_verifier=[A-Za-z0-9]{24}&wp_scope=%2A$`, back.String()); !ok {
		t.Fatalf("callback: %s", back)
	}

	p = parameters(c)
	p.Method, p.Token, p.Verifier = method, request, back.Query().Get("oauth_verifier")
	a = signed(t, http.MethodPost, s.URL()+"oauth1/access", p, c.Secret, requestSecret)
	if ok, _ := regexp.MatchString(`^oauth_token=[A-Za-z0-9]{24}&oauth_token_secret=[A-Za-z0-9]{48}$`, a.Body); !ok {
		t.Fatalf("access token: %d %s", a.Status, a.Body)
	}
	token, tokenSecret = pair(t, a)

	p = parameters(c)
	p.Method, p.Token = method, token
	u, _ := url.Parse(s.APIURL())
	query := u.Query()
	query.Set("context", "edit")
	u.RawQuery = query.Encode()
	a = signed(t, http.MethodGet, u.String(), p, c.Secret, tokenSecret)
	if a.Status != 200 || !strings.Contains(a.Body, `"email":"admin@example.org"`) {
		t.Fatalf("users/me: %d %s", a.Status, a.Body)
	}
	return token, tokenSecret
}

func TestRefusedSignedRequests(t *testing.T) {
	b := newBroker(t)
	now := time.Now()
	c := b.config()
	c.Now = func() time.Time { return now }
	s := start(t, c)
	client := connect(t, s, b, "appkey0001")
	at := func(offset time.Duration) int64 { return now.Add(offset).Unix() }
	for _, test := range []struct {
		name   string
		change func(p *oauth1.Parameters, secret *string)
		want   string // in the text; empty: accepted
	}{
		{"as it should be", func(*oauth1.Parameters, *string) {}, ""},
		{"unknown key", func(p *oauth1.Parameters, _ *string) { p.ConsumerKey = "NaawHwikzEh7" }, "Consumer Key is invalid"},
		{"another secret", func(_ *oauth1.Parameters, s *string) { *s += "x" }, "signature"},
		{"a request token of nobody", func(p *oauth1.Parameters, _ *string) { p.Token = "x" }, "no such token"},
		{"900 s old", func(p *oauth1.Parameters, _ *string) { p.Timestamp = at(-900 * time.Second) }, ""},
		{"901 s old", func(p *oauth1.Parameters, _ *string) { p.Timestamp = at(-901 * time.Second) }, "oauth_timestamp"},
		{"901 s ahead", func(p *oauth1.Parameters, _ *string) { p.Timestamp = at(901 * time.Second) }, "oauth_timestamp"},
		{"another callback", func(p *oauth1.Parameters, _ *string) { p.Callback = "http://evil.example/cb" }, "callback"},
		{"another path of the callback", func(p *oauth1.Parameters, _ *string) { p.Callback = callback + "/x" }, "callback"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, secret := parameters(client), client.Secret
			p.Timestamp = now.Unix()
			test.change(&p, &secret)
			a := signed(t, http.MethodPost, s.URL()+"oauth1/request", p, secret, "")
			switch {
			case test.want == "" && a.Status != 200:
				t.Errorf("%d %s", a.Status, a.Body)
			case test.want != "" && (a.Status != 401 || !strings.Contains(a.Body, test.want)):
				t.Errorf("%d %s, want 401 %s", a.Status, a.Body, test.want)
			}
			if test.name == "unknown key" && a.Body != "Consumer Key is invalid" {
				t.Errorf("not the measured text: %q", a.Body)
			}
		})
	}
}

func TestANonceIsGoodOnce(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	c := connect(t, s, b, "appkey0001")
	p := parameters(c)
	for i, want := range []int{200, 401} {
		if a := signed(t, http.MethodPost, s.URL()+"oauth1/request", p, c.Secret, ""); a.Status != want {
			t.Errorf("request %d: %d %s", i, a.Status, a.Body)
		}
	}
}

func TestRefusedLegs(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	c, other := connect(t, s, b, "appkey0001"), connect(t, s, b, "appkey0002")
	request, secret := pair(t, askToken(t, s, c))
	redeem := func(verifier string) answered {
		p := parameters(c)
		p.Token, p.Verifier = request, verifier
		return signed(t, http.MethodPost, s.URL()+"oauth1/access", p, c.Secret, secret)
	}
	p := parameters(other)
	p.Token = request
	if a := signed(t, http.MethodPost, s.URL()+"oauth1/access", p, other.Secret, secret); a.Status != 401 || !strings.Contains(a.Body, "no such token") {
		t.Errorf("another client's token: %d %s", a.Status, a.Body)
	}
	if a := redeem(""); a.Status != 401 {
		t.Errorf("a token that nobody authorized: %d %s", a.Status, a.Body)
	}
	// Without a callback in the request, the registered one is used.
	back, err := s.Approve(within(t), s.URL()+"oauth1/authorize?oauth_token="+request, callback)
	if err != nil {
		t.Fatal(err)
	}
	if a := redeem("wrong"); a.Status != 401 {
		t.Errorf("a wrong verifier: %d %s", a.Status, a.Body)
	}
	if a := redeem(back.Query().Get("oauth_verifier")); a.Status != 200 {
		t.Errorf("the right verifier: %d %s", a.Status, a.Body)
	}
	if a := redeem(back.Query().Get("oauth_verifier")); a.Status != 401 {
		t.Errorf("a second time: %d %s", a.Status, a.Body)
	}
	if _, err := s.Approve(within(t), s.URL()+"oauth1/authorize?oauth_token="+request, callback); err == nil {
		t.Error("a used token can be authorized again")
	}
	if a := get(t, http.MethodGet, s.APIURL()); a.Status != 401 || code(t, a) != "rest_not_logged_in" {
		t.Errorf("unsigned: %d %s", a.Status, a.Body)
	}
}

func TestDropEndsEverything(t *testing.T) {
	b := newBroker(t)
	s := start(t, b.config())
	c, other := connect(t, s, b, "appkey0001"), connect(t, s, b, "appkey0002")
	token, secret := threeLegs(t, s, c, oauth1.HMACSHA1)
	request, _ := pair(t, askToken(t, s, c))
	if n := s.Drop("appkey0001"); n != 1 {
		t.Errorf("dropped %d sets", n)
	}
	p := parameters(c)
	p.Token = token
	if a := signed(t, http.MethodGet, s.APIURL(), p, c.Secret, secret); a.Status != 401 || !strings.Contains(a.Body, "Consumer Key is invalid") {
		t.Errorf("the API: %d %s", a.Status, a.Body)
	}
	if a := askToken(t, s, c); a.Status != 401 || a.Body != "Consumer Key is invalid" {
		t.Errorf("a request token: %d %s", a.Status, a.Body)
	}
	if back, err := s.Approve(within(t), s.URL()+"oauth1/authorize?oauth_token="+request, callback); err == nil {
		t.Errorf("a request token is authorized: %s", back)
	}
	threeLegs(t, s, other, oauth1.HMACSHA1)
	// Connected again, the client is a new one; its old tokens stay dead.
	again := connect(t, s, b, "appkey0001")
	p = parameters(again)
	p.Token = token
	if a := signed(t, http.MethodGet, s.APIURL(), p, again.Secret, secret); a.Status != 401 || again.Secret == c.Secret {
		t.Errorf("an old token: %d %s", a.Status, a.Body)
	}
}

// TestConsent: the user may refuse, and nobody else may answer in the user's
// name, be it a form of another page or somebody who is not logged in.
func TestConsent(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.User = oldsite.User{Name: "ada", Password: "lovelace"}
	s := start(t, c)
	client := connect(t, s, b, "appkey0001")
	for _, test := range []struct {
		name, password, press string
		values                map[string]string
		status                int
		alive                 bool // the token can be authorized afterwards
	}{
		{"a wrong password", "byron", "", nil, 403, true},
		{"a form of another page", "lovelace", "Authorize", map[string]string{"_wpnonce": "x"}, 403, true},
		{"cancel", "lovelace", "Cancel", nil, 200, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, _ := pair(t, askToken(t, s, client))
			browser := app.NewBrowser(&http.Transport{DisableKeepAlives: true})
			browser.StopAt = callback
			page, err := browser.Open(within(t), s.URL()+"oauth1/authorize?oauth_token="+token)
			if err == nil {
				page, err = browser.Submit(within(t), page, "Log in", map[string]string{"log": "ada", "pwd": test.password})
			}
			if err == nil && test.press != "" {
				page, err = browser.Submit(within(t), page, test.press, test.values)
			}
			if err != nil {
				t.Fatal(err)
			}
			if page.Status != test.status || page.Stopped {
				t.Errorf("%d at %s", page.Status, page.URL)
			}
			if _, err := s.Approve(within(t), s.URL()+"oauth1/authorize?oauth_token="+token, callback); (err == nil) != test.alive {
				t.Errorf("authorized afterwards: %v", err)
			}
		})
	}
}
