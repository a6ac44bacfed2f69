// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site"
	"github.com/comity-network/comity/site/protocol"
)

// batch signs events of this broker together.
func (b *broker) batch(events ...string) string {
	b.fed.t.Helper()
	all := make([]protocol.Event, len(events))
	for i, token := range events {
		e, err := protocol.ParseEvent(token)
		must(b.fed.t, err)
		all[i] = e.Event
	}
	token, n, err := protocol.SignBatch(b.token, all)
	must(b.fed.t, err)
	if n != len(events) {
		b.fed.t.Fatalf("%d of %d events fit", n, len(events))
	}
	return token
}

// postBatch pushes a batch; it returns the numbers, in the batch, of the events
// that the site wants alone; or the status and the error.
func postBatch(t testing.TB, url, batch string) string {
	t.Helper()
	status, body := postAs(t, url, "application/secevent-batch+jwt", batch)
	if status != http.StatusAccepted {
		var e protocol.PushError
		json.Unmarshal([]byte(body), &e)
		return strings.TrimSpace(fmt.Sprint(status, " ", e.Err))
	}
	answer, err := protocol.ParseBatchAnswer([]byte(body))
	must(t, err)
	signed, err := protocol.ParseBatch(batch)
	must(t, err)
	alone := []int{}
	for i, e := range signed.Events {
		if slices.Contains(answer.Alone, e.ID) {
			alone = append(alone, i)
		}
	}
	return fmt.Sprint(alone)
}

// TestBatch: each event of a batch has the effect that it has alone, or none.
func TestBatch(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	b, events := f.brokers[0], s.url("/comity/events")
	var m protocol.SiteMetadata
	must(t, json.Unmarshal([]byte(newBrowser(s, "").get(s.url("/.well-known/oauth-protected-resource")).body), &m))
	if !m.EventBatches {
		t.Error("the metadata do not say that batches are taken")
	}
	client := b.register(metadata())
	old, _ := s.login("alice", client)
	taken, _ := s.login("alice", client)
	var all, tokens []string
	for i := range 20 {
		tokens = append(tokens, fmt.Sprint("token-", i))
		all = append(all, b.issued(tokens[i], s.consent("alice", client, nil), nil))
	}
	ended := s.consent("alice", client, nil)
	must(t, s.EndGrant(t.Context(), "alice", ended.Grant))
	all = append(all,
		b.issued("refused", ended, nil),
		b.event(s.config.Resource, func(e *protocol.Event) {
			e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash(old), ExpiresAt: f.clock.Unix() + 60, Reason: "x"}
		}),
		b.issued(taken, s.consent("alice", client, nil), nil), // a hash that the site knows
	)
	if got := postBatch(t, events, b.batch(all...)); got != "[20 22]" {
		t.Fatalf("wants alone %s", got)
	}
	for _, token := range tokens {
		s.wantStatus(token, http.StatusOK)
	}
	s.wantStatus("refused", http.StatusUnauthorized)
	s.wantStatus(old, http.StatusUnauthorized)
	if got := post(t, events, all[20]); got != "400 invalid_grant" {
		t.Errorf("alone: %s", got)
	}

	// Again, together and alone: the same jti is the same event.
	f.clock.Advance(time.Second)
	if got := postBatch(t, events, b.batch(all...)); got != "[20 22]" {
		t.Errorf("again: wants alone %s", got)
	}
	if got := post(t, events, all[3]); got != "202" {
		t.Errorf("one of them alone: %s", got)
	}
	s.wantStatus(tokens[3], http.StatusOK)
}

