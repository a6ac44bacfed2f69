// SPDX-License-Identifier: Apache-2.0

package webpage_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/comity-network/comity/internal/webpage"
)

// FuzzParseForm: what is accepted has each name once, is text, and reads the
// same when it is written again.
func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{"", "a=b", "a=b&a=c", "user_code=BCDF-GHJK", "a=%00", "a=%ff", "a;b=c", "%zz=1", "name=%E2%80%AE&password=x+y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := webpage.ParseForm(raw, 1024)
		if err != nil {
			return
		}
		if len(raw) > 1024 {
			t.Fatalf("%d bytes are accepted", len(raw))
		}
		for name, values := range form {
			if len(values) != 1 || !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0) {
				t.Fatalf("%q is %q", name, values)
			}
		}
		again, err := url.ParseQuery(form.Encode())
		if err != nil || len(again) != len(form) {
			t.Fatalf("%q reads as %q, %v", form.Encode(), again, err)
		}
	})
}

// FuzzDestination: what a page says of a redirect URI names nothing but its host.
func FuzzDestination(f *testing.F) {
	for _, seed := range []string{"https://app.example/cb", "com.example.app:/cb", "http://127.0.0.1:1/cb", "javascript:alert(1)", "https://a@b/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := url.Parse(uri)
		shown, target := webpage.Destination(uri), webpage.FormTarget(uri)
		if err != nil || u.Host == "" || u.Scheme == "http" {
			return
		}
		if shown != u.Host {
			t.Fatalf("%q is shown as %q", uri, shown)
		}
		if strings.ContainsAny(u.Host, "; '\"") {
			return // no host that can be registered
		}
		if strings.ContainsAny(target, "; '\"") {
			t.Fatalf("%q makes the policy %q", uri, target)
		}
	})
}
