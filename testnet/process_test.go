// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-network/comity/testnet/process"
)

// stopInOrder stops the broker as Ctrl-C does.
func (w *world) stopInOrder() {
	w.Helper()
	took, err := w.broker.Interrupt(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	if took > 10*time.Second {
		w.Errorf("the broker took %v to stop", took)
	}
}

// startError starts a node that must not start, and returns what it said: one
// line, with status 1.
func (w *world) startError(cfg process.Config) string {
	w.Helper()
	cfg.Binary = binary
	n, err := process.Start(w.ctx, cfg)
	if err == nil {
		n.Kill()
		w.Fatal("it started")
	}
	exit := (*process.ExitError)(nil)
	if !errors.As(err, &exit) {
		w.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(exit.Stderr) {
		if !strings.HasPrefix(line, "{") { // the log before it
			lines++
		}
	}
	if exit.Code != 1 || lines != 1 {
		w.Errorf("status %d and %d lines, expected 1 and 1:\n%s", exit.Code, lines, exit.Stderr)
	}
	return process.LastLine(exit.Stderr)
}

func wantText(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

func TestReadyAndStop(t *testing.T) {
	w := newWorld(t)
	ready := w.broker.Ready
	if ready.Issuer != w.broker.Issuer || !strings.HasPrefix(ready.PeerID, "12D3KooW") || !strings.HasPrefix(ready.Federation, "bafkrei") {
		t.Errorf("the ready line says %+v", ready)
	}
	if strings.Count(w.broker.Output(), "ready") != 1 {
		t.Errorf("more than one ready line: %s", w.broker.Output())
	}
	for name, mode := range map[string]os.FileMode{".": 0o700, "keys": 0o700, "keys/record.pem": 0o600, "keys/token.pem": 0o600, "keys/peer.pem": 0o600, "keys/subject.pem": 0o600, "admin.sock": 0o600} {
		info, err := os.Stat(filepath.Join(w.broker.Dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, expected %v", name, info.Mode().Perm(), mode)
		}
	}
	s := w.site("notebook", nil)
	a := w.register("App", "none")
	target, tokens := w.login(a, s.API)
	w.stopInOrder()
	w.restart()
	if w.broker.Ready.Federation != ready.Federation || w.broker.Ready.PeerID != ready.PeerID {
		t.Errorf("after a restart it is another: %+v, before: %+v", w.broker.Ready, ready)
	}
	w.call(a, target, tokens, http.StatusOK)
	if _, err := a.Refresh(w.ctx, target, tokens.RefreshToken); err != nil {
		t.Errorf("refresh after a restart: %v", err)
	}
}

// TestStopWaitsForRequests: a request that runs when the broker is told to
// stop is answered.
func TestStopWaitsForRequests(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("App", "none")
	target, _ := w.login(a, s.API) // so that the site has the broker's keys
	request := a.NewRequest(target, "notes:read", false)
	code := w.authorize(a, target, request)
	stopped := make(chan error, 1)
	s.Pushes.On(rule(func() {
		go func() {
			_, err := w.broker.Stop(w.ctx)
			stopped <- err
		}()
		w.awaitClosed()
	}))
	tokens, err := a.Redeem(w.ctx, target, request, code)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	w.call(a, target, tokens, http.StatusOK)
}

// awaitClosed waits until the broker takes no new connection.
func (w *world) awaitClosed() {
	w.until("the broker takes no new connection", func() bool {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := c.Get(w.broker.Issuer + "/healthz")
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	})
}

// TestFault67SecondProcess: one data directory, one process.
func TestFault67SecondProcess(t *testing.T) {
	w := newWorld(t)
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	second := w.broker.Config
	second.Args = append(slices.Clone(second.Args), "--listen", address)
	wantText(t, w.startError(second), w.broker.Dir, "process")
	var status struct {
		Fresh bool `json:"fresh"`
	}
	if err := w.broker.JSON(w.ctx, &status, "status"); err != nil || !status.Fresh {
		t.Errorf("the first process has suffered: fresh %v, %v", status.Fresh, err)
	}
	w.broker.Kill() // a lock dies with its process
	w.restart()
}

// TestFault78Issuer: what a broker is called cannot change, and a name that
// nobody could reach safely is refused.
func TestFault78Issuer(t *testing.T) {
	w := newWorld(t)
	w.stopInOrder()
	said := w.startError(process.Config{Dir: w.broker.Dir})
	wantText(t, said, w.broker.Issuer)
	for name, issuer := range map[string]string{
		"http in public":   "http://broker.example",
		"a slash too many": "https://broker.example/",
		"a query":          "https://broker.example?a=b",
		"user info":        "https://me@broker.example",
		"not a URL":        "broker",
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			dir := filepath.Join(t.TempDir(), "new")
			wantText(t, w.startError(process.Config{Dir: dir, Issuer: issuer}), "issuer")
			if _, err := os.Stat(dir); err == nil {
				t.Error("the data directory was made all the same")
			}
		})
	}
	w.restart()
}

// namespace is a command that runs another in a mount namespace of its own,
// where it is root.
func namespace() []string {
	command := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		command = append(command, "--map-root-user")
	}
	return command
}

// TestFault71Directory: a directory that cannot be used is named, with what
// to do about it.
func TestFault71Directory(t *testing.T) {
	w := newWorld(t)
	w.stopInOrder()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantText(t, w.startError(process.Config{Dir: file}), file)
	wantText(t, w.startError(process.Config{Dir: filepath.Join(file, "below")}), file)
	for _, tt := range []struct {
		name          string
		spoil, repair func() error
		want          string
	}{
		{"others can write in it", func() error { return os.Chmod(w.broker.Dir, 0o777) }, func() error { return os.Chmod(w.broker.Dir, 0o700) }, "chmod 700"},
	} {
		if err := tt.spoil(); err != nil {
			t.Fatal(err)
		}
		wantText(t, w.startError(w.broker.Config), w.broker.Dir, tt.want)
		if err := tt.repair(); err != nil {
			t.Fatal(err)
		}
	}
	foreign := process.Config{Dir: "/"} // another user's, unless we are root
	if os.Geteuid() == 0 {
		foreign.Dir = t.TempDir()
		if err := os.Chown(foreign.Dir, 65534, -1); err != nil {
			t.Fatal(err)
		}
	}
	wantText(t, w.startError(foreign), foreign.Dir, "chown")
	// A read-only file system, seen by this child alone.
	readOnly := w.broker.Config
	readOnly.Wrap = append(namespace(), "sh", "-c", `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`, w.broker.Dir)
	wantText(t, w.startError(readOnly), w.broker.Dir, "read-only")
	w.restart()
}

// TestFault77Keys: a key file that others can read, that is empty, or that is
// another key's, is refused, with the repair.
func TestFault77Keys(t *testing.T) {
	w := newWorld(t)
	w.stopInOrder()
	key := filepath.Join(w.broker.Dir, "keys", "record.pem")
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) func() error {
		return func() error { return os.WriteFile(key, data, 0o600) }
	}
	otherUse, err := os.ReadFile(filepath.Join(w.broker.Dir, "keys", "token.pem"))
	if err != nil {
		t.Fatal(err)
	}
	other := newWorld(t)
	otherKey, err := os.ReadFile(filepath.Join(other.broker.Dir, "keys", "record.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		spoil func() error
		want  string
	}{
		{"readable by others", func() error { return os.Chmod(key, 0o644) }, "chmod 600"},
		{"empty", write(nil), "backup"},
		{"cut off", write(good[:len(good)/2]), "backup"},
		{"one byte altered", write(bytes.Replace(good, good[60:61], []byte("!"), 1)), "backup"},
		{"a key for another use", write(otherUse), "backup"},
		{"missing", func() error { return os.Remove(key) }, "backup"},
		{"another broker's", write(otherKey), "put the right key file back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.TB = t
			if err := tt.spoil(); err != nil {
				t.Fatal(err)
			}
			wantText(t, w.startError(w.broker.Config), w.broker.Dir, tt.want)
			os.Remove(key)
			if err := os.WriteFile(key, good, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	w.restart() // nothing was made anew
}

// TestFault66Database: a damaged database is named, with the repair, and
// never begun anew.
func TestFault66Database(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.register("App", "none")
	}
	w.stopInOrder()
	db := w.broker.Database()
	good, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	for i := 4096; i < len(flipped); i += 512 {
		flipped[i] ^= 0xff
	}
	for name, data := range map[string][]byte{
		"empty":                 nil,
		"half of it":            good[:len(good)/2],
		"first page only":       good[:4096],
		"garbage":               []byte("this is not a database"),
		"a bit in every sector": flipped,
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			if err := os.WriteFile(db, data, 0o600); err != nil {
				t.Fatal(err)
			}
			os.Remove(db + "-wal")
			os.Remove(db + "-shm")
			wantText(t, w.startError(w.broker.Config), db, "backup")
			if _, err := w.broker.Run(w.ctx, "fsck"); err == nil {
				t.Error("fsck finds nothing wrong")
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		w := *w
		w.TB = t
		os.Remove(db)
		wantText(t, w.startError(w.broker.Config), db, "backup")
	})
	os.Remove(db + "-wal")
	os.Remove(db + "-shm")
	if err := os.WriteFile(db, good, 0o600); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.stopInOrder()
	w.fsck()
}

// TestFault66WriteAheadLog: SQLite drops the damaged end of its write-ahead
// log in silence. The broker notices that a record which it has acknowledged
// is gone.
func TestFault66WriteAheadLog(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.register("App", "none")
	}
	w.broker.Kill()
	files := map[string][]byte{} // reading a database may change it
	for _, path := range []string{w.broker.Database(), w.broker.Database() + "-wal"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = data
	}
	wal := w.broker.Database() + "-wal"
	good := files[wal]
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"half of it": good[:len(good)/2], "one bit": flipped, "empty": nil} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			files[wal] = data
			for path, content := range files {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			os.Remove(w.broker.Database() + "-shm")
			wantText(t, w.startError(w.broker.Config), w.broker.Database(), "backup")
		})
	}
	files[wal] = good
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(w.broker.Database() + "-shm")
	w.restart()
}

// TestAlteredRecord: fsck and the start find one altered byte of one record.
func TestAlteredRecord(t *testing.T) {
	w := newWorld(t)
	a := w.register("Alterable", "none")
	w.stopInOrder()
	w.fsck()
	w.execute(`UPDATE records SET raw = replace(raw, '.', '..') WHERE client = $1`, a.ClientID)
	if _, err := w.broker.Run(w.ctx, "fsck"); err == nil {
		t.Error("fsck finds nothing wrong")
	}
}

// execute changes the broker's database behind its back.
func (w *world) execute(query string, args ...any) {
	w.Helper()
	db, err := openWritable(w.broker.Database())
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.WithoutCancel(w.ctx), query, args...); err != nil {
		w.Fatal(err)
	}
}

// TestFault67SetBack: a database that was set back, by a copy of yesterday,
// would let the broker sign a second history. It is refused.
func TestFault67SetBack(t *testing.T) {
	w := newWorld(t)
	w.stopInOrder()
	old, err := os.ReadFile(w.broker.Database())
	if err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.register("App", "none")
	w.stopInOrder()
	if err := os.WriteFile(w.broker.Database(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	wantText(t, w.startError(w.broker.Config), w.broker.Database(), "backup")
}
