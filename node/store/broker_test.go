// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/federation/storetest"
	"github.com/comity-network/comity/node/store"
	"github.com/comity-network/comity/registry"
)

// broker is a replica on a database in a directory of its own.
type broker struct {
	*federation.Replica
	t     *testing.T
	dir   string
	key   registry.SigningKey
	store *store.Store
}

const databaseName = "comity.db"

func (b *broker) path() string { return filepath.Join(b.dir, databaseName) }

// newBroker founds a federation, registers clients and stops some.
func newBroker(t *testing.T, clients int) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), key: registry.GenerateSigningKey()}
	b.mustOpen()
	for i := range clients {
		id := b.register()
		if i%4 == 0 {
			b.append(federation.Draft{Revocation: &registry.Revocation{Client: id, Action: registry.Suspend, Reason: "policy"}})
		}
	}
	return b
}

// copyOf is the same broker on a copy of the files, as they are now.
func (b *broker) copyOf() *broker {
	b.t.Helper()
	c := &broker{t: b.t, dir: b.t.TempDir(), key: b.key}
	for _, name := range []string{"", "-wal", ".head"} {
		data, err := os.ReadFile(b.path() + name)
		if err == nil {
			err = os.WriteFile(c.path()+name, data, 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			b.t.Fatal(err)
		}
	}
	return c
}

func (b *broker) open() error {
	s, err := store.Open(b.t.Context(), b.path())
	if err != nil {
		return err
	}
	b.t.Cleanup(func() { s.Close() })
	r, err := federation.Open(b.t.Context(), federation.Config{
		Store: s, Key: b.key, Issuer: benchIssuer, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.Close()
		return err
	}
	b.store, b.Replica = s, r
	return nil
}

func (b *broker) mustOpen() {
	b.t.Helper()
	if err := b.open(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) close() { b.store.Close() }

func (b *broker) register() string {
	b.t.Helper()
	return b.append(federation.Draft{Registration: &registry.Registration{ClientMetadata: storetest.Metadata("App")}}).CID
}

func (b *broker) append(d federation.Draft) *registry.Record {
	b.t.Helper()
	record, _, err := b.Append(b.t.Context(), d)
	if err != nil {
		b.t.Fatal(err)
	}
	return record
}

// testimony is all that the replica says, but for its views. When a part of it
// cannot be said, that is the error.
func (b *broker) testimony() (string, error) {
	var said strings.Builder
	fmt.Fprintf(&said, "%s%s", b.Checkpoints(), b.StopList().Bytes())
	states, err := b.Clients(b.t.Context(), "", 1000)
	if err != nil {
		return "", err
	}
	for _, state := range states {
		p, err := b.Proof(b.t.Context(), state.ID)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&said, p.ID, p.Status, p.Sequence, p.Registration.Raw, p.Index, p.Inclusion)
	}
	return said.String(), nil
}

// problems is what a check of the whole database finds.
func (b *broker) problems() []string {
	found, err := b.store.CheckStructure(b.t.Context())
	if err != nil {
		found = append(found, err.Error())
	}
	audit, err := federation.CheckStore(b.t.Context(), b.store)
	if err != nil {
		found = append(found, err.Error())
	}
	return slices.Concat(found, audit.Problems)
}
