// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/internal/durable"
	"github.com/comity-network/comity/internal/filelock"
	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

// childRole, in the environment, makes the test binary another process that
// tests kill, starve or run as another user.
const childRole = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	role, dir, _ := strings.Cut(os.Getenv(childRole), ":")
	switch role {
	case "":
		os.Exit(m.Run())
	case "open":
		fmt.Println(tryOpen(dir))
	case "append":
		fmt.Println(appendForEver(dir))
	case "claim":
		fmt.Println(claimForEver(dir))
	case "starve":
		fmt.Println(starve(dir))
	}
}

// child starts the test binary in a role. It cannot be reached by its path as
// another user, hence /proc.
func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childRole+"="+role+":"+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// tryOpen does what a node does first with its data directory.
func tryOpen(dir string) error {
	if err := durable.PrivateDir(dir); err != nil {
		return err
	}
	lock, err := filelock.Acquire(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := store.Open(context.Background(), filepath.Join(dir, databaseName))
	if err != nil {
		return err
	}
	return s.Close()
}

// appendForEver writes to the log until it is killed. Each line that it prints
// is an acknowledgement: the client, and the seq of its newest record.
func appendForEver(dir string) error {
	private, err := durable.OpenKey(filepath.Join(dir, "record.pem"), "record", true)
	if err != nil {
		return err
	}
	s, err := store.Open(context.Background(), filepath.Join(dir, databaseName))
	if err != nil {
		return err
	}
	r, err := federation.Open(context.Background(), federation.Config{Store: s, Key: registry.NewSigningKey(private), Issuer: benchIssuer})
	if err != nil {
		return err
	}
	for {
		draft := federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}}
		for range 3 {
			record, _, err := r.Append(context.Background(), draft)
			if err != nil {
				return err
			}
			fmt.Println("ack", record.ClientID(), record.Registration.Sequence)
			draft.Registration.Client = record.ClientID()
		}
	}
}

// TestFault63KillDuringAppend kills a process while it appends, several times
// on one directory: every acknowledged record is there, every index and seq
// was used once, and the next process goes on.
func TestFault63KillDuringAppend(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]int64{}
	var key registry.SigningKey
	for round := range 6 {
		killAfter(t, dir, 5+7*round, acknowledged)
		private, err := durable.ReadKey(filepath.Join(dir, "record.pem"), "record")
		check(t, err)
		key = registry.NewSigningKey(private)
		b := &broker{t: t, dir: dir, key: key}
		b.mustOpen()
		for id, seq := range acknowledged {
			state, err := b.Client(t.Context(), id)
			if err != nil || state.Sequence < seq || state.Status != registry.ClientActive {
				t.Errorf("round %d: client %s is %s at seq %d, %v; seq %d was acknowledged", round, id, state.Status, state.Sequence, err, seq)
			}
		}
		if problems := b.problems(); len(problems) > 0 {
			t.Errorf("round %d: %q", round, problems)
		}
		b.close()
	}
	if len(acknowledged) < 6*5/3 {
		t.Errorf("only %d clients were acknowledged", len(acknowledged))
	}
}

// killAfter runs the appending process until it acknowledged some records, and
// kills it in the middle of the next ones.
func killAfter(t *testing.T, dir string, records int, acknowledged map[string]int64) {
	t.Helper()
	cmd := child(t, "append", dir)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var id string
		var seq int64
		if _, err := fmt.Sscanf(lines.Text(), "ack %s %d", &id, &seq); err != nil {
			t.Fatalf("the process said %q", lines.Text())
		}
		acknowledged[id] = seq
		if n == records {
			check(t, cmd.Process.Kill())
		}
	}
	cmd.Wait()
}

// claimForEver uses up identifiers, many at a time, until it is killed. Each
// line that it prints is an acknowledgement.
func claimForEver(dir string) error {
	s, err := store.Open(context.Background(), filepath.Join(dir, databaseName))
	if err != nil {
		return err
	}
	failed := make(chan error)
	for range 16 {
		go func() {
			for {
				id := registry.NewID()
				if err := s.Claim(context.Background(), oauth.OneTime{Key: id, ExpiresAt: 1}); err != nil {
					failed <- err
					return
				}
				fmt.Println("ack", id)
			}
		}()
	}
	return <-failed
}

// TestFault63KillDuringGroups kills a process in which many write at the same
// time: whatever was acknowledged to one of them is there.
func TestFault63KillDuringGroups(t *testing.T) {
	dir := t.TempDir()
	for round := range 4 {
		cmd := child(t, "claim", dir)
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		var acknowledged []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			id, ok := strings.CutPrefix(lines.Text(), "ack ")
			if !ok {
				t.Fatalf("the process said %q", lines.Text())
			}
			if acknowledged = append(acknowledged, id); len(acknowledged) == 200+100*round {
				check(t, cmd.Process.Kill())
			}
		}
		cmd.Wait()
		s := openAt(t, filepath.Join(dir, databaseName))
		for _, id := range acknowledged {
			if err := s.Claim(t.Context(), oauth.OneTime{Key: id, ExpiresAt: 1}); !errors.Is(err, oauth.ErrSeen) {
				t.Fatalf("round %d: an identifier that was used up: %v", round, err)
			}
		}
		check(t, s.Close())
	}
}

