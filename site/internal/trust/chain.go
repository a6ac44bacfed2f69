// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/comity-network/comity/registry"
)

// maxSteps bounds the charters that one visit to a broker adds.
const maxSteps = 1000

// loadChain rebuilds the chain from memory; nil when there is none yet.
func (f *Federation) loadChain(ctx context.Context) (*registry.Chain, error) {
	facts, err := f.Memory.Facts(ctx, f.kind(kindCharter))
	if err != nil {
		return nil, err
	}
	var chain *registry.Chain
	for _, fact := range facts {
		if chain, err = f.step(chain, []byte(fact.Value)); err != nil {
			return nil, fmt.Errorf("stored charter %s: %w", fact.Name, err)
		}
	}
	return chain, nil
}

// step adds one charter to chain, which is nil before the first.
func (f *Federation) step(chain *registry.Chain, raw []byte) (*registry.Chain, error) {
	charter, err := registry.ParseCharter(raw)
	if err != nil {
		return nil, err
	}
	if chain != nil {
		return chain.Extend(charter)
	}
	if charter.CID != f.ID {
		return nil, fmt.Errorf("%w: the first charter is %s, the site has pinned %s", registry.ErrConflict, charter.CID, f.ID)
	}
	return registry.NewChain(charter)
}

// follow brings the chain to the newest version that issuer can prove, and
// reports whether it grew.
func (f *Federation) follow(ctx context.Context, issuer string) (grew bool, err error) {
	s := *f.now.Load()
	newest, err := f.charter(ctx, issuer, "")
	if err != nil {
		return false, err
	}
	first := int64(1)
	if s.chain != nil {
		first = s.chain.Latest().Version + 1
	}
	for v := first; v <= newest.Version && v < first+maxSteps; v++ {
		if s.chain, err = f.followOne(ctx, issuer, s.chain, v); err != nil {
			return false, err
		}
		grew = true
	}
	if !grew {
		return false, nil
	}
	if s.members, err = f.handful(ctx, s.chain); err != nil {
		return false, err
	}
	f.now.Store(&s)
	return true, nil
}

func (f *Federation) followOne(ctx context.Context, issuer string, chain *registry.Chain, version int64) (*registry.Chain, error) {
	charter, err := f.charter(ctx, issuer, "/"+strconv.FormatInt(version, 10))
	if err != nil {
		return nil, err
	}
	next, err := f.step(chain, charter.Raw)
	if err != nil {
		if errors.Is(err, registry.ErrConflict) {
			f.Log.Error("charter refused", "broker", issuer, "version", version, "error", err)
		}
		return nil, fmt.Errorf("charter %d: %w", version, err)
	}
	name := strconv.FormatInt(version, 10)
	kept, err := f.Memory.Remember(ctx, Fact{f.kind(kindCharter), name, version, string(charter.Raw)})
	if err != nil {
		return nil, err
	}
	// Another process of this site may have stored a version of its own.
	if c, err := registry.ParseCharter([]byte(kept.Value)); err != nil || c.CID != charter.CID {
		return nil, fmt.Errorf("charter %d: %w: another one is stored", version, registry.ErrConflict)
	}
	return next, nil
}

func (f *Federation) charter(ctx context.Context, issuer, version string) (*registry.SignedCharter, error) {
	a, err := f.get(ctx, issuer, "/federation/charter"+version, registry.MaxCharterBytes)
	if err != nil {
		return nil, err
	}
	return registry.ParseCharter(a.body)
}
