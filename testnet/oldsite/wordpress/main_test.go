// SPDX-License-Identifier: Apache-2.0

package wordpress_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// binary is the comity that the tests run; it is built once, and only where
// WordPress is started.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv("COMITY_LONG") == "" {
		os.Exit(m.Run())
	}
	os.Exit(withBinary(m.Run))
}

func withBinary(run func() int) int {
	dir, err := os.MkdirTemp("", "comity-wordpress-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "comity")
	if err := process.Build(context.Background(), binary, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}
