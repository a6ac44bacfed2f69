// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// scratch is a directory that is there for all tests of this run.
var scratch string

// binary is the comity that the tests run; it is built once.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m.Run)) }

func withBinary(run func() int) int {
	var err error
	if scratch, err = os.MkdirTemp("", "comity-interop-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	binary = filepath.Join(scratch, "comity")
	if err := process.Build(context.Background(), binary, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}
