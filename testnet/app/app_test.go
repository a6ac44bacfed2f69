// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/app"
)

// TestThumbprint takes the example of RFC 8037, appendix A.3.
func TestThumbprint(t *testing.T) {
	key, err := app.ParseKey([]byte(`{"kty":"OKP","crv":"Ed25519","kid":"a",
		"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := app.ProofWith(key.Private).Thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("thumbprint %s, expected %s", got, want)
	}
}

// TestChallenge takes the example of RFC 7636, appendix B.
func TestChallenge(t *testing.T) {
	got := app.Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
	if want := "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; got != want {
		t.Errorf("challenge %s, expected %s", got, want)
	}
}

func TestBrowserFillsInForms(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "kept", Value: "yes"})
		http.Redirect(w, r, "/form?a=1", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /form", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<form action=/other method=post><button>Other</button></form>
			<form method="POST"><input type=hidden name=t value="a&amp;b"><input name="user">
			<input type=checkbox name=on value=1 checked><input type=checkbox name=off value=1>
			<button name="decision" value="no">No</button> <button name="decision" value="yes"> <b>Let  in</b></button></form>`)
	})
	var got string
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		cookie, _ := r.Cookie("kept")
		r.ParseForm()
		got = fmt.Sprintln(cookie, r.Header.Get("Origin") == "http://"+r.Host, r.URL.RawQuery, r.PostForm.Encode())
		http.Redirect(w, r, "http://app.invalid/cb?code=1", http.StatusSeeOther)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	b := app.NewBrowser(nil)
	b.StopAt = "http://app.invalid/"
	page, err := b.Open(t.Context(), server.URL+"/start")
	if err != nil {
		t.Fatal(err)
	}
	page, err = b.Submit(t.Context(), page, "let in", map[string]string{"user": "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if !page.Stopped || page.URL != "http://app.invalid/cb?code=1" {
		t.Errorf("came to %+v", page)
	}
	if want := "kept=yes true a=1 decision=yes&on=1&t=a%26b&user=ada\n"; got != want {
		t.Errorf("sent %s, expected %s", got, want)
	}
	if _, err := b.Submit(t.Context(), page, "Buy", nil); err == nil || !strings.Contains(err.Error(), "has no button") {
		t.Errorf("pressing a button that is not there: %v", err)
	}
}

func TestCodeChecksTheAnswer(t *testing.T) {
	a := app.App{ClientID: "c", RedirectURI: "http://app.invalid/cb"}
	r := a.NewRequest(&app.Target{Issuer: "https://b.example", Authorize: "https://s.example/a"}, "read", false)
	good := r.RedirectURI + "?code=x&state=" + r.State + "&iss=https://b.example"
	if code, err := a.Code(r, good); err != nil || code != "x" {
		t.Fatalf("%q, %v", code, err)
	}
	// fault 10
	for name, bad := range map[string]string{
		"other state":  strings.Replace(good, r.State, "other", 1),
		"other broker": strings.Replace(good, "//b.", "//c.", 1),
		"no iss":       strings.Split(good, "&iss")[0],
		"other place":  strings.Replace(good, "/cb", "/cb2", 1),
		"error":        strings.Replace(good, "code=x", "error=access_denied", 1),
	} {
		if code, err := a.Code(r, bad); err == nil {
			t.Errorf("%s: code %q", name, code)
		}
	}
}
