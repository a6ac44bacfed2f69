// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/node/store"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() federation.Store {
		path := filepath.Join(t.TempDir(), "comity.db")
		var s *store.Store
		t.Cleanup(func() { s.Close() })
		return func() federation.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if s, err = store.Open(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
