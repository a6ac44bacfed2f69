// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/node"
	"github.com/comity-network/comity/node/admin"
)

// A data directory of a version without accounts gets the key of pairwise
// subjects; one that has accounts never gets another (fault 77).
func TestFault77SubjectKey(t *testing.T) {
	cfg := config(t)
	path := filepath.Join(cfg.DataDir, "keys", "subject.pem")
	open := func() *node.Node {
		t.Helper()
		n, err := node.Open(t.Context(), cfg)
		check(t, err)
		return n
	}
	check(t, open().Close())
	first, err := os.ReadFile(path)
	check(t, err)
	check(t, os.Remove(path)) // as an older version left it
	n := open()
	made, err := os.ReadFile(path)
	check(t, err)
	if string(made) == string(first) {
		t.Error("the new key is the old one")
	}
	_, err = n.AddUser(t.Context(), admin.UserDraft{Name: "alice", Password: "correct horse battery"})
	check(t, err)
	check(t, n.Close())
	check(t, open().Close())
	if now, err := os.ReadFile(path); err != nil || string(now) != string(made) {
		t.Errorf("a start changed the key: %v", err)
	}
	check(t, os.Remove(path))
	n, err = node.Open(t.Context(), cfg)
	if err == nil {
		n.Close()
		t.Fatal("the node started without the key of its accounts")
	}
	if !strings.Contains(err.Error(), "subject.pem is missing: restore it from a backup") {
		t.Errorf("it says %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("a key was made")
	}
}

func TestUserPages(t *testing.T) {
	n, err := node.Open(t.Context(), config(t))
	check(t, err)
	defer n.Close()
	for _, name := range []string{"carol", "alice", "bob"} {
		_, err := n.AddUser(t.Context(), admin.UserDraft{Name: name, Password: "correct horse battery"})
		check(t, err)
	}
	var names []string
	for page := (admin.Page{Limit: 2}); ; {
		list, err := n.ListUsers(t.Context(), page)
		check(t, err)
		for _, u := range list.Users {
			names = append(names, u.Name)
		}
		if page.After = list.Next; list.Next == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "alice bob carol" {
		t.Errorf("the pages list %s", got)
	}
	if list, err := n.ListUsers(t.Context(), admin.Page{}); err != nil || len(list.Users) != 3 {
		t.Errorf("without a limit: %+v, %v", list, err)
	}
}
