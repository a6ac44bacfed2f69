// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// variants of https://app.example/callback?x=1 that are not that URI. None of
// them may be redirected to; the second column says whether somebody may
// register it as a URI of its own.
var variants = []struct {
	uri      string
	register bool
}{
	{"https://app.example/callback?x=1 ", false},
	{" https://app.example/callback?x=1", false},
	{"https://app.example/callback?x=1\n", false},
	{"https://app.example/callback?x=1\x00", false},
	{"https://app.example/callback?x=12", true},
	{"https://app.example/callback?x=", true},
	{"https://app.example/callback?x=1&y=2", true},
	{"https://app.example/callback?y=2&x=1", true},
	{"https://app.example/callback?X=1", true},
	{"https://app.example/callback?x=%31", false},
	{"https://app.example/callback", true},
	{"https://app.example/callback?", false},
	{"https://app.example/callback/?x=1", true},
	{"https://app.example/callback//?x=1", true},
	{"https://app.example//callback?x=1", true},
	{"https://app.example/Callback?x=1", true},
	{"https://app.example/callbac?x=1", true},
	{"https://app.example/callback2?x=1", true},
	{"https://app.example/callback;a?x=1", true},
	{"https://app.example/c%61llback?x=1", false},
	{"https://app.example/callback%3Fx=1", true},
	{"https://app.example/callback%3fx=1", false},
	{"https://app.example/a/../callback?x=1", false},
	{"https://app.example/./callback?x=1", false},
	{"https://app.example/callback/.?x=1", false},
	{"https://app.example/callback/..?x=1", false},
	{"https://app.example/callback/../evil?x=1", false},
	{"https://app.example/a/%2e%2e/callback?x=1", false},
	{"https://app.example/a/%2E./callback?x=1", false},
	{"https://app.example/a%2F..%2Fcallback?x=1", false},
	{"https://app.example/callback%00?x=1", false},
	{"https://app.example/callback%0d%0aSet-Cookie:a=b?x=1", false},
	{"https://app.example/callback%zz?x=1", false},
	{"https://app.example/callback%?x=1", false},
	{"https://app.example/callback?x=1#", false},
	{"https://app.example/callback?x=1#top", false},
	{"https://app.example:443/callback?x=1", false},
	{"https://app.example:0443/callback?x=1", false},
	{"https://app.example:/callback?x=1", false},
	{"https://app.example:8443/callback?x=1", true},
	{"https://app.example:99999/callback?x=1", false},
	{"https://app.example:0/callback?x=1", false},
	{"https://APP.example/callback?x=1", false},
	{"https://app.example./callback?x=1", false},
	{"https://app..example/callback?x=1", false},
	{"https://-app.example/callback?x=1", false},
	{"https://app.example.evil.example/callback?x=1", true},
	{"https://evil.example/https://app.example/callback?x=1", true},
	{"https://evil.example/?u=https://app.example/callback?x=1", true},
	{"https://user@app.example/callback?x=1", false},
	{"https://app.example@evil.example/callback?x=1", false},
	{"https://app.example:pass@evil.example/callback?x=1", false},
	{"https://@app.example/callback?x=1", false},
	{"https://evil.example\\@app.example/callback?x=1", false},
	{"https:\\\\app.example\\callback?x=1", false},
	{"https:/app.example/callback?x=1", false},
	{"https:///app.example/callback?x=1", false},
	{"https:app.example/callback?x=1", false},
	{"//app.example/callback?x=1", false},
	{"/callback?x=1", false},
	{"", false},
	{"https://", false},
	{"https:///", false},
	{"https://?x=1", false},
	{"http://app.example/callback?x=1", false},
	{"HTTPS://app.example/callback?x=1", false},
	{"httpss://app.example/callback?x=1", false},
	{"ftp://app.example/callback?x=1", false},
	{"javascript:alert(1)//https://app.example/callback?x=1", false},
	{"javascript:/alert(1)", false},
	{"java\tscript:alert(1)", false},
	{"data:text/html,<script>alert(1)</script>", false},
	{"vbscript:x", false},
	{"file:///etc/passwd", false},
	{"blob:https://app.example/callback", false},
	{"view-source:https://app.example/callback", false},
	{"https://аpp.example/callback?x=1", false}, // Cyrillic а
	{"https://app.example/cällback?x=1", false},
	{"https://app。example/callback?x=1", false}, // ideographic full stop
	{"https://xn--pp-8kc.example/callback?x=1", true},
	{"https://ab--c.example/callback?x=1", false},
	{"https://app_x.example/callback?x=1", false},
	{"https://*.example/callback?x=1", false},
	{"https://app.example/call back?x=1", false},
	{"https://app.example/<callback>?x=1", false},
	{"https://app.example/callback?x=1|2", false},
	{"https://app.example%2eevil.example/callback?x=1", false},
	{"https://app%00.example/callback?x=1", false},
	{"https://[app.example]/callback?x=1", false},
	{"https://127.1/callback?x=1", false},
	{"https://2130706433/callback?x=1", false},
	{"https://0x7f.0.0.1/callback?x=1", false},
	{"https://127.0.0.01/callback?x=1", false},
	{"https://[::ffff:127.0.0.1]/callback?x=1", false},
	{"https://[0:0:0:0:0:0:0:1]/callback?x=1", false},
	{"https://[fe80::1%25eth0]/callback?x=1", false},
	{"https://192.0.2.7/callback?x=1", true},
	{"https://[2001:db8::7]/callback?x=1", true},
	{"https://" + strings.Repeat("a", 64) + ".example/callback", false},
	{"https://" + strings.Repeat("a.", 127) + "example/callback", false},
	{"https://app.example/" + strings.Repeat("a", registry.MaxURIBytes), false},
}

