// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"os"
	"testing"

	"github.com/comity-network/comity/testnet/process"
)

// binary is the comity that the tests run; it is built once.
var binary string

// siteEnv makes this test binary a site: see siteMain.
const siteEnv = "COMITY_TESTNET_SITE"

// namespaceEnv says that this process is in a mount namespace of its own, and
// which binary to use there.
const namespaceEnv = "COMITY_TESTNET_NAMESPACE"

func TestMain(m *testing.M) {
	if config := os.Getenv(siteEnv); config != "" {
		os.Exit(siteMain(config))
	}
	if binary = os.Getenv(namespaceEnv); binary != "" {
		os.Exit(m.Run())
	}
	os.Exit(process.WithBinary(func(_, built string) int {
		binary = built
		return m.Run()
	}))
}
