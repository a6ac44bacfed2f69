// SPDX-License-Identifier: Apache-2.0

package brokered_test

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

	"github.com/comity-network/comity/node/brokered"
)

const stageSite = "https://blog.example/"

// stage is a broker without a network, for tests with a clock of their own: its
// site is a function, and whoever asks it calls it.
type stage struct {
	*broker
	t testing.TB

	mu       sync.Mutex
	post     func(r *http.Request, form url.Values) (int, string) // the endpoint
	requests map[string]int                                       // by method and URL
	header   func(r *http.Request) http.Header                    // of the answer to HEAD; nil: a Link
	index    string
}

func newStage(t testing.TB) *stage {
	t.Helper()
	w := newWorld(t)
	s := &stage{t: t, requests: map[string]int{}, index: `{"name":"Blog","home":"https://blog.example","namespaces":["wp/v2"],"authentication":{"broker":"https://blog.example/connect"}}`}
	s.broker = w.bare("https://broker.example/at")
	s.cfg.Discovery = &http.Client{Transport: s}
	s.cfg.Requests = &http.Client{Transport: s}
	s.restart()
	w.brokers[s.issuer] = s.broker
	s.secrets[client] = secret
	w.register(client, s.issuer)
	return s
}

// RoundTrip implements http.RoundTripper.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.requests[r.Method+" "+r.URL.String()]++
	s.mu.Unlock()
	answer := func(status int, header http.Header, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	switch r.Method {
	case http.MethodHead:
		if s.header != nil {
			h := s.header(r)
			if h.Get("Location") != "" {
				return answer(302, h, "")
			}
			return answer(200, h, "")
		}
		return answer(200, http.Header{"Link": {`</wp-json/>; rel="https://api.w.org/"`}}, "")
	case http.MethodGet:
		return answer(200, http.Header{}, strings.ReplaceAll(s.index, "/blog.example/", "/"+r.URL.Host+"/"))
	}
	raw, err := io.ReadAll(r.Body)
	check(s.t, err)
	form, err := url.ParseQuery(string(raw))
	check(s.t, err)
	type result struct {
		status int
		body   string
	}
	done := make(chan result, 1)
	go func() {
		status, body := s.post(r, form)
		done <- result{status, body}
	}()
	select {
	case d := <-done:
		return answer(d.status, http.Header{}, d.body)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// confirms is an endpoint that behaves.
func (s *stage) confirms(_ *http.Request, form url.Values) (int, string) {
	if a := s.stageConfirm(confirmOf(form)); a.status != http.StatusOK {
		return http.StatusInternalServerError, a.body
	}
	return http.StatusAccepted, ""
}

func confirmOf(form url.Values) string {
	return "verifier=" + form.Get("verifier") + "&client_id=" + form.Get("client_id") + "&client_token=TOKEN&client_secret=SECRET"
}

// stageConfirm is a confirm, served at once.
func (s *stage) stageConfirm(body string) answer {
	return s.serve(s.confirmRequest(body))
}

func (s *stage) confirmRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, s.issuer+"/broker/confirm/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// stageConnect is a connect of the client.
func (s *stage) stageConnect(ctx context.Context) answer {
	return s.serve(s.signed(ctx, client, secret, url.Values{"server_url": {stageSite}}))
}

func (s *stage) serve(r *http.Request) answer {
	w := httptest.NewRecorder()
	if r.RemoteAddr == "" {
		r.RemoteAddr = "192.0.2.1:1234"
	}
	s.Handler().ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), body: w.Body.String()}
	json.Unmarshal(w.Body.Bytes(), &a.json)
	return a
}

var _ brokered.Members = (*stage)(nil)
