// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/testnet/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// freeIssuer returns an issuer on a loopback port that nobody uses.
func freeIssuer(t testing.TB) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}

// config of a node in a new directory.
func config(t *testing.T) node.Config {
	t.Helper()
	return node.Config{DataDir: filepath.Join(t.TempDir(), "data"), Issuer: freeIssuer(t)}
}

// start runs a node until the test ends, or until stop is called, which
// returns what Run did.
func start(t *testing.T, cfg node.Config) (n *node.Node, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.Open(ctx, cfg)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready, done := make(chan node.Ready, 1), make(chan error, 1)
	go func() { done <- n.Run(ctx, func(r node.Ready) { ready <- r }) }()
	var ended bool
	stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		err := <-done
		if e := n.Close(); err == nil {
			err = e
		}
		return err
	}
	t.Cleanup(func() { stop() })
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("the node ended before it was ready: %v", stop())
	}
	return n, stop
}

// get fetches a document.
func get(t *testing.T, url string) (int, http.Header, []byte) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

func getJSON(t *testing.T, url string, v any) {
	t.Helper()
	status, _, body := get(t, url)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", url, status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatal(err)
	}
}

func register(t *testing.T, n *node.Node, metadata string) admin.App {
	t.Helper()
	app, err := n.RegisterApp(t.Context(), admin.AppDraft{Metadata: json.RawMessage(metadata)})
	if err != nil {
		t.Fatal(err)
	}
	return app
}

const someApp = `{"client_name":"App","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}`

