// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"os"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// scratch is a directory that is there for all tests of this run.
var scratch string

// binary is the comity that the tests run; it is built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(process.WithBinary(func(dir, built string) int {
		scratch, binary = dir, built
		return m.Run()
	}))
}