// fault 1
func TestFault01RedirectURI(t *testing.T) {
	const registered = "https://app.example/callback?x=1"
	web := registry.ClientMetadata{RedirectURIs: []string{registered}}
	native := web
	native.ApplicationType = "native"
	if len(variants) < 40 {
		t.Fatalf("the table has %d rows only", len(variants))
	}
	if !web.AllowsRedirect(registered) || !native.AllowsRedirect(registered) {
		t.Error("the registered URI itself is refused")
	}
	for _, v := range variants {
		if web.AllowsRedirect(v.uri) || native.AllowsRedirect(v.uri) {
			t.Errorf("%q is taken for %q", v.uri, registered)
		}
		err := registry.CheckRedirectURI(v.uri, false)
		if (err == nil) != v.register {
			t.Errorf("registering %q: %v", v.uri, err)
		}
		if err != nil && !errors.Is(err, registry.ErrForm) {
			t.Errorf("registering %q: %v is not ErrForm", v.uri, err)
		}
		// A URI that may not be registered is not redirected to even where
		// it got into a registration.
		bad := registry.ClientMetadata{RedirectURIs: []string{v.uri}}
		if bad.AllowsRedirect(v.uri) != v.register {
			t.Errorf("registered as %q, it is redirected to: %v", v.uri, !v.register)
		}
	}
}

// The message says what the canonical form is.
func TestCanonicalForm(t *testing.T) {
	for given, canonical := range map[string]string{
		"HTTPS://App.Example:443/a/./b/../c%7e?q=%2f": `"https://app.example/a/c~?q=%2F"`,
		"https://app.example":                         `"https://app.example/"`,
		"https://app.example?x=1":                     `"https://app.example/?x=1"`,
		"http://127.0.0.1:080/a/..":                   `"http://127.0.0.1/"`,
		"https://app.example/a?":                      `"https://app.example/a"`,
		"https://app.example/../../a/":                `"https://app.example/a/"`,
	} {
		err := registry.CheckRedirectURI(given, false)
		if err == nil || !strings.Contains(err.Error(), "write "+canonical) {
			t.Errorf("%s: %v, expected is the advice %s", given, err, canonical)
		}
		if err := registry.CheckRedirectURI(strings.Trim(canonical, `"`), false); err != nil {
			t.Errorf("the advice for %s: %v", given, err)
		}
	}
}

