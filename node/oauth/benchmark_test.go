// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// bench is a whole broker in this process and a whole site in another, on
// loopback, with real disks and real clocks. Nothing in them is made for
// benchmarks.
type bench struct {
	*testing.B
	issuer     string
	federation string
	node       *node.Node
	site       *siteProcess
	siteDB     *sql.DB

	client admin.App
	basic  string // the client's Authorization
}

const benchScope = "notes:read"

func newBench(b *testing.B) *bench {
	b.Helper()
	w := &bench{B: b}
	w.startBroker()
	w.startSite()
	w.register()
	// The site meets the client: it fetches and verifies the registration.
	c := dial(b, 0, w.issuer)
	defer c.Close()
	c.post("/oauth/token", w.basic, w.credentialsForm(w.site.resource), http.StatusOK)
	return w
}

func (w *bench) startBroker() {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(w, err)
	w.issuer = "http://" + l.Addr().String()
	check(w, l.Close())
	w.node, err = node.Open(context.Background(), node.Config{
		DataDir: filepath.Join(w.TempDir(), "data"), Issuer: w.issuer, AllowPrivate: true,
	})
	check(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- w.node.Run(ctx, func(node.Ready) { close(ready) }) }()
	w.Cleanup(func() {
		cancel()
		check(w, <-done)
		check(w, w.node.Close())
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		w.Fatal("the broker ended:", err)
	}
}

func (w *bench) startSite() {
	w.Helper()
	shown, err := w.node.ShowFederation(context.Background())
	check(w, err)
	w.federation = shown.Federation
	w.site = startSite(w.B, siteConfig{SDK: true, Issuer: w.issuer, Federation: w.federation})
	w.siteDB, err = openSiteDatabase(w.site.dir)
	check(w, err)
	w.Cleanup(func() { check(w, w.siteDB.Close()) })
}

// newUntoldSite starts a site that takes no events.
func (w *bench) newUntoldSite(format string) *siteProcess {
	w.Helper()
	return startSite(w.B, siteConfig{Issuer: w.issuer, Federation: w.federation, Untold: format})
}

func (w *bench) register() {
	w.Helper()
	metadata, err := json.Marshal(map[string]any{
		"client_name": "Bench", "redirect_uris": []string{redirectURI}, "grant_types": allGrants,
		"token_endpoint_auth_method": registry.AuthSecretBasic, "scope": benchScope,
	})
	check(w, err)
	w.client, err = w.node.RegisterApp(context.Background(), admin.AppDraft{Metadata: metadata})
	check(w, err)
	w.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(w.client.ClientID+":"+w.client.ClientSecret))
}

func (w *bench) credentialsForm(resource string) []byte {
	return encoded(url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {benchScope}})
}

// codes makes codes as the site does after so many consents, whose grants come
// into the site's database in one transaction; each is the form that redeems it.
func (w *bench) codes(b *testing.B, count int) [][]byte {
	b.Helper()
	now := time.Now().Unix()
	tx, err := w.siteDB.Begin()
	check(b, err)
	defer tx.Rollback()
	consent, err := tx.Prepare(`INSERT INTO comity_grants (consent, id, user_id, client_id, home, broker, scope, jkt, code,
		code_expires_at, created_at, used_at, ended_at) VALUES ($1, $1, 'ada', $2, $3, $3, $4, '', $5, $6, $7, 0, 0)`)
	check(b, err)
	forms := make([][]byte, count)
	for i := range forms {
		verifier := newVerifier()
		code := w.code(w.site.resource, verifier, now)
		signed, err := protocol.SignCode(w.site.key, code)
		check(b, err)
		_, err = consent.Exec(code.Grant, code.ClientID, w.issuer, code.Scope, code.ID, code.ExpiresAt, now)
		check(b, err)
		forms[i] = w.codeForm(signed, verifier)
	}
	check(b, tx.Commit())
	return forms
}

// code is a code of a site for the client.
func (w *bench) code(resource, verifier string, now int64) protocol.Code {
	return protocol.Code{
		Issuer: resource, Audience: w.issuer, ClientID: w.client.ClientID, RedirectURI: redirectURI, Challenge: challenge(verifier),
		Scope: benchScope, Grant: registry.NewID(), IssuedAt: now, ExpiresAt: now + 60, ID: registry.OrderedID(time.Now()),
	}
}