// TestFault71Directory opens data directories that cannot be used, as an
// ordinary user: the error names the place and what to do.
func TestFault71Directory(t *testing.T) {
	ready := newBroker(t, 1)
	ready.close()
	tests := []struct {
		name  string
		setup func(t *testing.T, dir string)
		text  string
	}{
		{"read-only and new", func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600)) // an empty one is made writable
		}, "must be able to write in"},
		{"read-only with a database", func(t *testing.T, dir string) {
			for _, name := range []string{databaseName, databaseName + ".head"} {
				data, err := os.ReadFile(filepath.Join(ready.dir, name))
				check(t, err)
				check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
			}
			check(t, os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600))
		}, "must be able to write in"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.setup(t, dir)
			cmd := child(t, "open", dir)
			give(t, dir, cmd)
			check(t, os.Chmod(dir, 0o500))
			defer os.Chmod(dir, 0o700)
			out, err := cmd.Output()
			if err != nil || !strings.Contains(string(out), test.text) || !strings.Contains(string(out), dir) {
				t.Errorf("the process said %q, %v; want one that names %s and says %q", out, err, dir, test.text)
			}
		})
	}
}

// give makes dir another user's, and cmd run as that one, if the tests run as
// the superuser, for whom permissions mean nothing.
func give(t *testing.T, dir string, cmd *exec.Cmd) {
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	check(t, os.Chown(dir, nobody, nobody))
	files, err := os.ReadDir(dir)
	check(t, err)
	for _, f := range files {
		check(t, os.Chown(filepath.Join(dir, f.Name()), nobody, nobody))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// TestFault64Full: where there is no space left, the error can be told, reading
// goes on, and so does writing when there is space again.
func TestFault64Full(t *testing.T) {
	b := newBroker(t, 2)
	before, err := b.testimony()
	check(t, err)
	pages := func(n string) {
		_, err := b.store.Writer().ExecContext(t.Context(), `PRAGMA max_page_count = `+n)
		check(t, err)
	}
	pages("1") // which stands for as many as there are
	var full error
	for range 50 {
		if _, _, full = b.Append(t.Context(), federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}}); full != nil {
			break
		}
		before, err = b.testimony()
		check(t, err)
	}
	if !store.IsFull(full) || store.IsDisk(full) || !strings.Contains(full.Error(), "free some space") {
		t.Fatalf("error %v, want one that says that the disk is full", full)
	}
	if after, err := b.testimony(); err != nil || after != before {
		t.Errorf("reading with a full disk: %v", err)
	}
	pages("1000000")
	b.register()
	if problems := b.problems(); len(problems) > 0 {
		t.Error(problems)
	}
}

// TestFault64FullTogether: when there is no space for one of those who share a
// transaction, there is none for the others: SQLite may have given up what they
// wrote.
func TestFault64FullTogether(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), databaseName))
	check(t, s.SiteSeen(t.Context(), "a", 1))
	check(t, s.Mint(t.Context(), oauth.Mint{Token: oauth.Token{Key: "t", Family: "f", ExpiresAt: 9}}))
	_, err := s.Writer().ExecContext(t.Context(), `PRAGMA max_page_count = 1`)
	check(t, err)
	large := event("a", 1)
	large.Site = strings.Repeat("x", 100_000)
	begun, release := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		s.RevokeFamily(context.Background(), "f", 2, "x", func(oauth.Token) notify.Message {
			close(begun)
			<-release
			return event("a", 2)
		})
	})
	<-begun
	var small, full error
	running.Go(func() { small = s.SiteSeen(context.Background(), "a", 2) })
	running.Go(func() { full = s.Enqueue(context.Background(), large) })
	for every := time.NewTicker(time.Millisecond); s.Waiting() < 2 && t.Context().Err() == nil; {
		<-every.C
	}
	close(release)
	running.Wait()
	if !store.IsFull(full) || !store.IsFull(small) {
		t.Errorf("errors %v and %v, want two that say that the disk is full", full, small)
	}
	check(t, s.SiteSeen(t.Context(), "a", 2))
}

// starve makes writes fail as on a broken disk: the process may not write
// beyond the present end of the journal.
func starve(dir string) error {
	b := &broker{dir: dir, key: registry.GenerateSigningKey()}
	var err error
	if b.store, err = store.Open(context.Background(), b.path()); err != nil {
		return err
	}
	b.Replica, err = federation.Open(context.Background(), federation.Config{Store: b.store, Key: b.key, Issuer: benchIssuer})
	if err != nil {
		return err
	}
	draft := federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}}
	first, _, err := b.Append(context.Background(), draft)
	if err != nil {
		return err
	}
	journal, err := os.Stat(b.path() + "-wal")
	if err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: uint64(journal.Size()) + 1000, Max: uint64(journal.Size()) + 1000}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	shared := claimTogether(b.store)
	_, _, failed := b.Append(context.Background(), draft)
	_, _, again := b.Append(context.Background(), draft)
	_, readable := b.Client(context.Background(), first.CID)
	told := false
	select {
	case <-b.store.Failed():
		told = true
	default:
	}
	return fmt.Errorf("disk=%v shared=%v again=%v told=%v read=%v: %w", store.IsDisk(failed), shared, errors.Is(again, store.ErrDisk), told, readable, failed)
}

// claimTogether reports whether all of those who write at the same time are
// told that the disk has failed.
func claimTogether(s *store.Store) bool {
	const writers = 16
	failed := make(chan bool, writers)
	for range writers {
		go func() {
			failed <- errors.Is(s.Claim(context.Background(), oauth.OneTime{Key: registry.NewID(), ExpiresAt: 1}), store.ErrDisk)
		}()
	}
	all := true
	for range writers {
		all = <-failed && all
	}
	return all
}

// TestFault65DiskFails: after a write failed on the disk, every further one is
// refused and the node is told, so that it stops.
func TestFault65DiskFails(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "starve", dir).Output()
	want := "disk=true shared=true again=true told=true read=<nil>: "
	if err != nil || !strings.HasPrefix(string(out), want) || !strings.Contains(string(out), filepath.Join(dir, databaseName)) {
		t.Errorf("the process said %q, %v; want %q and the file's name", out, err, want)
	}
}
