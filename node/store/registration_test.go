// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/comity-network/comity/node/registration"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

func openRegistrations(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), databaseName))
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func notFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error %v, expected %v", err, registry.ErrNotFound)
	}
}

func TestInitialTokens(t *testing.T) {
	s, ctx := openRegistrations(t), t.Context()
	tokens := []registration.InitialToken{
		{ID: "a", Hash: "ha", Uses: 3, CreatedAt: 100, ExpiresAt: 200},
		{ID: "b", Hash: "hb", Uses: 1, CreatedAt: 101, ExpiresAt: 300},
	}
	for _, token := range tokens {
		check(t, s.AddInitialToken(ctx, token))
	}
	var used atomic.Int64
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if id, err := s.UseInitialToken(ctx, "ha", 150); err == nil && id == "a" {
				used.Add(1)
			} else if !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%s, %v", id, err)
			}
		})
	}
	group.Wait()
	if used.Load() != 3 {
		t.Errorf("3 uses were had %d times", used.Load())
	}
	check(t, s.ReturnInitialToken(ctx, "a"))
	if _, err := s.UseInitialToken(ctx, "ha", 199); err != nil {
		t.Errorf("a use that was given back: %v", err)
	}
	notFound(t, s.ReturnInitialToken(ctx, "b")) // nothing was taken
	for _, try := range []struct {
		hash string
		now  int64
	}{{"hb", 300}, {"hc", 150}, {"", 150}} {
		_, err := s.UseInitialToken(ctx, try.hash, try.now)
		notFound(t, err)
	}
	tokens[0].Used = 3
	got, err := s.InitialTokens(ctx, 199)
	check(t, err)
	if !reflect.DeepEqual(got, tokens) {
		t.Errorf("listed %+v", got)
	}
	if got, err = s.InitialTokens(ctx, 200); err != nil || len(got) != 1 {
		t.Errorf("after a has expired %+v, %v", got, err)
	}
	check(t, s.EndInitialToken(ctx, "b"))
	_, err = s.UseInitialToken(ctx, "hb", 150)
	notFound(t, err)
	notFound(t, s.EndInitialToken(ctx, "b"))
}

func TestLocalClients(t *testing.T) {
	s, ctx := openRegistrations(t), t.Context()
	client := func(id string, created int64) registration.Local {
		return registration.Local{ID: id, Token: "token of " + id, CreatedAt: created, ExpiresAt: created + 100, Metadata: registry.ClientMetadata{
			Name: "App <&>", RedirectURIs: []string{"https://app.example/cb"}, AuthMethod: "none", Extra: map[string]json.RawMessage{"x_new": json.RawMessage(`{"a":[1,2.50]}`)},
		}}
	}
	for i := range 3 {
		check(t, s.AddLocal(ctx, client(fmt.Sprint("local-", i), 1000+int64(i)), 3))
	}
	if err := s.AddLocal(ctx, client("local-9", 1099), 3); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("one too many: %v", err)
	}
	check(t, s.AddLocal(ctx, client("local-3", 1100), 3)) // local-0 is over
	got, err := s.Local(ctx, "local-1", 1100)
	check(t, err)
	if !reflect.DeepEqual(got, client("local-1", 1001)) {
		t.Errorf("stored %+v", got)
	}
	_, err = s.Local(ctx, "local-1", 1101)
	notFound(t, err)
	list, err := s.Locals(ctx, "local-1", 10, 1101)
	check(t, err)
	if len(list) != 2 || list[0].ID != "local-2" || list[1].ID != "local-3" {
		t.Errorf("listed %+v", list)
	}
	next := client("local-2", 1002)
	next.Metadata.Name = "New"
	check(t, s.ReplaceLocal(ctx, "local-2", next.Metadata, 1100))
	check(t, s.FetchedLocal(ctx, "local-2", 1100)) // there is nothing to be heard of yet
	if got, err = s.Local(ctx, "local-2", 1100); err != nil || !reflect.DeepEqual(got, next) {
		t.Errorf("replaced %+v, %v", got, err)
	}
	notFound(t, s.PromoteLocal(ctx, "local-1", "bafy", 1101))
	_, err = s.Manager(ctx, "bafy")
	notFound(t, err)
	check(t, s.PromoteLocal(ctx, "local-2", "bafy", 1100))
	notFound(t, s.PromoteLocal(ctx, "local-2", "bafz", 1100))
	notFound(t, s.ReplaceLocal(ctx, "local-2", next.Metadata, 1100))
	if hash, err := s.Manager(ctx, "bafy"); err != nil || hash != "token of local-2" {
		t.Errorf("the manager is %q, %v", hash, err)
	}
	for at := range int64(2) {
		check(t, s.FetchedLocal(ctx, "local-2", 1100+at))
	}
	if got, err = s.Local(ctx, "local-2", 1100); err != nil || got.Promoted != "bafy" || got.FetchedAt != 1100 {
		t.Errorf("promoted %+v, %v", got, err)
	}
	check(t, s.SetManager(ctx, "bafy", "another"))
	if hash, err := s.Manager(ctx, "bafy"); err != nil || hash != "another" {
		t.Errorf("the manager is %q, %v", hash, err)
	}
	check(t, s.RemoveLocal(ctx, "local-2"))
	notFound(t, s.RemoveLocal(ctx, "local-2"))
}
