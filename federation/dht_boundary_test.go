// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// dhtWiring are the files that may know of the DHT: those that make it, run it
// and close it.
var dhtWiring = []string{"network.go", "join.go"}

func isDHTFile(name string) bool {
	return strings.HasPrefix(name, "dht") || name == "datastore.go"
}

// TestDHTDecidesNothing: no decision rests on the DHT, for "not found" is never
// "not revoked". No type that is declared in its files, and nothing that makes
// one, is named in any other file, those of Accept and of the acknowledgements
// included; but for the Directory itself in the wiring, and that returns nothing.
func TestDHTDecidesNothing(t *testing.T) {
	files := map[string]*ast.File{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = file
		}
	}
	declared := map[string]bool{}
	for name, file := range files {
		if isDHTFile(name) {
			declare(file, declared)
		}
	}
	for _, sure := range []string{"Directory", "NewDirectory", "LightReader", "NewLightReader", "Sighting", "dhtValidator"} {
		if !declared[sure] {
			t.Errorf("%s is not declared in the files of the DHT: this test looks at the wrong ones", sure)
		}
	}
	allowed := []string{"Directory", "DirectoryConfig", "NewDirectory"}
	for name, file := range files {
		if isDHTFile(name) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if ok && declared[id.Name] && !(slices.Contains(dhtWiring, name) && slices.Contains(allowed, id.Name)) {
				t.Errorf("%s names %s, which belongs to the DHT", name, id.Name)
			}
			return true
		})
		for _, i := range file.Imports {
			if strings.Contains(i.Path.Value, "kad-dht") || strings.Contains(i.Path.Value, "libp2p-record") {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}

// declare collects the names of types and of what makes them.
func declare(file *ast.File, names map[string]bool) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && strings.HasPrefix(strings.ToLower(d.Name.Name), "new") {
				names[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					names[s.Name.Name] = true
				}
			}
		}
	}
}

// The token path is built without the DHT: neither the broker's OAuth nor a
// site could ask it.
func TestDHTIsNotInTheTokenPath(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "../node/oauth", "../node/notify", "../node/sites", "../site/...", "../registry").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.Contains(dep, "kad-dht") || strings.HasSuffix(dep, "comity/federation") {
			t.Errorf("the token path depends on %s", dep)
		}
	}
}
