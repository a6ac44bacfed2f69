// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"context"
	"errors"

	"github.com/comity-network/comity/registry"
)

// Propose signs a draft of the next charter: version, previous and iat are
// set. A proposal that says the same is signed, not made again, so that members
// who decide the same sign the same bytes. When that is approval enough, the
// draft is the newest charter when Propose returns; else it is a proposal. It
// refuses (registry.ErrConflict) to sign a second proposal for one version.
func (r *Replica) Propose(ctx context.Context, draft registry.Charter) (*registry.SignedCharter, error) {
	return nil, errors.ErrUnsupported
}

// Approve adds this broker's signature to a proposal.
func (r *Replica) Approve(ctx context.Context, cid string) (*registry.SignedCharter, error) {
	return nil, errors.ErrUnsupported
}

// Proposals returns the charters that still lack approvals.
func (r *Replica) Proposals() []*registry.SignedCharter { return nil }

// Adopt replaces the charter of a federation of one by those of the federation
// that admitted this broker, all versions, the oldest first. The own log goes
// on. It refuses (registry.ErrConflict) when this broker is in a federation
// with others, or when the newest charter does not have this issuer as an
// active member with this key from the first log entry on.
func (r *Replica) Adopt(ctx context.Context, charters [][]byte) error {
	return errors.ErrUnsupported
}
