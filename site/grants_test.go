// SPDX-License-Identifier: Apache-2.0

package site_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// TestEndGrant: what a user ends is over at once, and the next refresh too.
func TestEndGrant(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	client := f.brokers[0].register(metadata())
	token, code := s.login("alice", client)
	kept, _ := s.login("bob", client)
	s.consent("alice", client, nil) // never redeemed: not shown

	alice := newBrowser(s, "alice")
	page := alice.get(s.url("/comity/grants"))
	if strings.Count(page.body, "End access of Test App") != 1 || !strings.Contains(page.body, "See your photos") {
		t.Fatalf("page of grants:\n%s", page.body)
	}
	if got := newBrowser(s, "").get(s.url("/comity/grants")); got.location().Path != "/login" {
		t.Errorf("without login: %d %s", got.StatusCode, got.location())
	}
	form := page.form()
	wantPage(t, newBrowser(s, "bob").post(s.url("/comity/grants"), form), http.StatusForbidden)
	s.wantStatus(token, http.StatusOK)
	done := alice.post(s.url("/comity/grants"), form)
	if done.StatusCode != http.StatusSeeOther || done.location().Path != "/comity/grants" {
		t.Fatalf("end: %d %s", done.StatusCode, done.location())
	}
	s.wantStatus(token, http.StatusUnauthorized)
	s.wantStatus(kept, http.StatusOK)
	refresh := f.brokers[0].issued("next", code, func(i *protocol.TokenIssued) { i.CodeJTI = "" })
	if got := post(t, s.url("/comity/events"), refresh); got != "400 invalid_grant" {
		t.Errorf("refresh: %s", got)
	}
	if got := alice.get(s.url("/comity/grants?ended")); !strings.Contains(got.body, "No app has access") || !strings.Contains(got.body, `role="status"`) {
		t.Errorf("afterwards:\n%s", got.body)
	}
	if err := s.EndGrant(t.Context(), "mallory", code.Grant); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("somebody else's grant: %v", err)
	}
}

// TestBlockedPage: stopped apps with their reason, and how far the site knows.
func TestBlockedPage(t *testing.T) {
	f := newFederation(t, 3)
	s := newSite(t, f, nil)
	bad := metadata()
	bad.Name = "Bad App"
	client, met := f.brokers[0].register(bad), f.brokers[0].register(metadata())
	s.login("alice", client)
	s.login("alice", met)
	heard := metadata()
	heard.Name = "Heard App"
	third := f.brokers[0].register(heard)
	s.login("alice", third)
	b := newBrowser(s, "alice")
	if got := b.get(s.url("/comity/blocked")); !strings.Contains(got.body, "None of the apps") {
		t.Errorf("before:\n%s", got.body)
	}
	f.brokers[0].stop(client, registry.Revoke, func(r *registry.Revocation) { r.Reason = "malicious" })
	s.poll(time.Second)
	s.tell(f.brokers[0], third, true, f.brokers[0].stop(third, registry.Suspend, nil))
	page := b.get(s.url("/comity/blocked")).body
	for _, want := range []string{"Bad App", "revoked (malicious)", client, "Heard App", "suspended (policy)", "by 3 of the 3 brokers"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "Test App") || strings.Contains(page, "only its broker&#39;s word") {
		t.Errorf("page says too much:\n%s", page)
	}
	if got := b.get(s.url("/comity/grants")).body; strings.Count(got, "<dt>Blocked</dt>") != 2 {
		t.Errorf("page of grants:\n%s", got)
	}
	lonely := newSite(t, newFederation(t, 1), nil)
	if got := newBrowser(lonely, "alice").get(lonely.url("/comity/blocked")).body; !strings.Contains(got, "only its broker&#39;s word") && !strings.Contains(got, "only its broker's word") {
		t.Errorf("a federation of one:\n%s", got)
	}
}

// TestNamesAreEscaped: an app's name is text, whatever it holds.
func TestNamesAreEscaped(t *testing.T) {
	f := newFederation(t, 1)
	s := newSite(t, f, nil)
	m := metadata()
	m.Name = "Tom & Jerry's"
	page := newBrowser(s, "alice").get(s.request(f.brokers[0].register(m), nil))
	if page.StatusCode != http.StatusOK || !strings.Contains(page.body, "Tom &amp; Jerry&#39;s") {
		t.Errorf("%d\n%s", page.StatusCode, page.body)
	}
	for _, state := range []string{`"><script>`, "a&b=c", "é"[:1] + "x"} {
		got := newBrowser(s, "alice").get(s.request(f.brokers[0].register(metadata()), func(q url.Values) { q.Set("state", state) }))
		if strings.Contains(got.body, "<script") {
			t.Errorf("state %q is on the page", state)
		}
	}
}
