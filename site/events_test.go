// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// TestTokenIssued: what a new token must fit.
func TestTokenIssued(t *testing.T) {
	f := newFederation(t, 2)
	s := newSite(t, f, nil)
	home, other := f.brokers[0], f.brokers[1]
	client, stranger := home.register(metadata()), home.register(metadata())
	pinned := strings.Repeat("A", 43)
	fresh := s.consent("alice", client, nil)
	used := s.consent("alice", client, nil)
	if got := post(t, s.url("/comity/events"), home.issued("first", used, nil)); got != "202" {
		t.Fatal(got)
	}
	dpop := s.consent("alice", client, nil)
	pin := s.consent("alice", client, func(q url.Values) { q.Set("dpop_jkt", pinned) })
	bind := func(jkt string) func(*protocol.TokenIssued) {
		return func(i *protocol.TokenIssued) { i.TokenType, i.JKT = protocol.TokenDPoP, jkt }
	}
	for _, c := range []struct {
		name   string
		by     *broker
		code   *protocol.SignedCode
		change func(*protocol.TokenIssued)
		want   string
	}{
		{"unknown grant", home, fresh, func(i *protocol.TokenIssued) { i.Grant = registry.NewID() }, "400 invalid_grant"},
		{"another broker", other, fresh, nil, "400 invalid_grant"},
		{"another client", home, fresh, func(i *protocol.TokenIssued) { i.ClientID = stranger }, "400 invalid_grant"},
		{"wider scope", home, fresh, func(i *protocol.TokenIssued) { i.Scope = "read write" }, "400 invalid_grant"},
		{"other scope", home, fresh, func(i *protocol.TokenIssued) { i.Scope = "write" }, "400 invalid_grant"},
		{"no scope", home, fresh, func(i *protocol.TokenIssued) { i.Scope = "" }, "400 invalid_grant"},
		{"another code", home, fresh, func(i *protocol.TokenIssued) { i.CodeJTI = used.ID }, "400 invalid_grant"},
		{"refresh before the code", home, fresh, func(i *protocol.TokenIssued) { i.CodeJTI = "" }, "400 invalid_grant"},
		{"expired token", home, fresh, func(i *protocol.TokenIssued) { i.ExpiresAt = f.clock.Unix() }, "400 invalid_request"},
		{"immortal token", home, fresh, func(i *protocol.TokenIssued) { i.ExpiresAt += 40 * 86400 }, "400 invalid_request"},
		{"without a grant", home, fresh, func(i *protocol.TokenIssued) { i.Grant, i.CodeJTI = "", "" }, "400 access_denied"},
		{"pinned, Bearer", home, pin, nil, "400 invalid_grant"},
		{"pinned, another key", home, pin, bind(strings.Repeat("A", 42) + "E"), "400 invalid_grant"},
		{"pinned, its key", home, pin, bind(pinned), "202"},
		{"pinned, refresh with another key", home, pin, func(i *protocol.TokenIssued) {
			bind(strings.Repeat("A", 42) + "E")(i)
			i.CodeJTI = ""
		}, "400 invalid_grant"},
		{"not pinned, DPoP", home, dpop, bind(pinned), "202"},
		{"good", home, fresh, nil, "202"},
		{"refresh", home, fresh, func(i *protocol.TokenIssued) { i.CodeJTI = "" }, "202"},
		{"refresh, less scope", home, used, func(i *protocol.TokenIssued) { i.CodeJTI = "" }, "202"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := "token " + c.name
			if got := post(t, s.url("/comity/events"), c.by.issued(token, c.code, c.change)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	late := s.consent("alice", client, nil)
	f.clock.Advance(80 * time.Second)
	must(t, s.Poll(t.Context()))
	if got := post(t, s.url("/comity/events"), home.issued("late", late, nil)); got != "400 invalid_grant" {
		t.Errorf("expired code: %s", got)
	}
}

// TestOneTokenPerCode: a retried code replaces its first token.
func TestOneTokenPerCode(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	first, code := s.login("alice", f.brokers[0].register(metadata()))
	second := registry.NewID()
	if got := post(t, s.url("/comity/events"), f.brokers[0].issued(second, code, nil)); got != "202" {
		t.Fatal(got)
	}
	s.wantStatus(first, http.StatusUnauthorized)
	s.wantStatus(second, http.StatusOK)
}

// TestFault39Replay: repeated, reordered and old events.
func TestFault39Replay(t *testing.T) { // fault 39
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	b := f.brokers[0]
	client := b.register(metadata())
	events := s.url("/comity/events")
	code := s.consent("alice", client, nil)
	issued := b.issued("t1", code, nil)
	for range 3 {
		if got := post(t, events, issued); got != "202" {
			t.Fatalf("the same event: %s", got)
		}
	}
	s.wantStatus("t1", http.StatusOK)
	must(t, s.EndGrant(t.Context(), "alice", code.Grant))
	if got := post(t, events, issued); got != "202" {
		t.Errorf("the same event after the end: %s", got)
	}
	s.wantStatus("t1", http.StatusUnauthorized) // no second effect

	// One jti stands for one thing.
	id, expires := registry.NewID(), f.clock.Unix()+3600
	revoked := func(token string) string {
		return b.event(s.config.Resource, func(e *protocol.Event) {
			e.ID = id
			e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash(token), ExpiresAt: expires, Reason: "void"}
		})
	}
	if got := post(t, events, revoked("t2")); got != "202" {
		t.Fatal(got)
	}
	f.clock.Advance(time.Second) // signed again for another attempt
	if got := post(t, events, revoked("t2")); got != "202" {
		t.Errorf("another attempt: %s", got)
	}
	if got := post(t, events, revoked("t3")); got != "400 invalid_request" {
		t.Errorf("another event with the same jti: %s", got)
	}

	// Reordered: the revocation came first, the token never lives.
	code = s.consent("alice", client, nil)
	if got := post(t, events, b.issued("t2", code, nil)); got != "400 invalid_grant" {
		t.Errorf("issued after revoked: %s", got)
	}
	s.wantStatus("t2", http.StatusUnauthorized)

	// Old and future.
	for age, want := range map[time.Duration]string{
		-60 * time.Second: "202", -61 * time.Second: "400 invalid_request", -5 * time.Minute: "400 invalid_request",
		10 * time.Second: "202", 11 * time.Second: "400 invalid_request", time.Hour: "400 invalid_request",
	} {
		event := b.event(s.config.Resource, func(e *protocol.Event) {
			e.IssuedAt += int64(age / time.Second)
			e.TokensRevoked = &protocol.TokensRevoked{ClientID: client, Cutoff: 1, Reason: "policy"}
		})
		if got := post(t, events, event); got != want {
			t.Errorf("iat %s from now: %s, want %s", age, got, want)
		}
	}
}

// TestFault40Forgery: nothing that is not wholly right is stored.
func TestFault40Forgery(t *testing.T) { // fault 40
	f := newFederation(t, 3)
	s := newSite(t, f, func(c *site.Config) { c.Brokers = c.Brokers[:2] })
	b := f.brokers[0]
	code := s.consent("alice", b.register(metadata()), nil)
	good := b.issued("t", code, nil)
	event := func(signer *broker, change func(*protocol.Event)) string {
		e := protocol.Event{Issuer: b.issuer, Audience: s.config.Resource, IssuedAt: f.clock.Unix(), TokenIssued: &protocol.TokenIssued{
			TokenHash: protocol.TokenHash("t"), TokenType: "Bearer", ClientID: code.ClientID, Scope: "read",
			ExpiresAt: f.clock.Unix() + 60, Grant: code.Grant, CodeJTI: code.ID,
		}}
		if change != nil {
			change(&e)
		}
		signed, err := protocol.SignEvent(signer.token, e)
		must(t, err)
		return signed
	}
	parts := strings.Split(good, ".")
	header := func(h string) string {
		return jws.Base64.EncodeToString([]byte(h)) + "." + parts[1] + "." + parts[2]
	}
	kid := b.token.ID()
	stranger := &broker{fed: f, issuer: b.issuer, token: registry.GenerateSigningKey(), record: b.record}
	for _, c := range []struct{ name, event, want string }{
		{"a key that nobody has", event(stranger, nil), "400 invalid_key"},
		{"the key of another broker", event(f.brokers[1], nil), "400 invalid_key"},
		{"in the name of another broker", event(b, func(e *protocol.Event) { e.Issuer = f.brokers[1].issuer }), "400 invalid_key"},
		{"by a member that is no broker of the site", event(f.brokers[2], func(e *protocol.Event) { e.Issuer = f.brokers[2].issuer }), "400 invalid_issuer"},
		{"for another site", event(b, func(e *protocol.Event) { e.Audience = "https://wiki.example" }), "400 invalid_audience"},
		{"for another path", event(b, func(e *protocol.Event) { e.Audience += "/api" }), "400 invalid_audience"},
		{"the record key", event(&broker{token: b.record}, nil), "400 invalid_key"},
		{"body altered", parts[0] + "." + jws.Base64.EncodeToString([]byte(strings.Replace(decoded(t, parts[1]), `"read"`, `"rexd"`, 1))) + "." + parts[2], "400 authentication_failed"},
		{"signature altered", parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86), "400 authentication_failed"},
		{"no signature", parts[0] + "." + parts[1] + ".", "400 invalid_request"},
		{"two parts", parts[0] + "." + parts[1], "400 invalid_request"},
		{"alg none", header(`{"alg":"none","kid":"` + kid + `","typ":"secevent+jwt"}`), "400 invalid_request"},
		{"alg HS256", header(`{"alg":"HS256","kid":"` + kid + `","typ":"secevent+jwt"}`), "400 invalid_request"},
		{"no typ", header(`{"alg":"EdDSA","kid":"` + kid + `"}`), "400 invalid_request"},
		{"the typ of a code", header(`{"alg":"EdDSA","kid":"` + kid + `","typ":"comity-code+jwt"}`), "400 invalid_request"},
		{"crit", header(`{"alg":"EdDSA","crit":["b64"],"kid":"` + kid + `","typ":"secevent+jwt"}`), "400 invalid_request"},
		{"jwk in the header", header(`{"alg":"EdDSA","jwk":{},"typ":"secevent+jwt"}`), "400 invalid_request"},
		{"bytes after the end", good + "\n", "400 invalid_request"},
		{"no kid", header(`{"alg":"EdDSA","typ":"secevent+jwt"}`), "400 invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := post(t, s.url("/comity/events"), c.event); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	s.wantStatus("t", http.StatusUnauthorized)
	if n := b.count("/federation/brokers/" + b.record.ID()); n > 2 {
		t.Errorf("unknown keys made the site ask its broker %d times", n)
	}
	if got := post(t, s.url("/comity/events"), good); got != "202" { // nothing of the above was taken for it
		t.Errorf("the honest event: %s", got)
	}
}

func decoded(t testing.TB, part string) string {
	t.Helper()
	b, err := jws.Base64.DecodeString(part)
	must(t, err)
	return string(b)
}

// TestKeyRotation: a new token key is found, an old one is not taken any more.
func TestKeyRotation(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	b := f.brokers[0]
	client := b.register(metadata())
	s.login("alice", client)
	f.clock.Advance(10 * time.Second)
	must(t, s.Poll(t.Context()))
	old := b.token
	f.mu.Lock()
	b.token = registry.GenerateSigningKey()
	b.announce()
	f.mu.Unlock()
	s.login("bob", client)
	code := s.consent("bob", client, nil)
	if got := post(t, s.url("/comity/events"), (&broker{fed: f, issuer: b.issuer, token: old}).issued("x", code, nil)); got != "400 invalid_key" {
		t.Errorf("by the old key: %s", got)
	}
}

// TestFault41Stopped: tokens for stopped clients, by stopped brokers, and while
// the site does not know.
func TestFault41Stopped(t *testing.T) { // fault 41
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	b := f.brokers[0]
	client := b.register(metadata())
	code := s.consent("alice", client, nil)
	events := s.url("/comity/events")
	b.stop(client, registry.Suspend, nil)
	f.clock.Advance(time.Second)
	must(t, s.Poll(t.Context()))
	if got := post(t, events, b.issued("t", code, nil)); got != "400 access_denied" {
		t.Errorf("stopped client: %s", got)
	}
	second := f.brokers[1].register(metadata())
	f.clock.Advance(time.Second)
	must(t, s.Poll(t.Context()))
	code = s.consent("alice", second, func(q url.Values) { q.Set("issuer", f.brokers[1].issuer) })
	f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberSuspended })
	f.clock.Advance(time.Second)
	must(t, s.Poll(t.Context()))
	if got := post(t, events, f.brokers[1].issued("t", code, nil)); got != "400 access_denied" {
		t.Errorf("stopped broker: %s", got)
	}
	third := f.brokers[2].register(metadata())
	code = s.consent("alice", third, nil)
	f.clock.Advance(121 * time.Second)
	if got := post(t, events, b.issued("t", code, nil)); got != "400 stale" {
		t.Errorf("stale site: %s", got)
	}
}

// TestFault43Acknowledgement: 202 means stored, and nothing else gives 202.
func TestFault43Acknowledgement(t *testing.T) { // fault 43, the site's half
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	code := s.consent("alice", f.brokers[0].register(metadata()), nil)
	event := f.brokers[0].issued("t", code, nil)
	s.db.Close()
	if got := post(t, s.url("/comity/events"), event); got != "503" {
		t.Errorf("without its database the site answers %s", got)
	}
	s.reopen()
	s.wantStatus("t", http.StatusUnauthorized)
	if got := post(t, s.url("/comity/events"), event); got != "202" {
		t.Errorf("tried again: %s", got)
	}
	s.wantStatus("t", http.StatusOK)
}

// TestFault44Clock: clocks that differ are named.
func TestFault44Clock(t *testing.T) { // fault 44
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	for _, skew := range []int64{-600, 600} {
		event := f.brokers[0].event(s.config.Resource, func(e *protocol.Event) {
			e.IssuedAt += skew
			e.TokensRevoked = &protocol.TokensRevoked{ClientID: client, Cutoff: 1, Reason: "policy"}
		})
		status, body := postAs(t, s.url("/comity/events"), "application/secevent+jwt", event)
		var e protocol.PushError
		must(t, json.Unmarshal([]byte(body), &e))
		if status != http.StatusBadRequest || !strings.Contains(e.Description, "clock") {
			t.Errorf("%d s off: %d %+v", skew, status, e)
		}
	}
}

// TestRevocations: token-revoked and tokens-revoked, and whose tokens they
// reach.
func TestRevocations(t *testing.T) {
	f := newFederation(t, 2)
	s := newSite(t, f, nil)
	a, b := f.brokers[0], f.brokers[1]
	client := a.register(metadata())
	events := s.url("/comity/events")
	revoke := func(by *broker, change func(*protocol.Event)) string {
		return post(t, events, by.event(s.config.Resource, change))
	}
	one := func(token string) func(*protocol.Event) {
		return func(e *protocol.Event) {
			e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash(token), ExpiresAt: f.clock.Unix() + 60, Reason: "policy"}
		}
	}
	t1, code1 := s.login("alice", client)
	t2, _ := s.login("alice", client)
	t3, _ := s.login("bob", client)
	if got := revoke(b, one(t1)); got != "400 access_denied" {
		t.Errorf("another broker's token: %s", got)
	}
	s.wantStatus(t1, http.StatusOK)
	all := func(grant, client string, cutoff int64) func(*protocol.Event) {
		return func(e *protocol.Event) {
			e.TokensRevoked = &protocol.TokensRevoked{Grant: grant, ClientID: client, Cutoff: cutoff, Reason: "policy"}
		}
	}
	for _, cutoff := range []int64{f.clock.Unix(), f.clock.Unix() + 30} {
		if got := revoke(b, all(code1.Grant, "", cutoff)); got != "202" { // of its own tokens it has none
			t.Error(got)
		}
	}
	s.wantStatus(t1, http.StatusOK)
	if got := revoke(a, one(t1)); got != "202" {
		t.Error(got)
	}
	s.wantStatus(t1, http.StatusUnauthorized)
	s.wantStatus(t2, http.StatusOK)
	if got := revoke(a, all("", client, f.clock.Unix()-1)); got != "202" {
		t.Error(got)
	}
	s.wantStatus(t2, http.StatusOK)
	if got := revoke(a, all("", client, f.clock.Unix()+61)); got != "400 invalid_request" {
		t.Errorf("cutoff in the future: %s", got)
	}
	if got := revoke(a, all("", client, f.clock.Unix())); got != "202" {
		t.Error(got)
	}
	s.wantStatus(t2, http.StatusUnauthorized)
	s.wantStatus(t3, http.StatusUnauthorized)
	code := s.consent("alice", client, nil)
	if got := post(t, events, a.issued("t4", code, nil)); got != "400 access_denied" {
		t.Errorf("a token of the cutoff's second: %s", got)
	}
	f.clock.Advance(time.Second)
	if got := post(t, events, a.issued("t4", code, nil)); got != "202" {
		t.Errorf("a later token: %s", got)
	}
}