func (w *bench) codeForm(signed, verifier string) []byte {
	form := codeForm(signed, verifier)
	form.Set("client_id", w.client.ClientID)
	return encoded(form)
}

// measured is one server under one load.
type measured struct {
	name  string
	begin func(b *testing.B, conns int) (address string, exchange func(c *conn, i int))
}

// compare measures servers beside each other, so that the machine is the same
// for all of them.
func compare(b *testing.B, all ...measured) {
	for _, conns := range atOnce {
		for _, m := range all {
			b.Run(fmt.Sprintf("conns=%d/%s", conns, m.name), func(b *testing.B) {
				address, exchange := m.begin(b, conns)
				load(b, conns, address, exchange)
			})
		}
	}
}

// least is a limit: the same form, sent to the smallest server.
func least(l *limit, name, path string, form []byte) measured {
	return measured{name, func(*testing.B, int) (string, func(*conn, int)) {
		return l.URL, func(c *conn, _ int) { c.post(path, "", form, http.StatusOK) }
	}}
}

// BenchmarkLoad is the broker under load, and beside each figure its limits:
// Exchange is the smallest server with the same HTTP exchange, Insert does one
// durable insert as well, Tell also pushes to the smallest site, which does
// one, and notes its answer with another; Signed signs a JWT and stores nothing.
func BenchmarkLoad(b *testing.B) {
	w := newBench(b)
	l := newLimit(b, w)
	b.Run("ClientCredentials", func(b *testing.B) {
		form := w.credentialsForm(w.site.resource)
		compare(b, least(l, "Exchange", "/exchange", form), least(l, "Insert", "/insert", form), least(l, "Tell", "/tell", form),
			measured{"Broker", func(*testing.B, int) (string, func(*conn, int)) {
				return w.issuer, func(c *conn, _ int) { c.post("/oauth/token", w.basic, form, http.StatusOK) }
			}})
	})
	// What a site that takes no events has opted in to: one durable insert, and
	// none.
	b.Run("Opaque", func(b *testing.B) {
		form := w.credentialsForm(w.newUntoldSite(protocol.FormatOpaque).resource)
		compare(b, least(l, "Exchange", "/exchange", form), least(l, "Insert", "/insert", form),
			measured{"Broker", func(*testing.B, int) (string, func(*conn, int)) {
				return w.issuer, func(c *conn, _ int) { c.post("/oauth/token", w.basic, form, http.StatusOK) }
			}})
	})
	b.Run("JWT", func(b *testing.B) {
		form := w.credentialsForm(w.newUntoldSite(protocol.FormatJWT).resource)
		compare(b, least(l, "Exchange", "/exchange", form), least(l, "Signed", "/signed", form),
			measured{"Broker", func(*testing.B, int) (string, func(*conn, int)) {
				return w.issuer, func(c *conn, _ int) { c.post("/oauth/token", w.basic, form, http.StatusOK) }
			}})
	})
	b.Run("Code", func(b *testing.B) {
		form := w.codes(b, 1)[0]
		alone := startSite(b, siteConfig{Issuer: w.issuer, Federation: w.federation})
		untold := w.newUntoldSite(protocol.FormatOpaque)
		compare(b, least(l, "Insert", "/insert", form), least(l, "Tell", "/tell", form),
			measured{"Broker", func(b *testing.B, _ int) (string, func(*conn, int)) {
				forms := w.codes(b, b.N)
				return w.issuer, func(c *conn, i int) { c.post("/oauth/token", w.basic, forms[i], http.StatusOK) }
			}},
			measured{"BrokerAlone", func(b *testing.B, _ int) (string, func(*conn, int)) {
				forms := alone.codes(b, w, b.N)
				return w.issuer, func(c *conn, i int) { c.post("/oauth/token", w.basic, forms[i], http.StatusOK) }
			}},
			measured{"BrokerUntold", func(b *testing.B, _ int) (string, func(*conn, int)) {
				forms := untold.codes(b, w, b.N)
				return w.issuer, func(c *conn, i int) { c.post("/oauth/token", w.basic, forms[i], http.StatusOK) }
			}})
	})
	b.Run("Refresh", func(b *testing.B) {
		form := encoded(refreshForm("x"))
		compare(b, least(l, "Insert", "/insert", form), least(l, "Tell", "/tell", form),
			measured{"Broker", func(b *testing.B, conns int) (string, func(*conn, int)) {
				refresh := make([]string, conns)
				for i, answer := range w.redeem(b, conns) {
					refresh[i] = answer.refresh
				}
				return w.issuer, func(c *conn, _ int) {
					body := c.post("/oauth/token", w.basic, encoded(refreshForm(refresh[c.n])), http.StatusOK)
					refresh[c.n] = member(body, "refresh_token")
				}
			}})
	})
	b.Run("Introspection", func(b *testing.B) {
		live := w.redeem(b, 100)
		forms := make([][]byte, len(live))
		for i, t := range live {
			forms[i] = encoded(url.Values{"token": {t.access}})
			l.know(t.access)
		}
		compare(b,
			measured{"Exchange", func(*testing.B, int) (string, func(*conn, int)) {
				return l.URL, func(c *conn, i int) { c.post("/introspect", "", forms[i%len(forms)], http.StatusOK) }
			}},
			measured{"Broker", func(*testing.B, int) (string, func(*conn, int)) {
				return w.issuer, func(c *conn, i int) {
					active(c, c.post("/oauth/introspect", w.basic, forms[i%len(forms)], http.StatusOK))
				}
			}},
			measured{"BrokerBySite", func(b *testing.B, _ int) (string, func(*conn, int)) {
				asked := w.askedBySite(b, live)
				return w.issuer, func(c *conn, i int) { active(c, c.post("/oauth/introspect", "", asked[i], http.StatusOK)) }
			}})
	})
	b.Run("Revocation", func(b *testing.B) {
		form := encoded(url.Values{"token": {newVerifier()}})
		compare(b, least(l, "Insert", "/revoke", form),
			measured{"Broker", func(b *testing.B, _ int) (string, func(*conn, int)) {
				live := w.redeem(b, b.N)
				return w.issuer, func(c *conn, i int) {
					c.post("/oauth/revoke", w.basic, encoded(url.Values{"token": {live[i].access}}), http.StatusOK)
				}
			}})
	})
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// active wants an answer that the token is.
func active(c *conn, body []byte) {
	const want = `{"active":true,`
	if len(body) < len(want) || string(body[:len(want)]) != want {
		c.b.Errorf("introspection: %s", body)
	}
}

// know makes a token live.
func (l *limit) know(token string) { l.live[sha256.Sum256([]byte(token))] = "client" }

// pair is what one login gives.
type pair struct{ access, refresh string }

// redeem logs in so often, outside of what is measured.
func (w *bench) redeem(b *testing.B, count int) []pair {
	b.Helper()
	pairs := make([]pair, count)
	forms := w.codes(b, count)
	const conns = 16
	done := make(chan struct{}, conns)
	for n := range conns {
		go func() {
			defer func() { done <- struct{}{} }()
			c := dial(b, n, w.issuer)
			defer c.Close()
			for i := n; i < count; i += conns {
				body := c.post("/oauth/token", w.basic, forms[i], http.StatusOK)
				pairs[i] = pair{member(body, "access_token"), member(body, "refresh_token")}
			}
		}()
	}
	for range conns {
		<-done
	}
	return pairs
}

// askedBySite makes questions of the site, each with an assertion of its own.
func (w *bench) askedBySite(b *testing.B, live []pair) [][]byte {
	b.Helper()
	forms := make([][]byte, b.N)
	for i := range forms {
		assertion, err := protocol.SignSiteAssertion(w.site.key, protocol.SiteAssertion{
			Issuer: w.site.resource, Audience: w.issuer, IssuedAt: time.Now().Unix(),
		})
		check(b, err)
		forms[i] = encoded(url.Values{
			"token": {live[i%len(live)].access}, "client_assertion_type": {assertionType}, "client_assertion": {assertion},
		})
	}
	return forms
}