// TestFault40ForgedBatch: a batch is from its broker, for this site, and new.
func TestFault40ForgedBatch(t *testing.T) { // fault 40
	f := newFederation(t, 3)
	s := newSite(t, f, func(c *site.Config) { c.Brokers = c.Brokers[:2] })
	b, events := f.brokers[0], s.url("/comity/events")
	client := b.register(metadata())
	code := s.consent("alice", client, nil)
	stray := &broker{fed: f, issuer: b.issuer, token: registry.GenerateSigningKey()}
	other := func(e *protocol.Event) {
		e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash("t"), ExpiresAt: f.clock.Unix() + 60, Reason: "x"}
	}
	for name, c := range map[string]struct{ batch, want string }{
		"its key under another name": {stray.batch(b.issued("t", code, nil)), "400 invalid_key"},
		"no broker of the site":      {f.brokers[2].batch(f.brokers[2].issued("t", code, nil)), "400 invalid_issuer"},
		"for another site":           {b.batch(b.event("https://other.example", other)), "400 invalid_audience"},
		"old": {b.batch(b.event(s.config.Resource, func(e *protocol.Event) {
			other(e)
			e.IssuedAt -= 61
		})), "400 invalid_request"},
		"altered":  {alter(t, b.batch(b.issued("t", code, nil))), "400 authentication_failed"},
		"an event": {b.issued("t", code, nil), "400 invalid_request"},
		"nothing":  {"", "400 invalid_request"},
		"too long": {strings.Repeat("x", protocol.MaxEventBytes+1), "400 invalid_request"},
	} {
		if got := postBatch(t, events, c.batch); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := post(t, events, b.batch(b.issued("t", code, nil))); got != "400 invalid_request" {
		t.Errorf("a batch as an event: %s", got)
	}
	for kind, body := range map[string]string{
		"application/secevent-batch+jwt; charset": b.batch(b.issued("t", code, nil)),
		"application/secevent+jwt; charset":       b.issued("t", code, nil),
	} {
		if status, _ := postAs(t, events, kind, body); status != http.StatusBadRequest {
			t.Errorf("Content-Type %s: %d", kind, status)
		}
	}
	s.wantStatus("t", http.StatusUnauthorized)
	if got := postBatch(t, events, b.batch(b.issued("t", code, nil))); got != "[]" {
		t.Errorf("good: %s", got)
	}
	s.wantStatus("t", http.StatusOK)
}

// alter changes a scope in the payload.
func alter(t testing.TB, token string) string {
	parts := strings.Split(token, ".")
	payload := strings.Replace(decoded(t, parts[1]), `"scope":"read"`, `"scope":"rear"`, 1)
	return parts[0] + "." + jws.Base64.EncodeToString([]byte(payload)) + "." + parts[2]
}

// TestBatchAsksNobody: for an event of a batch no broker is asked for a client,
// since all of the batch would wait; alone it is.
func TestBatchAsksNobody(t *testing.T) {
	f := newFederation(t, 1)
	m := metadata()
	m.GrantTypes, m.RedirectURIs, m.AuthMethod, m.SecretHash = []string{"client_credentials"}, nil, registry.AuthSecretBasic, strings.Repeat("A", 43)
	s := newSite(t, f, func(c *site.Config) {
		c.AllowClientCredentials = func(broker, id, scope string) bool { return true }
	})
	b, events := f.brokers[0], s.url("/comity/events")
	user := s.consent("alice", b.register(metadata()), nil)
	unmet := b.register(m)
	machine := func(token string) string {
		return b.event(s.config.Resource, func(e *protocol.Event) {
			e.TokenIssued = &protocol.TokenIssued{
				TokenHash: protocol.TokenHash(token), TokenType: "Bearer", ClientID: unmet, Scope: "read", ExpiresAt: f.clock.Unix() + 60,
			}
		})
	}
	asked := func() int { return b.count("/federation/clients/" + unmet) }
	before := asked()
	if got := postBatch(t, events, b.batch(machine("m1"), b.issued("t1", user, nil))); got != "[0]" || asked() != before {
		t.Errorf("wants alone %s; asked %d times", got, asked()-before)
	}
	if got := post(t, events, machine("m1")); got != "202" || asked() == before {
		t.Errorf("alone: %s; asked %d times", got, asked()-before)
	}
	if got := postBatch(t, events, b.batch(machine("m2"), machine("m3"))); got != "[]" {
		t.Errorf("a client that the site knows by now: %s", got)
	}
	s.wantStatus("m3", http.StatusOK)
}

