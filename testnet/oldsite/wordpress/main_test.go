// SPDX-License-Identifier: Apache-2.0

package wordpress_test

import (
	"os"
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
	os.Exit(process.WithBinary(func(_, built string) int {
		binary = built
		return m.Run()
	}))
}
