// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/demo"
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

// leavesNothing wants the temporary directory empty, and the broker of the
// story gone.
func leavesNothing(t *testing.T, result *demo.Result, temp string) {
	t.Helper()
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	address := regexp.MustCompile(`^http://[0-9.:]+`).FindString(result.Steps[0].Detail)
	if address == "" {
		return
	}
	if res, err := http.Get(address + "/healthz"); err == nil {
		res.Body.Close()
		t.Error("the broker is still there")
	}
}

func TestDemo(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	result := demo.Run(t.Context(), demo.Config{Binary: binary})
	var names []string
	for _, s := range result.Steps {
		names = append(names, s.Name)
		if s.Millis < 0 || s.Detail == "" {
			t.Errorf("step %+v", s)
		}
	}
	if !result.OK || !slices.Equal(names, steps) || result.RevocationMillis <= 0 {
		t.Errorf("the story: %+v", result)
	}
	leavesNothing(t, result, temp)
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
	for _, last := range []string{steps[0], steps[2], steps[7], steps[16]} {
		ctx, cancel := context.WithCancel(t.Context())
		result := demo.Run(ctx, demo.Config{Binary: binary, Report: func(s demo.Step) {
			if s.Name == last {
				cancel() // as Ctrl-C does
			}
		}})
		cancel()
		if end := result.Steps[len(result.Steps)-1]; result.OK || !strings.HasPrefix(end.Detail, "FAILED: ") {
			t.Errorf("interrupted after %q: %+v", last, result)
		}
		leavesNothing(t, result, temp)
	}
}
