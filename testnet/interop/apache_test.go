// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/process"
)

// apacheConfig is a site behind Apache's mod_auth_openidc: pages for people who
// log in at the broker, and an API for apps with a token, which it introspects.
// Both say in headers who it is.
const apacheConfig = `
ServerName 127.0.0.1
Listen {listen}
User www-data
Group www-data
PidFile {dir}/pid
ErrorLog {dir}/log
LogLevel warn
DefaultRuntimeDir {dir}
Mutex sem
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
StartServers 1
ThreadsPerChild 25
ServerLimit 1
MaxRequestWorkers 25
DocumentRoot {dir}/pages

OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client}
OIDCClientSecret {secret}
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCRedirectURI http://{listen}/pages/back
OIDCCryptoPassphrase {secret}
OIDCScope "openid profile"
OIDCPKCEMethod S256
OIDCRemoteUserClaim sub

OIDCOAuthServerMetadataURL {issuer}/.well-known/oauth-authorization-server
OIDCOAuthIntrospectionEndpointAuth client_secret_basic
OIDCOAuthIntrospectionTokenParamName token
OIDCOAuthTokenExpiryClaim exp absolute
OIDCOAuthTokenIntrospectionInterval -1
OIDCOAuthClientID {client}
OIDCOAuthClientSecret {secret}
OIDCOAuthRemoteUserClaim client_id

<Location /pages>
	AuthType openid-connect
	Require valid-user
	Header always set Who "%{OIDC_CLAIM_iss}e %{OIDC_CLAIM_sub}e %{OIDC_CLAIM_name}e"
</Location>
<Location /api>
	AuthType oauth20
	Require valid-user
	Header always set Who "%{OIDC_CLAIM_client_id}e %{OIDC_CLAIM_scope}e"
</Location>
`

// apacheModules is where Debian has them.
const apacheModules = "/usr/lib/apache2/modules"

// startApache serves a site on address, as a client of the broker.
func (w *world) startApache(address string, c client) {
	w.Helper()
	dir, err := os.MkdirTemp(scratch, "apache-") // its workers are another user, who must get there
	w.check(err)
	w.check(os.Chmod(scratch, 0o755))
	w.check(os.Chmod(dir, 0o755))
	for _, place := range []string{"pages/pages", "pages/api"} {
		w.check(os.MkdirAll(filepath.Join(dir, place), 0o755))
		w.check(os.WriteFile(filepath.Join(dir, place, "hello.txt"), []byte("hello"), 0o644))
	}
	config := strings.NewReplacer(
		"{listen}", address, "{dir}", dir, "{modules}", apacheModules, "{issuer}", w.issuer, "{client}", c.ID, "{secret}", c.Secret,
	).Replace(apacheConfig)
	file := filepath.Join(dir, "apache.conf")
	w.check(os.WriteFile(file, []byte(config), 0o600))
	var said bytes.Buffer
	cmd := exec.CommandContext(w.ctx, "/usr/sbin/apache2", "-d", dir, "-f", file, "-DFOREGROUND")
	cmd.Stderr, cmd.SysProcAttr, cmd.WaitDelay = &said, process.Attributes(), time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	w.check(cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	w.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		if log, _ := os.ReadFile(filepath.Join(dir, "log")); w.Failed() {
			w.Logf("Apache wrote:\n%s%s", said.Bytes(), log)
		}
	})
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-every.C:
		case <-ended:
			w.Fatal("Apache has ended")
		}
	}
}

// TestApache: somebody who wants a page behind Apache's mod_auth_openidc logs in
// at the broker; an app with a token gets at an API behind it, until the token
// is revoked.
func TestApache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPerson()
	address, err := process.FreeAddress()
	w.check(err)
	c := w.register(metadata{
		"token_endpoint_auth_method": "client_secret_basic", "redirect_uris": []string{"http://" + address + "/pages/back", callback},
	})
	w.startApache(address, c)

	browser := app.NewBrowser(nil)
	page, err := browser.Open(w.ctx, "http://"+address+"/pages/hello.txt")
	w.check(err)
	page, err = browser.Submit(w.ctx, page, "Log in", map[string]string{"name": person, "password": password})
	w.check(err)
	page, err = browser.Submit(w.ctx, page, "answer=allow", nil)
	w.check(err)
	who := strings.SplitN(page.Header.Get("Who"), " ", 3)
	if page.Status != http.StatusOK || page.Body != "hello" || len(who) != 3 || who[0] != w.issuer || who[1] == "" || who[2] != "Ada Example" {
		t.Errorf("at %s Apache shows %d %q to %q", page.URL, page.Status, page.Body, who)
	}

	config := &oauth2.Config{
		ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: callback, Scopes: []string{"openid"}, Endpoint: w.endpoint(oauth2.AuthStyleInHeader),
	}
	link := config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))
	token, err := config.Exchange(w.ctx, w.code(w.visit(link), "s"), oauth2.VerifierOption(verifier))
	w.check(err)
	api := func(token string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+address+"/api/hello.txt", nil)
		w.check(err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		w.check(err)
		res.Body.Close()
		return fmt.Sprint(res.StatusCode, " ", res.Header.Get("Who"))
	}
	if got, want := api(token.AccessToken), "200 "+c.ID+" openid"; got != want {
		t.Errorf("with a token Apache answers %s, expected %s", got, want)
	}
	if got := api("another"); !strings.HasPrefix(got, "401") {
		t.Errorf("with an unknown token Apache answers %s", got)
	}
	if status, answer := w.post("/oauth/revoke", c, url.Values{"token": {token.AccessToken}}); status != http.StatusOK {
		t.Fatalf("revocation answers %d %v", status, answer)
	}
	if got := api(token.AccessToken); !strings.HasPrefix(got, "401") {
		t.Errorf("with a revoked token Apache answers %s", got)
	}
}
