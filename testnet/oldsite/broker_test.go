// SPDX-License-Identifier: Apache-2.0

package oldsite_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/oldsite"
)

const (
	verifier = "5d2df2e8c45fa24c978bdad17838d3a2"
	callback = "http://127.0.0.1:9500/cb"
)

// confirmation is one confirm request as it arrived.
type confirmation struct{ Method, Path, Body, Type, Agent string }

// broker is a stand-in that answers every confirm as the test says.
type broker struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request) // default: 200 {}

	mu       sync.Mutex
	received []confirmation
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.received = append(b.received, confirmation{r.Method, r.URL.Path, string(body), r.Header.Get("Content-Type"), r.Header.Get("User-Agent")})
	b.mu.Unlock()
	if b.answer != nil {
		b.answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{}")
}

func (b *broker) confirmations() []confirmation {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]confirmation(nil), b.received...)
}

// id is the broker's identifier.
func (b *broker) id() string { return b.URL + "/" }

// config is that of a site that knows the broker.
func (b *broker) config() oldsite.Config {
	return oldsite.Config{Brokers: map[string]string{b.id(): b.URL + "/broker/confirm/"}}
}

func start(t *testing.T, c oldsite.Config) *oldsite.Site {
	t.Helper()
	s, err := oldsite.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// within is a context for one test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// answered is an answer of a site.
type answered struct {
	Status int
	Header http.Header
	Body   string
}

func do(t *testing.T, r *http.Request, err error) answered {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	a, err := try(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(r *http.Request) (answered, error) {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answered{response.StatusCode, response.Header, string(body)}, err
}

func get(t *testing.T, method, to string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), method, to, nil)
	return do(t, r, err)
}

func request(ctx context.Context, to string, form url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r, err
}

func post(t *testing.T, to string, form url.Values) answered {
	t.Helper()
	r, err := request(within(t), to, form)
	return do(t, r, err)
}

// form is a connection request of the broker.
func (b *broker) form(clientID string) url.Values {
	return url.Values{"client_id": {clientID}, "broker": {b.id()}, "verifier": {verifier}, "callback_url": {callback}, "client_name": {"Example App"}}
}

// connect connects a client and returns its credentials.
func connect(t *testing.T, s *oldsite.Site, b *broker, clientID string) oldsite.Credentials {
	t.Helper()
	if a := post(t, s.ConnectURL(), b.form(clientID)); a.Status != http.StatusAccepted {
		t.Fatalf("the site answers %d %s", a.Status, a.Body)
	}
	all := s.Credentials(clientID)
	if len(all) != 1 {
		t.Fatalf("%d live sets of credentials, want 1", len(all))
	}
	return all[0]
}

// code is the code of an error answer.
func code(t *testing.T, a answered) string {
	t.Helper()
	var body struct {
		Code string
		Data struct{ Status int }
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	if body.Data.Status != a.Status {
		t.Errorf("the body says status %d, the answer is %d", body.Data.Status, a.Status)
	}
	return body.Code
}
