// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-network/comity/node/notify"
	"github.com/comity-network/comity/node/oauth/storetest"
	"github.com/comity-network/comity/node/store"
)

func TestTokens(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opened {
		path := filepath.Join(t.TempDir(), "comity.db")
		s, err := store.Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return storetest.Opened{
			Store: s,
			Queue: func() []notify.Message { return queued(t, s) },
			Dump:  func() string { return dump(t, path) },
		}
	})
}

// queued lists everything in the outbox.
func queued(t *testing.T, s *store.Store) (all []notify.Message) {
	t.Helper()
	sites, err := s.QueuedSites(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, site := range sites {
		messages, err := s.Queued(context.Background(), site, 1000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, messages...)
	}
	return all
}

// dump reads the tables of the authorization server with a connection of its
// own.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	for _, table := range []string{"tokens", "families", "refresh_tokens", "codes", "seen"} {
		rows, err := db.Query("SELECT * FROM " + table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				fmt.Fprintln(&b, *v.(*any))
			}
		}
		rows.Close()
	}
	return b.String()
}
