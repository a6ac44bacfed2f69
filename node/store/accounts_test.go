// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/accounts/storetest"
	"github.com/comity-network/comity/node/store"
)

func TestAccounts(t *testing.T) {
	storetest.Run(t, func(t *testing.T) accounts.Store {
		s, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "comity.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
}
