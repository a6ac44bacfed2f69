// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/comity-network/comity/node/store"
)

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestDatastoreModel does the same to the table and to go-datastore's own map,
// and compares all that can be asked of them.
func TestDatastoreModel(t *testing.T) {
	s, ctx := openStore(t, filepath.Join(t.TempDir(), "comity.db")), t.Context()
	table, model := s.Datastore(), datastore.NewMapDatastore()
	random := rand.New(rand.NewPCG(1, 2))
	var keys []datastore.Key
	for _, name := range []string{"/a", "/a/b", "/a/b/c", "/ab", "/a.", "/A", "/a/%", "/a/_", "/client/Ä", "/log/" + strings.Repeat("x", 200)} {
		keys = append(keys, datastore.NewKey(name))
	}
	for range 120 {
		key := keys[random.IntN(len(keys))]
		value := make([]byte, random.IntN(300))
		for i := range value {
			value[i] = byte(random.Uint32())
		}
		remove := random.IntN(3) == 0
		for _, d := range []datastore.Batching{table, model} {
			var err error
			if remove {
				err = d.Delete(ctx, key)
			} else {
				err = d.Put(ctx, key, value)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, key := range keys {
		for _, ask := range []func(datastore.Datastore) (any, error){
			func(d datastore.Datastore) (any, error) { return d.Get(ctx, key) },
			func(d datastore.Datastore) (any, error) { return d.Has(ctx, key) },
			func(d datastore.Datastore) (any, error) { return d.GetSize(ctx, key) },
		} {
			got, gotErr := ask(table)
			want, wantErr := ask(model)
			if !reflect.DeepEqual(got, want) || gotErr != wantErr {
				t.Errorf("%s: %v, %v; the model has %v, %v", key, got, gotErr, want, wantErr)
			}
		}
	}
	for _, q := range []query.Query{
		{}, {Prefix: "/"}, {Prefix: "/a"}, {Prefix: "a/"}, {Prefix: "/a/b/.."}, {Prefix: "/none"}, {Prefix: "/client"},
		{KeysOnly: true}, {Limit: 3}, {Offset: 2, Limit: 2}, {Offset: 99}, {ReturnsSizes: true, KeysOnly: true},
		{Filters: []query.Filter{query.FilterKeyCompare{Op: query.GreaterThan, Key: "/a/b"}}},
	} {
		q.Orders = []query.Order{query.OrderByKeyDescending{}}
		got, want := rest(t, table, q), rest(t, model, q)
		if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, the model has %v", q, got, want)
		}
	}
}

func rest(t *testing.T, d datastore.Datastore, q query.Query) []query.Entry {
	t.Helper()
	results, err := d.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(results.Query(), q) {
		t.Errorf("results of %s say that they are of %s", q, results.Query())
	}
	entries, err := results.Rest()
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// What the DHT stored is there when the database is opened again: values,
// replacements, deletions, and a batch as a whole.
func TestDatastoreReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comity.db")
	s, ctx := openStore(t, path), t.Context()
	d := s.Datastore()
	key := datastore.NewKey
	for _, step := range []error{
		d.Put(ctx, key("/client/A"), []byte{0, 255, '\n'}),
		d.Put(ctx, key("/client/B"), []byte("old")),
		d.Put(ctx, key("/client/B"), []byte("new")),
		d.Put(ctx, key("/clients"), nil),
		d.Put(ctx, key("/log/L"), []byte("gone")),
		d.Delete(ctx, key("/log/L")),
		d.Delete(ctx, key("/log/never")),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	batch, err := d.Batch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	batch.Put(ctx, key("/client/C"), []byte("c"))
	batch.Delete(ctx, key("/client/A"))
	if has, err := d.Has(ctx, key("/client/C")); has || err != nil {
		t.Errorf("a batch shows before it is committed: %v, %v", has, err)
	}
	if err := batch.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(ctx); err == nil {
		t.Error("a batch was committed to a closed database")
	}

	d = openStore(t, path).Datastore()
	found, err := d.Query(ctx, query.Query{Prefix: "/client", Orders: []query.Order{query.OrderByKey{}}})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := found.Rest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Key+"="+string(e.Value))
	}
	if want := []string{"/client/B=new", "/client/C=c"}; !slices.Equal(got, want) {
		t.Errorf("after opening again: %q, want %q", got, want)
	}
	if value, err := d.Get(ctx, key("/clients")); err != nil || len(value) != 0 {
		t.Errorf("an empty value came back as %q, %v", value, err)
	}
	if _, err := d.Get(ctx, key("/log/L")); !errors.Is(err, datastore.ErrNotFound) {
		t.Errorf("a deleted value: %v", err)
	}
	if size, err := datastore.DiskUsage(ctx, d); err != nil || size == 0 {
		t.Errorf("disk usage %d, %v", size, err)
	}
}