// TestClientCredentials: tokens without a grant, only where the owner says so.
func TestClientCredentials(t *testing.T) {
	f := newFederation(t, 2)
	m := metadata()
	m.GrantTypes, m.RedirectURIs, m.AuthMethod, m.SecretHash = []string{"client_credentials"}, nil, registry.AuthSecretBasic, strings.Repeat("A", 43)
	client := f.brokers[0].register(m)
	other := f.brokers[0].register(m)
	stopped := f.brokers[0].register(m)
	f.brokers[0].stop(stopped, registry.Revoke, nil)
	s := newSite(t, f, func(c *site.Config) {
		c.AllowClientCredentials = func(broker, id, scope string) bool {
			return broker == f.brokers[0].issuer && id != other
		}
	})
	issue := func(by *broker, client, scope string) string {
		return post(t, s.url("/comity/events"), by.event(s.config.Resource, func(e *protocol.Event) {
			e.TokenIssued = &protocol.TokenIssued{
				TokenHash: protocol.TokenHash("m2m " + client), TokenType: "Bearer", ClientID: client, Scope: scope, ExpiresAt: f.clock.Unix() + 60,
			}
		}))
	}
	for _, c := range []struct {
		by            *broker
		client, scope string
		want          string
	}{
		{f.brokers[1], client, "read", "400 access_denied"},
		{f.brokers[0], other, "read", "400 access_denied"},
		{f.brokers[0], stopped, "read", "400 access_denied"},
		{f.brokers[0], client, "admin", "400 access_denied"},
		{f.brokers[0], client, "read", "202"},
	} {
		if got := issue(c.by, c.client, c.scope); got != c.want {
			t.Errorf("%s by %s: %s, want %s", c.scope, c.by.issuer, got, c.want)
		}
	}
}
