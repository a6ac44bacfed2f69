// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// siteEnv, in the environment, makes the test binary a site: in life a site is
// a process of its own, whose waiting for its disk holds nobody else up.
const siteEnv = "OAUTH_TEST_SITE"

func TestMain(m *testing.M) {
	config := os.Getenv(siteEnv)
	if config == "" {
		os.Exit(m.Run())
	}
	if err := runSite([]byte(config)); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

// siteConfig is what a site process is told.
type siteConfig struct {
	SDK        bool // the site of the package; else the smallest
	Dir        string
	Seed       []byte // of its Ed25519 key
	Issuer     string
	Federation string
	Untold     string // format of its tokens; it takes no events, and has opted in to tokens of clients for themselves
}

// siteProcess is a running site.
type siteProcess struct {
	resource string
	key      registry.SigningKey
	dir      string
}

// startSite starts a site and waits until it serves.
func startSite(b *testing.B, cfg siteConfig) *siteProcess {
	b.Helper()
	s := &siteProcess{key: registry.GenerateSigningKey(), dir: b.TempDir()}
	cfg.Dir, cfg.Seed = s.dir, s.key.Private().Seed()
	config, err := json.Marshal(cfg)
	check(b, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = append(os.Environ(), siteEnv+"="+string(config)), os.Stderr
	stdin, err := cmd.StdinPipe() // it ends with this
	check(b, err)
	stdout, err := cmd.StdoutPipe()
	check(b, err)
	check(b, cmd.Start())
	b.Cleanup(func() {
		stdin.Close()
		check(b, cmd.Wait())
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	check(b, err)
	s.resource = strings.TrimSpace(line)
	return s
}

// codes makes codes of the smallest site; each is the form that redeems it.
func (s *siteProcess) codes(b *testing.B, w *bench, count int) [][]byte {
	b.Helper()
	now := time.Now().Unix()
	forms := make([][]byte, count)
	for i := range forms {
		verifier := newVerifier()
		signed, err := protocol.SignCode(s.key, w.code(s.resource, verifier, now))
		check(b, err)
		forms[i] = w.codeForm(signed, verifier)
	}
	return forms
}

// runSite is a site until standard input ends.
func runSite(config []byte) error {
	var cfg siteConfig
	if err := json.Unmarshal(config, &cfg); err != nil {
		return err
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	key := registry.NewSigningKey(ed25519.NewKeyFromSeed(cfg.Seed))
	serve := leastSite
	if cfg.SDK {
		serve = sdkSite
	}
	end, err := serve(mux, server.URL, key, cfg)
	if err != nil {
		return err
	}
	fmt.Println(server.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, end())
}

// sdkSite is the site of the package, with a database of its own.
func sdkSite(mux *http.ServeMux, resource string, key registry.SigningKey, cfg siteConfig) (end func() error, err error) {
	db, err := openSiteDatabase(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := site.New(context.Background(), site.Config{
		Resource: resource, Brokers: []string{cfg.Issuer}, Federation: cfg.Federation, Store: db, Key: key,
		Scopes:                 map[string]string{benchScope: "Read your notes"},
		User:                   func(*http.Request) (string, bool) { return "ada", true },
		AllowClientCredentials: func(string, string, string) bool { return true },
		Log:                    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	mux.Handle("/", s.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	return func() error {
		cancel()
		<-ended
		return errors.Join(s.Close(), db.Close())
	}, errors.Join(s.Poll(ctx), s.Fresh())
}

func openSiteDatabase(dir string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+filepath.Join(dir, "site.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate")
}

// leastSite is the smallest site: it stores each event durably, as one row, and
// checks nothing; or it takes no events. Beside it a figure is that of the
// broker alone.
func leastSite(mux *http.ServeMux, resource string, key registry.SigningKey, cfg siteConfig) (end func() error, err error) {
	events, err := newRows(filepath.Join(cfg.Dir, "events.db"))
	if err != nil {
		return nil, err
	}
	meta := protocol.SiteMetadata{
		Resource: resource, AuthorizationServers: []string{cfg.Issuer}, JWKSURI: resource + "/jwks", ScopesSupported: []string{benchScope},
		Federation: cfg.Federation, AuthorizationEndpoint: resource + "/authorize", EventsEndpoint: resource + "/events", EventBatches: true,
	}
	if cfg.Untold != "" {
		meta.EventsEndpoint, meta.AccessTokenFormat = "", cfg.Untold
		meta.DirectGrants = map[string][]string{cfg.Issuer: {registry.GrantClientCredentials}}
	}
	if err := meta.Check(); err != nil {
		return nil, err
	}
	document := func(v any) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			json.NewEncoder(rw).Encode(v)
		}
	}
	mux.HandleFunc("GET /.well-known/oauth-protected-resource", document(meta))
	mux.HandleFunc("GET /jwks", document(map[string]any{"keys": []registry.JWK{key.JWK()}}))
	mux.HandleFunc("POST /events", func(rw http.ResponseWriter, r *http.Request) {
		ids, answer, err := eventsIn(r)
		if err != nil || events.insertAll(ids) != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusAccepted)
		io.WriteString(rw, answer)
	})
	return events.close, nil
}

// eventsIn returns the jti of the events in a request, and the answer that all
// of them are stored.
func eventsIn(r *http.Request) (ids []string, answer string, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", err
	}
	parts := strings.Split(string(body), ".")
	if len(parts) != 3 { // it comes from the smallest broker
		return []string{registry.OrderedID(time.Now())}, "", nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, "", err
	}
	type set struct {
		ID string `json:"jti"`
	}
	var claims struct {
		set
		Sets []set `json:"sets"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, "", err
	}
	if claims.ID != "" {
		return []string{claims.ID}, "", nil
	}
	for _, s := range claims.Sets {
		ids = append(ids, s.ID)
	}
	return ids, `{"alone":[]}`, nil
}