// fault 2: another port at use, on a loopback address, for native clients.
func TestFault02LoopbackPort(t *testing.T) {
	native := registry.ClientMetadata{ApplicationType: "native", RedirectURIs: []string{
		"http://127.0.0.1/callback", "http://[::1]:8765/six?x=1", "https://app.example/callback", "com.example.app:/callback",
	}}
	web := native
	web.ApplicationType = "web"
	for _, tc := range []struct {
		uri         string
		native, web bool
	}{
		{"http://127.0.0.1/callback", true, true},
		{"http://127.0.0.1:49152/callback", true, false},
		{"http://127.0.0.1:1/callback", true, false},
		{"http://[::1]:8765/six?x=1", true, true},
		{"http://[::1]:4/six?x=1", true, false},
		{"http://[::1]/six?x=1", true, false},
		{"https://app.example/callback", true, true},
		{"com.example.app:/callback", true, false},
		{"http://127.0.0.1:49152/callback/", false, false},
		{"http://127.0.0.1:49152/Callback", false, false},
		{"http://127.0.0.1:49152/callback?x=1", false, false},
		{"http://127.0.0.1:49152/callback#", false, false},
		{"http://127.0.0.1:49152", false, false},
		{"http://127.0.0.1:049152/callback", false, false},
		{"http://127.0.0.1:80/callback", false, false},
		{"http://127.0.0.1:0/callback", false, false},
		{"http://127.0.0.1:65536/callback", false, false},
		{"http://127.0.0.1:/callback", false, false},
		{"http://127.0.0.1:1@evil.example/callback", false, false},
		{"http://127.0.0.1:1.evil.example/callback", false, false},
		{"http://127.0.0.1.evil.example:1/callback", false, false},
		{"http://127.0.0.2:49152/callback", false, false},
		{"http://[::1]:49152/callback", false, false},
		{"http://localhost:49152/callback", false, false},
		{"http://localhost/callback", false, false},
		{"http://0.0.0.0:49152/callback", false, false},
		{"https://127.0.0.1:49152/callback", false, false},
		{"https://app.example:8443/callback", false, false},
		{"com.example.app://callback", false, false},
		{"com.example.app:/callback2", false, false},
	} {
		if have := native.AllowsRedirect(tc.uri); have != tc.native {
			t.Errorf("native client, %s: %v", tc.uri, have)
		}
		if have := web.AllowsRedirect(tc.uri); have != tc.web {
			t.Errorf("web client, %s: %v", tc.uri, have)
		}
	}
}

func TestCheckRedirectURINative(t *testing.T) {
	for uri, want := range map[string]bool{
		"com.example.app:/callback":         true,
		"com.example.app:/callback?x=1":     true,
		"com.example.app://callback":        true,
		"com.example-one.app2:/":            true,
		"http://127.0.0.1/callback":         true,
		"https://app.example/callback":      true,
		"com.example.app:callback":          false,
		"com.example.app:":                  false,
		"Com.Example.App:/callback":         false,
		"com.example.app:/callback#x":       false,
		"com.example.app:///callback":       false,
		"com.example.app://u@host/callback": false,
		"myapp:/callback":                   false,
		"myapp://callback":                  false,
		"javascript:/callback":              false,
		"data:/callback":                    false,
		"http://localhost/callback":         false,
		"http://app.example/callback":       false,
		".com:/callback":                    false,
		"com..app:/callback":                false,
		"com.example.:/callback":            false,
		"com.example+app:/callback":         false,
		"9com.example:/callback":            false,
	} {
		if err := registry.CheckRedirectURI(uri, true); (err == nil) != want {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestCheckIssuer(t *testing.T) {
	for issuer, want := range map[string]bool{
		"https://broker.example":                 true,
		"https://broker.example:8443":            true,
		"https://broker.example/tenant/one":      true,
		"http://127.0.0.1:8080":                  true,
		"http://[::1]:8080":                      true,
		"https://192.0.2.7":                      true,
		"":                                       false,
		"broker.example":                         false,
		"http://broker.example":                  false,
		"http://localhost:8080":                  false,
		"https://broker.example/":                false,
		"https://broker.example/tenant/":         false,
		"https://broker.example?":                false,
		"https://broker.example?a=b":             false,
		"https://broker.example#":                false,
		"https://a@broker.example":               false,
		"https://broker.example:443":             false,
		"https://Broker.example":                 false,
		"https://broker.example/a/../b":          false,
		"https://broker.example/%61":             false,
		"https://bröker.example":                 false,
		"com.example.broker:/x":                  false,
		"https:/broker.example":                  false,
		"https://" + strings.Repeat("a.", 1_200): false,
	} {
		if err := registry.CheckIssuer(issuer); (err == nil) != want {
			t.Errorf("%.80q: %v", issuer, err)
		}
	}
}

func TestRedirectOwner(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example/cb":           "app.example",
		"https://app.example:8443/cb?x=1":  "app.example",
		"https://[2001:db8::1]/cb":         "[2001:db8::1]",
		"http://127.0.0.1:7/cb":            "",
		"https://127.0.0.1/cb":             "",
		"http://[::1]/cb":                  "",
		"com.example.app:/cb":              "com.example.app:",
		"https://app.example/cb#malformed": "",
	} {
		if got := registry.RedirectOwner(uri); got != want {
			t.Errorf("RedirectOwner(%q) = %q, expected %q", uri, got, want)
		}
	}
}
