// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// injection is what strace does to the nth call of one system call.
type injection struct {
	call  string
	fault string // signal=KILL, error=EIO or error=ENOSPC
	nth   int
}

func (i injection) String() string { return fmt.Sprintf("%s %s at %d", i.call, i.fault, i.nth) }

func (i injection) options(output string) []string {
	return []string{
		"-f", "-qq", "-o", output, "-e", "trace=" + i.call, "-e", "signal=none",
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", i.call, i.fault, i.nth),
	}
}

// tracer is strace, attached to a process that runs.
type tracer struct {
	cmd    *exec.Cmd
	output string
}

// inject attaches strace to the broker and returns when it is attached.
func (w *world) inject(i injection) *tracer {
	w.Helper()
	t := &tracer{output: filepath.Join(w.TempDir(), "trace")}
	options := append(i.options(t.output), "-p", fmt.Sprint(w.broker.PID()))
	for k, option := range options {
		if option == "-qq" { // its word that it is attached is needed
			options[k] = "-q"
		}
	}
	t.cmd = exec.Command("strace", options...)
	t.cmd.SysProcAttr = process.Attributes()
	w.attach(t)
	return t
}

// attach starts the tracer, which holds every thread of the process when it
// has seized the process.
func (w *world) attach(t *tracer) {
	w.Helper()
	if err := t.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.until("strace is attached", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.broker.PID()))
		return err == nil && strings.Contains(string(status), fmt.Sprintf("TracerPid:\t%d\n", t.cmd.Process.Pid))
	})
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", w.broker.PID()))
	if err != nil {
		w.Fatal(err)
	}
	for _, task := range tasks {
		w.until("strace has every thread", func() bool {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", w.broker.PID(), task.Name()))
			return err != nil || !strings.Contains(string(status), "TracerPid:\t0\n")
		})
	}
}

// detach ends strace and reports whether it did what it was told. Strace is
// killed: asked to end, it waits for ever for threads that it has killed.
func (t *tracer) detach() (fired bool) {
	t.cmd.Process.Kill()
	t.cmd.Wait()
	return fires(t.output)
}

// fires reports whether a trace shows an injection.
func fires(output string) bool {
	f, err := os.Open(output)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), "(INJECTED)") || strings.HasSuffix(lines.Text(), "= ?") {
			return true
		}
	}
	return false
}

// sweep runs try with the first, second, third … call until strace does not
// come to it any more.
func sweep(call, fault string, step int, try func(injection) (fired bool)) (count int) {
	for nth, misses := 1, 0; misses < 2; nth += step {
		if try(injection{call, fault, nth}) {
			count, misses = count+1, 0
		} else {
			misses++
		}
	}
	return count
}

// TestFault63Append lets every system call by which a registration comes to
// the disk kill the broker, or fail. What was acknowledged is there afterwards,
// what is there is whole, and no place in the log is given twice.
func TestFault63Append(t *testing.T) {
	w := newWorld(t)
	book := &ledger{world: w}
	book.register("First")
	for _, call := range []string{"pwrite64", "fsync", "renameat"} {
		for _, fault := range []string{"signal=KILL", "error=EIO", "error=ENOSPC"} {
			n := sweep(call, fault, 1, func(i injection) bool { return appendUnder(w, book, i) })
			t.Logf("%s %s: %d places", call, fault, n)
			if n == 0 {
				t.Errorf("%s %s never happened: the test tests nothing", call, fault)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// appendUnder registers a client while i is injected, and sees what is left.
func appendUnder(w *world, book *ledger, i injection) (fired bool) {
	w.Helper()
	trace := w.inject(i)
	_, err := book.tryRegister("Injected " + i.String())
	fired = trace.detach()
	switch {
	case fired && i.fault == "signal=KILL":
		<-w.broker.Exited()
	case fired && i.fault == "error=EIO" && i.call == "fsync":
		w.stopsByItself(i)
	}
	// Any other error the broker may survive or not, but it must recover.
	w.until(fmt.Sprintf("the broker recovers after %v (%v)", i, err), func() bool {
		select {
		case <-w.broker.Exited():
			if !fired {
				w.Fatalf("%v: the broker has died of nothing", i)
			}
			w.fsck()
			w.restart()
		default:
		}
		_, again := book.tryRegister("After " + i.String())
		return again == nil
	})
	book.check()
	return fired
}

// stopsByItself wants the broker to end with status 1 and a line that says
// why: after a failed sync nobody knows what is on the disk. fault 65
func (w *world) stopsByItself(i injection) {
	w.Helper()
	select {
	case <-w.broker.Exited():
	case <-w.ctx.Done():
		w.Fatalf("fault 65, %v: the broker goes on", i)
	}
	if code := w.broker.ExitCode(); code != 1 {
		w.Errorf("fault 65, %v: status %d", i, code)
	}
	said := process.LastLine(w.broker.Output())
	wantText(w, said, "comity: ", w.broker.Dir)
}

// TestFault63FirstStart kills a broker at every place of its first start. The
// next start finishes what the first began.
func TestFault63FirstStart(t *testing.T) {
	w := newWorld(t)
	number := 0
	for _, calls := range []struct {
		call string
		step int
	}{{"mkdirat", 1}, {"linkat", 1}, {"renameat", 1}, {"fsync", 1}, {"pwrite64", 150 / rounds(10)}} {
		n := sweep(calls.call, "signal=KILL", calls.step, func(i injection) bool {
			number++
			return w.firstStart(i, filepath.Join(w.dir, fmt.Sprint("first", number)))
		})
		t.Logf("%s: %d places", calls.call, n)
		if n == 0 {
			t.Errorf("%s never happened: the test tests nothing", calls.call)
		}
		if t.Failed() {
			return
		}
	}
}

func (w *world) firstStart(i injection, dir string) (fired bool) {
	w.Helper()
	output := filepath.Join(w.dir, "trace")
	cfg := process.Config{Binary: binary, Dir: dir, Wrap: append([]string{"strace"}, i.options(output)...)}
	n, err := process.Start(w.ctx, cfg)
	if n == nil {
		w.Fatal(err)
	}
	defer n.Kill()
	if err == nil {
		return false
	}
	exit := (*process.ExitError)(nil)
	if !errors.As(err, &exit) || !fires(output) {
		w.Fatalf("%v: %v", i, err)
	}
	n.Wrap = nil
	if err := n.Restart(w.ctx); err != nil {
		w.Errorf("%v: the start after a first start that was killed: %v", i, err)
		return true
	}
	if _, err := n.Stop(w.ctx); err != nil {
		w.Errorf("%v: %v", i, err)
	}
	if _, err := n.Run(w.ctx, "fsck"); err != nil {
		w.Errorf("%v: %v", i, err)
	}
	return true
}
