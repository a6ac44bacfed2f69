// SPDX-License-Identifier: Apache-2.0

package comity_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFaultsAreTestedWhereTheyClaim: docs/faults.md names, for each fault, the
// packages that test it. Each of them must have a test that says so.
func TestFaultsAreTestedWhereTheyClaim(t *testing.T) {
	text, err := os.ReadFile("docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, claimed := 0, 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(strings.ReplaceAll(line, `\|`, "")), "|"), "|")
		number, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if err != nil || len(cells) != 4 {
			continue
		}
		rows++
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1) {
			claimed++
			if !testsFault(t, name[1], number) {
				t.Errorf("fault %d: no test in %s says that it performs it", number, name[1])
			}
		}
	}
	if rows != 84 || claimed == 0 {
		t.Fatalf("read %d faults with %d claims, expected 84 faults", rows, claimed)
	}
}

// testsFault looks for a test of that name, or a comment, in the tests of a
// package.
func testsFault(t *testing.T, folder string, number int) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	n := strconv.Itoa(number)
	says := regexp.MustCompile(`TestFault0?` + n + `\D|[Ff]aults? ([\d, toand]*\D)?` + n + `\b`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if says.Match(source) {
			return true
		}
	}
	return false
}
