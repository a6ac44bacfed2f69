// SPDX-License-Identifier: Apache-2.0

package wordpress

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is a process that runs until the test ends.
type server struct {
	name  string
	wrote output
	done  chan struct{} // closed when it has ended
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts a process, and ends it with the test. It runs under timeout(1),
// which passes a signal on to all that the process has started, as PHP's
// workers, and ends them after their lifetime if nobody else does.
func start(t testing.TB, env []string, name string, args ...string) *server {
	t.Helper()
	s := &server{name: name, done: make(chan struct{})}
	cmd := exec.Command("timeout", append([]string{"--kill-after=" + grace, lifetime, name}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &s.wrote, &s.wrote
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(stopWithin):
			t.Errorf("%s does not end: it is killed, with all of its group", name)
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-s.done
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, s.wrote.String())
		}
	})
	return s
}

// await asks until the process is ready.
func (s *server) await(ctx context.Context, t testing.TB, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-s.done:
			t.Fatalf("%s ended: %s", s.name, s.wrote.String())
		case <-ctx.Done():
			t.Fatalf("%s is not ready: %v: %s", s.name, ctx.Err(), s.wrote.String())
		}
	}
}

// startDatabase starts a MariaDB with a data directory and a socket of its own,
// without a port, and makes the databases of two sites. It returns the socket.
func startDatabase(ctx context.Context, t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	// The path of a socket must be short.
	sockets, err := os.MkdirTemp("", "comity-wp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	data, socket := filepath.Join(dir, "data"), filepath.Join(sockets, "db.sock")
	user := "--user=root" // who else runs the test is who runs the database
	if os.Getuid() != 0 {
		user = "--skip-name-resolve"
	}
	install := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", user)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v: %s", err, out)
	}
	databases := filepath.Join(dir, "databases.sql")
	if err := os.WriteFile(databases, []byte("CREATE DATABASE IF NOT EXISTS site_1;\nCREATE DATABASE IF NOT EXISTS site_2;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db := start(t, os.Environ(), "mariadbd", "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(dir, "pid"),
		"--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--init-file="+databases, user)
	db.await(ctx, t, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return socket
}
