// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/site/protocol"
)

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "comity.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// poll is a broker's poll endpoint over a real store. The assertion is the
// name of the site: how a real one is judged is tested in node/sites.
type poll struct {
	t     *testing.T
	store *store.Store
	url   string
}

func newPoll(t *testing.T) *poll {
	p := &poll{t: t, store: openStore(t)}
	sender := newSender(t, guard.Config{})
	srv := httptest.NewServer(notify.NewPoller(notify.PollerConfig{
		Store: p.store, Sign: sender.Sign, Now: func() time.Time { return opening }, Log: slog.New(slog.DiscardHandler),
		Authenticate: func(_ context.Context, a string) (*sites.Site, error) {
			switch a {
			case "wiki", "shop":
				return &sites.Site{SiteMetadata: protocol.SiteMetadata{Resource: a}}, nil
			case "late":
				return nil, fmt.Errorf("site assertion: %w: issued in the future", protocol.ErrClock)
			}
			return nil, errors.New("something secret")
		},
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *poll) put(messages ...notify.Message) {
	p.t.Helper()
	if err := p.store.Enqueue(p.t.Context(), messages...); err != nil {
		p.t.Fatal(err)
	}
}

// as polls as a site and returns the jti of the events, after it checked them.
func (p *poll) as(site, body string) (ids []string, more bool) {
	p.t.Helper()
	status, raw := p.do(http.MethodPost, "Bearer "+site, "application/json", body)
	if status != http.StatusOK {
		p.t.Fatalf("answer is %d %s", status, raw)
	}
	a, err := protocol.ParsePollAnswer(raw)
	if err != nil {
		p.t.Fatal(err)
	}
	k := tokenKey()
	for id, set := range a.Sets {
		e, err := protocol.ParseEvent(set)
		if err != nil {
			p.t.Fatal(err)
		}
		if err := e.Verify(map[string]ed25519.PublicKey{k.ID(): k.Public()}, opening); err != nil || e.ID != id {
			p.t.Errorf("event %s: %v", id, err)
		}
		ids = append(ids, id)
	}
	return ids, a.MoreAvailable
}

func (p *poll) do(method, authorization, kind, body string) (int, []byte) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.Header.Set("Content-Type", kind)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, raw
}

func TestPoll(t *testing.T) {
	p := newPoll(t)
	for n := range 5 {
		p.put(message("wiki", n))
	}
	old := message("wiki", 9)
	old.ExpiresAt = start
	p.put(message("shop", 7), old)

	want := func(ids []string, n int, more, wantMore bool) {
		t.Helper()
		if len(ids) != n || more != wantMore {
			t.Errorf("got %v, more %v; want %d, %v", ids, more, n, wantMore)
		}
	}
	ids, more := p.as("wiki", `{"maxEvents":2}`)
	want(ids, 2, more, true)
	again, more := p.as("wiki", `{}`) // nothing is lost before it is acknowledged
	want(again, 5, more, false)
	acks, _ := json.Marshal(ids)
	ids, more = p.as("wiki", `{"maxEvents":0,"ack":`+string(acks)+`}`)
	want(ids, 0, more, true)
	ids, more = p.as("wiki", `{"setErrs":{"`+message("", 2).Event.ID+`":{"err":"invalid_key"}}}`)
	want(ids, 2, more, false)
	// Nobody takes another's events away.
	p.as("wiki", `{"ack":["`+message("", 7).Event.ID+`"]}`)
	ids, more = p.as("shop", `{}`)
	want(ids, 1, more, false)
}

// Events of the greatest size come in several answers, each within bounds.
func TestPollLarge(t *testing.T) {
	p := newPoll(t)
	for n := range 18 {
		m := message("wiki", n)
		m.Event.TokenRevoked, m.Event.Audience = nil, federation
		m.Event.ClientDisabled = &protocol.ClientChange{ClientID: federation, Records: []string{
			strings.Repeat("a", 15000), strings.Repeat("b", 15000), strings.Repeat("c", 15000),
		}}
		p.put(m)
	}
	total, request := 0, `{}`
	for more := true; more; {
		var ids []string
		ids, more = p.as("wiki", request)
		acks, _ := json.Marshal(ids)
		request = `{"ack":` + string(acks) + `}`
		if total += len(ids); len(ids) == 0 {
			break
		}
	}
	if total != 18 {
		t.Errorf("%d events came", total)
	}
}

func TestPollErrors(t *testing.T) {
	p := newPoll(t)
	p.put(message("wiki", 1))
	const json = "application/json"
	for _, tt := range []struct {
		name, method, authorization, kind, body string
		status                                  int
		err, description                        string
	}{
		{"GET", "GET", "Bearer wiki", json, ``, 405, "invalid_request", "POST"},
		{"form", "POST", "Bearer wiki", "application/x-www-form-urlencoded", `a=b`, 415, "invalid_request", "json"},
		{"nobody", "POST", "", json, `{}`, 401, "authentication_failed", "assertion"},
		{"basic", "POST", "Basic d2lraQ==", json, `{}`, 401, "authentication_failed", "assertion"},
		{"empty", "POST", "Bearer ", json, `{}`, 401, "authentication_failed", "assertion"},
		{"wrong", "POST", "Bearer evil", json, `{}`, 401, "authentication_failed", "not accepted"},
		{"fault 44: clock", "POST", "Bearer late", json, `{}`, 401, "authentication_failed", "clock"},
		{"not JSON", "POST", "Bearer wiki", json, `x`, 400, "invalid_request", ""},
		{"member twice", "POST", "Bearer wiki", json, `{"ack":[],"ack":[]}`, 400, "invalid_request", ""},
		{"long", "POST", "Bearer wiki", json, `{"x":"` + strings.Repeat("x", 1<<16) + `"}`, 400, "invalid_request", "long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, raw := p.do(tt.method, tt.authorization, tt.kind, tt.body)
			e, err := protocol.ParsePushError(raw)
			if err != nil {
				t.Fatalf("%d %s: %v", status, raw, err)
			}
			if status != tt.status || e.Err != tt.err || !strings.Contains(e.Description, tt.description) {
				t.Errorf("answer is %d %+v", status, e)
			}
			if bytes.Contains(raw, []byte("secret")) {
				t.Errorf("the answer tells too much: %s", raw)
			}
		})
	}
	if ids, _ := p.as("wiki", `{}`); len(ids) != 1 {
		t.Errorf("got %v", ids)
	}
}
