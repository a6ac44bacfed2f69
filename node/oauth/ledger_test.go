// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/comity-network/comity/registry"
)

// clock is a time that tests move. It starts at the present.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now().Truncate(time.Second)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// ledger is a federation in memory: really signed records, really folded. It
// is the oauth.Clients of the tests.
type ledger struct {
	t     testing.TB
	clock *clock
	chain *registry.Chain
	keys  map[string]registry.SigningKey // record keys by issuer

	mu      sync.Mutex
	entries []registry.Entry
	sizes   map[string]int64
}

func newLedger(t testing.TB, c *clock, issuers ...string) *ledger {
	t.Helper()
	l := &ledger{t: t, clock: c, keys: map[string]registry.SigningKey{}, sizes: map[string]int64{}}
	charter := registry.Charter{
		Name: "test", Version: 1, IssuedAt: c.now().Add(-time.Hour).Unix(), Threshold: 1,
		MaxSuspension: 86400, SuspensionQuota: 20, MaxAge: 120, ClientsPerMember: 1000,
	}
	var signers []registry.SigningKey
	for _, issuer := range issuers {
		k := registry.GenerateSigningKey()
		l.keys[issuer] = k
		signers = append(signers, k)
		charter.Members = append(charter.Members, registry.Member{
			Issuer: issuer, State: registry.MemberActive, Keys: []registry.MemberKey{{Key: k.JWK()}},
		})
	}
	signed, err := registry.NewCharter(charter, signers...)
	check(t, err)
	l.chain, err = registry.NewChain(signed)
	check(t, err)
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *ledger) federation() string { return l.chain.Federation() }

// Client implements oauth.Clients.
func (l *ledger) Client(_ context.Context, id string) (registry.ClientState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state, ok := registry.Fold(l.chain, l.entries, nil, l.clock.now()).Clients[id]
	if !ok {
		return registry.ClientState{}, registry.ErrNotFound
	}
	return state, nil
}

// State implements oauth.Clients.
func (l *ledger) State(ctx context.Context, id string) (registry.ClientState, error) {
	return l.Client(ctx, id)
}

// BrokerStatus implements oauth.Clients.
func (l *ledger) BrokerStatus(issuer string) registry.BrokerStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return registry.Fold(l.chain, nil, nil, l.clock.now()).Brokers[issuer].Status
}

// setMember issues the next charter, in which a member has another state.
func (l *ledger) setMember(issuer string, state registry.MemberState) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.chain.Latest()
	next := last.Charter
	next.Version, next.Previous, next.IssuedAt = last.Version+1, last.CID, l.clock.now().Unix()
	next.Members = nil
	var signers []registry.SigningKey
	for _, m := range last.Members {
		if m.Issuer == issuer {
			m.State = state
			if state == registry.MemberExpelled {
				end := l.sizes[issuer]
				m.Keys = slices.Clone(m.Keys)
				m.Keys[len(m.Keys)-1].Until = &end
			}
		} else {
			signers = append(signers, l.keys[m.Issuer])
		}
		next.Members = append(next.Members, m)
	}
	signed, err := registry.NewCharter(next, signers...)
	check(l.t, err)
	l.chain, err = l.chain.Extend(signed)
	check(l.t, err)
}

// register adds a client with the given home.
func (l *ledger) register(home string, m registry.ClientMetadata) string {
	l.t.Helper()
	return l.append(home, registry.Registration{ClientMetadata: m}).ClientID()
}

func (l *ledger) append(home string, r registry.Registration) *registry.Record {
	l.t.Helper()
	r.Issuer, r.IssuedAt = home, l.clock.now().Unix()
	record, err := registry.SignRegistration(l.keys[home], r)
	check(l.t, err)
	l.add(home, record)
	return record
}

// revoke adds a revocation by the client's home broker.
func (l *ledger) revoke(id string, action registry.Action, cutoff int64) registry.ClientState {
	l.t.Helper()
	state, err := l.Client(context.Background(), id)
	check(l.t, err)
	record, err := registry.SignRevocation(l.keys[state.Home], registry.Revocation{
		Claims:  registry.Claims{Issuer: state.Home, IssuedAt: l.clock.now().Unix()},
		Client:  id,
		Action:  action,
		Reason:  "malicious",
		Cutoff:  cutoff,
		Charter: l.chain.Latest().CID, Sequence: state.Sequence + 1, Previous: state.Last,
	})
	check(l.t, err)
	l.add(state.Home, record)
	state, err = l.Client(context.Background(), id)
	check(l.t, err)
	return state
}

func (l *ledger) add(issuer string, r *registry.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, registry.Entry{Record: r, Index: l.sizes[issuer]})
	l.sizes[issuer]++
}
