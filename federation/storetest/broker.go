// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"testing"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// start is the time of everything that a broker signs here.
const start = 1_750_000_000

// broker is the author of a log. It keeps the log as a store should.
type broker struct {
	t      testing.TB
	issuer string
	key    registry.SigningKey
	log    string
	rows   []federation.Row
	hashes memory
	head   *registry.Checkpoint
}

// memory is a registry.HashReader.
type memory []registry.Hash

func (m memory) ReadHashes(indexes []int64) ([]registry.Hash, error) {
	hashes := make([]registry.Hash, len(indexes))
	for i, n := range indexes {
		hashes[i] = m[n]
	}
	return hashes, nil
}

func newBroker(t testing.TB, issuer string) *broker {
	key := registry.GenerateSigningKey()
	return &broker{t: t, issuer: issuer, key: key, log: key.ID()}
}

// Log is a broker's log that grows faster than a Replica writes it, for tests
// that need many clients. It begins empty.
type Log struct{ broker }

// NewLog makes an empty log.
func NewLog(t testing.TB, issuer string, key registry.SigningKey) *Log {
	return &Log{broker{t: t, issuer: issuer, key: key, log: key.ID()}}
}

// Register adds n new clients and returns the update to write.
func (l *Log) Register(n int) federation.Update { return l.grow(n) }

// Clients returns the ids of all clients in the log.
func (l *Log) Clients() []string {
	var ids []string
	for _, row := range l.rows {
		ids = append(ids, row.Client)
	}
	return ids
}

// must unwraps what a signing function returns.
func must[T any](b *broker, v T, err error) T {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *broker) claims(later int64) registry.Claims {
	return registry.Claims{Issuer: b.issuer, IssuedAt: start + later}
}

// grow registers n new clients.
func (b *broker) grow(n int) federation.Update {
	b.t.Helper()
	var records []*registry.Record
	for range n {
		r, err := registry.SignRegistration(b.key, registry.Registration{Claims: b.claims(0), ClientMetadata: Metadata("App")})
		records = append(records, must(b, r, err))
	}
	return b.add(records...)
}

// update is a second registration of the client whose first is in row.
func (b *broker) update(row federation.Row, compromised bool) *registry.Record {
	r, err := registry.SignRegistration(b.key, registry.Registration{
		Claims: b.claims(1), Sequence: 1, Client: row.Client, Previous: row.CID,
		Compromised: compromised, ClientMetadata: Metadata("App, renamed"),
	})
	return must(b, r, err)
}

func (b *broker) suspension(client string) *registry.Record {
	r, err := registry.SignRevocation(b.key, registry.Revocation{
		Claims: b.claims(1), Client: client, Action: registry.Suspend, Reason: "policy",
		Until: start + 3600, Charter: registry.CID([]byte("a charter")),
	})
	return must(b, r, err)
}

func (b *broker) broker(later int64) *registry.Record {
	r, err := registry.SignBroker(b.key, registry.Broker{
		Claims: b.claims(later), Organisation: "Example", TokenKeys: []registry.JWK{registry.GenerateSigningKey().JWK()},
	})
	return must(b, r, err)
}

func (b *broker) view(later int64) federation.View {
	digest := registry.GenerateSigningKey().ID() // any 32 bytes
	v, err := registry.SignView(b.key, registry.View{
		Claims: b.claims(later), Charter: registry.CID([]byte("a charter")), LogRoot: digest, StopHash: digest,
	})
	return federation.View{Log: b.log, Record: must(b, v, err)}
}

func (b *broker) charter(t *testing.T) *registry.SignedCharter { return b.charterNamed(t, "comity") }

func (b *broker) charterNamed(t *testing.T, name string) *registry.SignedCharter {
	c := federation.DefaultCharter()
	c.Name, c.Version, c.IssuedAt = name, 1, start
	c.Members = []registry.Member{{
		Issuer: b.issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: b.key.JWK()}},
	}}
	signed, err := registry.NewCharter(c, b.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// row describes a record as the replica does.
func (b *broker) row(r *registry.Record, index int64) federation.Row {
	return federation.Row{
		Log: b.log, Index: index, CID: r.CID, Kind: r.Kind, Client: r.ClientID(), Raw: r.Raw,
		Stops: r.Revocation != nil || r.Registration != nil && r.Registration.Compromised,
	}
}

// add puts records at the end of the log.
func (b *broker) add(records ...*registry.Record) federation.Update {
	b.t.Helper()
	u := federation.Update{Log: b.log, Before: int64(len(b.rows))}
	for _, r := range records {
		row := b.row(r, int64(len(b.rows)))
		hashes, err := registry.StoredHashes(row.Index, r.Raw, b.hashes)
		row.Hashes = must(b, hashes, err)
		b.hashes = append(b.hashes, row.Hashes...)
		b.rows = append(b.rows, row)
	}
	u.Rows = b.rows[u.Before:]
	root, err := registry.TreeRoot(int64(len(b.rows)), b.hashes)
	must(b, root, err)
	b.head, err = registry.SignCheckpoint(b.key, registry.Origin(b.issuer), int64(len(b.rows)), root)
	u.Checkpoint = must(b, b.head, err)
	return u
}

// Metadata are those of a plain public client.
func Metadata(name string) registry.ClientMetadata {
	return registry.ClientMetadata{
		Name: name, AuthMethod: registry.AuthNone, GrantTypes: []string{"authorization_code"},
		ResponseTypes: []string{"code"}, RedirectURIs: []string{fmt.Sprintf("https://%s.example/callback", "app")},
	}
}
