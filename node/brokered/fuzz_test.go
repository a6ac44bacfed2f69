// SPDX-License-Identifier: Apache-2.0

package brokered_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/brokered"
)

// A target that is found is written between the brackets, and a link that is
// put in front is found instead.
func FuzzLink(f *testing.F) {
	for _, s := range []string{
		`<https://a.example/wp-json/>; rel="https://api.w.org/"`, `<a>; title="a, <b>; rel=\"x\""; rel="https://api.w.org/"`,
		`<a>; rel=next, <b>; rel=https://api.w.org/`, `<a`, `,,<>;;=;rel`, `<a>; rel="`, `<a>;rel=a"b`, "<a>;\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if target, found := brokered.FindAPI(header); found && !strings.Contains(header, "<"+target+">") {
			t.Errorf("%q found in %q", target, header)
		}
		if target, _ := brokered.FindAPI(`<first>; rel="https://api.w.org/",` + header); target != "first" {
			t.Errorf("%q hides the link before it", header)
		}
	})
}

// The endpoint of an index that is accepted is the string that any reader of
// JSON sees there, and what is accepted as a URL is one.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{
		`{"name":"x","authentication":{"broker":"https://a.example/connect"}}`, `{"authentication":[]}`, `{"authentication":{"broker":7}}`,
		`{"authentication":{"broker":"a","broker":"b"}}`, `{"Authentication":{"Broker":"a"}}`, `[]`, `null`, ``, `{"authentication":{"broker":"http://[::1%25]/"}}`,
	} {
		f.Add([]byte(s))
	}
	base, err := url.Parse("https://a.example/wp-json/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, index []byte) {
		endpoint, err := brokered.ParseIndex(index)
		if err != nil {
			return
		}
		var seen map[string]any
		err = json.Unmarshal(index, &seen)
		if a, _ := seen["authentication"].(map[string]any); err != nil || a["broker"] != endpoint {
			t.Errorf("%s: %q, others see %v, %v", index, endpoint, a["broker"], err)
		}
		u, err := brokered.CheckURL(endpoint, base)
		if err == nil && (u.Scheme != "https" || u.User != nil || u.Hostname() == "" || strings.Contains(u.String(), "#")) {
			t.Errorf("%q is %s", endpoint, u)
		}
	})
}

// A confirm that is accepted has each of its members once, as it stands there.
func FuzzConfirm(f *testing.F) {
	for _, s := range []string{
		"verifier=v&client_id=c&client_token=t&client_secret=s", "verifier=v&client_id=a&client_token=x&client_token=t&client_secret=s",
		"verifier=%41&client_id=c&client_token=t&client_secret=s", "&&&", "verifier", "=v", "", "verifier=v&verifier=v",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := brokered.ParseConfirm(body)
		if err != nil {
			if brokeredFailure(err) == nil {
				t.Errorf("%q: %v is no failure", body, err)
			}
			return
		}
		members, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B")) // as others read it
		verifier, client, token, secret := form.Members()
		for name, want := range map[string]string{"verifier": verifier, "client_id": client, "client_token": token, "client_secret": secret} {
			if strings.Count("&"+body, "&"+name+"=") != 1 || err == nil && members.Get(name) != want {
				t.Errorf("%q: %s is %q, others see %q", body, name, want, members[name])
			}
		}
	})
}

func brokeredFailure(err error) *brokered.Failure {
	var f *brokered.Failure
	errors.As(err, &f)
	return f
}

// What a member sends is read as any reader of JSON does, or not at all.
func FuzzMember(f *testing.F) {
	for _, s := range []string{
		string(memberRequest("c", "https://a.example/", "https://b.example/")),
		`{"client_id":"c","client_token":"t","client_secret":"s"}`,
		`{"client_id":"c","error":{"status":400,"code":"ba.unknown_broker","message":"m","data":{"a":1}}}`,
		`{"client_id":"c","error":null}`, `{"client_id":"c","client_token":"t","client_secret":"s","error":{}}`, `{}`, `[`, `"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := brokered.ParseMemberRequest(data); err == nil && (q.ClientID == "" || q.ServerURL == "" || q.Callback == "") {
			t.Errorf("request %s is %+v", data, q)
		}
		token, secret, err := brokered.ParseMemberReply(data, "c")
		if err == nil {
			var seen map[string]any
			if json.Unmarshal(data, &seen) != nil || seen["client_id"] != "c" || seen["client_token"] != token || seen["client_secret"] != secret || seen["error"] != nil {
				t.Errorf("reply %s is %q, %q", data, token, secret)
			}
			return
		}
		if f := brokeredFailure(err); f != nil && (f.Status < 400 || f.Status > 599 || f.Code == "" || f.Message == "" || f.Data != nil && !json.Valid(f.Data)) {
			t.Errorf("reply %s is %+v", data, f)
		}
	})
}
