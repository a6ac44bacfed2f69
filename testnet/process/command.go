// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Run runs a command of the binary against the node's data directory and
// returns what it wrote to stdout. The error of a command that failed is an
// *ExitError.
func (n *Node) Run(ctx context.Context, args ...string) (string, error) {
	full := append([]string{n.Binary}, args...)
	full = append(full, "--data", n.Dir)
	var stdout, stderr bytes.Buffer
	err := Command(ctx, &stdout, &stderr, full...)
	both := &lockedWriter{n: n}
	io.Copy(both, bytes.NewReader(stderr.Bytes()))
	return stdout.String(), err
}

// JSON runs a command with --json and decodes its result into out.
func (n *Node) JSON(ctx context.Context, out any, args ...string) error {
	text, err := n.Run(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("comity %s --json: %w in %q", strings.Join(args, " "), err, text)
	}
	return nil
}

// Command runs a program to its end. A status other than 0 is an *ExitError.
func Command(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, io.MultiWriter(stderr, &said)
	cmd.SysProcAttr = Attributes()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return &ExitError{Code: exit.ExitCode(), Stderr: said.String()}
	}
	return err
}

// raceFlags are the Makefile's, so that packages are compiled once for both.
const raceFlags = "-gcflags=modernc.org/sqlite/lib=-race=false"

// Build compiles the command of the module that the working directory belongs
// to, to path: as releases are built, without C, or with the race detector.
func Build(ctx context.Context, path string, race bool) error {
	args := []string{"build", "-o", path}
	cgo := "CGO_ENABLED=0"
	if race {
		args, cgo = append(args, "-race", raceFlags), "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/comity-network/comity/cmd/comity")...)
	cmd.Env = append(os.Environ(), cgo)
	cmd.SysProcAttr = Attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build comity: %w\n%s", err, out)
	}
	return nil
}

// WithBinary builds the command into a folder that is there while run runs, for
// TestMain: what run returns is the exit status.
func WithBinary(run func(dir, binary string) int) int {
	dir, err := os.MkdirTemp("", "comity-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "comity")
	if err := Build(context.Background(), binary, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(dir, binary)
}

// RSS is the memory of the process that is in RAM, in bytes (VmRSS).
func (n *Node) RSS() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("the system does not say VmRSS")
}

// CPU is the CPU time that the process has used, to the hundredth of a second.
func (n *Node) CPU() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID()))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold spaces.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("the system does not say how much CPU time was used")
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
