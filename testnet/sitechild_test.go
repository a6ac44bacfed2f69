// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/comity-network/comity/testnet/process"
	"github.com/comity-network/comity/testnet/site"
)

// childConfig is what a site that is a process of its own is told.
type childConfig struct {
	Dir, Listen string
	Brokers     []string
	Federation  string
}

// siteMain is this test binary as a site. It prints "ready RESOURCE", and
// obeys lines on stdin: "die before KIND" and "die after KIND" kill it in the
// middle of the next request of that kind, before or after it was stored.
func siteMain(config string) int {
	var c childConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := site.Start(context.Background(), site.Config{
		Dir: c.Dir, Listen: c.Listen, Brokers: c.Brokers, Federation: c.Federation,
		Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Close()
	fmt.Println("ready", s.Resource)
	die := func() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var when, kind string
		fmt.Sscanf(lines.Text(), "die %s %s", &when, &kind)
		if when == "before" {
			s.Pushes.On(site.Rule{Kind: kind, Before: die})
		} else {
			s.Pushes.On(site.Rule{Kind: kind, After: die})
		}
		fmt.Println("armed")
	}
	return 0
}

// siteChild is a site that is a process of its own, so that it can be killed.
type siteChild struct {
	t        testing.TB
	config   childConfig
	Resource string
	API      string

	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	done  chan struct{}
}

// siteChild starts one.
func (w *world) siteChild(name string, log io.Writer) *siteChild {
	w.Helper()
	cfg := w.siteConfig(name)
	s := &siteChild{t: w, config: childConfig{Dir: cfg.Dir, Brokers: cfg.Brokers, Federation: cfg.Federation}}
	s.start(log)
	w.Cleanup(s.kill)
	return s
}

func (s *siteChild) start(log io.Writer) {
	s.t.Helper()
	config, err := json.Marshal(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(self)
	s.cmd.Env = append(os.Environ(), siteEnv+"="+string(config))
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = process.Attributes()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.lines, s.done = bufio.NewScanner(stdout), make(chan struct{})
	ready := s.line()
	go func() { s.cmd.Wait(); close(s.done) }()
	resource, ok := strings.CutPrefix(ready, "ready ")
	if !ok {
		s.t.Fatalf("the site said %q, expected ready", ready)
	}
	s.Resource, s.API = resource, resource+"/api/notes"
	s.config.Listen = strings.TrimPrefix(resource, "http://") // the same after a restart
}

func (s *siteChild) line() string {
	s.lines.Scan()
	return s.lines.Text()
}

// dies arms the site: it dies before or after the next request of the kind.
func (s *siteChild) dies(when, kind string) {
	s.t.Helper()
	fmt.Fprintf(s.stdin, "die %s %s\n", when, kind)
	if got := s.line(); got != "armed" {
		s.t.Fatalf("the site said %q, expected armed", got)
	}
}

func (s *siteChild) kill() {
	s.cmd.Process.Kill()
	<-s.done
}
