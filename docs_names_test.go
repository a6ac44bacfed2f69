// SPDX-License-Identifier: Apache-2.0

package comity_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsNamesExist: every name of code on a page, such as
// `oauth.Server.Recover`, is declared in a package of that name.
func TestDocsNamesExist(t *testing.T) {
	declared := declarations(t)
	for _, p := range pages(t) {
		for _, span := range inline.FindAllStringSubmatch(p.prose, -1) {
			found := name.FindStringSubmatch(span[1])
			if found == nil || declared[found[1]] == nil || found[2] == strings.ToLower(found[2]) {
				continue // prose, a file, or a package that is not ours
			}
			if !declared[found[1]][found[2]] {
				t.Errorf("%s: package %s declares no %s", p.path, found[1], found[2])
			}
		}
	}
}

// TestDocsTestsExist: every test that a page names is there.
func TestDocsTestsExist(t *testing.T) {
	known := map[string]bool{}
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(strings.TrimPrefix(p.ImportPath+"/", module), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
				known[found[1]] = true
			}
		}
	}
	for _, p := range pages(t) {
		for _, span := range inline.FindAllStringSubmatch(p.prose, -1) {
			if testName.MatchString(span[1]) && !known[span[1]] {
				t.Errorf("%s: there is no test %s", p.path, span[1])
			}
		}
	}
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	testName = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark)[A-Z]\w*$`)
)

// TestDependenciesAreExplained: docs/dependencies.md names every module that
// our packages import, and no other.
func TestDependenciesAreExplained(t *testing.T) {
	const list = `{{range .Imports}}{{.}} {{end}}{{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}`
	out, err := exec.Command("go", "list", "-f", list, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, row := range dependency.FindAllStringSubmatch(string(text), -1) {
		used[row[1]] = false
	}
	for _, path := range strings.Fields(string(out)) {
		host, _, _ := strings.Cut(path, "/")
		if !strings.Contains(host, ".") || strings.HasPrefix(path, module) {
			continue
		}
		explained := false
		for named := range used {
			if path == named || strings.HasPrefix(path, named+"/") {
				used[named], explained = true, true
			}
		}
		if !explained {
			t.Errorf("docs/dependencies.md does not say why %s is used", path)
		}
	}
	for named, is := range used {
		if !is {
			t.Errorf("docs/dependencies.md names %s, which nothing imports", named)
		}
	}
}

// dependency is the first cell of a row.
var dependency = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// name is a package, and in it a function, a type, a method or a field.
var name = regexp.MustCompile(`^([a-z]+)\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)?)$`)

// declarations are the names that our packages declare, by package.
func declarations(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	for _, p := range packages(t) {
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimPrefix(p.ImportPath+"/", module), file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			names := all[parsed.Name.Name]
			if names == nil {
				names = map[string]bool{}
				all[parsed.Name.Name] = names
			}
			for _, d := range parsed.Decls {
				declare(names, d)
			}
		}
	}
	return all
}

func declare(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		names[receiver(d)+d.Name.Name] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
				for _, member := range members(spec.Type) {
					names[spec.Name.Name+"."+member] = true
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names[n.Name] = true
				}
			}
		}
	}
}

// receiver is the type of a method with a dot, or nothing.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if ident, ok := of.(*ast.Ident); ok {
		return ident.Name + "."
	}
	return "?."
}

// members are the fields of a struct and the methods of an interface.
func members(of ast.Expr) []string {
	var list *ast.FieldList
	switch of := of.(type) {
	case *ast.StructType:
		list = of.Fields
	case *ast.InterfaceType:
		list = of.Methods
	default:
		return nil
	}
	var all []string
	for _, field := range list.List {
		for _, n := range field.Names {
			all = append(all, n.Name)
		}
	}
	return all
}
