// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/sites"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// busySite takes batches. Each push waits for the test to answer it.
type busySite struct {
	*httptest.Server
	*notify.Sender
	t      *testing.T
	pushes chan *push

	running sync.WaitGroup
	mu      sync.Mutex
	answers map[int]string // outcome of each message
}

// push is one request: "one" or "batch", and the numbers of its events.
type push struct {
	said   string
	answer chan func(http.ResponseWriter)
}

// Site implements notify.Directory: each path is a site, and all of them have
// the same events endpoint.
func (s *busySite) Site(_ context.Context, resource string) (*sites.Site, error) {
	return &sites.Site{SiteMetadata: protocol.SiteMetadata{
		Resource: resource, EventsEndpoint: s.URL + "/events", EventBatches: !strings.HasSuffix(resource, "/old"),
	}}, nil
}

func newBusySite(t *testing.T) *busySite {
	s := &busySite{t: t, pushes: make(chan *push), answers: map[int]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	client := guard.New(guard.Config{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	s.Sender = notify.NewSender(notify.SenderConfig{Client: client, Sites: s, Key: tokenKey, Now: func() time.Time { return opening }, Timeout: time.Minute})
	s.SetTurn(time.Minute)
	return s
}

func (s *busySite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	said, err := s.read(r.Header.Get("Content-Type"), string(body))
	if err != nil || r.URL.Path != "/events" || r.Method != http.MethodPost || r.Header.Get("Accept") != "application/json" {
		s.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		return
	}
	p := &push{said, make(chan func(http.ResponseWriter))}
	select {
	case s.pushes <- p:
	case <-r.Context().Done():
		return
	}
	select {
	case answer := <-p.answer:
		answer(w)
	case <-r.Context().Done():
	}
}

func (s *busySite) read(kind, body string) (string, error) {
	keys := map[string]ed25519.PublicKey{tokenKey().ID(): tokenKey().Public()}
	switch kind {
	case "application/secevent+jwt":
		e, err := protocol.ParseEvent(body)
		if err != nil {
			return "", err
		}
		return "one " + number(e.Event), e.Verify(keys, opening)
	case "application/secevent-batch+jwt":
		b, err := protocol.ParseBatch(body)
		if err != nil {
			return "", err
		}
		said := "batch"
		for _, e := range b.Events {
			said += " " + number(e)
		}
		return said, b.Verify(keys, opening)
	}
	return "", fmt.Errorf("Content-Type %q", kind)
}

func number(e protocol.Event) string {
	n, _ := strconv.Atoi(strings.TrimPrefix(e.ID, "event-"))
	return strconv.Itoa(n)
}

// send delivers messages to the site of that path, and returns when the site
// waits for the answer of the first count of them, which it returns, and the
// others wait for their turn.
func (s *busySite) send(path string, count int, numbers ...int) (under []*push) {
	s.t.Helper()
	resource := s.URL + path
	for i, n := range numbers {
		before, _ := s.Waiting(resource)
		s.deliver(s.t.Context(), resource, message(resource, n))
		if i < count {
			under = append(under, s.next())
			continue
		}
		s.until(func() bool { now, _ := s.Waiting(resource); return now == before+1 })
	}
	return under
}

func (s *busySite) deliver(ctx context.Context, resource string, m notify.Message) {
	if m.Event.TokenRevoked != nil {
		m.Event.Audience = resource
	}
	s.running.Go(func() {
		a := s.Deliver(ctx, m)
		said := a.Outcome()
		if a.Refused != nil {
			said += " " + a.Refused.Err
		}
		n, _ := strconv.Atoi(number(m.Event))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[n] = said
	})
}

func (s *busySite) until(holds func() bool) {
	s.t.Helper()
	limit := time.After(10 * time.Second)
	for every := time.NewTicker(time.Millisecond); !holds(); {
		select {
		case <-every.C:
		case <-limit:
			s.t.Fatal("it never came true")
		}
	}
}

// next is the next push that the site gets.
func (s *busySite) next() *push {
	s.t.Helper()
	select {
	case p := <-s.pushes:
		return p
	case <-time.After(10 * time.Second):
		s.t.Fatal("no push came")
		return nil
	}
}

func (p *push) say(status int, kind, body string) {
	p.answer <- func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// took answers that all is stored but those events.
func (p *push) took(alone ...int) {
	ids := []string{}
	for _, n := range alone {
		ids = append(ids, strconv.Quote(message("", n).Event.ID))
	}
	p.say(http.StatusAccepted, "application/json", `{"alone":[`+strings.Join(ids, ",")+`]}`)
}

// want ends the test: all messages have come to their ends.
func (s *busySite) want(outcomes map[int]string) {
	s.t.Helper()
	s.running.Wait()
	for n, want := range outcomes {
		if s.answers[n] != want {
			s.t.Errorf("message %d: %q, expected %q", n, s.answers[n], want)
		}
	}
	if len(s.answers) != len(outcomes) {
		s.t.Errorf("outcomes %v", s.answers)
	}
	if _, lines := s.Waiting(""); lines != 0 {
		s.t.Errorf("%d lines are left", lines)
	}
}

func said(pushes ...*push) (all []string) {
	for _, p := range pushes {
		all = append(all, p.said)
	}
	return all
}

// What comes while two pushes are under way shares the next; who is alone does
// not wait.
func TestTogether(t *testing.T) {
	s := newBusySite(t)
	under := s.send("/a", 2, 1, 2, 3, 4, 5)
	if got := said(under...); !slices.Equal(got, []string{"one 1", "one 2"}) {
		t.Errorf("pushes %q", got)
	}
	under[1].say(http.StatusAccepted, "", "")
	batch := s.next()
	if batch.said != "batch 3 4 5" {
		t.Errorf("then %q", batch.said)
	}
	s.send("/a", 0, 6)
	batch.took()
	six := s.next()
	if six.said != "one 6" {
		t.Errorf("then %q", six.said)
	}
	six.took()
	under[0].say(http.StatusBadRequest, "application/json", `{"err":"invalid_grant"}`)
	s.want(map[int]string{1: "refused invalid_grant", 2: "accepted", 3: "accepted", 4: "accepted", 5: "accepted", 6: "accepted"})
}

// What the site does not take in a batch is pushed alone, and has the answer to
// that.
func TestAlone(t *testing.T) {
	s := newBusySite(t)
	under := s.send("/a", 2, 1, 2, 3, 4, 5, 6)
	under[0].took()
	batch := s.next()
	batch.took(4, 6)
	first, second := s.next(), s.next()
	if first.said > second.said {
		first, second = second, first
	}
	if got := said(batch, first, second); !slices.Equal(got, []string{"batch 3 4 5 6", "one 4", "one 6"}) {
		t.Errorf("pushes %q", got)
	}
	first.say(http.StatusBadRequest, "application/json", `{"err":"access_denied"}`)
	second.say(http.StatusServiceUnavailable, "", "")
	under[1].took()
	s.want(map[int]string{1: "accepted", 2: "accepted", 3: "accepted", 4: "refused access_denied", 5: "accepted", 6: "unknown"})
}

// Every other answer to a batch says nothing, and each event goes alone (fault 43).
func TestFault43BatchAnswers(t *testing.T) {
	const json = "application/json"
	hangUp := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	for name, answer := range map[string]func(*push){
		"202, nothing":     func(p *push) { p.say(202, json, ``) },
		"202, no list":     func(p *push) { p.say(202, json, `{}`) },
		"202 of a proxy":   func(p *push) { p.say(202, "text/html", `<p>thanks`) },
		"202, too long":    func(p *push) { p.say(202, json, `{"alone":[],"x":"`+strings.Repeat("x", 5000)+`"}`) },
		"200":              func(p *push) { p.say(200, json, `{"alone":[]}`) },
		"400 and an error": func(p *push) { p.say(400, json, `{"err":"invalid_request"}`) },
		"415":              func(p *push) { p.say(415, json, ``) },
		"503":              func(p *push) { p.say(503, json, `{"alone":[]}`) },
		"hangs up":         func(p *push) { p.answer <- hangUp },
		"redirect to itself": func(p *push) {
			p.answer <- func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(307) }
		},
		"silence": func(*push) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBusySite(t)
			under := s.send("/a", 2, 1, 2, 3, 4)
			under[0].took()
			batch := s.next()
			answer(batch)
			alone := []*push{s.next(), s.next()}
			got := said(append(alone, batch)...)
			slices.Sort(got)
			if !slices.Equal(got, []string{"batch 3 4", "one 3", "one 4"}) {
				t.Errorf("pushes %q", got)
			}
			alone[0].took()
			alone[1].took()
			under[1].took()
			s.want(map[int]string{1: "accepted", 2: "accepted", 3: "accepted", 4: "accepted"})
		})
	}
}

// Who waits for too long goes alone: what a site is slow with does not hold up
// the rest.
func TestTurn(t *testing.T) {
	s := newBusySite(t)
	s.SetTurn(10 * time.Millisecond)
	under := s.send("/a", 2, 1, 2)
	s.deliver(t.Context(), s.URL+"/a", message(s.URL+"/a", 3))
	third := s.next()
	if third.said != "one 3" {
		t.Errorf("push %q", third.said)
	}
	third.took()
	under[0].took()
	under[1].took()
	s.want(map[int]string{1: "accepted", 2: "accepted", 3: "accepted"})
}

// A message whose time is over while it waits is not delivered.
func TestTogetherGivesUp(t *testing.T) {
	s := newBusySite(t)
	ctx, cancel := context.WithCancel(t.Context())
	under := s.send("/a", 2, 1, 2)
	s.deliver(ctx, s.URL+"/a", message(s.URL+"/a", 3))
	s.until(func() bool { n, _ := s.Waiting(s.URL + "/a"); return n == 1 })
	cancel()
	under[0].took()
	under[1].took()
	s.want(map[int]string{1: "accepted", 2: "accepted", 3: "unknown"})
}

// Nor does a batch end with the first of those who share it.
func TestTogetherFirstGivesUp(t *testing.T) {
	s := newBusySite(t)
	ctx, cancel := context.WithCancel(t.Context())
	under := s.send("/a", 2, 1, 2)
	s.deliver(ctx, s.URL+"/a", message(s.URL+"/a", 3))
	s.until(func() bool { n, _ := s.Waiting(s.URL + "/a"); return n == 1 })
	s.send("/a", 0, 4)
	under[0].took()
	batch := s.next()
	cancel()
	batch.took()
	under[1].took()
	s.want(map[int]string{1: "accepted", 2: "accepted", 3: "accepted", 4: "accepted"})
	if batch.said != "batch 3 4" {
		t.Errorf("push %q", batch.said)
	}
}

// Sites do not share a batch, even where they have one endpoint; those that take
// none get none; and what is for all sites is in none, and waits for none.
func TestNotTogether(t *testing.T) {
	s := newBusySite(t)
	under := s.send("/a", 2, 1, 2, 3, 4)
	under = append(under, s.send("/b", 2, 5, 6)...)
	under = append(under, s.send("/old", 4, 7, 8, 9, 10)...)
	all := message(s.URL+"/a", 11)
	all.Event.TokenRevoked = nil
	all.Event.ClientDisabled = &protocol.ClientChange{ClientID: registry.CID(nil), Records: []string{"a.b.c"}}
	all.Event.Audience = federation
	s.deliver(t.Context(), s.URL+"/a", all)
	under = append(under, s.next())
	want := []string{"one 1", "one 2", "one 5", "one 6", "one 7", "one 8", "one 9", "one 10", "one 11"}
	if got := said(under...); !slices.Equal(got, want) {
		t.Errorf("pushes %q", got)
	}
	under[0].took()
	batch := s.next()
	if batch.said != "batch 3 4" {
		t.Errorf("then %q", batch.said)
	}
	outcomes := map[int]string{3: "accepted", 4: "accepted"}
	batch.took()
	for i, p := range under {
		if i > 0 {
			p.took()
		}
		outcomes[[]int{1, 2, 5, 6, 7, 8, 9, 10, 11}[i]] = "accepted"
	}
	s.want(outcomes)
}

// More than fit into one batch: the others go alone.
func TestTogetherTooMuch(t *testing.T) {
	s := newBusySite(t)
	s.deliverLarge(1)
	s.deliverLarge(2)
	under := []*push{s.next(), s.next()}
	for n := 3; n < 43; n++ {
		s.deliverLarge(n)
		s.until(func() bool { now, _ := s.Waiting(s.URL + "/a"); return now == n-2 })
	}
	under[0].took()
	batch := s.next()
	if n := len(strings.Fields(batch.said)) - 1; n != 20 {
		t.Errorf("%d in the batch", n)
	}
	batch.took()
	outcomes := map[int]string{}
	for n := range 42 {
		outcomes[n+1] = "accepted"
	}
	for range 20 {
		s.next().took()
	}
	under[1].took()
	s.want(outcomes)
}

func (s *busySite) deliverLarge(n int) {
	m := message(s.URL+"/a", n)
	m.Event.TokenRevoked = nil
	m.Event.Audience = s.URL + "/a"
	words := make([]string, 100)
	for i := range words {
		words[i] = fmt.Sprintf("scope-%03d", i)
	}
	m.Event.TokenIssued = &protocol.TokenIssued{
		TokenHash: protocol.TokenHash("x"), TokenType: "Bearer", ClientID: registry.CID(nil), Scope: strings.Join(words, " "), ExpiresAt: start + 3600,
	}
	s.deliver(s.t.Context(), s.URL+"/a", m)
}
