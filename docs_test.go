// SPDX-License-Identifier: Apache-2.0

package comity_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is one Markdown file of the repository.
type page struct {
	path   string
	prose  string // without fenced blocks
	blocks []block
}

// block is one fenced block.
type block struct{ language, text string }

func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".":
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		all = append(all, parsePage(path, string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("found no page")
	}
	return all
}

func parsePage(path, text string) page {
	p := page{path: path}
	var prose, inside strings.Builder
	fenced, language := false, ""
	for line := range strings.Lines(text) {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && fenced:
			p.blocks = append(p.blocks, block{language, inside.String()})
			inside.Reset()
			fenced = false
		case isFence:
			fenced, language = true, fence
		case fenced:
			inside.WriteString(line)
		default:
			prose.WriteString(line)
		}
	}
	p.prose = prose.String()
	return p
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	inline  = regexp.MustCompile("`([^`]+)`")
)

// anchors are the fragments that a link to p may have: its headings, spelled
// as code hosts spell them.
func (p page) anchors() []string {
	var all []string
	for _, h := range heading.FindAllStringSubmatch(p.prose, -1) {
		slug := noSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(h[1])), "")
		all = append(all, strings.ReplaceAll(slug, " ", "-"))
	}
	return all
}

func TestDocsLinksExist(t *testing.T) {
	byPath := map[string]page{}
	for _, p := range pages(t) {
		byPath[p.path] = p
	}
	for _, p := range byPath {
		for _, found := range link.FindAllStringSubmatch(p.prose, -1) {
			target, fragment, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := p.path
			if target != "" {
				path = filepath.Join(filepath.Dir(p.path), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which does not exist", p.path, found[1])
				continue
			}
			if to, ok := byPath[path]; ok && fragment != "" && !slices.Contains(to.anchors(), fragment) {
				t.Errorf("%s links to %s; headings there: %v", p.path, found[1], to.anchors())
			}
		}
	}
}

// TestDocsJSONParses: whoever copies an example must be able to parse it.
func TestDocsJSONParses(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language == "json" && !json.Valid([]byte(b.text)) {
				t.Errorf("%s: not valid JSON:\n%s", p.path, b.text)
			}
		}
	}
}

// TestReadmeGoIsTested: every block of Go in README.md stands in a test, word
// for word but for its indentation, so that it compiles.
func TestReadmeGoIsTested(t *testing.T) {
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "site/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.WriteString(unindent(string(text)))
		}
	}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if p.path == "README.md" && b.language == "go" && !strings.Contains(tests.String(), unindent(b.text)) {
				t.Errorf("%s: this Go is in no test:\n%s", p.path, b.text)
			}
		}
	}
}

func unindent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimSpace(line) + "\n")
	}
	return out.String()
}
