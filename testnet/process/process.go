// SPDX-License-Identifier: Apache-2.0

// Package process runs nodes as what they are for their operators: child
// processes of the one binary, with a data directory and a port each, driven
// through signals and the command line.
//
// A node is started by Start, which returns when the child has printed its
// ready line, and not by waiting some time. What the child writes is kept for
// as long as the Node is: a test looks for secrets in it. A child never
// outlives its parent: the system kills it (Linux), and it has a process group
// of its own, so that Ctrl-C in a terminal reaches the parent alone.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyTimeout bounds the time that a child has to become ready. It is far
// above what one needs: a machine under load must not fail a test.
const readyTimeout = 60 * time.Second

// Config says which child to start. Only Binary and Dir are required.
type Config struct {
	Binary string    // the comity binary
	Dir    string    // data directory; the child makes it
	Issuer string    // default: http on a free loopback port
	Args   []string  // more options of `comity run`
	Env    []string  // more environment, as NAME=value
	Wrap   []string  // a command that runs the binary, such as strace and its options
	Log    io.Writer // gets a copy of what the child writes to stderr
}

// Ready is what the ready line says, and how long it took.
type Ready struct {
	Issuer     string
	PeerID     string
	Federation string
	Line       string
	Took       time.Duration // since the process was started
}

// Node is one node, which may be killed and started again. Its methods are
// not to be called concurrently, but for Run, JSON, Kill and the readers.
type Node struct {
	Config
	Ready Ready

	mu     sync.Mutex
	output strings.Builder // of all runs, stdout and stderr
	child  *child
}

// child is one run of a node.
type child struct {
	cmd    *exec.Cmd
	began  time.Time
	ready  chan string // gets the ready line
	stderr *tail
	done   chan struct{} // closed when the process has ended
	err    error         // of Wait, readable when done is closed
}

// Start starts `comity run` and waits for its ready line. The error of a child
// that ended instead is an *ExitError.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	n, err := New(cfg)
	if err != nil {
		return nil, err
	}
	return n, n.Restart(ctx)
}

// FreeAddress returns a loopback address that nobody listens on, below the ports
// that systems give to connections: between two starts nobody else is given it.
func FreeAddress() (string, error) {
	const first, last = 10_000, 32_000
	var failed error
	for range 20 {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.N(last-first))
		l, err := net.Listen("tcp", address)
		if err == nil {
			return address, l.Close()
		}
		failed = err
	}
	return "", failed
}

// New returns a node that does not run yet.
func New(cfg Config) (*Node, error) {
	if cfg.Issuer == "" {
		address, err := FreeAddress()
		if err != nil {
			return nil, err
		}
		cfg.Issuer = "http://" + address
	}
	return &Node{Config: cfg}, nil
}

// Restart starts the node again, on the same directory and with the same
// options, and waits until it is ready; it must not be running.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Begin(); err != nil {
		return err
	}
	return n.AwaitReady(ctx)
}

// Begin is Restart without the wait.
func (n *Node) Begin() error {
	args := append([]string{}, n.Wrap...)
	args = append(args, n.Binary, "run", "--data", n.Dir, "--issuer", n.Issuer)
	args = append(args, n.Args...)
	c := &child{
		cmd: exec.Command(args[0], args[1:]...), ready: make(chan string, 1),
		stderr: &tail{to: &lockedWriter{n: n, copy: n.Log}}, done: make(chan struct{}),
	}
	c.cmd.Env = append(os.Environ(), n.Env...)
	c.cmd.SysProcAttr = Attributes()
	c.cmd.WaitDelay = time.Second
	c.cmd.Stdout = &lineWaiter{prefix: "ready", found: c.ready, to: &lockedWriter{n: n}}
	c.cmd.Stderr = c.stderr
	c.began = time.Now()
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	n.mu.Lock()
	n.child = c
	n.mu.Unlock()
	return nil
}

// AwaitReady waits for the ready line of a node that has begun. A node that is
// not ready in time is killed.
func (n *Node) AwaitReady(ctx context.Context) error {
	c := n.current()
	limit := time.NewTimer(readyTimeout)
	defer limit.Stop()
	select {
	case line := <-c.ready:
		n.Ready = parseReady(line)
		n.Ready.Took = time.Since(c.began)
		return nil
	case <-c.done:
		return &ExitError{Code: c.cmd.ProcessState.ExitCode(), Stderr: c.stderr.String()}
	case <-limit.C:
		n.Kill()
		return fmt.Errorf("node on %s is not ready after %v; it wrote: %s", n.Dir, readyTimeout, c.stderr)
	case <-ctx.Done():
		n.Kill()
		return ctx.Err()
	}
}

// ExitError is the end of a process with a status other than 0.
type ExitError struct {
	Code   int // -1: killed by a signal
	Stderr string
}

// Error shows the last line of what the process said.
func (e *ExitError) Error() string {
	return fmt.Sprintf("exit status %d: %s", e.Code, LastLine(e.Stderr))
}

// LastLine is the last line of s that is not empty.
func LastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// parseReady reads "ready issuer=… peer=… federation=…".
func parseReady(line string) Ready {
	r := Ready{Line: line}
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "issuer":
			r.Issuer = value
		case "peer", "peer_id":
			r.PeerID = value
		case "federation":
			r.Federation = value
		}
	}
	return r
}

// Kill ends the process at once (SIGKILL), with everything it started, and
// waits for its end. A node that does not run is left as it is.
func (n *Node) Kill() {
	if c := n.current(); c != nil {
		kill(c.cmd)
		<-c.done
	}
}

// Stop asks the process to end (SIGTERM) and returns how long that took. The
// error is not nil when it ended otherwise than with status 0, or did not end
// before ctx.
func (n *Node) Stop(ctx context.Context) (time.Duration, error) {
	return n.end(ctx, syscall.SIGTERM)
}

// Interrupt does what Ctrl-C does; see Stop.
func (n *Node) Interrupt(ctx context.Context) (time.Duration, error) {
	return n.end(ctx, os.Interrupt)
}

func (n *Node) end(ctx context.Context, s os.Signal) (time.Duration, error) {
	c := n.current()
	if c == nil {
		return 0, errors.New("the node was never started")
	}
	began := time.Now()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-c.done:
		if c.err != nil {
			return time.Since(began), fmt.Errorf("stop node: %w", c.err)
		}
		return time.Since(began), nil
	case <-ctx.Done():
		return time.Since(began), fmt.Errorf("stop node: %w", ctx.Err())
	}
}

// Signal sends s to the process, such as SIGSTOP.
func (n *Node) Signal(s os.Signal) error { return n.current().cmd.Process.Signal(s) }

// Exited is closed when the process that was started last has ended.
func (n *Node) Exited() <-chan struct{} { return n.current().done }

// ExitCode is the status of the process that has ended, -1 when a signal
// ended it.
func (n *Node) ExitCode() int {
	c := n.current()
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

// PID is the process id of the child.
func (n *Node) PID() int { return n.current().cmd.Process.Pid }

func (n *Node) current() *child {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.child
}

// Output is everything that the node and the commands run against it have
// written, over all restarts.
func (n *Node) Output() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.output.String()
}

// Database is the path of the node's SQLite file.
func (n *Node) Database() string { return filepath.Join(n.Dir, "comity.db") }
