// SPDX-License-Identifier: Apache-2.0

package comity_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// connect is the example of README.md for app developers, word for word.

// connect asks a user to let the app in at a site. browse opens a URL in the
// user's browser and returns the parameters that the redirect URI is called with.
func connect(ctx context.Context, issuer, site, scope, clientID, redirectURI string, browse func(url string) url.Values) (*http.Client, error) {
	app := oauth2.Config{
		ClientID:    clientID,
		RedirectURL: redirectURI,
		Scopes:      []string{scope},
		Endpoint: oauth2.Endpoint{
			AuthURL:   issuer + "/oauth/authorize",
			TokenURL:  issuer + "/oauth/token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	back := browse(app.AuthCodeURL(state,
		oauth2.SetAuthURLParam("resource", site), oauth2.S256ChallengeOption(verifier)))
	if back.Get("state") != state || back.Get("iss") != issuer {
		return nil, errors.New("this is not the answer to our request")
	}
	token, err := app.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, err
	}
	return app.Client(ctx, token), nil // sends the token, and refreshes it
}

// TestReadmeConnect runs the example against a broker as a process of its own,
// a site with the SDK, and a user's browser.
func TestReadmeConnect(t *testing.T) {
	ctx := t.Context()
	binary := filepath.Join(t.TempDir(), "comity")
	if err := process.Build(ctx, binary, false); err != nil {
		t.Fatal(err)
	}
	broker, err := process.Start(ctx, process.Config{
		Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Args: []string{"--allow-private-addresses"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Kill()
	notebook, err := site.Start(ctx, site.Config{
		Dir: t.TempDir(), Brokers: []string{broker.Issuer}, Federation: broker.Ready.Federation,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer notebook.Close()
	const redirectURI = "http://127.0.0.1:7777/callback"
	var registered struct {
		ClientID string `json:"client_id"`
	}
	if err := broker.JSON(ctx, &registered, "app", "register", "--name", "My App", "--redirect-uri", redirectURI); err != nil {
		t.Fatal(err)
	}
	client, err := connect(ctx, broker.Issuer, notebook.Resource, site.ReadNotes, registered.ClientID, redirectURI, func(target string) url.Values {
		return consent(t, target, redirectURI)
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Get(notebook.API)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), registered.ClientID) {
		t.Fatalf("the site answers %s: %s (%v)", answer.Status, body, err)
	}
}

// consent logs a user in at the site and lets the app in.
func consent(t *testing.T, target, redirectURI string) url.Values {
	t.Helper()
	user := app.NewBrowser(nil)
	user.StopAt = redirectURI
	page, err := user.Open(t.Context(), target)
	if err == nil {
		page, err = user.Submit(t.Context(), page, "Log in", map[string]string{"name": "ada", "password": "lovelace"})
	}
	if err == nil {
		page, err = user.Submit(t.Context(), page, "decision=allow", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(page.URL)
	if err != nil || !page.Stopped {
		t.Fatalf("the site does not send the browser back: %s", app.Text(page.Body))
	}
	return back.Query()
}
