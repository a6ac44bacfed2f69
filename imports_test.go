// SPDX-License-Identifier: Apache-2.0

// Package comity_test holds the rules that concern the whole module.
package comity_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/comity-network/comity/"

type pkg struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Deps       []string // of the package without its tests
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Doc,GoFiles,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// rule says what the packages under a folder must never depend on, directly
// or through others.
type rule struct {
	folder string
	never  []string
}

var rules = []rule{
	{"internal", []string{module + "registry", module + "federation", module + "site", module + "node", module + "testnet", module + "cmd"}},
	{"registry", []string{
		module + "federation", module + "site", module + "node", module + "testnet", module + "cmd",
		"net/http", "database/sql", "os/exec", "github.com/libp2p/go-libp2p",
	}},
	{"site", []string{module + "federation", module + "node", module + "testnet", module + "cmd", "github.com/libp2p/go-libp2p", "modernc.org/sqlite"}},
	{"site/protocol", []string{"net/http", "database/sql"}},
	{"federation", []string{module + "node", module + "site", module + "testnet", module + "cmd"}},
	{"node", []string{module + "testnet", module + "cmd"}},
	{"node/sites", []string{module + "node/notify", module + "node/oauth", module + "node/store"}},
	{"node/notify", []string{module + "node/oauth", module + "node/store"}},
	{"node/oauth", []string{module + "node/store", module + "node/admin", module + "node/login", module + "node/urlclient", module + "node/registration"}},
	{"node/login", []string{module + "node/store", module + "node/admin"}},
	{"node/urlclient", []string{module + "node/store", module + "node/admin", module + "node/login"}},
	{"node/brokered", []string{module + "federation", module + "node/store", module + "node/oauth", module + "node/admin", module + "node/login", module + "node/registration"}},
	{"node/brokered/oauth1", []string{module + "internal", module + "registry", module + "federation", module + "site", module + "node/store", "database/sql"}},
	{"node/saml", []string{module + "registry", module + "node/oauth", module + "node/store"}},
	{"node/registration", []string{module + "node/store", module + "node/admin", module + "node/login", module + "federation"}},
	{"node/accounts", []string{module + "node/store", module + "node/oauth", module + "node/notify", module + "node/admin"}},
	{"node/admin", []string{module + "node/store", module + "node/oauth", module + "node/notify"}},
	{"testnet", []string{module + "cmd"}},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		for _, r := range rules {
			if !under(p.ImportPath, module+r.folder) {
				continue
			}
			for _, dep := range p.Deps {
				if slices.ContainsFunc(r.never, func(banned string) bool { return under(dep, banned) }) {
					t.Errorf("%s must not depend on %s", p.ImportPath, dep)
				}
			}
		}
		if under(p.ImportPath, module+"node") && slices.ContainsFunc(p.Deps, func(d string) bool {
			return under(d, module+"site") && !under(d, module+"site/protocol")
		}) {
			t.Errorf("%s must not depend on the site SDK, only on site/protocol", p.ImportPath)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// under reports whether path is folder or below it.
func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
