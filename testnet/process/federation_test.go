// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// TestAdmitted: where the charter is in force already there is nothing left to
// approve, and Admit does not wait for it.
func TestAdmitted(t *testing.T) {
	const script = `#!/bin/sh
case $1 in
status) echo '{"members":[{"issuer":"http://member.example","state":"active"},{"issuer":"http://applicant.example","state":"active"}]}' ;;
*) echo 'nothing waits here' >&2; exit 1 ;;
esac
`
	binary := filepath.Join(t.TempDir(), "comity")
	if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	member := &process.Node{Config: process.Config{Binary: binary, Dir: t.TempDir(), Issuer: "http://member.example"}}
	applicant := &process.Node{Config: process.Config{Issuer: "http://applicant.example"}}
	approved, err := process.Federation{member}.Admit(t.Context(), applicant)
	if err != nil || len(approved) != 0 {
		t.Errorf("%q had to approve, %v; want that nobody had to", approved, err)
	}
}
