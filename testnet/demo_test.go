// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/comity-network/comity/testnet/demo"
	"github.com/comity-network/comity/testnet/process"
)

// steps are the names of the story's steps. Those of the login are the eleven
// of its oldest description.
var steps = []string{
	"the broker starts",
	"two sites start",
	"the app is registered, once",
	"the user opens the app",
	"the app asks for the user's site",
	"the app sends the user there",
	"the user logs in at the site",
	"the site sends the browser back with a code",
	"the app takes the code to the broker",
	"the broker generates a token",
	"the broker tells the site",
	"the site says ok",
	"the broker answers the app with the token",
	"the app calls the site with it",
	"the user logs in at the second site",
	"the app calls the second site",
	"the operator revokes the app",
	"the first site refuses",
	"the second site refuses",
	"the broker gives no new token",
	"the broker stops",
}

// federated are the steps with several brokers: more before those of the first
// login, between the logins and the stop, and at the end.
func federated(brokers int) []string {
	names := []string{"broker A starts"}
	letters := "ABCDE"[:brokers]
	for _, letter := range letters[1:] {
		names = append(names, fmt.Sprintf("broker %c asks for membership", letter), fmt.Sprintf("broker %c is admitted", letter))
	}
	names = append(names, "the brokers agree", "two sites start", "the app is registered, once", "every broker knows it")
	names = append(names, steps[3:16]...)
	names = append(names, "broker A is killed", "the user logs in again at the first site",
		"the app calls the first site with the new token", "broker A is back", "the others have found it again",
		"the operator revokes the app", "the first site refuses", "the second site refuses", "the first site, new token, refuses")
	for _, letter := range letters {
		names = append(names, fmt.Sprintf("broker %c gives no new token", letter))
	}
	return append(names, "the brokers stop")
}

var (
	addresses = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)
	processes = regexp.MustCompile(`process ([0-9]+)`)
)

// leavesNothing wants the temporary directory empty, and every process and
// every listener of the story gone.
func leavesNothing(t *testing.T, result *demo.Result, temp string) {
	t.Helper()
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, step := range result.Steps {
		for _, address := range addresses.FindAllString(step.Detail, -1) {
			if res, err := http.Get(address); err == nil {
				res.Body.Close()
				t.Errorf("%s, of the step %q, is still there", address, step.Name)
			}
		}
		for _, match := range processes.FindAllStringSubmatch(step.Detail, -1) {
			pid, _ := strconv.Atoi(match[1])
			if err := syscall.Kill(pid, 0); err == nil {
				t.Errorf("process %d, of the step %q, is still there", pid, step.Name)
			}
		}
	}
}

// TestDemo tells the story with one broker and with three, and with
// COMITY_LONG=1 with any number.
func TestDemo(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	stories := map[int][]string{1: steps, 3: federated(3)}
	if os.Getenv("COMITY_LONG") != "" {
		for brokers := 2; brokers <= demo.MaxBrokers; brokers++ {
			stories[brokers] = federated(brokers)
		}
	}
	for brokers, want := range stories {
		result := demo.Run(t.Context(), demo.Config{Binary: binary, Brokers: brokers})
		var names []string
		for _, s := range result.Steps {
			names = append(names, s.Name)
			if s.Millis < 0 || s.Detail == "" {
				t.Errorf("step %+v", s)
			}
		}
		if !result.OK || !slices.Equal(names, want) || result.RevocationMillis <= 0 {
			t.Errorf("the story with %d brokers: %+v", brokers, result)
		}
		leavesNothing(t, result, temp)
	}
}

// TestDemoFails: whatever step fails, the story says so and clears the stage.
func TestDemoFails(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	result := demo.Run(t.Context(), demo.Config{Binary: "/bin/false"})
	if result.OK || len(result.Steps) != 1 || !strings.HasPrefix(result.Steps[0].Detail, "FAILED: ") {
		t.Errorf("without a broker: %+v", result)
	}
	leavesNothing(t, result, temp)
	for brokers, lasts := range map[int][]string{
		1: {steps[0], steps[2], steps[7], steps[16]},
		3: interruptions(),
	} {
		for _, last := range lasts {
			ctx, cancel := context.WithCancel(t.Context())
			result := demo.Run(ctx, demo.Config{Binary: binary, Brokers: brokers, Report: func(s demo.Step) {
				if s.Name == last {
					cancel() // as Ctrl-C does
				}
			}})
			cancel()
			if end := result.Steps[len(result.Steps)-1]; result.OK || !strings.HasPrefix(end.Detail, "FAILED: ") {
				t.Errorf("%d brokers, interrupted after %q: %+v", brokers, last, result)
			}
			leavesNothing(t, result, temp)
		}
	}
}

// interruptions are the steps of three brokers after which the story is
// interrupted: one in each phase, all but the last with COMITY_LONG=1.
func interruptions() []string {
	if os.Getenv("COMITY_LONG") != "" {
		all := federated(3)
		return all[:len(all)-1]
	}
	return []string{"broker B asks for membership", "every broker knows it", "broker A is killed"}
}

// TestDemoInterrupted: the command that is told to end says so, with status 1,
// and leaves nothing.
func TestDemoInterrupted(t *testing.T) {
	for after, signal := range map[string]syscall.Signal{"broker C is admitted": syscall.SIGINT, "broker A is killed": syscall.SIGTERM} {
		temp := t.TempDir()
		cmd := exec.CommandContext(t.Context(), binary, "demo")
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		cmd.SysProcAttr = process.Attributes()
		said := &watcher{text: after, then: func() { cmd.Process.Signal(signal) }}
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = said, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 1 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v after %q: status %d, it said %s", signal, after, code, &stderr)
		}
		wantText(t, said.String(), "FAILED: ")
		leavesNothing(t, &demo.Result{Steps: []demo.Step{{Name: "any", Detail: said.String()}}}, temp)
	}
}