// TestFault41StoppedBatch: what a stopped broker sends counts only where it takes
// away, in a batch, too; and a site that does not know what is stopped takes no
// token.
func TestFault41StoppedBatch(t *testing.T) { // fault 41
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	b, events := f.brokers[1], s.url("/comity/events")
	alive, _ := s.login("bob", f.brokers[0].register(metadata()))
	code := s.consent("alice", f.brokers[0].register(metadata()), nil)
	revoked := b.event(s.config.Resource, func(e *protocol.Event) {
		e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash("t"), ExpiresAt: f.clock.Unix() + 60, Reason: "x"}
	})
	f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberSuspended })
	f.clock.Advance(time.Second)
	must(t, s.Poll(t.Context()))
	if got := postBatch(t, events, b.batch(revoked, b.event(s.config.Resource, func(e *protocol.Event) {
		e.IssuedAt-- // of the same time as the other
		e.TokenIssued = &protocol.TokenIssued{
			TokenHash: protocol.TokenHash("t2"), TokenType: "Bearer", ClientID: code.ClientID, Scope: "read", ExpiresAt: f.clock.Unix() + 60,
		}
	}))); got != "[1]" {
		t.Errorf("stopped broker: wants alone %s", got)
	}
	f.amend(func(c *registry.Charter) { c.Members[1].State = registry.MemberExpelled; endKey(&c.Members[1], b) })
	f.clock.Advance(time.Second)
	must(t, s.Poll(t.Context()))
	revoked = b.event(s.config.Resource, func(e *protocol.Event) {
		e.TokenRevoked = &protocol.TokenRevoked{TokenHash: protocol.TokenHash("t4"), ExpiresAt: f.clock.Unix() + 60, Reason: "x"}
	})
	if got := postBatch(t, events, b.batch(revoked)); got != "400 invalid_key" {
		t.Errorf("expelled broker: %s", got)
	}
	f.clock.Advance(121 * time.Second)
	if got := postBatch(t, events, f.brokers[0].batch(f.brokers[0].issued("t3", code, nil))); got != "[0]" {
		t.Errorf("stale site: wants alone %s", got)
	}
	must(t, s.Poll(t.Context()))
	s.wantStatus(alive, http.StatusOK)
}

// TestFault43BatchNotStored: what is not stored is not acknowledged.
func TestFault43BatchNotStored(t *testing.T) { // fault 43
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	b, events := f.brokers[0], s.url("/comity/events")
	client := b.register(metadata())
	batch := b.batch(b.issued("t1", s.consent("alice", client, nil), nil), b.issued("t2", s.consent("alice", client, nil), nil))
	s.db.Close()
	if got := postBatch(t, events, batch); got != "503" {
		t.Errorf("without its database the site answers %s", got)
	}
	s.reopen()
	s.wantStatus("t1", http.StatusUnauthorized)
	if got := postBatch(t, events, batch); got != "[]" {
		t.Errorf("again: %s", got)
	}
	s.wantStatus("t2", http.StatusOK)
}

// TestBatchPanic: a function of the site's that panics costs one event.
func TestBatchPanic(t *testing.T) {
	f := newFederation(t, 1)
	m := metadata()
	m.GrantTypes, m.RedirectURIs, m.AuthMethod, m.SecretHash = []string{"client_credentials"}, nil, registry.AuthSecretBasic, strings.Repeat("A", 43)
	panics := false
	s := newSite(t, f, func(c *site.Config) {
		c.AllowClientCredentials = func(broker, id, scope string) bool {
			if panics {
				panic("ouch")
			}
			return true
		}
	})
	b, events := f.brokers[0], s.url("/comity/events")
	client := b.register(m)
	machine := func(token string) string {
		return b.event(s.config.Resource, func(e *protocol.Event) {
			e.TokenIssued = &protocol.TokenIssued{
				TokenHash: protocol.TokenHash(token), TokenType: "Bearer", ClientID: client, Scope: "read", ExpiresAt: f.clock.Unix() + 60,
			}
		})
	}
	if got := post(t, events, machine("m1")); got != "202" {
		t.Fatal(got)
	}
	code := s.consent("alice", b.register(metadata()), nil)
	panics = true
	if got := postBatch(t, events, b.batch(machine("m2"), b.issued("t", code, nil))); got != "[0]" {
		t.Errorf("wants alone %s", got)
	}
	s.wantStatus("t", http.StatusOK)
}
