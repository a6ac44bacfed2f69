// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

func forDevices(m *registry.ClientMetadata) {
	m.GrantTypes = append(slices.Clone(m.GrantTypes), registry.GrantDeviceCode)
}

// ask begins at a device. more are names and values by turns.
func (a *app) ask(more ...string) response {
	form := url.Values{"scope": {"openid"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	dpop := a.dpop
	defer func() { a.dpop = dpop }()
	a.dpop = nil
	return a.send("/oauth/device_authorization", form)
}

func (a *app) poll(deviceCode string) response {
	return a.send("/oauth/token", url.Values{"grant_type": {registry.GrantDeviceCode}, "device_code": {deviceCode}})
}

// TestDevice is the whole flow of RFC 8628.
func TestDevice(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(forDevices)
	began := a.ask()
	want(t, began, http.StatusOK, "")
	if began.text("verification_uri") != w.issuer+"/device" || began.JSON["expires_in"] != 600.0 || began.JSON["interval"] != 5.0 {
		t.Errorf("%s", began.Body)
	}
	code := began.text("device_code")
	want(t, a.poll(code), http.StatusBadRequest, "authorization_pending")
	want(t, a.poll(code), http.StatusBadRequest, "slow_down")
	b := w.browser()
	page := b.open(began.text("verification_uri_complete"))
	if !strings.Contains(page.Body, began.text("user_code")) {
		t.Fatalf("the link does not fill in the code: %s", page.Body)
	}
	consent := b.logIn(b.press(page, "Go on"), "ada")
	showsPage(t, consent, http.StatusOK, "If somebody sent you the code")
	showsPage(t, b.press(consent, "Allow"), http.StatusOK, "Go back to your device")
	w.clock.advance(5 * time.Second)
	answer := a.poll(code)
	_, refresh := tokens(t, answer)
	if claims := w.idClaims(answer.text("id_token"), jose.RS256); claims["aud"] != a.id {
		t.Errorf("%v", claims)
	}
	tokens(t, a.refresh(refresh))
	showsPage(t, b.open("/account"), http.StatusOK, "App")
	w.clock.advance(5 * time.Second)
	want(t, a.poll(code), http.StatusBadRequest, "invalid_grant") // it was used
}

// TestDeviceAsksEachTime: what was allowed before is asked again, since nobody
// knows which device it is.
func TestDeviceAsksEachTime(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(forDevices)
	b := w.browser()
	a.allow(b, "ada", newVerifier())
	began := a.ask()
	page := b.press(b.open("/device"), "Go on", "user_code", strings.ToLower(strings.ReplaceAll(began.text("user_code"), "-", " ")))
	showsPage(t, page, http.StatusOK, "the device that showed the code")
	showsPage(t, b.press(page, "Do not allow"), http.StatusOK, "You have said no")
	want(t, a.poll(began.text("device_code")), http.StatusBadRequest, "access_denied")
	showsPage(t, b.press(b.open("/device"), "Go on", "user_code", began.text("user_code")), http.StatusBadRequest, "No device waits")
}

// TestDeviceForASite: the site is told of the token, and who it is for.
func TestDeviceForASite(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.keyed(awayIssuer, forDevices) // a client of another member
	began := a.ask("resource", w.site.URL, "scope", "read")
	b := w.browser()
	b.press(b.logIn(b.press(b.open(began.text("verification_uri_complete")), "Go on"), "ada"), "Allow")
	access, _ := tokens(t, a.poll(began.text("device_code")))
	if told := w.site.tokens[protocol.TokenHash(access)]; told.Subject == "" || told.Scope != "read" {
		t.Errorf("the site was told %+v", told)
	}
}

func TestDeviceRefuses(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(forDevices)
	want(t, w.public().ask(), http.StatusBadRequest, "unauthorized_client")
	want(t, a.ask("scope", "nonsense"), http.StatusBadRequest, "invalid_scope")
	want(t, a.ask("resource", "https://unknown.example/x#"), http.StatusBadRequest, "invalid_target")
	want(t, a.poll("unknown"), http.StatusBadRequest, "invalid_grant")
	began := a.ask()
	other := w.public(forDevices, func(m *registry.ClientMetadata) { m.Name = "Other" })
	want(t, other.poll(began.text("device_code")), http.StatusBadRequest, "invalid_grant")
	want(t, a.poll(began.text("device_code")), http.StatusBadRequest, "authorization_pending")
	w.clock.advance(10 * time.Minute)
	want(t, a.poll(began.text("device_code")), http.StatusBadRequest, "expired_token")
	showsPage(t, w.browser().press(w.browser().open("/device"), "Go on", "user_code", began.text("user_code")), http.StatusBadRequest, "may have expired")
	stopped := a.ask()
	w.stopped(a, registry.Revoke, 0)
	showsPage(t, w.browser().press(w.browser().open("/device"), "Go on", "user_code", stopped.text("user_code")), http.StatusForbidden, "revoked")
}

// TestDeviceKey: a client that uses DPoP tokens alone shows its key when it polls.
func TestDeviceKey(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(forDevices, func(m *registry.ClientMetadata) { m.DPoPBound = true }).withDPoP()
	began := a.ask()
	b := w.browser()
	b.press(b.logIn(b.press(b.open(began.text("verification_uri_complete")), "Go on"), "ada"), "Allow")
	key := a.dpop
	a.dpop = nil
	want(t, a.poll(began.text("device_code")), http.StatusBadRequest, "invalid_dpop_proof")
	a.dpop = key
	w.clock.advance(5 * time.Second)
	if answer := a.poll(began.text("device_code")); answer.text("token_type") != "DPoP" {
		t.Errorf("%s", answer.Body)
	}
}

// TestUserCodesCannotBeGuessed: wrong codes are counted for the address.
func TestUserCodesCannotBeGuessed(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(forDevices)
	code := a.ask().text("user_code")
	b := w.browser()
	page := b.open("/device")
	for range 10 {
		page = b.press(page, "Go on", "user_code", "BBBB-BBBB")
		showsPage(t, page, http.StatusBadRequest, "No device waits")
	}
	showsPage(t, b.press(page, "Go on", "user_code", code), http.StatusTooManyRequests, "Too many failed attempts")
	w.clock.advance(6 * time.Second)
	if page = b.press(page, "Go on", "user_code", code); page.Status != http.StatusOK {
		t.Errorf("after a while: %d", page.Status)
	}
}

// TestWaitingRequestsAreBounded: a public client authenticates with nothing, so
// its address is what is bounded.
func TestWaitingRequestsAreBounded(t *testing.T) {
	w, _ := newPeopled(t)
	a := w.public(forDevices)
	for range 60 {
		want(t, a.ask(), http.StatusOK, "")
	}
	answer := a.ask()
	want(t, answer, http.StatusTooManyRequests, "temporarily_unavailable")
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	want(t, a.push(a.authorizeQuery(w.site)), http.StatusTooManyRequests, "temporarily_unavailable")
}
