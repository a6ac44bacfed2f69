// SPDX-License-Identifier: Apache-2.0

package comity_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// TestDocsCommandsExist: every `comity …` that a page shows is a command of
// the binary, with the options that its help lists.
func TestDocsCommandsExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "comity")
	if err := process.Build(t.Context(), binary, false); err != nil {
		t.Fatal(err)
	}
	helps := map[string]string{}
	help := func(words []string) string {
		key := strings.Join(words, " ")
		if _, ok := helps[key]; !ok {
			out, err := exec.Command(binary, append(slices.Clone(words), "--help")...).CombinedOutput()
			if err != nil {
				out = nil
			}
			helps[key] = string(out)
		}
		return helps[key]
	}
	for _, p := range pages(t) {
		if p.path == "docs/faults.md" {
			continue // it names what is not built yet, too
		}
		for _, c := range p.commands() {
			text := help(c.words)
			if text == "" || !strings.Contains(text, "comity "+strings.Join(c.words, " ")) {
				t.Errorf("%s: there is no command %q", p.path, "comity "+strings.Join(c.words, " "))
				continue
			}
			for _, option := range c.options {
				if !regexp.MustCompile(regexp.QuoteMeta(option) + `\b`).MatchString(text) {
					t.Errorf("%s: comity %s has no option %s", p.path, strings.Join(c.words, " "), option)
				}
			}
		}
	}
}

// command is one use of the binary: `comity app show ID --json` has the words
// app and show and the option --json.
type command struct{ words, options []string }

var (
	use    = regexp.MustCompile(`(?:^|[\s(/])comity((?: +[^\s|;)#]+)*)`)
	word   = regexp.MustCompile(`^[a-z][a-z-]*$`)
	option = regexp.MustCompile(`^\[?(--[a-z][a-z0-9-]*)`)
)

// commands are those in code: in shell blocks, and in spans of code that
// begin with the name of the binary.
func (p page) commands() []command {
	var sources []string
	for _, b := range p.blocks {
		if b.language == "sh" || b.language == "console" {
			joined := strings.ReplaceAll(b.text, "\\\n", " ")
			for line := range strings.Lines(joined) {
				shown, isPrompt := strings.CutPrefix(strings.TrimSpace(line), "$ ")
				if isPrompt || b.language == "sh" {
					sources = append(sources, shown)
				}
			}
		}
	}
	for _, span := range inline.FindAllStringSubmatch(strings.ReplaceAll(p.prose, "\n", " "), -1) {
		if strings.HasPrefix(span[1], "comity ") {
			sources = append(sources, span[1])
		}
	}
	var all []command
	for _, source := range sources {
		for _, found := range use.FindAllStringSubmatch(source, -1) {
			if c := parseCommand(found[1]); len(c.words)+len(c.options) > 0 {
				all = append(all, c)
			}
		}
	}
	return all
}

func parseCommand(arguments string) command {
	var c command
	inWords := true
	fields := strings.Fields(arguments)
	if len(fields) > 0 && fields[0] == "comity" { // sudo -u comity comity …
		fields = fields[1:]
	}
	for _, argument := range fields {
		if found := option.FindStringSubmatch(argument); found != nil {
			c.options = append(c.options, found[1])
			inWords = false
			continue
		}
		if inWords = inWords && word.MatchString(argument); inWords {
			c.words = append(c.words, argument)
		}
	}
	return c
}
