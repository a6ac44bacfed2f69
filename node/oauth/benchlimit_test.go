// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// limit is the smallest server that does the same exchange as the broker. It
// checks nothing. What it leaves out is what the broker's promises cost.
type limit struct {
	*httptest.Server
	rows   *rows
	client *http.Client // to the site
	site   string
	key    ed25519.PrivateKey
	header string // of a JWT, with the dot
	mu     sync.RWMutex
	live   map[[32]byte]string // client of each token
}

// newLimit starts one, beside the smallest site of a broker.
func newLimit(b *testing.B, w *bench) *limit {
	b.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	check(b, err)
	rows, err := newRows(filepath.Join(b.TempDir(), "rows.db"))
	check(b, err)
	b.Cleanup(func() { check(b, rows.close()) })
	l := &limit{
		key: key, header: base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"limit","typ":"at+jwt"}`)) + ".",
		rows: rows, site: startSite(b, siteConfig{Issuer: w.issuer, Federation: w.federation}).resource + "/events", live: map[[32]byte]string{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	b.Cleanup(l.client.CloseIdleConnections)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /exchange", l.token(func(string) error { return nil }))
	mux.HandleFunc("POST /insert", l.token(l.rows.insert))
	mux.HandleFunc("POST /tell", l.token(func(token string) error {
		if err := l.rows.insert(token); err != nil {
			return err
		}
		if err := l.tell(); err != nil {
			return err
		}
		return l.rows.insert(token + ".")
	}))
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		if l.form(r) == nil || l.rows.insert(registry.NewID()) != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /signed", l.signed)
	mux.HandleFunc("POST /introspect", l.introspect)
	l.Server = httptest.NewServer(mux)
	b.Cleanup(l.Close)
	return l
}

func (l *limit) form(r *http.Request) url.Values {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return form
}

// token serves a token endpoint.
func (l *limit) token(keep func(token string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form := l.form(r)
		token := newVerifier()
		sum := sha256.Sum256([]byte(token))
		if form == nil || keep(base64.RawURLEncoding.EncodeToString(sum[:])) != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		l.answer(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": "notes:read"})
	}
}

// signed signs a JWT with the claims of RFC 9068.
func (l *limit) signed(w http.ResponseWriter, r *http.Request) {
	form := l.form(r)
	if form == nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": l.URL, "sub": "client", "aud": form.Get("resource"), "client_id": "client", "scope": form.Get("scope"),
		"iat": now, "exp": now + 120, "jti": newVerifier(),
	})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	input := l.header + base64.RawURLEncoding.EncodeToString(claims)
	token := input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(l.key, []byte(input)))
	l.answer(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 120, "scope": form.Get("scope")})
}

func (l *limit) answer(w http.ResponseWriter, document map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(document)
}

// tell pushes as many bytes as an event has, and waits for the answer.
func (l *limit) tell() error {
	resp, err := l.client.Post(l.site, "application/secevent+jwt", strings.NewReader(strings.Repeat("x", 900)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func (l *limit) introspect(w http.ResponseWriter, r *http.Request) {
	form := l.form(r)
	l.mu.RLock()
	client := l.live[sha256.Sum256([]byte(form.Get("token")))]
	l.mu.RUnlock()
	l.answer(w, map[string]any{"active": client != "", "client_id": client, "scope": "notes:read", "exp": 1_800_000_000})
}

// rows is a table in SQLite (WAL, synchronous=FULL), and one goroutine that
// inserts what comes at once in one transaction.
type rows struct {
	queue chan row
	ended chan error
}

type row struct {
	id   string
	done chan error
}

func newRows(path string) (*rows, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err = db.Exec(`CREATE TABLE rows (id TEXT NOT NULL PRIMARY KEY, client TEXT NOT NULL, expires_at BIGINT NOT NULL)`); err != nil {
		return nil, err
	}
	insert, err := db.Prepare(`INSERT INTO rows (id, client, expires_at) VALUES ($1, $2, $3)`)
	if err != nil {
		return nil, err
	}
	r := &rows{queue: make(chan row, 64), ended: make(chan error, 1)}
	go func() {
		for first := range r.queue {
			r.commit(db, insert, first)
		}
		r.ended <- errors.Join(insert.Close(), db.Close())
	}()
	return r, nil
}

func (r *rows) close() error {
	close(r.queue)
	return <-r.ended
}

func (r *rows) insert(id string) error {
	done := make(chan error, 1)
	r.queue <- row{id, done}
	return <-done
}

// insertAll inserts a row each.
func (r *rows) insertAll(ids []string) error {
	done := make(chan error, len(ids))
	for _, id := range ids {
		r.queue <- row{id, done}
	}
	var errs error
	for range ids {
		errs = errors.Join(errs, <-done)
	}
	return errs
}

// commit inserts first and all that waits already.
func (r *rows) commit(db *sql.DB, insert *sql.Stmt, first row) {
	group := []row{first}
	err := func() error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		in := tx.StmtContext(context.Background(), insert)
		for i := 0; i < len(group); i++ {
			if _, err := in.Exec(group[i].id, "client", 1_800_000_000); err != nil {
				return fmt.Errorf("insert: %w", err)
			}
			for more := true; more && len(group) < 64; {
				select {
				case next := <-r.queue:
					group = append(group, next)
				default:
					more = false
				}
			}
		}
		return tx.Commit()
	}()
	for _, row := range group {
		row.done <- err
	}
}