func TestRunServesStopsAndStartsAgain(t *testing.T) {
	cfg := config(t)
	n, stop := start(t, cfg)
	app := register(t, n, someApp)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/oauth/jwks", "/federation", "/healthz", "/readyz"} {
		if status, _, body := get(t, cfg.Issuer+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if err := stop(); err != nil {
		t.Fatalf("the node did not stop in order: %v", err)
	}
	n, _ = start(t, cfg)
	again, err := n.ShowApp(t.Context(), admin.AppID{ClientID: app.ClientID})
	if err != nil || again.Registration != app.Registration {
		t.Fatalf("after a restart the client is %+v, %v", again, err)
	}
	if s, err := n.Status(t.Context()); err != nil || s.Members[0].Head.Size != 2 {
		t.Fatalf("after a restart the log has %+v, %v; expected the broker record and one registration", s.Members, err)
	}
}

// A client document convinces a reader who knows nothing but the federation id.
func TestClientDocumentProvesItself(t *testing.T) {
	cfg := config(t)
	n, _ := start(t, cfg)
	register(t, n, someApp)
	app := register(t, n, strings.Replace(someApp, `"App"`, `"Other"`, 1))
	if _, err := n.UpdateApp(t.Context(), admin.AppChange{ClientID: app.ClientID, Metadata: json.RawMessage(`{"client_name":"Renamed"}`)}); err != nil {
		t.Fatal(err)
	}
	var d struct {
		First, Registration, Checkpoint, Log, State string
		Index                                       int64
		Proof                                       []string
	}
	getJSON(t, cfg.Issuer+"/federation/clients/"+app.ClientID, &d)
	status, _, raw := get(t, cfg.Issuer+"/federation/charter")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	charter, err := registry.ParseCharter(raw)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := registry.NewChain(charter)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := chain.KeyAt(cfg.Issuer, d.Index)
	record, err := registry.ParseRecord([]byte(d.Registration), registry.KindRegistration)
	if err != nil {
		t.Fatal(err)
	}
	if err := record.Verify(key); err != nil {
		t.Fatal(err)
	}
	if registry.CID([]byte(d.First)) != app.ClientID || record.ClientID() != app.ClientID || record.Registration.Name != "Renamed" || d.State != "active" {
		t.Fatalf("the document is about another client: %+v", d)
	}
	checkpoint, err := registry.OpenCheckpoint([]byte(d.Checkpoint), registry.Origin(cfg.Issuer), key)
	if err != nil {
		t.Fatal(err)
	}
	var proof []registry.Hash
	for _, p := range d.Proof {
		hash, err := jws.Base64.DecodeString(p)
		if err != nil {
			t.Fatal(err)
		}
		proof = append(proof, registry.Hash(hash))
	}
	if err := registry.CheckInclusion(proof, checkpoint.Size, checkpoint.Root, d.Index, registry.LeafHash(d.Registration)); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownPathsOfTheFederation(t *testing.T) {
	cfg := config(t)
	start(t, cfg)
	unknown := registry.CID([]byte("nobody"))
	for path, want := range map[string]string{
		"/federation/clients/" + unknown:                    "unknown_client",
		"/federation/clients/x":                             "unknown_client",
		"/federation/clients/" + strings.ToUpper(unknown):   "unknown_client",
		"/federation/charter/2":                             "not_found",
		"/federation/charter/01":                            "not_found",
		"/federation/brokers/nobody":                        "not_found",
		"/federation/log/tile/0/001":                        "not_found",
		"/federation/log/tile/8/0/000":                      "not_found",
		"/federation/log/../../oauth/token":                 "",
		"/federation/brokers/nobody/log/checkpoint":         "not_found",
		"/federation/log/tile/entries/x001/x002/003.p/1000": "not_found",
	} {
		status, header, body := get(t, cfg.Issuer+path)
		if want == "" {
			continue // the mux cleans the path; that it does not fail is all
		}
		var e struct{ Error string }
		if json.Unmarshal(body, &e); status != http.StatusNotFound || e.Error != want || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// fault 67: one data directory, one process.
func TestFault67SecondNodeOnOneDirectory(t *testing.T) {
	cfg := config(t)
	start(t, cfg)
	if _, err := node.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("a second node opened the directory: %v", err)
	}
}

// fault 77: a key that was lost, damaged, or swapped is never replaced in
// silence.
func TestFault77Keys(t *testing.T) {
	other := config(t)
	_, stop := start(t, other)
	stop()
	for name, damage := range map[string]func(t *testing.T, keys string){
		"missing": func(t *testing.T, keys string) { check(t, os.Remove(filepath.Join(keys, "record.pem"))) },
		"empty":   func(t *testing.T, keys string) { check(t, os.Truncate(filepath.Join(keys, "token.pem"), 0)) },
		"readable by others": func(t *testing.T, keys string) {
			check(t, os.Chmod(filepath.Join(keys, "peer.pem"), 0o644))
		},
		"of another node": func(t *testing.T, keys string) {
			copyFile(t, filepath.Join(other.DataDir, "keys", "record.pem"), filepath.Join(keys, "record.pem"))
		},
		"for another use": func(t *testing.T, keys string) {
			copyFile(t, filepath.Join(keys, "token.pem"), filepath.Join(keys, "record.pem"))
		},
		"token key as subject key": func(t *testing.T, keys string) {
			copyFile(t, filepath.Join(keys, "token.pem"), filepath.Join(keys, "subject.pem"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			n, err := node.Open(t.Context(), cfg)
			check(t, err)
			check(t, n.Close())
			damage(t, filepath.Join(cfg.DataDir, "keys"))
			n, err = node.Open(t.Context(), cfg)
			if err == nil {
				n.Close()
				t.Fatal("the node started")
			}
			if !strings.Contains(err.Error(), "backup") && !strings.Contains(err.Error(), "chmod 600") && !strings.Contains(err.Error(), "right file") {
				t.Fatalf("the error does not say what to do: %v", err)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	check(t, err)
	check(t, os.WriteFile(to, data, 0o600))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The secret is given once, works by its hash only, and ends with a rotation.
func TestSecretsOfApps(t *testing.T) {
	n, _ := start(t, config(t))
	app := register(t, n, strings.Replace(someApp, `"none"`, `"client_secret_basic"`, 1))
	if len(app.ClientSecret) != 43 {
		t.Fatalf("secret %q", app.ClientSecret)
	}
	shown, err := n.ShowApp(t.Context(), admin.AppID{ClientID: app.ClientID})
	check(t, err)
	if shown.ClientSecret != "" || strings.Contains(shown.Registration, app.ClientSecret) {
		t.Fatal("the secret is shown a second time")
	}
	rotated, err := n.RotateSecret(t.Context(), admin.AppID{ClientID: app.ClientID, Compromised: true})
	check(t, err)
	if rotated.ClientSecret == app.ClientSecret || rotated.Sequence != 1 {
		t.Fatalf("rotation gave %+v", rotated)
	}
	public := json.RawMessage(`{"token_endpoint_auth_method":"none"}`)
	without, err := n.UpdateApp(t.Context(), admin.AppChange{ClientID: app.ClientID, Metadata: public})
	check(t, err)
	if without.ClientSecret != "" || strings.Contains(string(without.Metadata), "client_secret_sha256") {
		t.Fatalf("a public client kept a secret: %s", without.Metadata)
	}
	if _, err := n.RotateSecret(t.Context(), admin.AppID{ClientID: app.ClientID}); err == nil || !strings.Contains(err.Error(), "has no secret") {
		t.Fatalf("a public client got a secret: %v", err)
	}
	given := json.RawMessage(`{"client_secret_sha256":"` + strings.Repeat("A", 43) + `"}`)
	if _, err := n.UpdateApp(t.Context(), admin.AppChange{ClientID: app.ClientID, Metadata: given}); err == nil {
		t.Fatal("a secret of the caller's choice was registered")
	}
}

func TestUnknownMembersSurviveAnUpdate(t *testing.T) {
	n, _ := start(t, config(t))
	app := register(t, n, strings.Replace(someApp, "{", `{"x_new":{"a":[1,2.50]},`, 1))
	updated, err := n.UpdateApp(t.Context(), admin.AppChange{ClientID: app.ClientID, Metadata: json.RawMessage(`{"client_name":"B"}`)})
	check(t, err)
	if !strings.Contains(string(updated.Metadata), `"x_new":{"a":[1,2.50]}`) {
		t.Fatalf("the unknown member is gone: %s", updated.Metadata)
	}
	removed, err := n.UpdateApp(t.Context(), admin.AppChange{ClientID: app.ClientID, Metadata: json.RawMessage(`{"x_new":null}`)})
	check(t, err)
	if strings.Contains(string(removed.Metadata), "x_new") {
		t.Fatalf("null did not remove the member: %s", removed.Metadata)
	}
}

// A node that cannot vouch for its records says so, and mints nothing.
func TestReadyzWhenStale(t *testing.T) {
	cfg := config(t)
	clock := make(chan time.Duration, 1)
	clock <- 0
	cfg.Now = func() time.Time { d := <-clock; clock <- d; return time.Now().Add(d) }
	n, _ := start(t, cfg)
	<-clock
	clock <- -time.Hour // behind what it has signed: it signs no view any more
	status, _, body := get(t, cfg.Issuer+"/readyz")
	s, err := n.Status(t.Context())
	check(t, err)
	if status == http.StatusOK || s.Fresh || len(body) == 0 {
		t.Fatalf("with a clock that is an hour behind: %d %s, fresh %v", status, body, s.Fresh)
	}
}
