// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"

	"github.com/comity-network/comity/registry"
)

// NewDHTValidator is the validator of a member with that replica.
func NewDHTValidator(r *Replica) record.Validator {
	values := dhtValues{r}
	return &dhtValidator{federation: r.Chain().Federation(), chain: r.Chain, judge: func(k dhtKey, f *dhtFinding) error {
		return values.behind(context.Background(), k, f)
	}}
}

// NewReaderValidator is that of a reader who knows the chain, or nil.
func NewReaderValidator(federation string, chain *registry.Chain) record.Validator {
	return &dhtValidator{federation: federation, chain: func() *registry.Chain { return chain }}
}

// DHTValue is the value that a member puts under a key.
func DHTValue(ctx context.Context, r *Replica, key string) ([]byte, error) {
	k, err := parseDHTKey(key, r.Chain().Federation())
	if err != nil {
		return nil, err
	}
	return dhtValues{r}.value(ctx, k)
}

// DHT is the table beneath a directory.
func (d *Directory) DHT() *dht.IpfsDHT { return d.dht }

// Put puts one value and waits.
func (d *Directory) Put(ctx context.Context, key string) error {
	k, err := parseDHTKey(key, d.check.federation)
	if err == nil {
		d.put(ctx, k)
	}
	return err
}

// Holds says whether a member itself holds a value that it would serve.
func (d *Directory) Holds(ctx context.Context, key string) bool {
	k, err := parseDHTKey(key, d.check.federation)
	if err != nil {
		return false
	}
	_, err = d.held(ctx, k)
	return err == nil
}
