// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/memstore"
	"github.com/comity-network/comity/federation/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() federation.Store {
		s := new(memstore.Store)
		return func() federation.Store { return s }
	})
}
