// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	first, refresh := tokens(t, a.login(w.site, func(c *protocol.Code) { c.Grant = "grant-grant-grant-grant-1" }))
	for range 3 {
		access, next := tokens(t, a.refresh(refresh))
		if access == first || next == refresh {
			t.Fatal("nothing was replaced")
		}
		issued := w.site.tokens[protocol.TokenHash(access)]
		if issued.Grant != "grant-grant-grant-grant-1" || issued.CodeJTI != "" || issued.Scope != "read write" {
			t.Errorf("the site was told %+v", issued)
		}
		if !w.site.accepted(access) || !w.active(w.site, access) {
			t.Error("the new token is not good")
		}
		refresh = next
	}
	if !w.active(w.site, first) {
		t.Error("the first token ended before its time")
	}
}

// fault 13: reuse after rotation. Within two seconds it is a double click.
func TestFault13RefreshReuse(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration
		lives bool
	}{
		{"at once", 0, true},
		{"after two seconds", 2 * time.Second, true},
		{"after three seconds", 3 * time.Second, false},
		{"after a day", 24 * time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.public()
			_, old := tokens(t, a.login(w.site))
			access, next := tokens(t, a.refresh(old))
			w.clock.advance(test.after)
			want(t, a.refresh(old), http.StatusBadRequest, "invalid_grant")
			if test.lives {
				tokens(t, a.refresh(next))
				return
			}
			if strings.Count(w.logged.String(), `"audit":{"event":"refresh-token-reuse"`) != 1 {
				t.Error("the reuse is not audited once")
			}
			want(t, a.refresh(next), http.StatusBadRequest, "invalid_grant")
			if test.after < time.Hour {
				if told := w.deliver(); len(told) != 2 || w.site.accepted(access) || w.active(w.site, access) {
					t.Errorf("%d events; the site accepts the token: %v", len(told), w.site.accepted(access))
				}
			}
		})
	}
}

// fault 13: a double click gets one answer and one refusal.
func TestFault13DoubleClick(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	_, old := tokens(t, a.login(w.site))
	var wg sync.WaitGroup
	answers := make([]response, 8)
	for i := range answers {
		wg.Go(func() { answers[i] = a.refresh(old) })
	}
	wg.Wait()
	next := ""
	for _, answer := range answers {
		if answer.Status == http.StatusOK {
			if next != "" {
				t.Fatal("two succeeded")
			}
			next = answer.text("refresh_token")
		} else {
			want(t, answer, http.StatusBadRequest, "invalid_grant")
		}
	}
	tokens(t, a.refresh(next))
}

// fault 14: a wrong client learns nothing and changes nothing.
func TestFault14RefreshByAnother(t *testing.T) {
	w := newWorld(t)
	a, b := w.public(), w.public()
	_, refresh := tokens(t, a.login(w.site))
	wrong := b.refresh(refresh)
	want(t, wrong, http.StatusBadRequest, "invalid_grant")
	if unknown := b.refresh("unknown"); unknown.Body != wrong.Body {
		t.Errorf("another's token: %s\nunknown token: %s", wrong.Body, unknown.Body)
	}
	_, next := tokens(t, a.refresh(refresh))
	w.clock.advance(time.Minute)
	want(t, b.refresh(refresh), http.StatusBadRequest, "invalid_grant") // reuse by another revokes nothing
	tokens(t, a.refresh(next))
}

// fault 17: never wider.
func TestFault17Scope(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	_, refresh := tokens(t, a.login(w.site, func(c *protocol.Code) { c.Scope = "read list" }))
	ask := func(scope string) response {
		return a.send("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {scope}})
	}
	for name, scope := range map[string]string{
		"wider":          "read list write",
		"another":        "admin",
		"twice":          "read read",
		"two spaces":     "read  list",
		"a quote":        `read"`,
		"of 10 k scopes": strings.Repeat("read ", 10_000) + "list",
	} {
		t.Run(name, func(t *testing.T) { want(t, ask(scope), http.StatusBadRequest, "invalid_scope") })
	}
	answer := ask("list")
	_, refresh = tokens(t, answer)
	if answer.text("scope") != "list" {
		t.Errorf("scope %q", answer.text("scope"))
	}
	// The refresh token keeps the whole scope (RFC 6749, section 6).
	if answer := ask("read"); answer.text("scope") != "read" {
		t.Errorf("answer %s", answer.Body)
	}
}

func TestRefreshExpires(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	_, idle := tokens(t, a.login(w.site))
	_, used := tokens(t, a.login(w.site))
	day := 24 * time.Hour
	w.clock.advance(29 * day)
	_, used = tokens(t, a.refresh(used))
	w.clock.advance(day)
	want(t, a.refresh(idle), http.StatusBadRequest, "invalid_grant")
	for range 10 {
		w.clock.advance(14 * day)
		_, used = tokens(t, a.refresh(used))
	}
	w.clock.advance(10 * day) // 180 days in all
	want(t, a.refresh(used), http.StatusBadRequest, "invalid_grant")
}

func TestRefreshNeedsItsGrantType(t *testing.T) {
	w := newWorld(t)
	a := w.public(func(m *registry.ClientMetadata) { m.GrantTypes = nil })
	if _, refresh := tokens(t, a.login(w.site)); refresh != "" {
		t.Error("a client without the grant type refresh_token got a refresh token")
	}
	want(t, a.refresh("x"), http.StatusBadRequest, "unauthorized_client")
}

// A grant that the user ended at the site.
func TestRefusedRefreshEndsTheFamily(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	access, refresh := tokens(t, a.login(w.site))
	w.site.setMood(refuses)
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	w.site.setMood(accepts)
	want(t, a.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	if w.active(w.site, access) {
		t.Error("the family's token lives")
	}
	if told := w.deliver(); len(told) != 0 {
		t.Errorf("the site was told of its own refusal: %d events", len(told))
	}
}

// A refusal that says nothing about the grant does not end it.
func TestStaleSiteDoesNotEndTheFamily(t *testing.T) {
	w := newWorld(t)
	a := w.public()
	_, refresh := tokens(t, a.login(w.site))
	w.site.setMood(stale)
	answer := a.refresh(refresh)
	want(t, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.site.setMood(accepts)
	tokens(t, a.refresh(refresh))
}

// A secret away from home refreshes what the site's code gave.
func TestRefreshWithSecretAwayFromHome(t *testing.T) {
	w := newWorld(t)
	a := &app{w: w, id: w.ledger.register(awayIssuer, metadata(registry.AuthSecretBasic))}
	_, refresh := tokens(t, w.post("/oauth/token", codeForm(a.consent(w.site)), basic(a.id, secret)))
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	access, _ := tokens(t, w.post("/oauth/token", form, basic(a.id, secret)))
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
		want(t, w.post(path, url.Values{"token": {access}}, basic(a.id, secret)), http.StatusBadRequest, "unauthorized_client")
	}
}
