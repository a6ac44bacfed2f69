// SPDX-License-Identifier: Apache-2.0

// Package wordpress starts real WordPress sites for long tests: Debian's
// WordPress 6.1 on PHP's own server with six workers, a MariaDB of its own,
// and the plugin of the folder plugin, which is the site's side of Brokered
// Authentication and a three-legged OAuth 1.0a provider. Only tests import it.
//
// Two sites run, on 127.0.0.1 and on 127.0.0.2, as if they were two hosts.
// Everything lives in a directory of the test and ends with it: the processes
// are ended by their ids, by the kernel when the test dies, and after fifteen
// minutes by themselves. The sites ask nobody but loopback.
//
// The programs are installed by .ci/tools-long, which `make check-long` runs
// first. Without COMITY_LONG=1 a test that starts WordPress is skipped; with
// it, a missing program fails the test.
package wordpress

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/oldsite"
	"github.com/comity-network/comity/testnet/process"
)

// Bounds of what is started.
const (
	workers     = "6"   // PHP processes of a site
	lifetime    = "15m" // of a process, whatever happens to the test
	grace       = "5s"  // between a process's end that is asked for and its death
	stopWithin  = 15 * time.Second
	startWithin = 60 * time.Second
	poll        = 50 * time.Millisecond
)

// source is where Debian's package has WordPress.
const source = "/usr/share/wordpress"

//go:embed php/*.php plugin/*.php
var scripts embed.FS

// WordPress is two running sites.
type WordPress struct {
	// URLs of the sites, each with a slash at its end.
	URLs []string
	// User is the administrator of both.
	User oldsite.User

	sites []*site
}

// site is one of them.
type site struct {
	dir string
	env []string
	url string // without a slash at its end
}

// Start starts the sites, and ends them with the test. It skips the test if
// COMITY_LONG is not set.
func Start(t testing.TB) *WordPress {
	t.Helper()
	if os.Getenv("COMITY_LONG") == "" {
		t.Skip("a real WordPress is started with COMITY_LONG=1 only, as `make check-long` does: it needs MariaDB, PHP and some ten seconds")
	}
	for _, program := range []string{"php", "mariadbd", "mariadb-install-db", "timeout"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: run .ci/tools-long", err)
		}
	}
	if _, err := os.Stat(source + "/wp-settings.php"); err != nil {
		t.Fatalf("%v: run .ci/tools-long", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*startWithin)
	defer cancel()
	w := &WordPress{User: oldsite.User{Name: "admin", Password: rand.Text(), Email: "admin@example.org"}}
	socket := startDatabase(ctx, t)
	for i, host := range []string{"127.0.0.1", "127.0.0.2"} {
		s := newSite(t, host, fmt.Sprintf("site_%d", i+1), socket)
		w.sites, w.URLs = append(w.sites, s), append(w.URLs, s.url+"/")
		s.run(ctx, t, append(s.env, "SITE_NAME="+fmt.Sprintf("Site %d", i+1), "USER_NAME="+w.User.Name,
			"USER_EMAIL="+w.User.Email, "USER_PASSWORD="+w.User.Password), "install.php")
		s.serve(ctx, t)
	}
	return w
}

// AllowBroker makes a site, by its place in URLs, trust a broker: its
// identifier, an exact string, and where the site confirms to it.
func (w *WordPress) AllowBroker(t testing.TB, site int, identifier, confirmURL string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	s := w.sites[site]
	s.run(ctx, t, s.env, "brokers.php", identifier, confirmURL)
}

// Live returns the tokens of the credentials that work for a client at a site,
// by its place in URLs.
func (w *WordPress) Live(t testing.TB, site int, clientID string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	s := w.sites[site]
	return strings.Fields(s.output(ctx, t, s.env, "live.php", clientID))
}

// Requests returns what a site, by its place in URLs, was asked for until now, in
// the order of time: "begins" or "ends", a method and a target, each with a
// space between.
func (w *WordPress) Requests(t testing.TB, site int) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.sites[site].dir, "requests.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// newSite lays a site out: WordPress's own top-level scripts, links to the rest
// of it, and ours.
func newSite(t testing.TB, host, database, socket string) *site {
	t.Helper()
	// The port lies below those that systems give to connections.
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: t.TempDir(), url: "http://" + net.JoinHostPort(host, port)}
	s.env = append(os.Environ(), "DB_NAME="+database, "DB_HOST=localhost:"+socket, "WP_HOME="+s.url, "PHP_CLI_SERVER_WORKERS="+workers)
	own, err := filepath.Glob(source + "/*.php")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range own {
		copyFile(t, os.DirFS(source), filepath.Base(file), filepath.Join(s.dir, filepath.Base(file)))
	}
	for _, folder := range []string{"wp-admin", "wp-includes"} {
		if err := os.Symlink(filepath.Join(source, folder), filepath.Join(s.dir, folder)); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"plugins", "themes", "uploads"} {
		if err := os.MkdirAll(filepath.Join(s.dir, "wp-content", folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"wp-config.php", "router.php", "install.php", "brokers.php", "live.php"} {
		copyFile(t, scripts, "php/"+name, filepath.Join(s.dir, name))
	}
	copyFile(t, scripts, "plugin/brokered-authentication.php", filepath.Join(s.dir, "wp-content/plugins/brokered-authentication.php"))
	return s
}

func copyFile(t testing.TB, from fs.FS, name, to string) {
	t.Helper()
	text, err := fs.ReadFile(from, name)
	if err == nil {
		err = os.WriteFile(to, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a script of ours, which has nothing to say, to its end.
func (s *site) run(ctx context.Context, t testing.TB, env []string, script string, args ...string) {
	t.Helper()
	if out := s.output(ctx, t, env, script, args...); out != "" {
		t.Fatalf("%s: %s", script, out)
	}
}

// output runs a script of ours to its end and returns what it says.
func (s *site) output(ctx context.Context, t testing.TB, env []string, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "php", append([]string{"-d", "display_errors=stderr", filepath.Join(s.dir, script)}, args...)...)
	var said, failed bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, s.dir, &said, &failed
	if err := cmd.Run(); err != nil || failed.Len() > 0 {
		t.Fatalf("%s: %v: %s%s", script, err, &said, &failed)
	}
	return said.String()
}

// serve starts the site's server and waits until it answers.
func (s *site) serve(ctx context.Context, t testing.TB) {
	t.Helper()
	server := start(t, s.env, "php", "-d", "display_errors=0", "-S", strings.TrimPrefix(s.url, "http://"), "-t", s.dir, filepath.Join(s.dir, "router.php"))
	server.await(ctx, t, func() bool {
		r, err := http.NewRequestWithContext(ctx, http.MethodHead, s.url+"/", nil)
		if err != nil {
			return false
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}
