// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/comity-network/comity/registry"
)

// refetchAfter is how long a site waits before it asks a broker for its
// record again because of a key that it does not know: anybody can send such.
const refetchAfter = 5 * time.Second

// brokerRecords are the verified broker records of the site's own brokers.
type brokerRecords struct {
	fetching sync.Mutex // one fetch at a time

	mu    sync.Mutex
	known map[string]*brokerRecord // by issuer
	asked map[string]time.Duration // Elapsed at the last fetch, by issuer
}

// brokerRecord is one of them. It is never changed.
type brokerRecord struct {
	*registry.Record
	keys map[string]ed25519.PublicKey // its token keys, by kid
}

// BrokerActive reports whether the broker is an active member that the stop
// list does not hold. The error wraps registry.ErrRevoked.
func (f *Federation) BrokerActive(issuer string) error {
	s := f.now.Load()
	if s.chain == nil {
		return fmt.Errorf("%w: no charter yet%s", registry.ErrStale, f.because())
	}
	member, ok := s.chain.Member(issuer)
	if !ok || member.State != registry.MemberActive {
		return fmt.Errorf("%w: %s is no active member of the federation", registry.ErrRevoked, issuer)
	}
	if s.list != nil {
		if status, listed := s.list.Broker(issuer); listed {
			return fmt.Errorf("%w: the broker %s is %s", registry.ErrRevoked, issuer, status)
		}
	}
	return nil
}

// TokenKeys returns the token keys of a broker, by kid, out of the broker
// record that its record key signed. The record is fetched when it is not
// known, and again, at most every 5 s, when it does not have the key kid.
func (f *Federation) TokenKeys(ctx context.Context, issuer, kid string) (map[string]ed25519.PublicKey, error) {
	if keys := f.knownKeys(ctx, issuer); keys[kid] != nil {
		return keys, nil
	}
	f.brokers.fetching.Lock()
	defer f.brokers.fetching.Unlock()
	if keys := f.knownKeys(ctx, issuer); keys[kid] != nil || !f.mayFetch(issuer) {
		return keys, nil
	}
	if err := f.fetchBroker(ctx, issuer); err != nil {
		return nil, fmt.Errorf("broker record of %s: %w", issuer, err)
	}
	return f.knownKeys(ctx, issuer), nil
}

// mayFetch reports whether the last fetch is long enough ago, and counts this
// one.
func (f *Federation) mayFetch(issuer string) bool {
	f.brokers.mu.Lock()
	defer f.brokers.mu.Unlock()
	now := f.Elapsed()
	if asked, before := f.brokers.asked[issuer]; before && now-asked < refetchAfter {
		return false
	}
	f.brokers.asked[issuer] = now
	return true
}

// knownKeys are the keys of the record that is known, if the charter still
// gives its record key to the broker.
func (f *Federation) knownKeys(ctx context.Context, issuer string) map[string]ed25519.PublicKey {
	f.brokers.mu.Lock()
	defer f.brokers.mu.Unlock()
	record := f.brokers.known[issuer]
	if record == nil {
		fact, err := f.Memory.Fact(ctx, kindBroker, issuer)
		if err != nil {
			return nil
		}
		if record, err = f.verifyBroker(issuer, []byte(fact.Value)); err != nil {
			return nil // its key is not the current one any more
		}
		f.brokers.known[issuer] = record
	}
	chain := f.now.Load().chain
	if chain == nil {
		return nil
	}
	if pub, ok := chain.CurrentKey(issuer); !ok || registry.Thumbprint(pub) != record.KeyID {
		return nil
	}
	return record.keys
}

// verifyBroker checks that raw is a broker record of issuer, signed by its
// current record key.
func (f *Federation) verifyBroker(issuer string, raw []byte) (*brokerRecord, error) {
	chain := f.now.Load().chain
	if chain == nil {
		return nil, errors.New("no charter yet")
	}
	pub, ok := chain.CurrentKey(issuer)
	if !ok {
		return nil, errors.New("the charter has no key of it")
	}
	record, err := registry.ParseRecord(raw, registry.KindBroker)
	if err != nil {
		return nil, err
	}
	if record.Issuer != issuer {
		return nil, fmt.Errorf("it is of %s", record.Issuer)
	}
	if err := record.Verify(pub); err != nil {
		return nil, err
	}
	keys := map[string]ed25519.PublicKey{}
	for _, key := range record.Broker.TokenKeys {
		if pub, err := key.PublicKey(); err == nil {
			keys[registry.Thumbprint(pub)] = pub
		}
	}
	return &brokerRecord{record, keys}, nil
}

// fetchBroker asks the broker itself for its record. One that is older than
// the known one is refused.
func (f *Federation) fetchBroker(ctx context.Context, issuer string) error {
	chain := f.now.Load().chain
	if chain == nil {
		return errors.New("no charter yet")
	}
	pub, ok := chain.CurrentKey(issuer)
	if !ok {
		return errors.New("the charter has no key of it")
	}
	a, err := f.get(ctx, issuer, "/federation/brokers/"+registry.Thumbprint(pub), registry.MaxRecordBytes)
	if err != nil {
		return err
	}
	record, err := f.verifyBroker(issuer, a.body)
	if err != nil {
		return err
	}
	kept, err := f.Memory.Remember(ctx, Fact{kindBroker, issuer, record.IssuedAt, record.Raw})
	if err != nil {
		return err
	}
	if ahead := kept.Position - record.IssuedAt; ahead > 0 {
		return fmt.Errorf("%w: issued %d s before the one seen before", registry.ErrStale, ahead)
	}
	f.brokers.mu.Lock()
	defer f.brokers.mu.Unlock()
	f.brokers.known[issuer] = record
	return nil
}

// BrokerExpelled reports whether the broker's word counts for nothing any
// more, or never did.
func (f *Federation) BrokerExpelled(issuer string) bool {
	s := f.now.Load()
	if s.chain == nil {
		return true
	}
	member, ok := s.chain.Member(issuer)
	if !ok || member.State == registry.MemberExpelled {
		return true
	}
	if s.list == nil {
		return false
	}
	status, _ := s.list.Broker(issuer)
	return status == registry.BrokerExpelled
}
