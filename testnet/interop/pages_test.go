// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/oauth2"
)

// TestPages: a person without JavaScript, at a desk and on a phone, in light
// and dark, logs in, says no and yes, connects a device, and takes it back.
func TestPages(t *testing.T) {
	w := newWorld(t)
	w.addPerson()
	browser := newChromium(t)
	reader := w.register(metadata{
		"client_name": "Reader", "redirect_uris": []string{"https://" + appHost + "/callback"},
		"client_uri": "https://" + appHost + "/", "policy_uri": "https://" + appHost + "/privacy",
	})
	player := w.register(metadata{
		"client_name": "Television in the living room", "redirect_uris": nil,
		"grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code"},
	})
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			w := *w
			w.TB = t
			b := newTab(t, browser, l)
			w.logsIn(b, reader)
			w.connectsDevice(b, player)
			w.disconnects(b)
			b.goes(http.StatusBadRequest, "This app cannot be connected", chromedp.Navigate(w.issuer+"/oauth/authorize?client_id=x"))
			b.picture("error-app")
			b.goes(http.StatusForbidden, "This did not work", chromedp.Navigate(w.issuer+"/login?ask=x"))
			b.picture("error")
		})
	}
}

// logsIn is a login at an app: a wrong password, the right one, no, yes, and
// the next time straight back.
func (w *world) logsIn(b *tab, c client) {
	w.Helper()
	link := w.issuer + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {"https://" + appHost + "/callback"},
		"scope": {"openid profile"}, "state": {"x"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"},
	}.Encode()
	logIn := func(password string) step {
		return chromedp.Steps(typed("#name", person), typed("#password", password), press("button.primary"))
	}
	arrived := func(want string) {
		b.Helper()
		if at := ask(b, chromedp.Location()); !strings.HasPrefix(at, "https://"+appHost+"/callback?") || !strings.Contains(at, want) {
			b.Fatalf("the browser is at %s, expected the app with %s", at, want)
		}
	}
	b.goes(http.StatusOK, "Log in", chromedp.Navigate(link))
	b.picture("login")
	b.goes(http.StatusForbidden, "Log in", logIn("not the password"))
	b.picture("login-wrong")
	b.goes(http.StatusOK, "Connect an app", logIn(password))
	b.picture("consent")
	b.goes(http.StatusOK, "The app", press("button[value=deny]"))
	arrived("error=access_denied")

	b.goes(http.StatusOK, "Connect an app", chromedp.Navigate(link))
	b.goes(http.StatusOK, "The app", press("button[value=allow]"))
	arrived("code=")
	b.goes(http.StatusOK, "The app", chromedp.Navigate(link))
	arrived("code=")

	// The login form leads to the app at once: form-action must allow it.
	b.goes(http.StatusOK, "Connected apps", chromedp.Navigate(w.issuer+"/account"))
	b.goes(http.StatusOK, "Log in", press("form[action$='/logout'] button"))
	b.goes(http.StatusOK, "Log in", chromedp.Navigate(link))
	b.goes(http.StatusOK, "The app", logIn(password))
	arrived("code=")
}

// connectsDevice answers two devices: yes and no.
func (w *world) connectsDevice(b *tab, c client) {
	w.Helper()
	config := &oauth2.Config{ClientID: c.ID, Scopes: []string{"openid", "profile"}, Endpoint: w.endpoint(oauth2.AuthStyleInParams)}
	for _, answer := range []string{"allow", "deny"} {
		device, err := config.DeviceAuth(w.ctx)
		w.check(err)
		b.goes(http.StatusOK, "Connect a device", chromedp.Navigate(device.VerificationURI))
		if answer == "allow" {
			b.picture("device")
			b.goes(http.StatusBadRequest, "Connect a device", typed("#user_code", "BCDF-GHJK"), press("button.primary"))
			b.picture("device-wrong")
		}
		b.goes(http.StatusOK, "Connect an app", typed("#user_code", strings.ToLower(device.UserCode)), press("button.primary"))
		b.picture("device-consent")
		b.goes(http.StatusOK, "Connect a device", press("button[value="+answer+"]"))
		b.picture("device-" + answer)
	}
}

// disconnects takes back what was allowed.
func (w *world) disconnects(b *tab) {
	w.Helper()
	b.goes(http.StatusOK, "Connected apps", chromedp.Navigate(w.issuer+"/account"))
	b.picture("account")
	for range 2 {
		b.goes(http.StatusOK, "Connected apps", press(".cards button"))
	}
	b.picture("account-empty")
	b.goes(http.StatusOK, "Log in", press("form[action$='/logout'] button"))
}
