// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
)

// wiki gives apps of the federation OAuth 1.0a consumer keys of its own. How it
// makes and checks signatures is its library's matter, and not shown.
type wiki struct {
	site    *site.Site
	brokers map[string]wikiBroker // by the identifier that a connection request names

	mu        sync.Mutex
	consumers map[string]consumer // by key; a real site keeps them in its database
}

// wikiBroker is where one of the site's brokers takes credentials. It is
// written down at the site and never taken from a request.
type wikiBroker struct{ issuer, confirmURL string }

// consumer is a consumer key with what the site must remember of it.
type consumer struct {
	secret   string
	broker   string // issuer of the broker through which the app came
	app      string // its client_id
	issuedAt int64
}

// connect answers a broker's connection request.
func (wi *wiki) connect(w http.ResponseWriter, r *http.Request) {
	broker, ok := wi.brokers[r.PostFormValue("broker")]
	if !ok {
		refuseConnect(w, http.StatusBadRequest, "ba.unknown_broker")
		return
	}
	app, err := wi.site.Client(r.Context(), broker.issuer, r.PostFormValue("client_id"))
	switch {
	case errors.Is(err, site.ErrDenied), errors.Is(err, registry.ErrRevoked), errors.Is(err, registry.ErrNotFound):
		refuseConnect(w, http.StatusBadRequest, "ba.rejected_client")
		return
	case err != nil: // the broker proved nothing, or the site is stale: again in a minute
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case !app.AllowsRedirect(r.PostFormValue("callback_url")):
		refuseConnect(w, http.StatusBadRequest, "ba.invalid_callback")
		return
	}
	key, c := rand.Text(), consumer{rand.Text(), broker.issuer, app.ID, time.Now().Unix()}
	if err := confirm(r.Context(), broker.confirmURL, r.PostFormValue("verifier"), key, c); err != nil {
		refuseConnect(w, http.StatusConflict, "ba.timed_out")
		return
	}
	wi.mu.Lock()
	wi.consumers[key] = c // not before the broker has said 200
	wi.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// confirm hands the credentials to the broker, for the app.
func confirm(ctx context.Context, confirmURL, verifier, key string, c consumer) error {
	form := url.Values{"verifier": {verifier}, "client_id": {c.app}, "client_token": {key}, "client_secret": {c.secret}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := postForm(ctx, confirmURL, form)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the broker answers %d", resp.StatusCode)
	}
	return nil
}

// secret is what the OAuth 1.0a library asks for whenever it checks a
// signature: at each call of the API, and at each request for a token. Without
// it no signature is good, so that with the consumer all its tokens end.
func (wi *wiki) secret(ctx context.Context, key string) (string, error) {
	wi.mu.Lock()
	defer wi.mu.Unlock()
	c, ok := wi.consumers[key]
	if !ok {
		return "", errors.New("no such consumer")
	}
	err := wi.site.Alive(ctx, c.broker, c.app, c.issuedAt)
	var stop *site.StoppedError
	if errors.As(err, &stop) && stop.Final {
		delete(wi.consumers, key)
	}
	if err != nil {
		return "", err
	}
	return c.secret, nil
}

// Example_oauth1 is a site that speaks OAuth 1.0a alone: an app of the
// federation connects, and is stopped.
func Example_oauth1() {
	t := &plainTB{}
	defer t.end()
	federation := newFederation(t, 1) // a broker in memory; yours has a name
	broker := federation.brokers[0]
	app := broker.register(metadata())
	federation.clock = nil // the site of the example lives in real time
	var key string         // what the broker hands to the app
	desk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { key = r.PostFormValue("client_token") }))
	defer desk.Close()

	ctx := context.Background()
	server := httptest.NewUnstartedServer(nil)
	defer server.Close()
	s, err := site.New(ctx, site.Config{ // no Scopes, no User: it takes no tokens
		Resource:   "http://" + server.Listener.Addr().String(),
		Brokers:    []string{broker.issuer},
		Federation: federation.id(),
		Store:      openDB(t, filepath.Join(t.TempDir(), "wiki.db")),
		Key:        registry.GenerateSigningKey(), // a real site keeps it in a file
	})
	must(t, err)
	defer s.Close()
	w := &wiki{
		site: s, consumers: map[string]consumer{},
		brokers: map[string]wikiBroker{broker.issuer + "/": {broker.issuer, desk.URL}},
	}
	mux := http.NewServeMux()
	mux.Handle("/comity/", s.Handler()) // brokers tell it of stops there
	mux.Handle("/.well-known/oauth-protected-resource", s.Handler())
	mux.HandleFunc("POST /broker/connect", w.connect)
	server.Config.Handler = mux
	server.Start()
	must(t, s.Poll(ctx)) // or: go s.Run(ctx)

	connect := func(callback string) int {
		resp, err := postForm(ctx, server.URL+"/broker/connect", url.Values{
			"broker": {broker.issuer + "/"}, "client_id": {app}, "callback_url": {callback}, "verifier": {rand.Text()},
		})
		must(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	fmt.Println("for somebody else's callback:", connect("https://mallory.example/"))
	fmt.Println("for its own:", connect(callback))
	_, err = w.secret(ctx, key)
	fmt.Println("its calls:", err)
	told := &testSite{Site: s, t: t, fed: federation, server: server}
	told.tell(broker, app, true, broker.stop(app, registry.Revoke, nil))
	_, err = w.secret(ctx, key)
	fmt.Println("its calls:", err)
	fmt.Println("once more:", connect(callback))
	// Output:
	// for somebody else's callback: 400
	// for its own: 202
	// its calls: <nil>
	// its calls: site: revoked: the app is revoked (policy)
	// once more: 400
}

func refuseConnect(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%q}`, code)
}

// postForm posts and follows no redirect, which would carry the secret along.
func postForm(ctx context.Context, target string, form url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client.Do(req)
}
