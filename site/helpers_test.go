// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

func TestMain(m *testing.M) {
	// Idle connections of the shared client are not ours to end.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

const callback = "https://app.example/callback"

// metadata is a client as most tests register it.
func metadata() registry.ClientMetadata {
	return registry.ClientMetadata{
		Name: "Test App", RedirectURIs: []string{callback}, AuthMethod: registry.AuthNone, URI: "https://app.example/",
	}
}

// testSite is a site over HTTP, with its own database file.
type testSite struct {
	*site.Site
	t      testing.TB
	fed    *federation
	server *httptest.Server
	config site.Config
	path   string
	db     *sql.DB
}

// openDB opens the database as docs/site-owner.md says.
func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+
		"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// newSite starts a site that delegates to all brokers of f and has polled them
// once. change may be nil.
func newSite(t testing.TB, f *federation, change func(*site.Config)) *testSite {
	t.Helper()
	s := &testSite{t: t, fed: f, path: filepath.Join(t.TempDir(), "site.db")}
	s.server = httptest.NewUnstartedServer(nil)
	s.config = site.Config{
		Resource: "http://" + s.server.Listener.Addr().String(), Name: "Photos", Federation: f.id(),
		Key: registry.GenerateSigningKey(), LoginURL: "/login", Now: f.clock.Now, Log: slog.New(slog.DiscardHandler),
		Scopes: map[string]string{"read": "See your photos", "write": "Add and delete photos"},
		User: func(r *http.Request) (string, bool) {
			c, err := r.Cookie("user")
			if err != nil {
				return "", false
			}
			return c.Value, true
		},
	}
	for _, b := range f.brokers {
		s.config.Brokers = append(s.config.Brokers, b.issuer)
	}
	if change != nil {
		change(&s.config)
	}
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.mux().ServeHTTP(w, r) })
	s.server.Start()
	t.Cleanup(s.server.Close)
	s.open()
	s.Poll(context.Background()) // some tests want it to fail
	return s
}

// open makes the site out of its database, as at a start of the process.
func (s *testSite) open() {
	s.t.Helper()
	s.db = openDB(s.t, s.path)
	s.config.Store = s.db
	var err error
	s.Site, err = site.New(context.Background(), s.config)
	must(s.t, err)
	s.t.Cleanup(func() { s.Site.Close() })
}

// reopen drops the running site as a crash does, and starts another one on the
// same database file.
func (s *testSite) reopen() {
	s.t.Helper()
	s.open()
}

func (s *testSite) mux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/comity/", s.Handler())
	mux.Handle("/.well-known/oauth-protected-resource", s.Handler())
	mux.Handle("/.well-known/oauth-protected-resource/", s.Handler())
	mux.Handle("/photos", s.Require("read")(http.HandlerFunc(showAccess)))
	mux.Handle("/upload", s.Require("write")(http.HandlerFunc(showAccess)))
	return mux
}

func showAccess(w http.ResponseWriter, r *http.Request) {
	access, ok := site.AccessFrom(r.Context())
	if !ok {
		http.Error(w, "no access", http.StatusInternalServerError)
		return
	}
	writeJSON(w, access)
}

func (s *testSite) url(path string) string { return s.server.URL + path }

// browser follows no redirects and keeps cookies.
type browser struct {
	t      testing.TB
	client *http.Client
}

func newBrowser(s *testSite, user string) *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	must(s.t, err)
	if user != "" {
		u, err := url.Parse(s.server.URL)
		must(s.t, err)
		jar.SetCookies(u, []*http.Cookie{{Name: "user", Value: user}})
	}
	return &browser{s.t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	resp, err := b.client.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(b.t, err)
	return answer{resp, string(body)}
}

func (b *browser) get(url string) answer {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	must(b.t, err)
	return b.do(req)
}

func (b *browser) post(target string, form url.Values) answer {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	must(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// location is where a redirect leads; empty when the answer is none.
func (a answer) location() *url.URL {
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return &url.URL{}
	}
	return u
}

var hidden = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)

// form reads the hidden fields of the first form on a page.
func (a answer) form() url.Values {
	form := url.Values{}
	if m := hidden.FindStringSubmatch(a.body); m != nil {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return jws.Base64.EncodeToString(sum[:])
}

// request is a good authorization request; change may be nil.
func (s *testSite) request(client string, change func(url.Values)) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "scope": {"read"}, "state": {"s t"},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"}, "resource": {s.config.Resource},
	}
	if change != nil {
		change(q)
	}
	return s.url("/comity/authorize?" + q.Encode())
}

// consent leads a user through the consent page and returns the code.
func (s *testSite) consent(user, client string, change func(url.Values)) *protocol.SignedCode {
	s.t.Helper()
	b := newBrowser(s, user)
	page := b.get(s.request(client, change))
	if page.StatusCode != http.StatusOK {
		s.t.Fatalf("consent page: %d %s", page.StatusCode, page.body)
	}
	form := page.form()
	form.Set("decision", "allow")
	done := b.post(s.url("/comity/authorize"), form)
	if done.StatusCode != http.StatusSeeOther || done.location().Query().Get("code") == "" {
		s.t.Fatalf("after consent: %d %s %s", done.StatusCode, done.Header.Get("Location"), done.body)
	}
	code, err := protocol.ParseCode(done.location().Query().Get("code"))
	must(s.t, err)
	return code
}

// issued is the event that a broker sends for a code; change may be nil.
func (b *broker) issued(token string, code *protocol.SignedCode, change func(*protocol.TokenIssued)) string {
	t := &protocol.TokenIssued{
		TokenHash: protocol.TokenHash(token), TokenType: protocol.TokenBearer, ClientID: code.ClientID, Scope: code.Scope,
		ExpiresAt: b.fed.clock.Unix() + 3600, Grant: code.Grant, CodeJTI: code.ID,
	}
	if change != nil {
		change(t)
	}
	return b.event(code.Issuer, func(e *protocol.Event) { e.TokenIssued = t })
}

// login gives a user's consent and issues a token for it.
func (s *testSite) login(user, client string) (token string, code *protocol.SignedCode) {
	s.t.Helper()
	code = s.consent(user, client, nil)
	token = registry.NewID() + registry.NewID()
	broker := s.fed.home(code.Audience)
	if got := post(s.t, s.url("/comity/events"), broker.issued(token, code, nil)); got != "202" {
		s.t.Fatalf("token-issued: %s", got)
	}
	return token, code
}

// call sends an API request with a Bearer token and returns the answer.
func (s *testSite) call(path, token string) answer {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url(path), nil)
	must(s.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return newBrowser(s, "").do(req)
}

// wantStatus fails unless the token gives this status at /photos.
func (s *testSite) wantStatus(token string, status int) {
	s.t.Helper()
	if got := s.call("/photos", token); got.StatusCode != status {
		s.t.Fatalf("API answers %d %s %s, want %d", got.StatusCode, got.Header["Www-Authenticate"], got.body, status)
	}
}
