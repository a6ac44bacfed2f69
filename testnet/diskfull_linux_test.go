// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// TestFault64DiskFull fills the disk below a broker. Writes are refused with
// 503, reads and checks go on, and when there is room again all is well. The
// disk is a small tmpfs that only this test's own namespace sees, so that it
// is gone with the process.
func TestFault64DiskFull(t *testing.T) {
	if os.Getenv(namespaceEnv) == "" {
		inNamespace(t)
		return
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	w := newWorldWith(t, process.Config{Dir: filepath.Join(disk, "broker")})
	s := w.site("notebook", nil)
	book := &ledger{world: w}
	a, stopped := book.register("App"), book.register("Stopped")
	target, tokens := w.login(a, s.API)
	if err := book.tryRevoke(stopped); err != nil {
		t.Fatal(err)
	}
	request := a.NewRequest(target, site.ReadNotes, false)
	code := w.authorize(a, target, request)

	ballast := fill(t, disk)
	_, err := w.broker.Run(w.ctx, "app", "register", "--name", "Too late", "--redirect-uri", "https://late.example/cb")
	exit := (*process.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code != 1 || strings.Count(exit.Stderr, "\n") != 1 {
		t.Errorf("a registration without room: %v", err)
	} else {
		wantText(t, exit.Stderr, "disk", "full")
	}
	_, err = a.Redeem(w.ctx, target, request, code)
	w.wantError(err, http.StatusServiceUnavailable, "temporarily_unavailable")
	_, err = a.Refresh(w.ctx, target, tokens.RefreshToken)
	w.wantError(err, http.StatusServiceUnavailable, "temporarily_unavailable")

	w.call(a, target, tokens, http.StatusOK)
	if active, _ := w.introspect(s, tokens.AccessToken); !active {
		t.Error("a token is inactive because the disk is full")
	}
	book.check() // every document, with its proof
	if list := string(book.fetch("/federation/stopped")); !strings.Contains(list, stopped.ClientID) {
		t.Errorf("the stop list: %q", list)
	}
	if err := s.Poll(w.ctx); err != nil {
		t.Errorf("the site's check of revocations: %v", err)
	}
	w.command("status")
	w.command("app", "show", a.ClientID)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.until("the broker mints again", func() bool {
		tokens, err = a.Redeem(w.ctx, target, request, code)
		return err == nil
	})
	w.call(a, target, tokens, http.StatusOK)
	book.register("In time")
	w.awaitEmptyOutbox()
	w.agree(siteDatabase{s.Resource, s.DB})
	book.check()
	w.stopInOrder()
	w.fsck()
}

// inNamespace runs the test that calls it again, in a namespace of its own.
func inNamespace(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := append(namespace(), self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), namespaceEnv+"="+binary)
	cmd.SysProcAttr = process.Attributes()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
}

// fill takes all the room that is left on a disk, with one file.
func fill(t *testing.T, disk string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}
