// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/process"
)

// broker is a running node, spoken to by HTTP, whose clock a test can turn
// forward.
type broker struct {
	*node.Node
	t      testing.TB
	issuer string
	logged *logBuffer
	client *http.Client

	mu    sync.Mutex
	ahead time.Duration
}

// newBroker starts a node in a new directory; it runs until the test ends.
func newBroker(t testing.TB, change ...func(*node.Config)) *broker {
	t.Helper()
	b := &broker{t: t, logged: &logBuffer{}, client: &http.Client{Transport: &http.Transport{}}}
	address, err := process.FreeAddress()
	check(t, err)
	b.issuer = "http://" + address
	cfg := node.Config{
		DataDir: filepath.Join(t.TempDir(), "data"), Issuer: b.issuer, Now: b.now,
		Log: slog.New(slog.NewJSONHandler(b.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Node, err = node.Open(ctx, cfg)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready, done := make(chan node.Ready, 1), make(chan error, 1)
	go func() { done <- b.Run(ctx, func(r node.Ready) { ready <- r }) }()
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node did not stop in order: %v", err)
		}
		check(t, b.Close())
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("the node ended: %v", err)
	}
	return b
}

// open lets anybody register.
func open(cfg *node.Config) { cfg.OpenRegistration = true }

func (b *broker) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.ahead)
}

func (b *broker) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead += d
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) text(member string) string {
	s, _ := a.json[member].(string)
	return s
}

// do sends a request with a JSON body, and a token where there is one.
func (b *broker) do(method, path, token, body string) answer {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.issuer + path
	}
	r, err := http.NewRequest(method, path, strings.NewReader(body))
	check(b.t, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return b.send(r)
}

func (b *broker) send(r *http.Request) answer {
	b.t.Helper()
	res, err := b.client.Do(r)
	check(b.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	check(b.t, err)
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	if len(body) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		check(b.t, json.Unmarshal(body, &a.json))
	}
	return a
}

// register posts metadata; without a token, in the open. The clock goes on, so
// that no limit of requests is met.
func (b *broker) register(token, metadata string) answer {
	b.t.Helper()
	if token == "" {
		b.pass(30 * time.Second)
	}
	return b.do(http.MethodPost, "/oauth/register", token, metadata)
}

// initial makes an initial access token.
func (b *broker) initial(uses int64) string {
	b.t.Helper()
	t, err := b.MakeToken(b.t.Context(), admin.TokenDraft{Uses: uses, For: 3600})
	check(b.t, err)
	return t.Token
}

// want fails the test unless the answer has that status and error; an empty
// error stands for success.
func want(t testing.TB, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.text("error") != code {
		t.Fatalf("answer %d %s, expected %d %s", a.status, a.body, status, code)
	}
	if code != "" && a.text("error_description") == "" {
		t.Errorf("%s has no description", a.body)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get(oauth.RequestIDHeader) == "" ||
		a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", a.header)
	}
}

// created asserts a registration and returns the id and the token that
// manages it.
func created(t testing.TB, a answer) (id, token string) {
	t.Helper()
	want(t, a, http.StatusCreated, "")
	return a.text("client_id"), a.text("registration_access_token")
}

func (b *broker) stop(id string, action registry.Action) {
	b.t.Helper()
	check(b.t, b.StopApp(b.t.Context(), admin.Stop{ClientID: id, Action: action, Reason: "malicious"}, func(admin.StopProgress) {}))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logBuffer holds what the node logs.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const (
	someApp   = `{"client_name":"App","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}`
	secretApp = `{"client_name":"App","redirect_uris":["https://app.example/cb"]}`
)
