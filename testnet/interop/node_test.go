// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// scripts are in testdata/interop, with the versions of what they use.
const scripts = "../../testdata/interop"

// installed is a copy of scripts in which `npm ci` has run.
var installed = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "node")
	if err := os.CopyFS(dir, os.DirFS(scripts)); err != nil {
		return "", err
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir, cmd.SysProcAttr = dir, process.Attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
})

// node runs a script and is its user's browser.
func (w *world) node(script string, input map[string]any) {
	w.Helper()
	dir, err := installed()
	w.check(err)
	argument, err := json.Marshal(input)
	w.check(err)
	cmd := exec.CommandContext(w.ctx, "node", filepath.Join(dir, script), string(argument))
	cmd.SysProcAttr = process.Attributes()
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	w.check(err)
	stdout, err := cmd.StdoutPipe()
	w.check(err)
	w.check(cmd.Start())
	opened := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); opened++ {
		var line struct {
			Open string `json:"open"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			w.Errorf("%s wrote %q", script, lines.Text())
			continue
		}
		person := w.visit
		if w.approve != nil {
			person = w.approve
		}
		_, err := io.WriteString(stdin, person(line.Open)+"\n")
		w.check(err)
	}
	if err := cmd.Wait(); err != nil || opened == 0 {
		w.Fatalf("%s asked for the browser %d times and ended: %v\n%s", script, opened, err, said.Bytes())
	}
}

// TestOpenIDClient: the npm module openid-client, at the broker, for both
// algorithms of ID tokens; once registered with a token, once in the open.
func TestOpenIDClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--open-registration")
	w.addPerson()
	for alg, token := range map[string]string{"RS256": w.registrationToken(), "EdDSA": ""} {
		private, public := newJWK(t)
		input := map[string]any{"issuer": w.issuer, "key": private, "metadata": newMetadata(metadata{
			"token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{public}},
			"dpop_bound_access_tokens": true, "require_pushed_authorization_requests": true, "id_token_signed_response_alg": alg,
		})}
		if token != "" {
			input["token"] = token
		}
		w.node("openid-client.mjs", input)
	}
	var apps struct {
		Apps []struct{} `json:"apps"`
	}
	if w.check(w.broker.JSON(w.ctx, &apps, "app", "list")); len(apps.Apps) != 1 {
		t.Errorf("%d apps are in the log, expected the one that came with a token", len(apps.Apps))
	}
}

// TestOAuth4WebAPI: the npm module oauth4webapi, at a site.
func TestOAuth4WebAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.site(nil)
	w.node("oauth4webapi.mjs", map[string]any{
		"resource": s.Resource, "api": s.API, "scope": site.ReadNotes,
		"token": w.registrationToken(), "metadata": newMetadata(metadata{"dpop_bound_access_tokens": true}),
	})
}

// TestModelContextProtocol: the OAuth client of the npm module
// @modelcontextprotocol/sdk, at a site, public and with a secret.
func TestModelContextProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.site(nil)
	for _, method := range []string{"none", "client_secret_post", "client_secret_basic"} {
		w.node("mcp.mjs", map[string]any{
			"api": s.API, "scope": site.ReadNotes,
			"token": w.registrationToken(), "metadata": newMetadata(metadata{"token_endpoint_auth_method": method}),
		})
	}
}

// TestLockFile: what is installed is known by its hash, and comes from whatever
// registry the machine uses.
func TestLockFile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(scripts, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]map[string]any `json:"packages"`
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	for name, p := range lock.Packages {
		if name != "" && p["integrity"] == nil || p["resolved"] != nil {
			t.Errorf("%q has integrity %v and resolved %v", name, p["integrity"], p["resolved"])
		}
	}
	if len(lock.Packages) < 3 || bytes.Contains(data, []byte("://")) {
		t.Error("the lock file is empty or names an address: delete resolved and funding from it")
	}
}

// newJWK makes an ES256 key.
func newJWK(t testing.TB) (private, public map[string]any) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	jwk := func() map[string]any {
		return map[string]any{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "key-1",
			"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
		}
	}
	private, public = jwk(), jwk()
	private["d"] = base64.RawURLEncoding.EncodeToString(secret)
	return private, public
}
