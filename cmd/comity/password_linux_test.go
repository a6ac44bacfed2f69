// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// console is a terminal with a command on it.
type console struct {
	t        *testing.T
	keyboard *os.File // the side of a person
	screen   *os.File // the side of the command
	cmd      *exec.Cmd

	mu    sync.Mutex
	shown bytes.Buffer // guarded by mu
}

// onConsole starts the binary on a terminal of its own.
func onConsole(t *testing.T, args ...string) *console {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	c := &console{t: t, keyboard: keyboard, screen: screen, cmd: exec.Command("comity", args...)}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = screen, screen, screen
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends when the terminal is closed
		for b := make([]byte, 1024); ; {
			n, err := keyboard.Read(b)
			if err != nil {
				return
			}
			c.mu.Lock()
			c.shown.Write(b[:n])
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown.String()
}

// waitFor waits until the screen shows a text.
func (c *console) waitFor(text string) {
	c.t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !strings.Contains(c.text(), text) {
		select {
		case <-tick.C:
		case <-limit:
			c.cmd.Process.Kill()
			c.t.Fatalf("the screen never showed %q, but %q", text, c.text())
		}
	}
}

func (c *console) enter(text string) {
	c.t.Helper()
	if _, err := c.keyboard.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *console) echoes() bool {
	c.t.Helper()
	settings, err := unix.IoctlGetTermios(int(c.screen.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return settings.Lflag&unix.ECHO != 0
}

// ends waits for the command and wants its exit status and the terminal as it
// was before.
func (c *console) ends(status int) {
	c.t.Helper()
	c.cmd.Wait()
	if got := c.cmd.ProcessState.ExitCode(); got != status {
		c.t.Errorf("status %d, expected %d: %s", got, status, c.text())
	}
	if !c.echoes() {
		c.t.Error("the terminal was left without echo")
	}
}

// TestPasswordOnTheTerminal asks on a real terminal. There is no node, so a
// password that was read well ends with the message that says so.
func TestPasswordOnTheTerminal(t *testing.T) {
	none := t.TempDir()
	const secret = "correct horse battery"
	t.Run("twice", func(t *testing.T) {
		c := onConsole(t, "user", "add", "alice", "--data", none)
		c.waitFor("New password for alice: ")
		if c.echoes() {
			t.Error("the terminal echoes")
		}
		c.enter(secret + "\n")
		c.waitFor("Once more: ")
		c.enter(secret + "\n")
		c.waitFor("no node is running")
		c.ends(1)
		if strings.Contains(c.text(), secret) {
			t.Errorf("the screen shows the password: %q", c.text())
		}
	})
	t.Run("typed ahead", func(t *testing.T) {
		c := onConsole(t, "user", "passwd", "alice", "--data", none)
		c.waitFor("New password for alice: ")
		c.enter(secret + "\n" + secret + "\n")
		c.waitFor("no node is running")
		c.ends(1)
	})
	t.Run("not the same", func(t *testing.T) {
		c := onConsole(t, "user", "add", "alice", "--data", none)
		c.waitFor("New password for alice: ")
		c.enter(secret + "\n")
		c.waitFor("Once more: ")
		c.enter(secret + "!\n")
		c.waitFor("the two passwords are not the same, so nothing was changed")
		c.ends(1)
	})
	t.Run("interrupted", func(t *testing.T) {
		c := onConsole(t, "user", "add", "alice", "--data", none)
		c.waitFor("New password for alice: ")
		c.enter("half\x03")
		c.waitFor("interrupted, so nothing was changed")
		c.ends(1)
	})
	t.Run("end of file", func(t *testing.T) {
		c := onConsole(t, "user", "add", "alice", "--data", none)
		c.waitFor("New password for alice: ")
		c.enter("\x04")
		c.waitFor("nothing was typed, so nothing was changed")
		c.ends(1)
	})
}
