// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/comity-network/comity/testnet/process"
)

// TestMain builds the binary as it is released and puts it first in the path.
func TestMain(m *testing.M) {
	os.Exit(withBinary(m.Run))
}

func withBinary(run func() int) int {
	dir, err := os.MkdirTemp("", "comity-script-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := process.Build(context.Background(), filepath.Join(dir, "comity"), false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return run()
}

// TestScripts runs testdata/script/*.txtar: what an operator types, and what
// the command then says. The commands of these scripts beside those of the
// testscript package:
//
//	node start NAME [option of comity run...]  starts a node on $WORK/NAME, waits until it is ready,
//	                                           and sets $COMITY_DATA and $ISSUER
//	node begin NAME [option of comity run...]  the same, and does not wait
//	node restart NAME [more options...]        starts it again
//	node stop|interrupt|kill NAME              stop and interrupt want status 0 within 10 s
//	node ended NAME PATTERN                    waits until a node has written a line and ended by itself
//	set VARIABLE PATH                          takes a value out of the JSON on stdout: set ID client_id
//	shape                                      turns the JSON on stdout into one line a value: its path and type
//	get STATUS URL                             fetches a URL; the body becomes stdout
//	post STATUS URL FILE [TOKEN]               posts a JSON file, with a bearer token; likewise
//	status NUMBER PROGRAM [argument...]        runs a program and wants an exit status
//	waitfor PATTERN PROGRAM [argument...]      runs a program until its stdout matches
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "", // writes what the commands say now into the files
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": nodeCmd, "set": setCmd, "shape": shapeCmd, "get": getCmd, "post": postCmd, "status": statusCmd, "waitfor": waitforCmd,
		},
		Setup: func(env *testscript.Env) error {
			env.Values[nodesKey{}] = map[string]*process.Node{}
			return nil
		},
	})
}

type nodesKey struct{}

func nodeCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: node start|restart|stop|interrupt|kill NAME [option...]")
	}
	nodes := ts.Value(nodesKey{}).(map[string]*process.Node)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	action, name := args[0], args[1]
	switch action {
	case "start", "begin":
		binary, err := exec.LookPath("comity")
		ts.Check(err)
		n, err := process.New(process.Config{Binary: binary, Dir: ts.MkAbs(name), Args: args[2:]})
		ts.Check(err)
		ts.Check(n.Begin())
		ts.Defer(n.Kill)
		nodes[name] = n
		ts.Setenv("COMITY_DATA", n.Dir)
		ts.Setenv("ISSUER", n.Issuer)
		if action == "start" {
			ts.Check(n.AwaitReady(ctx))
			fmt.Fprintln(ts.Stdout(), n.Ready.Line)
		}
	case "restart":
		nodes[name].Args = append(nodes[name].Args, args[2:]...)
		ts.Check(nodes[name].Restart(ctx))
	case "kill":
		nodes[name].Kill()
	case "ended":
		select {
		case <-nodes[name].Exited():
		case <-ctx.Done():
			ts.Fatalf("node %s goes on", name)
		}
		if said := nodes[name].Output(); len(args) != 3 || !regexp.MustCompile(args[2]).MatchString(said) {
			ts.Fatalf("node %s ended and said %s", name, said)
		}
		if code := nodes[name].ExitCode(); code != 1 {
			ts.Fatalf("node %s ended with status %d", name, code)
		}
	case "stop", "interrupt":
		end := nodes[name].Stop
		if action == "interrupt" {
			end = nodes[name].Interrupt
		}
		took, err := end(ctx)
		ts.Check(err)
		if took > 10*time.Second {
			ts.Fatalf("the node took %v to stop", took)
		}
	default:
		ts.Fatalf("node %s: unknown", action)
	}
}

// setCmd sets a variable to a value in the JSON document on stdout.
func setCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: set VARIABLE PATH")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for step := range strings.SplitSeq(args[1], ".") {
		if list, ok := v.([]any); ok {
			i, err := strconv.Atoi(step)
			ts.Check(err)
			if i >= len(list) {
				ts.Fatalf("%s: only %d elements", args[1], len(list))
			}
			v = list[i]
			continue
		}
		object, _ := v.(map[string]any)
		if v = object[step]; v == nil {
			ts.Fatalf("no %q in %s", args[1], ts.ReadFile("stdout"))
		}
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// shapeCmd replaces the JSON document on stdout by the paths and types in it.
// Of a list the first element stands for all.
func shapeCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 || neg {
		ts.Fatalf("usage: shape")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	var lines []string
	describeShape("", v, &lines)
	slices.Sort(lines)
	io.WriteString(ts.Stdout(), strings.Join(lines, "\n")+"\n")
}

func describeShape(path string, v any, lines *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			describeShape(strings.TrimPrefix(path+"."+name, "."), member, lines)
		}
	case []any:
		if len(v) == 0 {
			*lines = append(*lines, path+" []")
			return
		}
		describeShape(path+"[]", v[0], lines)
	case nil:
		*lines = append(*lines, path+" null")
	case float64:
		*lines = append(*lines, path+" number")
	default:
		*lines = append(*lines, fmt.Sprintf("%s %T", path, v))
	}
}

func getCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: get STATUS URL")
	}
	r, err := http.NewRequest(http.MethodGet, args[1], nil)
	ts.Check(err)
	fetch(ts, args[0], r)
}

func postCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 || len(args) > 4 || neg {
		ts.Fatalf("usage: post STATUS URL FILE [TOKEN]")
	}
	r, err := http.NewRequest(http.MethodPost, args[1], strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	r.Header.Set("Content-Type", "application/json")
	if len(args) == 4 {
		r.Header.Set("Authorization", "Bearer "+args[3])
	}
	fetch(ts, args[0], r)
}

// fetch sends a request and wants a status; the body becomes stdout.
func fetch(ts *testscript.TestScript, status string, r *http.Request) {
	res, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Stdout().Write(body)
	if got := strconv.Itoa(res.StatusCode); got != status {
		ts.Fatalf("%s answered %s, expected %s: %s", r.URL, got, status, body)
	}
}

// statusCmd runs a program and wants an exit status, and one line on stderr
// where that is not 0.
func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: status NUMBER PROGRAM [argument...]")
	}
	got, err := 0, ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	said := ts.ReadFile("stderr")
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("status %d, expected %s", got, args[0])
	}
	if got != 0 && strings.Count(said, "\n") != 1 {
		ts.Fatalf("expected one line on stderr, not %q", said)
	}
}

// waitforCmd runs a program again and again until its stdout matches.
func waitforCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: waitfor PATTERN PROGRAM [argument...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	limit := time.After(30 * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-limit:
			ts.Fatalf("it never said %q, but %q", args[0], ts.ReadFile("stdout"))
		default:
		}
	}
}

// TestEveryCommandHasAScript: at least one script runs each command.
func TestEveryCommandHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(data)
	}
	parser, err := kong.New(&cli{}, kong.Vars{"reasons": reasons})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		if leaf.Name == "run" {
			continue // node start
		}
		if !strings.Contains(scripts.String(), "exec comity "+leaf.Path()+" ") &&
			!strings.Contains(scripts.String(), "exec comity "+leaf.Path()+"\n") {
			t.Errorf("no script runs comity %s", leaf.Path())
		}
	}
}
